// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

const (
	trackedPage   = 20_000_000
	trackedRounds = 7
)

// collectFull collects a page in whole some times, with a file storage, and returns how long the collections took behind the first
// one: that has nothing to compare with.
func collectFull(ctx context.Context, dir string, page []byte, tracked bool, rounds int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, err := openFile(ctx, dir)
	if err != nil {
		return nil, err
	}
	store := checkpoint.New(client)
	defer func() { _ = store.Close(context.WithoutCancel(ctx)) }() // of a folder that is thrown away
	sink, err := consumer.NewLogs(func(context.Context, plog.Logs) error { return nil })
	if err != nil {
		return nil, err
	}
	shared, err := settingsOf(ctx, store, sink)
	if err != nil {
		return nil, err
	}
	shared.Client = clientOf(page)
	state := health.New(health.Settings{Logger: zap.NewNop(), Source: sourceName}, dataset.Vulnerabilities)
	var took []time.Duration
	var began time.Time
	done := make(chan struct{})
	collector := dataset.NewDetections(shared, dataset.DetectionSettings{
		Interval: time.Nanosecond, Collect: "all", Version: "5.0", PageSize: 10_000, Status: []string{"New", "Active", "Re-Opened", "Fixed"},
		Track: tracked, MaxRemovedShare: 0.2, Account: "user",
	}, state.Dataset(dataset.Vulnerabilities), engine.Options{Finished: func(context.Context, *engine.Run, engine.Counts) error {
		if !began.IsZero() {
			took = append(took, time.Since(began))
		}
		if began = time.Now(); len(took) == rounds {
			close(done)
			cancel()
		}
		return nil
	}})
	var running sync.WaitGroup
	running.Go(func() { collector.Run(ctx) })
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		err = errors.New("full collections took more than five minutes")
	}
	cancel()
	running.Wait()
	return took, err
}

// measureTracked measures full collections of tracked detections against those of untracked ones.
func (t *table) measureTracked(ctx context.Context) error {
	r := t.row(row{name: "tracked detections against untracked ones, a full collection with file storage", unit: ratio, atMost: true, required: 1.3, aim: 1.15})
	page := pageOf(trackedPage, true)
	for range trackedRounds {
		var took [2]time.Duration
		for i, tracked := range []bool{false, true} {
			dir, err := os.MkdirTemp(t.dir, "tracked")
			if err != nil {
				return err
			}
			one, err := collectFull(ctx, dir, page, tracked, 1)
			if err != nil {
				return err
			}
			took[i] = one[0]
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
		r.measured = append(r.measured, float64(took[1])/float64(took[0]))
	}
	return nil
}

// BenchmarkFullCollection collects a page in whole that was collected before, with a file storage.
func BenchmarkFullCollection(b *testing.B) {
	page := pageOf(trackedPage, true)
	for _, tracked := range []bool{false, true} {
		name := "untracked"
		if tracked {
			name = "tracked"
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(trackedPage)
			took, err := collectFull(b.Context(), b.TempDir(), page, tracked, b.N)
			require.NoError(b, err)
			var all time.Duration
			for _, one := range took {
				all += one
			}
			b.ReportMetric(float64(all.Nanoseconds())/float64(b.N), "ns/collection")
		})
	}
}
