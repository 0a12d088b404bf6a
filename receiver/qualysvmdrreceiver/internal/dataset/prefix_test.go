// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
)

// crash is what was when a single write had reached the storage.
type crash struct {
	at        time.Duration // since the start
	delivered int           // records that had been accepted
}

// scene is a subscription and what happens to it.
type scene struct {
	name       string
	concurrent int
	settings   func(*dataset.DetectionSettings)
	content    func(h *harness.Harness)
	// changes happen at changed: detections that become fixed.
	changed time.Duration
	changes []int
	// after is how long it runs.
	after time.Duration
	// twice is how many records may arrive once more after a crash: a batch of each range, and what is noted of a host in part.
	twice int
}

func (s *scene) start(t *testing.T) (*harness.Harness, dataset.DetectionSettings) {
	h := harness.New(t)
	if s.concurrent > 1 {
		h = harness.SideBySide(t, s.concurrent, qualyssim.Options{})
	}
	s.content(h)
	settings := harness.DetectionSettings()
	if s.settings != nil {
		s.settings(&settings)
	}
	return h, settings
}

// TestAnyPrefixOfTheWritesLosesNothing crashes a collector after each single write that reaches a storage whose Batch is not
// atomic, and starts another one with what is left.
func TestAnyPrefixOfTheWritesLosesNothing(t *testing.T) {
	recent := func(h *harness.Harness, n int) {
		h.Hosts(n)
		for i := 1; i <= 3*n; i++ {
			h.Change(i, func(*qualyssim.ScriptedDetection) {}) // the overlap brings them again
		}
	}
	for _, s := range []scene{
		{
			name: "pages and windows", content: func(h *harness.Harness) { recent(h, 5) },
			changed: 30 * time.Minute, changes: []int{2, 9}, after: 130 * time.Minute, twice: 4,
		},
		{
			name: "ranges side by side", concurrent: 4, content: func(h *harness.Harness) { recent(h, 14) },
			changed: 30 * time.Minute, changes: []int{2, 30}, after: 70 * time.Minute, twice: 3 * 4,
		},
		{
			name: "a full collection that gives way", content: func(h *harness.Harness) {
				h.Hosts(8)
				slow(h, 10*time.Minute)
			},
			settings: func(s *dataset.DetectionSettings) { s.Interval = 15 * time.Minute },
			changed:  12 * time.Minute, changes: []int{1, 20}, after: 3 * time.Hour, twice: 4,
		},
		{
			name: "a quarantined host", content: func(h *harness.Harness) {
				recent(h, 5)
				h.Break(20, true)
			},
			changed: 30 * time.Minute, changes: []int{4}, after: 130 * time.Minute, twice: 6,
		},
		{
			name: "a host that several responses break in", content: func(h *harness.Harness) {
				recent(h, 5)
				require.NoError(h.T, h.Sim.SetFaults(qualyssim.Faults{
					Next: []qualyssim.NextFault{{Fault: qualyssim.CutCleanly, CutAfter: 1500, Count: 2}, {Fault: qualyssim.CutCleanly, CutAfter: 2500, Count: 2}},
				}))
			},
			settings: func(s *dataset.DetectionSettings) { s.PageSize = 100 },
			changed:  30 * time.Minute, changes: []int{4}, after: 70 * time.Minute, twice: 6,
		},
	} {
		t.Run(s.name, func(t *testing.T) {
			var crashes []crash
			var accepted []string
			var kept *harness.Storage
			synctest.Test(t, func(t *testing.T) {
				h, settings := s.start(t)
				began := time.Now()
				kept = h.Storage.(*harness.Storage)
				kept.Written(func() { crashes = append(crashes, crash{time.Since(began), len(h.Backend.Labels())}) })
				run(h, settings)
				h.Advance(s.changed)
				for _, number := range s.changes {
					fixed(h, number)
				}
				h.Advance(s.after - s.changed)
				h.Stop()
				accepted = h.Backend.Labels()
			})
			require.NotEmpty(t, crashes)
			t.Logf("%d single writes", len(crashes))
			for i, c := range crashes {
				counts := map[string]int{}
				for _, label := range accepted[:c.delivered] {
					counts[label]++
				}
				before := maps.Clone(counts)
				synctest.Test(t, func(t *testing.T) {
					h, settings := s.start(t)
					h.Storage = kept.After(i + 1)
					if c.at >= s.changed {
						h.Advance(s.changed)
						for _, number := range s.changes {
							fixed(h, number)
						}
						h.Advance(c.at - s.changed)
					} else {
						h.Advance(c.at)
					}
					for id := range int64(20) {
						if _, found := h.Script.Host(id * 10); found {
							h.Break(id*10, false)
						}
					}
					run(h, settings)
					if c.at < s.changed {
						h.Advance(s.changed - c.at)
						for _, number := range s.changes {
							fixed(h, number)
						}
					}
					h.Advance(s.after + 3*time.Hour)
					for label, n := range h.Backend.Counts() {
						counts[label] += n
					}
					want := h.EachOnce()
					for _, number := range s.changes {
						want = harness.With(want, fmt.Sprintf("detection %d Fixed", number), 1)
						want = harness.With(want, fmt.Sprintf("detection %d Active", number), 0)
					}
					twice := 0
					for label := range want {
						assert.Positive(t, counts[label], "%s is lost after write %d of %d", label, i+1, len(crashes))
						twice += max(0, counts[label]-1)
					}
					assert.LessOrEqual(t, twice, s.twice, "after write %d of %d: %v, then %v", i+1, len(crashes), before, h.Backend.Counts())
				})
				if t.Failed() {
					return
				}
			}
		})
	}
}
