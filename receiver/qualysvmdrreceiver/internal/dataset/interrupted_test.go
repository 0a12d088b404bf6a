// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/xextension/storage"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// writing is a storage that tells of each document before it is written.
type writing struct {
	storage.Client
	before func(key, value string)
}

func (w *writing) Batch(ctx context.Context, ops ...*storage.Operation) error {
	for _, op := range ops {
		if op.Type == storage.Set {
			w.before(op.Key, string(op.Value))
		}
	}
	return w.Client.Batch(ctx, ops...)
}

// A stop can come at any moment, also while it is written that the last page of a pass was delivered.
func TestStopBetweenPassesSkipsNone(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(6)
		settings := harness.DetectionSettings()
		settings.Interval, settings.Full, settings.Overlap = 3*time.Hour, 5*time.Hour, 0
		run(h, settings)
		h.Advance(4 * time.Hour) // the first one and a later one
		h.Change(1, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		h.Advance(time.Hour)
		h.Stop()
		kept := h.Storage
		stopped := make(chan struct{})
		disk := &writing{Client: kept}
		disk.before = func(key, value string) {
			if strings.Contains(key, "/slot/") && strings.Contains(value, `"done":true`) {
				disk.before = func(string, string) {}
				go func() {
					defer close(stopped)
					h.Stop()
				}()
				harness.Slow(time.Millisecond)
			}
		}
		h.Storage = disk
		run(h, settings)
		h.Advance(2 * time.Hour) // a full one: what is open, then what was fixed
		select {
		case <-stopped:
		default:
			require.Fail(t, "nothing was written")
		}
		h.Storage = kept
		run(h, settings)
		h.Advance(6 * time.Hour)
		assert.Equal(t, 1, h.Backend.Counts()["detection 1 Fixed"])
	})
}

func TestDatasetThatCouldNotFinishIsWellWhenItHas(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		kept := h.Storage
		var fails atomic.Bool
		h.Storage = &failing{Client: kept, fails: func(op *storage.Operation) bool {
			return fails.Load() && op.Type == storage.Get && strings.Contains(op.Key, "journal/hosts/known/")
		}}
		setHosts(h, 5)
		runHosts(h, hostSettings(), nil)
		h.Advance(time.Hour)
		fails.Store(true)
		h.Advance(24 * time.Hour)
		h.ExpectState(dataset.Hosts, health.Error)
		fails.Store(false)
		h.Advance(time.Minute)
		h.ExpectState(dataset.Hosts, health.Collecting)
	})
}

// failing is a storage that fails for some operations.
type failing struct {
	storage.Client
	fails func(*storage.Operation) bool
}

func (f *failing) Batch(ctx context.Context, ops ...*storage.Operation) error {
	for _, op := range ops {
		if f.fails(op) {
			return errors.New("the disk fails")
		}
	}
	return f.Client.Batch(ctx, ops...)
}
