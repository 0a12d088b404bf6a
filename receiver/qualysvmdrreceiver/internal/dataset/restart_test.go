// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
)

// TestRestartInAnyStateRepeatsNothing stops a collector in its first page, while the list is asked for, in its ranges, between
// passes, while quarantined hosts are tried, and in a window within a full collection, and starts it again.
func TestRestartInAnyStateRepeatsNothing(t *testing.T) {
	// Two full collections with a window between them; each has two passes from the second one on, and two hosts are broken.
	collect := func(t *testing.T, stopped time.Duration) (counts map[string]int, keys []string) {
		synctest.Test(t, func(t *testing.T) {
			h := harness.SideBySide(t, 4, qualyssim.Options{})
			h.Hosts(40)
			h.Break(100, true)
			h.Break(250, true)
			settings := harness.DetectionSettings()
			settings.Interval, settings.Full = 20*time.Minute, time.Hour
			began := time.Now()
			at := func(d time.Duration) {
				if stopped > time.Since(began) && stopped <= d {
					h.Advance(stopped - time.Since(began))
					h.Stop()
					run(h, settings)
				}
				h.Advance(d - time.Since(began))
			}
			requestsTake := func(d time.Duration) {
				require.NoError(t, h.Sim.SetFaults(qualyssim.Faults{Delay: qualyssim.Duration(d)}))
			}
			run(h, settings)
			at(10 * time.Minute)
			fixed(h, 7)
			fixed(h, 118)
			at(50 * time.Minute)
			h.Change(60, func(*qualyssim.ScriptedDetection) {})
			fixed(h, 3)
			at(59 * time.Minute)
			requestsTake(40 * time.Second) // the full collection is still under way when the next window is due
			at(67 * time.Minute)
			fixed(h, 8)
			at(4 * time.Hour) // a third one has run
			h.Stop()
			counts = h.Backend.Counts()
			keys = h.Storage.(*harness.Storage).Keys()
		})
		return counts, keys
	}
	want, keys := collect(t, 0)
	require.NotEmpty(t, want)
	for _, key := range keys {
		for _, part := range []string{"/slot/", "/ranges/", "/inflight/"} {
			assert.NotContains(t, key, part, "the storage grows with each collection")
		}
	}
	for label, n := range want {
		require.LessOrEqual(t, n, 5, label)
	}
	steps := []time.Duration{}
	for d := 500 * time.Millisecond; d < 40*time.Second; d += 700 * time.Millisecond {
		steps = append(steps, d)
	}
	for d := 20*time.Minute + 500*time.Millisecond; d < 20*time.Minute+8*time.Second; d += 700 * time.Millisecond {
		steps = append(steps, d)
	}
	for d := time.Hour + 10*time.Second; d < time.Hour+40*time.Minute; d += 50 * time.Second {
		steps = append(steps, d)
	}
	for _, stopped := range steps {
		t.Run(stopped.String(), func(t *testing.T) {
			got, _ := collect(t, stopped)
			assert.Equal(t, want, got)
		})
	}
}

func TestARestartMakesNoCollectionComplete(t *testing.T) {
	for _, test := range []struct {
		name    string
		dataset string
		begins  time.Duration
		start   func(h *harness.Harness)
	}{
		{"fewer assets than were counted", dataset.AssetInventory, 0, func(h *harness.Harness) {
			h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
				if strings.Contains(r.Path, "count") {
					_, _ = w.Write([]byte(`{"count": 100, "responseCode": "SUCCESS"}`))
					return true
				}
				return false
			})
			runAssets(h, assetSettings(), nil)
		}},
		{"a filter that qualys does not take", dataset.Vulnerabilities, time.Hour, func(h *harness.Harness) {
			answer(h, func(r qualyssim.Request) bool { return r.Form.Get("detection_updated_since") != "" },
				rejecting(http.StatusBadRequest, 1901, "unrecognized parameter: detection_updated_since"))
			run(h, harness.DetectionSettings())
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Hosts(5)
				setAssets(h, 10, time.Now().Add(-24*time.Hour))
				h.Shared = func(s *dataset.Settings) { s.Events = true }
				var rejects atomic.Bool
				h.Backend.Decide(func(_ context.Context, offered plog.Logs) error {
					if label := harness.Label(offered.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)); rejects.Load() && strings.HasPrefix(label, "collection") {
						return errors.New("not now")
					}
					return nil
				})
				test.start(h)
				h.Advance(test.begins)
				rejects.Store(true)
				h.Advance(time.Minute)
				h.Stop()
				rejects.Store(false)
				test.start(h)
				h.Advance(time.Minute)
				events := slices.DeleteFunc(h.Backend.Records(), func(r plog.LogRecord) bool {
					return harness.Label(r) != "collection of "+test.dataset
				})
				require.NotEmpty(t, events)
				complete, _ := events[len(events)-1].Body().Map().Get("complete")
				assert.False(t, complete.Bool())
			})
		})
	}
}
