// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
)

// slowly makes each batch take so long to be accepted that a full collection of ninety detections takes four hours, and gives way
// to a window each hour.
func slowly(h *harness.Harness) {
	h.Detections(90) // hosts 10 to 300
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
