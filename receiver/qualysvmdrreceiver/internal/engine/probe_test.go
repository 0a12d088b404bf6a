// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestQuarantinedUnitsAreTriedAgainWhenTheyAreDue(t *testing.T) {
	now := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for _, test := range []struct {
		name         string
		since, tried time.Duration // ago
		due          bool
	}{
		{"on the first day, in each collection", 2 * time.Hour, time.Minute, true},
		{"in the first month, not twice a day", 5 * day, 23 * time.Hour, false},
		{"in the first month, daily", 5 * day, day, true},
		{"later, not daily", 40 * day, 6 * day, false},
		{"later, weekly", 40 * day, 7 * day, true},
		{"since a time when the clock was a year ahead", -365 * day, -365 * day, true},
		{"tried last when the clock was a year ahead", 5 * day, -365 * day, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			passes := probes([]Quarantined{{Unit: 7, Since: now.Add(-test.since), Tried: now.Add(-test.tried)}}, now)
			assert.Equal(t, test.due, len(passes) == 1)
		})
	}
}
