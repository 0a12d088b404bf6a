// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// For the race detector: everything that a test may do while a client is served.
func TestUseFromManySides(t *testing.T) {
	s := New(Options{Hosts: 50, ChangeEvery: time.Second, RateLimit: 1000, Concurrency: 50})
	detections := slices.Collect(s.Detections())
	entry := slices.Collect(s.QIDs())[slices.IndexFunc(slices.Collect(s.QIDs()), func(e Entry) bool { return e.Exists })]
	asset := slices.Collect(s.Assets())[0]
	var sides sync.WaitGroup
	for _, side := range []func(int){
		func(int) { record(t, s, detectionPath, "action=list") },
		func(int) { record(t, s, entryPath, "action=list") },
		func(i int) { assert.NoError(t, s.TouchDetection(detections[i].UniqueVulnID, StatusFixed)) },
		func(int) { assert.NoError(t, s.ChangeEntry(entry.QID)) },
		func(int) { assert.NoError(t, s.ChangeAsset(asset.ID)) },
		func(int) { s.Advance(time.Second) },
		func(int) { assert.NoError(t, s.SetFaults(Faults{Rates: map[Fault]float64{InvalidUTF8: 0.5}})) },
		func(int) { assert.NotEmpty(t, slices.Collect(s.Detections())) },
		func(int) { s.Requests() },
	} {
		sides.Go(func() {
			for i := range 10 {
				side(i)
			}
		})
	}
	sides.Wait()
	assert.Len(t, s.Requests(), 20)
}
