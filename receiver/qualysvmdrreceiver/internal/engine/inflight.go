// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

const (
	inflightSize = 24
	// mostInflight is of how many records of one page it is noted that they were delivered, where the cursor moves with the page
	// only. It bounds what a response that holds far more than was asked for takes to 6 MiB.
	mostInflight = 1 << 18
)

// delivered is a record of a unit that the cursor has not passed.
type delivered struct {
	unit uint64
	fingerprint
}

func compareDelivered(a, b delivered) int {
	return cmp.Or(cmp.Compare(a.unit, b.unit), compareFingerprints(a.fingerprint, b.fingerprint))
}

// inflight are the records that were delivered of units that the cursor of a shard has not passed: what is read of them
// again is left out. It is owned by its shard; has and had may be called by several goroutines while a page is read, also
// while what was delivered of that is added.
type inflight struct {
	log     *zap.Logger
	journal *checkpoint.Journal
	entries []delivered
	// snapshot is sorted: what had been delivered when the page began.
	snapshot []delivered
	written  int // entries in the journal
	warned   bool
}

// wholeUnit is the fingerprint that says that all of a unit was delivered, where the cursor stays before it as IDs were seen to
// descend.
var wholeUnit = fingerprint{}

func openInflight(ctx context.Context, store *checkpoint.Store, name string, log *zap.Logger) (*inflight, error) {
	journal, data, err := store.OpenJournal(ctx, name, inflightSize)
	switch {
	case unreadable(err):
		log.Error("records in flight cannot be read; some of them may be delivered again", zap.Error(err))
	case err != nil:
		return nil, fmt.Errorf("reading records in flight: %w", err)
	}
	f := &inflight{log: log, journal: journal}
	for ; len(data) >= inflightSize; data = data[inflightSize:] {
		f.entries = append(f.entries, delivered{
			unit: binary.LittleEndian.Uint64(data),
			fingerprint: fingerprint{
				key:     binary.LittleEndian.Uint64(data[8:]),
				content: binary.LittleEndian.Uint64(data[16:]),
			},
		})
		f.written++
	}
	return f, nil
}

// descended reports whether IDs were seen to descend in the page that the cursor stands at.
func (f *inflight) descended() bool {
	return slices.ContainsFunc(f.entries, func(one delivered) bool { return one.fingerprint == wholeUnit })
}

// begin begins a page.
func (f *inflight) begin() {
	f.snapshot = slices.Clone(f.entries)
	slices.SortFunc(f.snapshot, compareDelivered)
}

// has reports whether an item was delivered when the page was read before.
func (f *inflight) has(item *records.Item) bool {
	if len(f.snapshot) == 0 {
		return false
	}
	return f.had(delivered{unit: item.Unit, fingerprint: wholeUnit}) || f.had(delivered{unit: item.Unit, fingerprint: fingerprintOf(item)})
}

// of returns what was delivered of a unit.
func (f *inflight) of(unit uint64) []fingerprint {
	var found []fingerprint
	for _, one := range f.entries {
		if one.unit == unit && one.fingerprint != wholeUnit {
			found = append(found, one.fingerprint)
		}
	}
	return found
}

// add takes note of records that were delivered, and returns what writes it.
func (f *inflight) add(fresh []delivered) func(tx *checkpoint.Tx) {
	if len(f.entries)+len(fresh) > mostInflight {
		if !f.warned && len(fresh) > 0 {
			f.warned = true
			f.log.Warn("a response holds far more than was asked for; some of it may be delivered again", zap.Int("noted", len(f.entries)))
		}
		return func(*checkpoint.Tx) {}
	}
	f.entries = append(f.entries, fresh...)
	f.written += len(fresh)
	return func(tx *checkpoint.Tx) {
		if len(fresh) > 0 {
			tx.Append(f.journal, encodeDelivered(fresh))
		}
	}
}

// keep forgets everything but what keep wants, and returns what writes that. Few entries that are of no use any more are left
// in the journal: they are of units that the cursor has passed.
func (f *inflight) keep(keep func(delivered) bool) func(tx *checkpoint.Tx) {
	f.entries = slices.DeleteFunc(f.entries, func(one delivered) bool { return !keep(one) })
	f.warned = false
	if f.written == len(f.entries) || len(f.entries) > 0 && f.written-len(f.entries) < len(f.entries) {
		return func(*checkpoint.Tx) {}
	}
	f.written = len(f.entries)
	data := encodeDelivered(f.entries) // now: what is added later is appended
	return func(tx *checkpoint.Tx) {
		tx.Clear(f.journal)
		tx.Append(f.journal, data)
	}
}

func encodeDelivered(entries []delivered) []byte {
	out := make([]byte, 0, len(entries)*inflightSize)
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint64(out, e.unit)
		out = binary.LittleEndian.AppendUint64(out, e.key)
		out = binary.LittleEndian.AppendUint64(out, e.content)
	}
	return out
}

// had reports whether a record had been delivered when the page began.
func (f *inflight) had(one delivered) bool {
	_, found := slices.BinarySearchFunc(f.snapshot, one, compareDelivered)
	return found
}
