// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// slow makes every request take so long, for which the client waits.
func slow(h *harness.Harness, d time.Duration) {
	client := h.Client
	h.Client = func(s *qualys.Settings) {
		s.ReadIdleTimeout = 2 * d
		if client != nil {
			client(s)
		}
	}
	require.NoError(h.T, h.Sim.SetFaults(qualyssim.Faults{Delay: qualyssim.Duration(d)}))
}

// fixed makes a detection fixed now.
func fixed(h *harness.Harness, number int) {
	h.Change(number, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
}

// arrived is the number of times that a detection arrived as fixed.
func arrived(h *harness.Harness, number int) int {
	return h.Backend.Counts()[fmt.Sprintf("detection %d Fixed", number)]
}

func TestChangeArrivesWithinAnIntervalOfALongFullCollection(t *testing.T) {
	for _, test := range []struct {
		name    string
		storage bool
		// killed are the times after the start when the collector is killed.
		killed []time.Duration
	}{
		{name: "undisturbed", storage: true},
		{name: "without a storage"},
		{name: "a kill in the full collection", storage: true, killed: []time.Duration{45 * time.Minute}},
		{name: "a kill in the window", storage: true, killed: []time.Duration{time.Hour + 20*time.Minute}},
		{name: "kills in both", storage: true, killed: []time.Duration{35 * time.Minute, time.Hour + 20*time.Minute, 2*time.Hour + 20*time.Minute}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				if !test.storage {
					h.Storage = nil
				}
				h.Hosts(36) // 18 pages of ten minutes
				slow(h, 10*time.Minute)
				run(h, harness.DetectionSettings())
				began := time.Now()
				at := func(d time.Duration) {
					for len(test.killed) > 0 && test.killed[0] <= d {
						h.Advance(time.Until(began.Add(test.killed[0])))
						test.killed = test.killed[1:]
						h.Kill()
						run(h, harness.DetectionSettings())
					}
					h.Advance(time.Until(began.Add(d)))
				}
				at(50 * time.Minute)
				fixed(h, 100) // one that the full collection has not come to
				fixed(h, 1)   // and one that it has delivered
				at(time.Hour + 45*time.Minute)
				assert.Equal(t, 1, arrived(h, 100), "within an interval, and the pages under way")
				assert.Equal(t, 1, arrived(h, 1))
				at(110 * time.Minute)
				fixed(h, 101)
				at(2*time.Hour + 50*time.Minute)
				assert.Equal(t, 1, arrived(h, 101))
				at(8 * time.Hour)

				counts := h.Backend.Counts()
				lost, twice := 0, 0
				for label, n := range harness.With(harness.With(h.EachOnce(), "detection 100 Active", 0), "detection 101 Active", 0) {
					if counts[label] == 0 {
						lost++
					}
					twice += max(0, counts[label]-n)
				}
				assert.Zero(t, lost)
				assert.LessOrEqual(t, twice, 3*2, "a batch a kill")
				for _, number := range []int{1, 100, 101} {
					assert.Equal(t, 1, arrived(h, number), "the windows overlap: nothing comes twice")
				}
				fulls := 0
				for _, r := range asked(h) {
					if r.Form.Get("detection_updated_since") == "" && r.Form.Get("id_min") == "" {
						fulls++
					}
				}
				assert.Equal(t, 1, fulls, "the full collection goes on where it was")
				h.ExpectState(dataset.Vulnerabilities, health.Collecting)
			})
		})
	}
}

// Qualys may not be able to list everything for a day, and what has changed all the same.
func TestChangeArrivesThoughALaterFullCollectionCannotBegin(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Hosts(12)
		settings := harness.DetectionSettings()
		settings.Full = 24 * time.Hour
		run(h, settings)
		h.Advance(23*time.Hour + 30*time.Minute)
		answer(h, func(r qualyssim.Request) bool { return r.Form.Get("detection_updated_since") == "" }, func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		h.Advance(time.Hour)
		fixed(h, 5)
		h.Advance(2 * time.Hour)
		assert.Equal(t, 1, arrived(h, 5))
		h.Sim.Intercept(nil)
		h.Advance(3 * time.Hour)
		h.ExpectDelivered(harness.With(harness.With(harness.Twice(h.EachOnce()), "detection 5 Active", 1), "detection 5 Fixed", 1))
	})
}

func TestWindowWithinTheSecondPassOfAFullCollectionDoublesNothing(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Hosts(8)
		settings := harness.DetectionSettings()
		settings.Full = 6 * time.Hour
		slow(h, 10*time.Minute)
		run(h, settings)
		h.Advance(5*time.Hour + 30*time.Minute)
		for host := range 8 {
			fixed(h, 3*host+1)
		}
		h.Advance(5 * time.Hour) // the full collection has two passes of four pages each, and a window is due in the second one
		for host := range 8 {
			assert.Equal(t, 1, arrived(h, 3*host+1))
		}
	})
}

func TestSummaryOfAFullCollectionTellsAllOfItThoughItWasInterrupted(t *testing.T) {
	summary := func(t *testing.T, interval time.Duration, restart bool) map[string]any {
		var told map[string]any
		bubble(t, func(h *harness.Harness) {
			h.Hosts(36) // 18 pages of ten minutes
			slow(h, 10*time.Minute)
			began := time.Now().Add(time.Second)
			settings := harness.DetectionSettings()
			settings.Interval = interval
			run(h, settings)
			h.Advance(45 * time.Minute)
			if restart {
				h.Stop()
				run(h, settings)
			}
			h.Advance(5 * time.Hour)
			for _, e := range h.Logs.FilterMessage("collection finished").All() {
				if told = e.ContextMap(); told["window"] == "New,Active,Re-Opened" {
					assert.Equal(t, e.Time.Sub(began).Round(time.Second), told["duration"])
					break
				}
			}
		})
		return told
	}
	whole := summary(t, 24*time.Hour, false)
	require.EqualValues(t, 108, whole["records"])
	for _, test := range []struct {
		name     string
		interval time.Duration
		restart  bool
	}{
		{"by windows", time.Hour, false},
		{"by a restart", 24 * time.Hour, true},
		{"by both", time.Hour, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := summary(t, test.interval, test.restart)
			for _, name := range []string{"pages", "units", "records", "bytes", "received_bytes", "retries", "rejected"} {
				assert.Equal(t, whole[name], got[name], name)
			}
		})
	}
}

func TestFullCollectionComesToItsEndThoughWindowsTakeAsLongAsTheInterval(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Hosts(12) // six pages
		slow(h, 40*time.Minute)
		settings := harness.DetectionSettings()
		settings.Interval = 30 * time.Minute
		run(h, settings)
		h.Advance(24 * time.Hour)
		h.ExpectDelivered(h.EachOnce())
	})
}

func TestWindowInterruptsAllRangesOfAFullCollection(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %t", killed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := harness.SideBySide(t, 6, qualyssim.Options{})
				h.Hosts(160) // 80 pages, five at a time
				slow(h, 10*time.Minute)
				run(h, harness.DetectionSettings())
				h.Advance(50 * time.Minute)
				fixed(h, 450)
				fixed(h, 2)
				if killed {
					h.Advance(22 * time.Minute) // in the window
					h.Kill()
					run(h, harness.DetectionSettings())
				}
				h.Advance(45 * time.Minute)
				assert.Equal(t, 1, arrived(h, 450))
				assert.Equal(t, 1, arrived(h, 2))
				assert.NotContains(t, h.Backend.Counts(), "detection 400 Active", "the full collection has not come there")
				h.Advance(24 * time.Hour)
				counts := h.Backend.Counts()
				twice := 0
				for label := range harness.With(h.EachOnce(), "detection 450 Active", 0) {
					assert.Positive(t, counts[label], label)
					twice += max(0, counts[label]-1)
				}
				if !killed {
					assert.Zero(t, twice)
				}
				assert.LessOrEqual(t, twice, 2*5)
				assert.Equal(t, 1, arrived(h, 450))
				assert.Equal(t, 5, atOnce(h))
			})
		})
	}
}

func TestFullCollectionThatIsAskedForByATime(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Hosts(4)
		settings := harness.DetectionSettings()
		settings.Full = 0
		began := time.Now()
		run(h, settings)
		h.Advance(90 * time.Minute)
		h.ExpectDelivered(h.EachOnce())
		h.Stop()

		settings.FullAfter = began.Add(-time.Hour)
		run(h, settings)
		h.Advance(2 * time.Hour)
		h.ExpectDelivered(h.EachOnce(), "the last full collection began later")
		h.Stop()

		settings.FullAfter = time.Now().Add(10 * time.Minute) // nobody has to wait for the interval
		run(h, settings)
		h.Advance(9 * time.Minute)
		h.ExpectDelivered(h.EachOnce())
		h.Advance(2 * time.Minute)
		for label, n := range h.Backend.Counts() {
			assert.Equal(t, 2, n, label)
		}
		h.Stop()
		run(h, settings)
		h.Advance(24 * time.Hour)
		for label, n := range h.Backend.Counts() {
			assert.Equal(t, 2, n, label, "once")
		}
	})
}
