// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// timedClient adds up how long a storage takes.
type timedClient struct {
	client storage.Client
	took   *atomic.Int64 // nanoseconds
}

func (c *timedClient) time(call func() error) error {
	began := time.Now()
	err := call()
	c.took.Add(int64(time.Since(began)))
	return err
}

func (c *timedClient) Get(ctx context.Context, key string) (value []byte, err error) {
	err = c.time(func() error { value, err = c.client.Get(ctx, key); return err })
	return value, err
}

func (c *timedClient) Set(ctx context.Context, key string, value []byte) error {
	return c.time(func() error { return c.client.Set(ctx, key, value) })
}

func (c *timedClient) Delete(ctx context.Context, key string) error {
	return c.time(func() error { return c.client.Delete(ctx, key) })
}

func (c *timedClient) Batch(ctx context.Context, ops ...*storage.Operation) error {
	return c.time(func() error { return c.client.Batch(ctx, ops...) })
}

func (c *timedClient) Close(ctx context.Context) error { return c.client.Close(ctx) }

// measureCommits measures what writing down how far a collection has come takes of it. The response is in memory, so that there
// is nothing to wait for: with a server that has to make it first, the share is a fraction of this.
func (t *table) measureCommits(ctx context.Context) error {
	r := t.row(row{name: "commits in file storage (cursor, fingerprints), share of a collection's time", unit: share, atMost: true, required: 0.05, aim: 0.02})
	page := pageOf(pageSize, true)
	detections := 0
	if err := decodeHosts(bytes.NewReader(page), func(h *xmlHost) { detections += len(h.Detections) }); err != nil {
		return err
	}
	for range *rounds {
		dir, err := os.MkdirTemp(t.dir, "commits")
		if err != nil {
			return err
		}
		var storing atomic.Int64
		c := &collection{page: page, records: detections, overlap: time.Hour, storage: func(ctx context.Context) (storage.Client, error) {
			client, err := openFile(ctx, dir)
			return &timedClient{client: client, took: &storing}, err
		}}
		runtime.GC()
		took, err := c.run(ctx, runtime.NumCPU())
		if err != nil {
			return err
		}
		r.measured = append(r.measured, float64(storing.Load())/float64(took))
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
