// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// slowly makes each batch take so long to be accepted that a full collection of ninety detections takes four hours, and gives way
// to a window each hour.
func slowly(h *harness.Harness) {
	h.Detections(90) // hosts 10 to 300
	acceptSlowly(h)
}

// acceptSlowly makes each batch take five minutes to be accepted.
func acceptSlowly(h *harness.Harness) {
	h.Backend.Decide(func(context.Context, plog.Logs) error {
		harness.Slow(5 * time.Minute)
		return nil
	})
}

// A host that a window finds broken is left out by the full collection that the window has interrupted, too.
func TestHostThatAWindowQuarantinesHasMissedTheFullCollection(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		slowly(h)
		c := run(h, harness.DetectionSettings())
		h.Advance(30 * time.Minute)
		h.Change(75, func(*qualyssim.ScriptedDetection) {}) // of host 250, which comes near the end
		h.Break(250, true)
		h.Advance(7 * time.Hour)
		require.Equal(t, 1, c.Quarantined())
		h.Break(250, false)
		h.Advance(2 * time.Hour)
		assert.Zero(t, c.Quarantined())
		h.ExpectDelivered(h.EachOnce())
	})
}

// A host that could not be read since a window is not left out of the full collection in which it can be read again.
func TestQuarantinedHostIsBroughtWholeByAFullCollection(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		settings := trackedDaily()
		c := run(h, settings)
		h.Advance(22*time.Hour + 30*time.Minute)
		h.Change(6, func(*qualyssim.ScriptedDetection) {}) // of host 20
		h.Break(20, true)
		h.Advance(time.Hour)
		require.Equal(t, 1, c.Quarantined())
		h.Break(20, false)
		h.Advance(time.Hour) // the full collection
		assert.Zero(t, c.Quarantined())
		assert.Empty(t, removedCounts(h))
		counts := h.Backend.Counts()
		assert.Equal(t, 2, counts["detection 3 Active"])
		assert.Equal(t, 2, counts["detection 4 Active"], "of host 20")
		assert.Equal(t, 2, counts["detection 5 Active"], "of host 20")
	})
}

// A host that could not be read over a full collection is brought whole when it can be read again: readers may have dropped what it
// brought before.
func TestHostOutOfQuarantineIsBroughtWholeAfterAFullCollectionThatItMissed(t *testing.T) {
	for _, collect := range []string{"changed", "processed"} {
		t.Run(collect, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(60)
				settings := trackedDaily()
				settings.Collect = collect
				c := run(h, settings)
				h.Advance(22*time.Hour + 30*time.Minute)
				h.Change(6, func(*qualyssim.ScriptedDetection) {}) // of host 20
				h.Break(20, true)
				h.Advance(2 * time.Hour) // over the full collection
				require.Equal(t, 1, c.Quarantined())
				h.Break(20, false)
				h.Advance(2 * time.Hour)
				require.Zero(t, c.Quarantined())
				counts := h.Backend.Counts()
				assert.Equal(t, 2, counts["detection 3 Active"])
				assert.Equal(t, 2, counts["detection 4 Active"], "of host 20")
				assert.Equal(t, 2, counts["detection 5 Active"], "of host 20")
			})
		})
	}
}

// What can be read of a host that stays broken after a full collection that it missed is brought once more, and not with each try.
func TestWhatCanBeReadOfAQuarantinedHostIsBroughtOnceAfterAFullCollectionThatItMissed(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		first := time.Now().Add(-48 * time.Hour)
		for number := 4; number <= 6; number++ { // of host 20
			h.Edit(number, func(d *qualyssim.ScriptedDetection) { d.First = first })
		}
		settings := trackedDaily()
		settings.Collect = "processed"
		c := run(h, settings)
		h.Advance(22*time.Hour + 30*time.Minute)
		h.Break(20, true)
		for range 5 { // over the full collection
			for number := 4; number <= 6; number++ {
				h.Edit(number, func(d *qualyssim.ScriptedDetection) { d.Processed, d.Found = time.Now(), time.Now() })
			}
			h.Advance(time.Hour)
		}
		require.Equal(t, 1, c.Quarantined())
		counts := h.Backend.Counts()
		assert.Equal(t, 2, counts["detection 4 Active"])
		assert.Equal(t, 2, counts["detection 5 Active"])
		h.Stop()
		c = run(h, settings)
		h.Edit(5, func(d *qualyssim.ScriptedDetection) { d.Severity = 5 })
		h.Advance(time.Hour)
		require.Equal(t, 1, c.Quarantined())
		counts = h.Backend.Counts()
		assert.Equal(t, 2, counts["detection 4 Active"], "after a restart")
		assert.Equal(t, 3, counts["detection 5 Active"], "it has changed")
		h.Break(20, false)
		h.Advance(2 * time.Hour)
		require.Zero(t, c.Quarantined())
		counts = h.Backend.Counts()
		assert.Equal(t, 2, counts["detection 4 Active"])
		assert.Equal(t, 3, counts["detection 5 Active"])
		assert.Equal(t, 2, counts["detection 6 Active"])
		assert.Empty(t, removedCounts(h))
	})
}

// scannedOnly makes detections of host 20 be processed again, with nothing else.
func scannedOnly(h *harness.Harness) {
	for number := 4; number <= 6; number++ {
		h.Edit(number, func(d *qualyssim.ScriptedDetection) { d.Processed = time.Now() })
	}
}

// What was read of a broken host after a full collection that it missed is brought by the next one as well, or after that if it
// misses it, too; and with no other try, whatever the time filter is.
func TestEachFullCollectionBringsAQuarantinedHostOnce(t *testing.T) {
	for _, collect := range []string{"changed", "processed"} {
		for _, misses := range []bool{false, true} {
			for _, scanned := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, misses the second one %t, scanned %t", collect, misses, scanned), func(t *testing.T) {
					bubble(t, func(h *harness.Harness) {
						h.Detections(60)
						settings := trackedDaily()
						settings.Collect, settings.Full = collect, 6*time.Hour
						c := run(h, settings)
						hours := func(n int) {
							for range n {
								if scanned {
									scannedOnly(h)
								}
								h.Advance(time.Hour)
							}
						}
						h.Advance(4*time.Hour + 30*time.Minute)
						h.Change(6, func(*qualyssim.ScriptedDetection) {}) // of host 20
						h.Break(20, true)
						hours(7) // over a full collection
						if misses {
							hours(2)
						}
						require.Equal(t, 1, c.Quarantined())
						h.Break(20, false)
						hours(2)
						require.Zero(t, c.Quarantined())
						counts := h.Backend.Counts()
						assert.Equal(t, 3, counts["detection 3 Active"])
						assert.Equal(t, 3, counts["detection 4 Active"], "of host 20")
						assert.Equal(t, 3, counts["detection 5 Active"], "of host 20")
						assert.Equal(t, 2, counts["detection 6 Active"], "which could be read only after the second one")
					})
				})
			}
		}
	}
}

// What a window has left out shortly before, as nothing had changed, was not brought by the full collection that the host misses.
func TestQuarantinedHostIsBroughtWholeThoughAWindowHasLeftItOutAsUnchanged(t *testing.T) {
	for _, by := range []string{"window", "full collection"} {
		t.Run("quarantined by a "+by, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(60)
				for number := 4; number <= 6; number++ { // of host 20
					h.Edit(number, func(d *qualyssim.ScriptedDetection) { d.First = d.Updated.Add(-48 * time.Hour) })
				}
				settings := trackedDaily()
				settings.Collect = "processed"
				c := run(h, settings)
				h.Advance(21*time.Hour + 50*time.Minute)
				if by != "window" {
					h.Advance(time.Hour)
				}
				scannedOnly(h)
				h.Advance(40 * time.Minute)
				h.Break(20, true)
				h.Advance(time.Hour)
				if by == "window" {
					h.Advance(time.Hour)
				}
				require.Equal(t, 1, c.Quarantined())
				h.Break(20, false)
				h.Advance(2 * time.Hour)
				require.Zero(t, c.Quarantined())
				counts := h.Backend.Counts()
				for number := 3; number <= 6; number++ {
					assert.Equal(t, 2, counts[fmt.Sprintf("detection %d Active", number)], number)
				}
			})
		})
	}
}

// What was read of a host before it broke was delivered: a change back to what was known before is a change.
func TestDetectionOfABrokenHostThatChangesBackIsDelivered(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		first := time.Now().Add(-48 * time.Hour)
		h.Edit(4, func(d *qualyssim.ScriptedDetection) { d.First = first })
		settings := trackedDaily()
		settings.Collect = "processed"
		c := run(h, settings)
		h.Advance(2*time.Hour + 30*time.Minute)
		h.Break(20, true)
		for want, severity := range []int64{5, 3, 5} {
			h.Edit(4, func(d *qualyssim.ScriptedDetection) { d.Severity = severity })
			scannedOnly(h)
			h.Advance(time.Hour)
			require.Equal(t, 1, c.Quarantined())
			assert.Equal(t, 2+want, h.Backend.Counts()["detection 4 Active"])
		}
	})
}

// What changes around the beginning of a full collection that gives way is asked for by it, and by the windows that interrupt it.
func TestFullCollectionAndWindowsBringAChangeOnceBetweenThem(t *testing.T) {
	for _, overlap := range []time.Duration{0, time.Hour} {
		t.Run(overlap.String(), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				slowly(h)
				settings := harness.DetectionSettings()
				settings.Full, settings.Overlap = 24*time.Hour, overlap
				run(h, settings)
				h.Advance(23*time.Hour + 30*time.Minute)
				h.Change(4, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
				h.Change(5, func(d *qualyssim.ScriptedDetection) { d.Results = "else" })
				h.Advance(8 * time.Hour)
				want := harness.With(h.EachOnce(), "detection 4 Fixed", 1)
				for i := 1; i <= 90; i++ {
					label := fmt.Sprintf("detection %d Active", i)
					if i != 4 {
						want[label] = 2
					}
				}
				h.ExpectDelivered(want)
			})
		})
	}
}

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
