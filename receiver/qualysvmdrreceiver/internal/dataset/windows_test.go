// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

func TestWhatACollectionOfDetectionsAsksFor(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	previous := now.Add(-2 * time.Hour)
	all := []string{"New", "Active", "Re-Opened", "Fixed"}
	open := []string{"New", "Active", "Re-Opened"}
	fixed := []string{"Fixed"}
	const day = 24 * time.Hour
	filtered := func(status []string, filter qualys.TimeFilter, since time.Time) engine.Pass {
		return engine.Pass{Query: engine.Query{Status: status, Filter: string(filter), Since: since}}
	}
	everything := func(status []string) engine.Pass { return filtered(status, "", time.Time{}) }
	window := func(status []string, filter qualys.TimeFilter, since time.Time) engine.Pass {
		p := filtered(status, filter, since)
		p.Deduplicate = true
		return p
	}
	updatedBefore := func(p engine.Pass, before time.Time) engine.Pass {
		p.UpdatedBefore = before
		return p
	}
	for _, test := range []struct {
		name     string
		windows  windows
		previous time.Time
		full     bool
		want     []engine.Pass
	}{
		{
			name:    "the first collection asks for everything that is open",
			windows: windows{filter: qualys.UpdatedSince, status: all, overlap: time.Hour},
			full:    true,
			want:    []engine.Pass{everything(open)},
		},
		{
			name:    "a first collection that looks back asks for all that changed since, and the overlap",
			windows: windows{filter: qualys.ProcessedAfter, status: all, overlap: time.Hour, lookback: day},
			full:    true,
			want:    []engine.Pass{filtered(all, qualys.UpdatedSince, now.Add(-25*time.Hour))},
		},
		{
			name:    "a first collection of what is fixed begins now",
			windows: windows{filter: qualys.UpdatedSince, status: fixed, overlap: time.Hour},
			full:    true,
			want:    []engine.Pass{filtered(fixed, qualys.UpdatedSince, now)},
		},
		{
			name:     "a later one asks for what changed since the previous one began, and the overlap",
			windows:  windows{filter: qualys.UpdatedSince, status: all, overlap: time.Hour},
			previous: previous,
			want:     []engine.Pass{window(all, qualys.UpdatedSince, previous.Add(-time.Hour))},
		},
		{
			name:     "a later one of hosts that were scanned",
			windows:  windows{filter: qualys.ScannedAfter, status: open},
			previous: previous,
			want:     []engine.Pass{window(open, qualys.ScannedAfter, previous)},
		},
		{
			name:     "without a filter everything is asked for, and delivered, again",
			windows:  windows{status: all, overlap: time.Hour},
			previous: previous,
			want:     []engine.Pass{everything(all)},
		},
		{
			name:     "also in a full collection",
			windows:  windows{status: all, overlap: time.Hour},
			previous: previous,
			full:     true,
			want:     []engine.Pass{everything(all)},
		},
		{
			name:     "a full collection does not lose what was fixed since the previous one",
			windows:  windows{filter: qualys.UpdatedSince, status: all, overlap: time.Hour},
			previous: previous,
			full:     true,
			want:     []engine.Pass{everything(open), window(fixed, qualys.UpdatedSince, previous.Add(-time.Hour))},
		},
		{
			name:     "nor in another spelling",
			windows:  windows{filter: qualys.UpdatedSince, status: []string{"Active", "fixed"}},
			previous: previous,
			full:     true,
			want:     []engine.Pass{everything([]string{"Active"}), window(fixed, qualys.UpdatedSince, previous)},
		},
		{
			name:     "a full collection of what is open only",
			windows:  windows{filter: qualys.UpdatedSince, status: open, overlap: time.Hour},
			previous: previous,
			full:     true,
			want:     []engine.Pass{everything(open)},
		},
		{
			name:     "a full collection of what is fixed only is like any other",
			windows:  windows{filter: qualys.UpdatedSince, status: fixed, overlap: time.Hour},
			previous: previous,
			full:     true,
			want:     []engine.Pass{window(fixed, qualys.UpdatedSince, previous.Add(-time.Hour))},
		},
		{
			name:     "a full collection that looks back less far than the previous one is ago",
			windows:  windows{filter: qualys.UpdatedSince, status: all, overlap: time.Hour, lookback: time.Hour},
			previous: previous,
			full:     true,
			want:     []engine.Pass{filtered(all, qualys.UpdatedSince, previous.Add(-time.Hour))},
		},
		{
			name:     "a full collection that looks back farther",
			windows:  windows{filter: qualys.UpdatedSince, status: all, overlap: time.Hour, lookback: day},
			previous: previous,
			full:     true,
			want:     []engine.Pass{filtered(all, qualys.UpdatedSince, now.Add(-25*time.Hour))},
		},
		{
			name:     "one that looks back asks for its own window besides, where that has another filter, for what the first pass does not bring",
			windows:  windows{filter: qualys.ScannedAfter, status: all, overlap: time.Hour, lookback: day},
			previous: previous,
			full:     true,
			want: []engine.Pass{
				filtered(all, qualys.UpdatedSince, now.Add(-25*time.Hour)),
				updatedBefore(window(all, qualys.ScannedAfter, previous.Add(-time.Hour)), now.Add(-25*time.Hour)),
			},
		},
		{
			name:     "so it does with what was processed",
			windows:  windows{filter: qualys.ProcessedAfter, status: open, lookback: day},
			previous: previous,
			full:     true,
			want: []engine.Pass{
				filtered(open, qualys.UpdatedSince, now.Add(-day)),
				updatedBefore(window(open, qualys.ProcessedAfter, previous), now.Add(-day)),
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, test.windows.plan(now, test.previous, test.full))
		})
	}
}
