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
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
)

// trackedAll are collections that list everything, once a day.
func trackedAll(h *harness.Harness) {
	settings := trackedDaily()
	settings.Collect, settings.Interval, settings.Full = "all", 24*time.Hour, 0
	run(h, settings)
}

// deaf is a storage that fails to read keys that begin with a prefix, as long as there is one.
type deaf struct {
	storage.Client
	prefix atomic.Value // of a string
}

func (f *deaf) Batch(ctx context.Context, ops ...*storage.Operation) error {
	prefix, _ := f.prefix.Load().(string)
	for _, op := range ops {
		if op.Type == storage.Get && prefix != "" && strings.HasPrefix(op.Key, prefix) {
			return errors.New("no answer")
		}
	}
	return f.Client.Batch(ctx, ops...)
}

const knownHost = "document/vulnerabilities/known/"

// What is fixed after the last window that a full collection has given way to, and before its host is read, is in neither.
func TestDetectionThatIsFixedWhileAFullCollectionRunsIsNotGone(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(90)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		h.Script.RemoveDetection(10, 2)
		acceptSlowly(h)
		h.Advance(12 * time.Hour) // the full collection has begun
		for number := 60; number < 90; number++ {
			h.Advance(4*time.Minute + 30*time.Second)
			h.Change(number, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		}
		h.Advance(8 * time.Hour)
		assert.Equal(t, harness.Times(1, "removed detection 2"), removedCounts(h))
	})
}

func TestHostWhoseTrackedDetectionsCannotBeReadIsReadAgain(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		disk := &deaf{Client: h.Storage}
		h.Storage = disk
		run(h, trackedDaily())
		h.Advance(23*time.Hour + 30*time.Minute)
		h.Script.RemoveDetection(10, 2)
		disk.prefix.Store(knownHost + "70")
		h.Advance(time.Hour)
		assert.Empty(t, removedCounts(h))
		disk.prefix.Store("")
		h.Advance(time.Hour)
		assert.Equal(t, harness.Times(1, "removed detection 2"), removedCounts(h))
		assert.Equal(t, 2, h.Backend.Counts()["detection 20 Active"], "of host 70, once in each full collection")
	})
}

func TestRemovalsThatWereWithheldAreToldWhenTheShareIsRaised(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		for id := int64(10); id <= 50; id += 10 {
			h.Script.RemoveHost(id) // 15 of 60
		}
		h.Advance(48 * time.Hour)
		assert.Empty(t, removedCounts(h))
		h.Stop()
		settings := trackedDaily()
		settings.MaxRemovedShare = 0.5
		run(h, settings)
		h.Advance(24 * time.Hour)
		told := removedCounts(h)
		assert.Len(t, told, 15)
		assert.Equal(t, 1, told["removed detection 15"])
	})
}

func TestListThatHoldsNothingTellsOfNothing(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(9)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		for _, id := range []int64{10, 20, 30} {
			h.Script.RemoveHost(id)
		}
		h.Advance(48 * time.Hour)
		assert.Empty(t, removedCounts(h))
	})
}

func TestWhatHappensWhileDetectionsAreNotTrackedIsNotGone(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		h.Stop()
		settings := trackedDaily()
		settings.Track = false
		run(h, settings)
		h.Change(4, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		h.Advance(24 * time.Hour)
		h.Stop()
		for _, key := range h.Storage.(*harness.Storage).Keys() {
			assert.NotContains(t, key, "vulnerabilities/known", "it is deleted")
			assert.NotContains(t, key, "vulnerabilities/tracked", "it is deleted")
		}
		run(h, trackedDaily())
		h.Advance(48 * time.Hour)
		assert.Empty(t, removedCounts(h))
	})
}

func TestFullCollectionThatBeganForAnotherAccountMakesNothingKnown(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(90)
		run(h, trackedDaily())
		h.Advance(23*time.Hour + 30*time.Minute)
		acceptSlowly(h)
		h.Advance(90 * time.Minute) // the full collection has begun
		h.Stop()
		h.Backend.Decide(func(context.Context, plog.Logs) error { return nil })
		settings := trackedDaily()
		settings.Account = "another user"
		h.Script.RemoveHost(10) // which was read, and which that user does not see
		h.Script.RemoveHost(300)
		run(h, settings)
		h.Advance(48 * time.Hour)
		assert.Empty(t, removedCounts(h))
	})
}

func TestCollectionsThatListEverythingTellOfWhatIsGone(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		trackedAll(h)
		h.Advance(12 * time.Hour)
		h.Script.RemoveDetection(10, 2)
		h.Change(4, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		h.Break(50, true)
		h.Advance(24 * time.Hour)
		assert.Empty(t, removedCounts(h), "a host is in quarantine")
		h.Break(50, false)
		h.Advance(24 * time.Hour)
		assert.Equal(t, harness.Times(1, "removed detection 2"), removedCounts(h))
		h.Advance(72 * time.Hour)
		assert.Equal(t, harness.Times(1, "removed detection 2"), removedCounts(h))
	})
}

func TestFixedDetectionThatIsProcessedAgainIsDeliveredOnce(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(12)
		settings := trackedDaily()
		settings.Collect, settings.Full = "processed", 7*24*time.Hour
		run(h, settings)
		h.Advance(30 * time.Minute)
		h.Change(5, func(d *qualyssim.ScriptedDetection) { d.Status, d.First = qualyssim.StatusFixed, d.Updated })
		for range 6 {
			h.Advance(time.Hour)
			h.Edit(5, func(d *qualyssim.ScriptedDetection) { d.Processed = time.Now() })
		}
		h.ExpectDelivered(harness.With(h.EachOnce(), "detection 5 Fixed", 1))
		h.Advance(8 * 24 * time.Hour)
		assert.Empty(t, removedCounts(h), "it is not gone, it was fixed")
	})
}

// A crash after any write loses no removal, and repeats those of a batch at most, also of a host with more than a batch holds.
func TestKillWhileRemovalsAreToldRepeatsABatchAtMost(t *testing.T) {
	const gone, batch = 7, 2
	bubble(t, func(h *harness.Harness) {
		type crash struct {
			values map[string][]byte
			told   int // removals delivered before
		}
		var all []crash
		removals := func() (labels []string) {
			for _, label := range h.Backend.Labels() {
				if strings.HasPrefix(label, "removed ") {
					labels = append(labels, label)
				}
			}
			return labels
		}
		disk := &crashes{values: map[string][]byte{}}
		h.Storage = disk
		h.Detections(60)
		run(h, trackedDaily())
		h.Advance(23*time.Hour + 30*time.Minute)
		h.Stop()
		h.Script.RemoveHost(10)
		h.Script.RemoveHost(20)
		h.Script.RemoveDetection(30, 7)
		disk.written = func(values map[string][]byte) { all = append(all, crash{values, len(removals())}) }
		run(h, trackedDaily())
		h.Advance(time.Hour)
		h.Stop()
		told := removals()
		require.Len(t, told, gone)
		require.Greater(t, len(all), gone/batch)
		for i, c := range all {
			before := len(removals())
			h.Storage = &crashes{values: c.values}
			run(h, trackedDaily())
			h.Advance(30 * time.Minute)
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

func TestWhatIsStoredOfTrackedDetectionsDoesNotGrow(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		disk := &crashes{values: map[string][]byte{}}
		h.Storage = disk
		size := func() (keys int) {
			disk.mu.Lock()
			defer disk.mu.Unlock()
			for key := range disk.values {
				if strings.HasPrefix(key, knownHost) {
					keys++
				}
			}
			return keys
		}
		h.Detections(150)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		assert.Equal(t, 50, size())
		for id := int64(10); id <= 50; id += 10 {
			h.Script.RemoveHost(id)
		}
		h.Change(150, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		h.Change(149, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		h.Change(148, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		h.Advance(72 * time.Hour)
		assert.Equal(t, 44, size(), "of hosts that are gone, and of one without anything open, nothing is kept")
	})
}
