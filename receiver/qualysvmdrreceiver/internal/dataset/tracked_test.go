// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
)

// trackedDaily are full collections of tracked detections once a day, and windows each hour.
func trackedDaily() dataset.DetectionSettings {
	settings := harness.DetectionSettings()
	settings.Full, settings.PageSize = 24*time.Hour, 4
	settings.Track, settings.MaxRemovedShare, settings.Account = true, 0.2, "user"
	return settings
}

// removedCounts are the records of detections that are gone, and how often each was told.
func removedCounts(h *harness.Harness) map[string]int {
	counts := map[string]int{}
	for label, n := range h.Backend.Counts() {
		var id int
		if _, err := fmt.Sscanf(label, "removed detection %d", &id); err == nil {
			counts[label] = n
		}
	}
	return counts
}

func TestDetectionsThatAreGoneAreToldAfterTheNextFullCollection(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		h.Script.RemoveDetection(10, 2) // its QID was disabled
		ignored, _ := h.Script.Host(30)
		ignored.Detections[0].Ignored = true // detection 7
		h.Script.SetHost(30, ignored)
		h.Script.RemoveHost(50)                                                                 // purged, with 13, 14 and 15
		h.Change(20, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed }) // no removal
		h.Advance(10 * time.Hour)
		assert.Empty(t, removedCounts(h), "a window tells of nothing that is gone")
		h.Advance(4 * time.Hour)
		want := harness.Times(1, "removed detection 2", "removed detection 7", "removed detection 13", "removed detection 14", "removed detection 15")
		assert.Equal(t, want, removedCounts(h))
		h.Advance(72 * time.Hour)
		assert.Equal(t, want, removedCounts(h), "each once")

		for _, record := range h.Backend.Records() {
			if harness.Label(record) == "removed detection 7" {
				qid, _ := record.Attributes().Get("qualys.qid")
				assert.EqualValues(t, 1002, qid.Int())
				host, _ := record.Body().Map().Get("Id")
				assert.EqualValues(t, 30, host.Int())
			}
		}
	})
}

func TestDetectionThatComesBackIsToldToBeGoneAgain(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		host, _ := h.Script.Host(10)
		gone := host.Detections[1]
		h.Script.RemoveDetection(10, 2)
		h.Advance(24 * time.Hour)
		require.Equal(t, 1, removedCounts(h)["removed detection 2"])
		gone.Updated = time.Now()
		h.Script.SetDetection(10, gone)
		h.Advance(24 * time.Hour)
		h.Script.RemoveDetection(10, 2)
		h.Advance(48 * time.Hour)
		assert.Equal(t, 2, removedCounts(h)["removed detection 2"])
	})
}

func TestNothingIsToldOfWhatAnIncompleteCollectionLacks(t *testing.T) {
	for _, test := range []struct {
		name   string
		happen func(h *harness.Harness)
	}{
		{"quarantined host", func(h *harness.Harness) { h.Break(40, true) }},
		{"many at once, as an account that sees less", func(h *harness.Harness) {
			for id := int64(10); id <= 100; id += 10 {
				h.Script.RemoveHost(id)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(60)
				run(h, trackedDaily())
				h.Advance(12 * time.Hour)
				h.Script.RemoveDetection(10, 2)
				test.happen(h)
				h.Advance(48 * time.Hour)
				assert.Empty(t, removedCounts(h))
			})
		})
	}
}

func TestWhatIsGoneSinceBeforeAnIncompleteCollectionIsToldByTheNextCompleteOne(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		h.Script.RemoveDetection(10, 2)
		h.Break(40, true)
		h.Advance(24 * time.Hour)
		assert.Empty(t, removedCounts(h))
		h.Break(40, false)
		h.Advance(24 * time.Hour)
		assert.Equal(t, harness.Times(1, "removed detection 2"), removedCounts(h))
	})
}

func TestAnotherAccountTellsOfNothingThatItDoesNotSee(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		h.Stop()
		h.Script.RemoveDetection(10, 2)
		settings := trackedDaily()
		settings.Account = "another user"
		run(h, settings)
		h.Advance(24 * time.Hour)
		assert.Empty(t, removedCounts(h))
		h.Script.RemoveDetection(20, 4)
		h.Advance(24 * time.Hour)
		assert.Equal(t, harness.Times(1, "removed detection 4"), removedCounts(h), "of what it has seen it does")
	})
}

func TestWhatWasFixedWhileNothingWasTrackedIsNotToldAsGone(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		h.Stop()
		untracked := trackedDaily()
		untracked.Track = false
		run(h, untracked)
		h.Change(1, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		h.Advance(3 * time.Hour)
		h.Stop()
		run(h, trackedDaily())
		h.Advance(72 * time.Hour)
		assert.Empty(t, removedCounts(h))
	})
}

func TestRestartsTellOfEachRemovalOnce(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		for id := int64(2); id <= 30; id += 6 {
			h.Script.RemoveDetection(10+(id-1)/3*10, id)
		}
		for range 20 {
			h.Advance(90 * time.Minute)
			h.Stop()
			run(h, trackedDaily())
		}
		assert.Equal(t, harness.Times(1, "removed detection 2", "removed detection 8", "removed detection 14", "removed detection 20", "removed detection 26"), removedCounts(h))
	})
}

func TestOnlyWhatReallyChangedIsDeliveredWhereEverythingIsProcessed(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(12)
		first := time.Now().Add(-48 * time.Hour)
		for i := 1; i <= 12; i++ {
			h.Edit(i, func(d *qualyssim.ScriptedDetection) { d.First = first })
		}
		settings := trackedDaily()
		settings.Collect, settings.Full = "processed", 7*24*time.Hour
		run(h, settings)
		h.Advance(30 * time.Minute)
		for hour := range 5 {
			for i := 1; i <= 12; i++ {
				processed := time.Now()
				h.Edit(i, func(d *qualyssim.ScriptedDetection) { d.Processed, d.Found = processed, processed })
			}
			if hour == 2 {
				h.Edit(3, func(d *qualyssim.ScriptedDetection) { d.Severity = 5 })
			}
			h.Advance(time.Hour)
		}
		h.ExpectDelivered(harness.With(h.EachOnce(), "detection 3 Active", 2))
	})
}

func TestFinishedCollectionsAreRecords(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(12)
		h.Break(20, true)
		h.Shared = func(s *dataset.Settings) { s.Events = true }
		run(h, harness.DetectionSettings())
		h.Advance(90 * time.Minute)
		var events []map[string]any
		var carried string
		for _, record := range h.Backend.Records() {
			if harness.Label(record) == "collection of vulnerabilities" {
				events = append(events, record.Body().Map().AsRaw())
			} else if id, ok := record.Attributes().Get("qualys.collection.id"); ok && len(events) == 0 {
				carried = id.Str()
			}
		}
		require.Len(t, events, 2)
		assert.Equal(t, carried, events[0]["id"])
		assert.EqualValues(t, 11, events[0]["records"])
		assert.EqualValues(t, 1, events[0]["quarantined"])
		assert.Equal(t, false, events[0]["complete"])
		assert.Equal(t, true, events[0]["full"])
		assert.Equal(t, false, events[1]["full"])
		assert.NotEqual(t, events[0]["id"], events[1]["id"])
		finished := h.Logs.FilterMessage("collection finished").All()
		require.Len(t, finished, 2)
		assert.Equal(t, carried, finished[0].ContextMap()["collection"])
		assert.EqualValues(t, 11, finished[0].ContextMap()["records"], "without that of the event")
	})
}

func TestFullCollectionThatOnlyLooksBackIsNotComplete(t *testing.T) {
	for lookback, complete := range map[time.Duration]bool{0: true, 24 * time.Hour: false} {
		bubble(t, func(h *harness.Harness) {
			h.Detections(12)
			h.Shared = func(s *dataset.Settings) { s.Events = true }
			settings := harness.DetectionSettings()
			settings.Lookback = lookback
			run(h, settings)
			h.Advance(90 * time.Minute)
			told := map[any]any{}
			for _, record := range h.Backend.Records() {
				if body := record.Body().Map().AsRaw(); body["LogType"] == "collectionEvents" {
					told[body["full"]] = body["complete"]
				}
			}
			assert.Equal(t, map[any]any{true: complete, false: true}, told)
		})
	}
}
