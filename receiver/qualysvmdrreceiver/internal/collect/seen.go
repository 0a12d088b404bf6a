// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// seenSize is the size of a stored entry of a seen set.
const seenSize = 16

// seen identifies a record that was delivered: what it is of, and a hash of all its values.
type seen struct {
	identity, values uint64
}

func seenOf(item *records.Item) seen {
	return seen{item.Key, item.Content}
}

func compareSeen(a, b seen) int {
	if c := cmp.Compare(a.identity, b.identity); c != 0 {
		return c
	}
	return cmp.Compare(a.values, b.values)
}

// seenSet is a sorted set of what was delivered: 16 bytes an entry, and safe for concurrent readers.
type seenSet []seen

// newSeenSet takes over entries.
func newSeenSet(entries []seen) seenSet {
	slices.SortFunc(entries, compareSeen)
	return slices.Compact(entries)
}

func (s seenSet) contains(one seen) bool {
	if len(s) == 0 {
		return false
	}
	_, found := slices.BinarySearchFunc(s, one, compareSeen)
	return found
}

// identities are what the entries are of.
func (s seenSet) identities() map[uint64]bool {
	all := make(map[uint64]bool, len(s))
	for _, one := range s {
		all[one.identity] = true
	}
	return all
}

// renewed returns what was delivered, without what is superseded: of each identity of fresh only what fresh says.
func renewed(old, fresh []seen) seenSet {
	superseded := seenSet(fresh).identities()
	kept := slices.DeleteFunc(old, func(one seen) bool { return superseded[one.identity] })
	return newSeenSet(append(kept, fresh...))
}

// encodeSeen writes entries as they are stored.
func encodeSeen(entries []seen) []byte {
	out := make([]byte, 0, len(entries)*seenSize)
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint64(out, e.identity)
		out = binary.LittleEndian.AppendUint64(out, e.values)
	}
	return out
}

// decodeSeen reads what encodeSeen wrote.
func decodeSeen(data []byte) []seen {
	out := make([]seen, 0, len(data)/seenSize)
	for ; len(data) >= seenSize; data = data[seenSize:] {
		out = append(out, seen{binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])})
	}
	return out
}
