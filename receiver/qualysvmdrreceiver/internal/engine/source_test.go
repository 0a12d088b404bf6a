// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWidenedQuerySelectsWhatEitherDoes(t *testing.T) {
	early := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	updated := func(since time.Time, status ...string) Query {
		return Query{Status: status, Filter: "detection_updated_since", Since: since}
	}
	for _, test := range []struct {
		name         string
		query, other Query
		want         Query
	}{
		{"an earlier one with more states", updated(early.Add(time.Hour), "New"), updated(early, "New", "Fixed"), updated(early, "New", "Fixed")},
		{"a later one does not narrow it", updated(early, "New", "Fixed"), updated(early.Add(5*time.Hour), "New"), updated(early, "New", "Fixed")},
		{"everything", updated(early, "New"), Query{Status: []string{"New"}}, Query{Status: []string{"New"}}},
		{"everything, and a window", Query{Status: []string{"New"}}, updated(early, "Fixed"), Query{Status: []string{"New", "Fixed"}}},
		{
			"what was processed need not have been updated", updated(early, "New"),
			Query{Status: []string{"New"}, Filter: "detection_processed_after", Since: early.Add(time.Hour)},
			Query{Status: []string{"New"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := test.query
			got := test.query.widen(test.other)
			assert.True(t, test.want.equal(got), got.String())
			assert.Equal(t, before, test.query, "what it was is not changed")
		})
	}
}

func TestQueryInWords(t *testing.T) {
	since := time.Date(2026, 11, 20, 13, 0, 0, 0, time.FixedZone("", 3600))
	for want, query := range map[string]Query{
		"all":        {},
		"New,Active": {Status: []string{"New", "Active"}},
		"detection_updated_since=2026-11-20T12:00:00Z":     {Filter: "detection_updated_since", Since: since},
		"New detection_updated_since=2026-11-20T12:00:00Z": {Status: []string{"New"}, Filter: "detection_updated_since", Since: since},
	} {
		assert.Equal(t, want, query.String())
	}
}
