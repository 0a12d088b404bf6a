// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWindows(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	previous := now.Add(-2 * time.Hour)
	all := []string{"New", "Active", "Re-Opened", "Fixed"}
	open := []string{"New", "Active", "Re-Opened"}
	day := 24 * time.Hour
	changedOverlap := pass{Status: all, Filter: updatedSince, Since: previous.Add(-time.Hour), Suppress: true}
	for _, test := range []struct {
		name     string
		windows  windows
		previous time.Time
		full     bool
		want     []pass
	}{
		{
			name:    "the first collection asks for everything that is open",
			windows: windows{filter: updatedSince, status: all, overlap: time.Hour},
			want:    []pass{{Status: open}},
		},
		{
			name:    "a first collection that looks back asks for all that changed since, and the overlap",
			windows: windows{filter: processedAfter, status: all, overlap: time.Hour, lookback: day},
			want:    []pass{{Status: all, Filter: updatedSince, Since: now.Add(-25 * time.Hour)}},
		},
		{
			name:    "a first collection of what is fixed begins now",
			windows: windows{filter: updatedSince, status: []string{"Fixed"}, overlap: time.Hour},
			want:    []pass{{Status: []string{"Fixed"}, Filter: updatedSince, Since: now}},
		},
		{
			name:     "a later one asks for what changed since the previous one began, and the overlap",
			windows:  windows{filter: updatedSince, status: all, overlap: time.Hour},
			previous: previous,
			want:     []pass{changedOverlap},
		},
		{
			name:     "a later one of hosts that were scanned",
			windows:  windows{filter: scannedAfter, status: open},
			previous: previous,
			want:     []pass{{Status: open, Filter: scannedAfter, Since: previous, Suppress: true}},
		},
		{
			name:     "without a filter everything is asked for, and delivered, again",
			windows:  windows{status: all, overlap: time.Hour},
			previous: previous,
			want:     []pass{{Status: all}},
		},
		{
			name:     "a full collection does not lose what was fixed since the previous one",
			windows:  windows{filter: updatedSince, status: all, overlap: time.Hour},
			previous: previous,
			full:     true,
			want:     []pass{{Status: open}, {Status: []string{"Fixed"}, Filter: updatedSince, Since: previous.Add(-time.Hour), Suppress: true}},
		},
		{
			name:     "a full collection of what is open only",
			windows:  windows{filter: updatedSince, status: open, overlap: time.Hour},
			previous: previous,
			full:     true,
			want:     []pass{{Status: open}},
		},
		{
			name:     "a full collection of what is fixed only is like any other",
			windows:  windows{filter: updatedSince, status: []string{"Fixed"}, overlap: time.Hour},
			previous: previous,
			full:     true,
			want:     []pass{{Status: []string{"Fixed"}, Filter: updatedSince, Since: previous.Add(-time.Hour), Suppress: true}},
		},
		{
			name:     "a full collection that looks back less far than the previous one is ago",
			windows:  windows{filter: updatedSince, status: all, overlap: time.Hour, lookback: time.Hour},
			previous: previous,
			full:     true,
			want:     []pass{{Status: all, Filter: updatedSince, Since: previous.Add(-time.Hour)}},
		},
		{
			name:     "a full collection that looks back asks for its own window besides, where that has another filter",
			windows:  windows{filter: scannedAfter, status: all, overlap: time.Hour, lookback: day},
			previous: previous,
			full:     true,
			want: []pass{
				{Status: all, Filter: updatedSince, Since: now.Add(-25 * time.Hour)},
				{Status: all, Filter: scannedAfter, Since: previous.Add(-time.Hour), Suppress: true},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, test.windows.plan(now, test.previous, test.full))
		})
	}
}

func TestWindowOfAHostSetAsideCoversAllThatItMissed(t *testing.T) {
	early := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	a := aside{Host: 1, Status: []string{"New"}, Filter: updatedSince, Since: early.Add(time.Hour)}
	a.widen(pass{Status: []string{"New", "Fixed"}, Filter: updatedSince, Since: early})
	assert.Equal(t, aside{Host: 1, Status: []string{"New", "Fixed"}, Filter: updatedSince, Since: early}, a)
	a.widen(pass{Status: []string{"New"}, Filter: updatedSince, Since: early.Add(5 * time.Hour)})
	assert.Equal(t, early, a.Since, "a later window must not narrow it")
	a.widen(pass{Status: []string{"New"}})
	assert.Equal(t, aside{Host: 1, Status: []string{"New", "Fixed"}}, a)

	a = aside{Host: 1, Status: []string{"New"}, Filter: updatedSince, Since: early}
	a.widen(pass{Status: []string{"New"}, Filter: processedAfter, Since: early.Add(time.Hour)})
	assert.Equal(t, aside{Host: 1, Status: []string{"New"}}, a, "what was processed need not have been updated")
}
