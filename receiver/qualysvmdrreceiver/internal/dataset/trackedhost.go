// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
)

const (
	trackedEntrySize = 16
	// trackedHostHead is the size of what stands before the entries of a stored host: its version, Run, Listed, Asset and the
	// number of its Open entries.
	trackedHostHead = 1 + 8 + 8 + 8 + 4

	// uniqueBit marks a key that is Qualys' own ID, fixedBit a detection that was delivered as Fixed. QIDs are far smaller.
	uniqueBit = 1 << 31
	fixedBit  = 1 << 30
)

// trackedHost are the tracked detections of a host. It is stored under vulnerabilities/known/<host>.
type trackedHost struct {
	// Run is the mark of the last full collection that has brought the host, and Listed its time in Unix seconds. A mark of another
	// generation says that it was not brought in this one.
	Run    uint64
	Listed int64
	// Asset is the host's asset ID, 0: unknown.
	Asset uint64
	// Open are the detections last delivered as open, and Gone those of them that the last full collection did not bring. Where
	// unchanged ones are left out, Open also has those delivered as Fixed since.
	Open trackedEntries
	Gone trackedEntries
}

// mark is the mark of a collection: the generation of what is tracked, and the collection's sequence number, which is far smaller
// than 2³².
func mark(generation uint32, run uint64) uint64 { return uint64(generation)<<32 | run }

func generationOf(mark uint64) uint32 { return uint32(mark >> 32) }

func sequenceOf(mark uint64) uint32 { return uint32(mark) }

// append appends the host as it is stored.
func (h *trackedHost) append(dst []byte) []byte {
	dst = slices.Grow(dst, trackedHostHead+len(h.Open)+len(h.Gone))
	dst = append(dst, trackedVersion)
	dst = binary.LittleEndian.AppendUint64(dst, h.Run)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Listed))
	dst = binary.LittleEndian.AppendUint64(dst, h.Asset)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.Open.len()))
	dst = append(dst, h.Open...)
	return append(dst, h.Gone...)
}

// parseTrackedHost reads a stored host, which keeps data.
func parseTrackedHost(data []byte) (trackedHost, error) {
	if len(data) < trackedHostHead || data[0] != trackedVersion || (len(data)-trackedHostHead)%trackedEntrySize != 0 {
		return trackedHost{}, fmt.Errorf("tracked detections: %w", checkpoint.ErrUnreadable)
	}
	h := trackedHost{
		Run: binary.LittleEndian.Uint64(data[1:]), Listed: int64(binary.LittleEndian.Uint64(data[9:])), Asset: binary.LittleEndian.Uint64(data[17:]),
	}
	open, entries := int(binary.LittleEndian.Uint32(data[25:]))*trackedEntrySize, data[trackedHostHead:]
	if open > len(entries) {
		return trackedHost{}, fmt.Errorf("tracked detections: %w", checkpoint.ErrUnreadable)
	}
	h.Open, h.Gone = trackedEntries(entries[:open]), trackedEntries(entries[open:])
	return h, nil
}

// gone are the open detections of a host that the full collection of a mark, and all windows since, did not bring.
func (h *trackedHost) gone(run uint64) trackedEntries {
	if h.Run == run {
		return h.Gone
	}
	gone := slices.Clone(h.Gone)
	for i := range h.Open.len() {
		if one := h.Open.at(i); !one.fixed() {
			gone = gone.add(one)
		}
	}
	return gone
}

// left are those that were brought.
func (h *trackedHost) left(run uint64) trackedEntries {
	if h.Run == run {
		return h.Open
	}
	return nil
}

// trackedEntry is a detection: its key, its QID with the bits above, and half of a hash of what it says, without what changes with
// every scan. Of two billion changes one is taken for none, until the next full collection.
type trackedEntry struct {
	key  uint64
	qid  uint32
	hash uint32
}

func (e trackedEntry) fixed() bool { return e.qid&fixedBit != 0 }

// trackedEntries are stored as 16 bytes each, in the order of their keys.
type trackedEntries []byte

func (e trackedEntries) len() int { return len(e) / trackedEntrySize }

func (e trackedEntries) key(i int) uint64 { return binary.LittleEndian.Uint64(e[i*trackedEntrySize:]) }

func (e trackedEntries) at(i int) trackedEntry {
	raw := e[i*trackedEntrySize:]
	return trackedEntry{
		key: binary.LittleEndian.Uint64(raw), qid: binary.LittleEndian.Uint32(raw[8:]), hash: binary.LittleEndian.Uint32(raw[12:]),
	}
}

func (e trackedEntries) add(one trackedEntry) trackedEntries {
	e = binary.LittleEndian.AppendUint64(e, one.key)
	e = binary.LittleEndian.AppendUint32(e, one.qid)
	return binary.LittleEndian.AppendUint32(e, one.hash)
}

// find returns the entry of a key.
func (e trackedEntries) find(key uint64) (trackedEntry, bool) {
	low, high := 0, e.len()
	for low < high {
		middle := int(uint(low+high) >> 1)
		if e.key(middle) < key {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < e.len() && e.key(low) == key {
		return e.at(low), true
	}
	return trackedEntry{}, false
}

// without are those of which others has no entry of the same key.
func (e trackedEntries) without(others trackedEntries) iter.Seq[trackedEntry] {
	return func(yield func(trackedEntry) bool) {
		for i := range e.len() {
			if _, found := others.find(e.key(i)); !found && !yield(e.at(i)) {
				return
			}
		}
	}
}

// open is how many of them are not Fixed.
func (e trackedEntries) open() int {
	n := 0
	for i := range e.len() {
		if !e.at(i).fixed() {
			n++
		}
	}
	return n
}

// encodeTracked makes entries of detections, which it sorts. Of a key that is there twice an open one counts, else the first.
func encodeTracked(all []trackedEntry) trackedEntries {
	slices.SortStableFunc(all, func(a, b trackedEntry) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.qid&fixedBit, b.qid&fixedBit))
	})
	entries := make(trackedEntries, 0, len(all)*trackedEntrySize)
	for i, one := range all {
		if i == 0 || all[i-1].key != one.key {
			entries = entries.add(one)
		}
	}
	return entries
}
