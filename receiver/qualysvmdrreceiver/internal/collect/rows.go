// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"maps"
	"slices"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// rows tells the rows of a page apart, which have no IDs: equal ones are numbered, as an answer can hold the same row twice
// because the same thing happened twice. What was delivered is known by a row's hash and its number, so that a repetition is
// not lost and what is read again is not repeated.
//
// Rows come in the order of time. What is equal has one time, and stands at the end of one page and the beginning of the
// next at most: only the rows of a page's last second are counted on.
type rows struct {
	counts map[uint64]rowCount
	// delivered are the rows that were delivered of a page when it was read before, and were not met yet. When rows came in
	// before it since, they can have moved to the next page.
	delivered      map[seen]struct{}
	newest, oldest int64 // of the rows of the page, in Unix seconds; 0: unknown
}

// rowCount is how often a row was met, and its time in Unix seconds.
type rowCount struct {
	met  uint64
	time int64
	// carried tells that it was met in the page before only.
	carried bool
}

// newRows begins a page. The first of the entries that are kept of the part delivered, as many as were carried, count the rows
// at the end of the page before.
func newRows(part []seen, carried int) *rows {
	r := &rows{counts: map[uint64]rowCount{}, delivered: map[seen]struct{}{}}
	carried = min(carried, len(part))
	for _, s := range part[:carried] {
		r.counts[s.values] = rowCount{met: s.identity, carried: true}
	}
	for _, s := range part[carried:] {
		r.delivered[s] = struct{}{}
	}
	return r
}

// meet numbers a row, and tells whether it was delivered of this page before.
func (r *rows) meet(item *records.Item) bool {
	count := rowCount{met: r.counts[item.Content].met + 1, time: item.Updated}
	r.counts[item.Content] = count
	r.newest = max(r.newest, item.Updated)
	r.oldest = item.Updated
	item.Key = count.met
	one := seenOf(item)
	_, delivered := r.delivered[one]
	delete(r.delivered, one)
	return delivered
}

// last counts the rows that can go on in the next page: those of the time of the last one.
func (r *rows) last() []seen {
	var last []seen
	for values, count := range r.counts {
		if !count.carried && count.time == r.oldest || count.carried && r.newest == r.oldest {
			last = append(last, seen{identity: count.met, values: values})
		}
	}
	slices.SortFunc(last, compareSeen)
	return last
}

// unmet are the rows that were delivered before, and do not stand in the page any more.
func (r *rows) unmet() []seen {
	return slices.SortedFunc(maps.Keys(r.delivered), compareSeen)
}
