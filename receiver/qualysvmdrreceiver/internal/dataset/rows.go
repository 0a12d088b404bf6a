// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

const (
	// mostTies is how many different rows of one stretch are told apart from their repetitions.
	mostTies = 1 << 12
	// stretch is how many seconds one has.
	stretch = 8
	// mostUndated is how many rows whose date is not understood are remembered as ones that can come again: the newest.
	mostUndated = 1 << 16
	// tooOld is the Modified, which rows do not have, of a row without a date that lies behind those.
	tooOld = 1

	tiesHeader = 4 * 8
	tieSize    = 2 * 8
)

// rows tells the rows of the log apart, which have no IDs: equal ones are numbered, as a response can hold the same row twice
// because the same thing happened twice. What was delivered is known by a row's content and its number, so that a repetition is
// not lost and what is read again is not repeated.
//
// Rows come in the order of time, or nearly: what happens at the same time is not written in the order of its seconds. What is equal
// has one date, and stands close together, or at the end of one page and the beginning of the next: only the rows of the last stretch
// of seconds are counted, or of the last date that is not understood.
type rows struct {
	date    uint64 // the stretch of the last row, or a hash of its date
	at      int64  // the date of the last row in Unix seconds, 0: it is not understood, or there was no row
	newest  int64  // the latest such time in the page, 0: there is none
	undated uint64 // rows whose date is not understood, since the newest one
	// counts are the rows of that stretch by their content.
	counts map[uint64]uint64

	// until, if not 0, is when the page begins by the log's clock, in Unix seconds: at the date of the last row of the page
	// before. Delivered counts what came before of its stretch: what is of that date comes again.
	until     int64
	delivered map[uint64]uint64
}

// newRows begins a page behind the one that ties are of; nil: it is the first one. Ties that make no sense count nothing.
func newRows(ties []byte) *rows {
	r := &rows{counts: map[uint64]uint64{}}
	if len(ties) < tiesHeader || (len(ties)-tiesHeader)%tieSize != 0 {
		return r
	}
	r.date = binary.LittleEndian.Uint64(ties)
	r.at = int64(binary.LittleEndian.Uint64(ties[8:]))
	r.undated = binary.LittleEndian.Uint64(ties[16:])
	r.until = int64(binary.LittleEndian.Uint64(ties[24:]))
	for ties = ties[tiesHeader:]; len(ties) > 0; ties = ties[tieSize:] {
		r.counts[binary.LittleEndian.Uint64(ties)] = binary.LittleEndian.Uint64(ties[8:])
	}
	if r.until != 0 {
		r.delivered, r.counts = r.counts, map[uint64]uint64{}
	}
	return r
}

// ties are what the next page is to know of the rows before it.
func (r *rows) ties() []byte {
	data := make([]byte, 0, tiesHeader+len(r.counts)*tieSize)
	for _, n := range []uint64{r.date, uint64(r.at), r.undated, uint64(r.until)} {
		data = binary.LittleEndian.AppendUint64(data, n)
	}
	for _, content := range slices.Sorted(maps.Keys(r.counts)) {
		data = binary.LittleEndian.AppendUint64(data, content)
		data = binary.LittleEndian.AppendUint64(data, r.counts[content])
	}
	return data
}

// meet numbers a row of a date, and reports whether it came with the page before.
func (r *rows) meet(item *records.Item, date string) bool {
	now := uint64(item.Updated) / stretch
	if item.Updated == 0 {
		now = xxhash.Sum64String(date)
	}
	if now != r.date {
		r.date = now
		clear(r.counts)
	}
	r.at = item.Updated
	r.newest = max(r.newest, item.Updated)
	if len(r.counts) >= mostTies {
		clear(r.counts)
	}
	r.counts[item.Content]++
	item.Key = r.counts[item.Content]
	if item.Updated == 0 {
		if r.undated++; r.undated > mostUndated {
			item.Modified = tooOld
		}
	}
	return r.until != 0 && (item.Updated > r.until || item.Key <= r.delivered[item.Content])
}

// goBack makes the next page begin at the date of the last row, and reports whether that gets any further.
func (r *rows) goBack() bool {
	if r.at == 0 || r.until != 0 && r.at >= r.until {
		return false
	}
	r.until = r.at
	return true
}

// dateColumn is the index of the column of the date.
func dateColumn(columns []string) int {
	return slices.IndexFunc(columns, func(name string) bool { return strings.EqualFold(name, "Date") })
}
