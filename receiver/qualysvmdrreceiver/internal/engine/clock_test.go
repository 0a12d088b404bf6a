// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestStartOfACollection(t *testing.T) {
	local := time.Date(2026, 11, 20, 12, 0, 0, 500, time.UTC)
	now := local.Truncate(time.Second)
	in := now.Add
	for _, test := range []struct {
		name            string
		told            []time.Time
		previous, began time.Time
		want            time.Time
		doubt           string
	}{
		{name: "as told", told: []time.Time{in(-time.Minute)}, want: in(-time.Minute)},
		{name: "the earlier of two", told: []time.Time{in(2 * time.Minute), in(-time.Minute)}, want: in(-time.Minute)},
		{name: "nothing is told", want: in(-time.Hour)},
		{name: "in another zone", told: []time.Time{in(0).In(time.FixedZone("", 3600))}, want: now},
		{name: "hours ahead, by both", told: []time.Time{in(5 * time.Hour), in(5 * time.Hour)}, want: in(5 * time.Hour)},
		{name: "hours ahead, by one", told: []time.Time{in(5 * time.Hour), now}, want: now},
		{name: "a day ahead", told: []time.Time{in(24 * time.Hour)}, want: in(24 * time.Hour)},
		{
			name: "more than a day ahead, by one", told: []time.Time{in(25 * time.Hour), in(time.Minute)}, want: in(time.Minute),
			doubt: "more than a day off",
		},
		{
			name: "more than a day behind, by one", told: []time.Time{in(-25 * time.Hour), in(time.Minute)}, want: in(time.Minute),
			doubt: "more than a day off",
		},
		{
			name: "the year 9999", told: []time.Time{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}, want: in(-time.Hour),
			doubt: "more than a day off",
		},
		{
			name: "the year 1", told: []time.Time{time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)}, want: in(-time.Hour),
			doubt: "more than a day off",
		},
		{
			name: "before the previous one", told: []time.Time{in(-6 * time.Hour)}, previous: in(-time.Hour), want: in(-time.Hour),
			doubt: "before the start of the previous",
		},
		{
			name: "before a previous one that is a little ahead", told: []time.Time{now}, previous: in(time.Hour), began: in(-2 * time.Hour),
			want: in(time.Hour), doubt: "before the start of the previous",
		},
		{
			name: "before a previous one in the future", told: []time.Time{now}, previous: in(5 * time.Hour), began: in(-30 * time.Minute),
			want: now, doubt: "in the future",
		},
		{
			name: "before a previous one in the future that is longer ago than the overlap", told: []time.Time{now}, previous: in(5 * time.Hour),
			began: in(-3 * time.Hour), want: in(-2 * time.Hour), doubt: "in the future",
		},
		{
			name: "before a previous one in the future of unknown time", told: []time.Time{now}, previous: in(5 * time.Hour), want: now,
			doubt: "in the future",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			start, doubt := StartOf(test.told, local, test.previous, test.began, time.Hour)
			assert.Equal(t, test.want, start)
			if test.doubt == "" {
				assert.Empty(t, doubt)
			} else {
				assert.Contains(t, doubt, test.doubt)
			}
		})
	}
}
