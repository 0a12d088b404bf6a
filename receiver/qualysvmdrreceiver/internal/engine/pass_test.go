// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBoundariesOfRanges(t *testing.T) {
	for _, test := range []struct {
		name   string
		listed []Range
		cursor uint64
		each   uint64
		want   []uint64
	}{
		{"nothing is listed", nil, 30, 2, nil},
		{"nothing is listed behind the cursor", []Range{{1, 29}}, 30, 2, nil},
		{"the first page spanned nothing that is listed", []Range{{1, 100}}, 30, 0, nil},
		{"one range", []Range{{1, 31}}, 30, 2, []uint64{30}},
		{"single IDs", []Range{{40, 40}, {50, 50}, {60, 60}, {70, 70}, {80, 80}}, 30, 2, []uint64{30, 60, 80}},
		{"the first one begins at the cursor, for what is listed nowhere", []Range{{1000, 1003}}, 30, 2, []uint64{30, 1002}},
		{"runs of IDs", []Range{{10, 19}, {100, 109}}, 15, 4, []uint64{15, 19, 103, 107}},
		{"ranges that go over from one run into the next", []Range{{30, 32}, {50, 52}}, 30, 2, []uint64{30, 32, 51}},
		{"the greatest ID", []Range{{math.MaxUint64 - 3, math.MaxUint64}}, 30, 2, []uint64{30, math.MaxUint64 - 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, boundaries(test.listed, test.cursor, test.each))
		})
	}
}

func TestListedIDsThatAPageSpanned(t *testing.T) {
	listed := []Range{{10, 19}, {30, 30}, {40, 49}}
	for _, test := range []struct {
		name     string
		from, to uint64
		want     uint64
	}{
		{"all", 0, 50, 21},
		{"before all", 0, 10, 0},
		{"behind all", 50, 100, 0},
		{"in a gap", 20, 30, 0},
		{"the end is not included", 0, 19, 9},
		{"the beginning is", 19, 20, 1},
		{"over a gap", 15, 42, 8},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, countBetween(listed, test.from, test.to))
		})
	}
}
