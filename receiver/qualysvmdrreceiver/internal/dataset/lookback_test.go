// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
)

// TestFullCollectionThatLooksBackBringsEachDetectionOnce has a full collection of two passes: what changed within the look-back,
// and the window of a filter that selects other detections besides.
func TestFullCollectionThatLooksBackBringsEachDetectionOnce(t *testing.T) {
	for _, collect := range []string{"changed", "processed", "scanned"} {
		t.Run(collect, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Hosts(6)
				old := time.Now().Add(-90 * 24 * time.Hour)
				for number, times := range map[int][2]time.Time{
					1: {old, time.Time{}},               // not found since it was updated
					2: {old, time.Now()},                // found again, but not changed
					3: {time.Time{}, time.Now()},        // never changed
					4: {time.Time{}, old},               //
					5: {time.Now(), old.Add(time.Hour)}, // changed
				} {
					h.Change(number, func(d *qualyssim.ScriptedDetection) { d.Updated, d.Found = times[0], times[1] })
				}
				settings := harness.DetectionSettings()
				settings.Collect, settings.Lookback, settings.Overlap = collect, 30*24*time.Hour, 0
				settings.Interval, settings.Full = 24*time.Hour, 48*time.Hour
				run(h, settings)
				h.Advance(47 * time.Hour) // the first one, and a later one
				for i := 1; i <= 18; i++ {
					if i == 5 {
						continue
					}
					// They were scanned again and are as they were.
					id := int64(10 + (i-1)/3*10)
					host, _ := h.Script.Host(id)
					host.Detections[(i-1)%3].Processed = time.Now()
					host.Scanned, host.Processed = time.Now(), time.Now()
					h.Script.SetHost(id, host)
				}
				before := h.Backend.Counts()
				h.Advance(3 * time.Hour) // a full one
				after := h.Backend.Counts()
				for i := 1; i <= 18; i++ {
					label := fmt.Sprintf("detection %d Active", i)
					want := 1
					if (i == 1 || i == 2 || i == 4) && collect == "changed" {
						want = 0
					}
					assert.Equal(t, want, after[label]-before[label], label)
				}
			})
		})
	}
}
