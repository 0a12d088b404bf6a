// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// keys is a storage that knows which keys it holds.
type keys struct {
	storage.Client

	mu   sync.Mutex // guards everything below
	held map[string]bool
}

func (k *keys) Batch(ctx context.Context, ops ...*storage.Operation) error {
	k.mu.Lock()
	for _, op := range ops {
		switch op.Type {
		case storage.Set:
			k.held[op.Key] = true
		case storage.Delete:
			delete(k.held, op.Key)
		case storage.Get:
		}
	}
	k.mu.Unlock()
	return k.Client.Batch(ctx, ops...)
}

func (k *keys) all() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.held))
}

// of are the keys that have a text in them.
func (k *keys) of(text string) []string {
	return slices.DeleteFunc(k.all(), func(key string) bool { return !strings.Contains(key, text) })
}

// count makes the harness's storage one that knows its keys.
func count(h *harness.Harness) *keys {
	k := &keys{Client: h.Storage, held: map[string]bool{}}
	h.Storage = k
	return k
}

// A state file must not grow with every collection of an account that is read by several requests at once.
func TestAFinishedCollectionLeavesNothingOfItsRangesInTheStorage(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.MaxConcurrent = 3
		h.Client = func(s *qualys.Settings) { s.MaxConcurrent = 3 }
		stored := count(h)
		h.Detections(60)
		settings := harness.DetectionSettings()
		settings.Collect, settings.Interval = "all", time.Hour
		run(h, settings)
		h.Advance(10 * time.Minute)
		h.ExpectLogged(1, "collection finished")
		h.ExpectLogged(1, "side by side")
		assert.Empty(t, stored.of("ranges"))
		once := stored.all()
		h.Advance(5 * time.Hour)
		h.ExpectLogged(6, "collection finished")
		assert.Len(t, stored.all(), len(once), "the storage grows with every collection")
	})
}

// What was stored for another configuration is of no use any more, and may be megabytes.
func TestAnotherConfigurationLeavesNothingOfTheOldOneInTheStorage(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.MaxConcurrent = 3
		h.Client = func(s *qualys.Settings) { s.MaxConcurrent = 3 }
		stored := count(h)
		h.Detections(60)
		h.Break(40, true)
		run(h, harness.DetectionSettings())
		h.Advance(2 * time.Hour)
		require.NotEmpty(t, stored.of("quarantine"))
		h.Change(2, func(*qualyssim.ScriptedDetection) {})
		h.Advance(time.Hour)
		require.NotEmpty(t, stored.of("seen"))
		h.Backend.Decide(func(context.Context, plog.Logs) error { return errors.New("busy") })
		h.Change(5, func(*qualyssim.ScriptedDetection) {})
		h.Advance(time.Hour)
		h.Stop()
		old := stored.all()
		require.NotEmpty(t, stored.of("slot"))

		h.Backend.Decide(func(context.Context, plog.Logs) error { return nil })
		h.Break(40, false)
		other := harness.DetectionSettings()
		other.Status = []string{"Active"}
		run(h, other)
		h.Advance(30 * time.Minute)
		h.ExpectLogged(1, "query configuration changed")
		left := stored.all()
		for _, key := range old {
			if !strings.HasSuffix(key, "/state") {
				assert.NotContains(t, left, key)
			}
		}
	})
}
