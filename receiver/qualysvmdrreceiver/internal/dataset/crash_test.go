// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/xextension/storage"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
)

// crashes is a storage that remembers how it was after every write: what a crash there leaves behind.
type crashes struct {
	mu      sync.Mutex // guards everything below
	values  map[string][]byte
	written func(values map[string][]byte) // nil: nobody wants to know
}

var _ storage.Client = (*crashes)(nil)

func (c *crashes) Get(ctx context.Context, key string) ([]byte, error) {
	op := storage.GetOperation(key)
	err := c.Batch(ctx, op)
	return op.Value, err
}

func (c *crashes) Set(ctx context.Context, key string, value []byte) error {
	return c.Batch(ctx, storage.SetOperation(key, value))
}

func (c *crashes) Delete(ctx context.Context, key string) error {
	return c.Batch(ctx, storage.DeleteOperation(key))
}

func (c *crashes) Batch(_ context.Context, ops ...*storage.Operation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	wrote := false
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = c.values[op.Key]
		case storage.Set:
			c.values[op.Key], wrote = append([]byte(nil), op.Value...), true
		case storage.Delete:
			delete(c.values, op.Key)
			wrote = true
		}
	}
	if wrote && c.written != nil {
		c.written(maps.Clone(c.values))
	}
	return nil
}

func (c *crashes) Close(context.Context) error { return nil }

// A crash between a delivery and what is written after it repeats that batch, and nothing else.
func TestCrashWhileRemovalsAreToldRepeatsABatchAtMost(t *testing.T) {
	const gone, batch = 12, 2
	bubble(t, func(h *harness.Harness) {
		type crash struct {
			values map[string][]byte
			told   int // removals delivered before
		}
		var all []crash
		removals := func() []string {
			var labels []string
			for _, label := range h.Backend.Labels() {
				if strings.HasPrefix(label, "removed ") {
					labels = append(labels, label)
				}
			}
			return labels
		}
		disk := &crashes{values: map[string][]byte{}}
		h.Storage = disk
		setHosts(h, 30)
		settings := hostSettings()
		settings.MaxRemovedShare = 0.5
		runHosts(h, settings, nil)
		h.Advance(time.Hour)
		removeHosts(h, 4, gone)
		h.Advance(24 * time.Hour)
		h.Stop()
		disk.written = func(values map[string][]byte) { all = append(all, crash{values, len(removals())}) }
		runHosts(h, settings, nil)
		h.Advance(24 * time.Hour)
		h.Stop()
		told := removals()
		require.Len(t, told, gone)
		require.Greater(t, len(all), gone/batch)
		for i, c := range all {
			before := len(removals())
			h.Storage = &crashes{values: c.values}
			runHosts(h, settings, nil)
			h.Advance(2 * time.Minute)
			h.Stop()
			counts := map[string]int{}
			again := 0
			for _, label := range append(told[:c.told:c.told], removals()[before:]...) {
				if counts[label]++; counts[label] > 1 {
					again++
				}
			}
			assert.Len(t, counts, gone, "after crash %d", i)
			assert.LessOrEqual(t, again, batch, "after crash %d", i)
		}
	})
}

func TestWhatIsStoredOfHostsDoesNotGrow(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		disk := &crashes{values: map[string][]byte{}}
		h.Storage = disk
		size := func() (keys, bytes int) {
			disk.mu.Lock()
			defer disk.mu.Unlock()
			for _, value := range disk.values {
				bytes += len(value)
			}
			return len(disk.values), bytes
		}
		setHosts(h, 500)
		settings := hostSettings()
		settings.PageSize = 100
		runHosts(h, settings, nil)
		h.Advance(49 * time.Hour)
		keys, bytes := size()
		removeHosts(h, 0, 50)
		h.Advance(20 * 24 * time.Hour)
		later, laterBytes := size()
		assert.LessOrEqual(t, later, keys)
		assert.Less(t, laterBytes, bytes)

		h.Stop()
		settings.Account = "another"
		runHosts(h, settings, nil)
		h.Advance(24 * time.Hour)
		later, _ = size()
		assert.LessOrEqual(t, later, keys, "what was known for another account is deleted")
	})
}
