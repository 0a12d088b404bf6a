// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var errDisk = errors.New("the disk is full")

// client is a storage in memory that can fail, counts what is written, and remembers how it looked after every write.
type client struct {
	mu      sync.Mutex
	data    map[string][]byte
	history []map[string][]byte
	written int // bytes of the last Batch that wrote

	readErr, writeErr, closeErr error
}

func newClient() *client {
	return &client{data: map[string][]byte{}}
}

func (c *client) Get(ctx context.Context, key string) ([]byte, error) {
	op := storage.GetOperation(key)
	err := c.Batch(ctx, op)
	return op.Value, err
}

func (c *client) Set(ctx context.Context, key string, value []byte) error {
	return c.Batch(ctx, storage.SetOperation(key, value))
}

func (c *client) Delete(ctx context.Context, key string) error {
	return c.Batch(ctx, storage.DeleteOperation(key))
}

func (c *client) Batch(_ context.Context, ops ...*storage.Operation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	after, written, writes := maps.Clone(c.data), 0, false
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			if c.readErr != nil {
				return c.readErr
			}
			op.Value = bytes.Clone(after[op.Key])
		case storage.Set:
			writes, written = true, written+len(op.Value)
			after[op.Key] = bytes.Clone(op.Value)
		case storage.Delete:
			writes = true
			delete(after, op.Key)
		}
	}
	if !writes {
		return nil
	}
	if c.writeErr != nil {
		return c.writeErr
	}
	c.data, c.written = after, written
	c.history = append(c.history, after)
	return nil
}

func (c *client) Close(context.Context) error {
	return c.closeErr
}

// testDocument stands for what a dataset stores.
type testDocument struct {
	Host   int64    `json:"host"`
	Status []string `json:"status,omitempty"`
}

func put(t *testing.T, s *Store, key string, p testDocument) {
	t.Helper()
	require.NoError(t, s.Update(t.Context(), func(tx *Tx) { tx.Put(key, 1, p) }))
}

func load(t *testing.T, s *Store, key string) (p testDocument, found bool) {
	t.Helper()
	found, err := s.Load(t.Context(), key, 1, &p)
	require.NoError(t, err)
	return p, found
}
