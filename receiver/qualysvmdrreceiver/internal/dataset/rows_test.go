// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

func TestRowsOfOneSecondOverSeveralPages(t *testing.T) {
	meet := func(r *rows, content uint64) uint64 {
		item := records.Item{Content: content, Updated: 100}
		r.meet(&item, "1970-01-01T00:01:40Z")
		return item.Key
	}
	first := newRows(nil)
	assert.EqualValues(t, 1, meet(first, 7))
	second := newRows(first.ties())
	assert.EqualValues(t, 1, meet(second, 8))
	third := newRows(second.ties())
	assert.EqualValues(t, 2, meet(third, 7), "a page in between without the row does not begin its count anew")
	assert.EqualValues(t, 2, meet(third, 8))
}

// A response can hold the whole log, and dates in a format that is not understood: what is kept of it must not grow with it.
func TestWhatIsKeptOfRowsIsBounded(t *testing.T) {
	for _, test := range []struct {
		name string
		date func(i int) (string, int64)
	}{
		{"a second each", func(i int) (string, int64) { return strconv.Itoa(i), int64(1_800_000_000 - i) }},
		{"one second", func(int) (string, int64) { return "same", 1_800_000_000 }},
		{"dates that are not understood", func(i int) (string, int64) { return "day " + strconv.Itoa(i), 0 }},
		{"no dates", func(int) (string, int64) { return "", 0 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := &activity{}
			since := time.Unix(1_800_000_000-3600, 0)
			page := newRows(nil)
			again := 0
			for i := range 300_000 {
				date, at := test.date(i)
				item := records.Item{Content: uint64(i) + 1, Updated: at}
				page.meet(&item, date)
				if test.name != "one second" && source.Repeats(&item, since) {
					again++
				}
				if i%1000 == 999 {
					ties := page.ties()
					assert.LessOrEqual(t, len(ties), 64<<10+tiesHeader)
					page = newRows(ties)
				}
			}
			assert.LessOrEqual(t, again, mostUndated)
		})
	}
}

func TestTiesThatMakeNoSenseCountNothing(t *testing.T) {
	for _, ties := range [][]byte{{1}, make([]byte, tiesHeader+1), make([]byte, tiesHeader-1)} {
		item := records.Item{Content: 7}
		assert.False(t, newRows(ties).meet(&item, ""))
		assert.EqualValues(t, 1, item.Key)
	}
}
