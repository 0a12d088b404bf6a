// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// hasher makes hashes of records.
type hasher struct {
	buf     []byte
	skipped []span
}

// span is a part of a text.
type span struct{ from, to uint32 }

// content returns the hash of all names and values of a tape, and the size of its text, names included. Numbers count by
// what they say, and text without the white space around it, so that the same values have the same hash however they
// were written.
func (h *hasher) content(nodes []node, text []byte) (sum uint64, size int) {
	b := h.buf[:0]
	size = len(text)
	for i := range nodes {
		n := &nodes[i]
		size += len(n.key.text)
		b = appendNode(b, n)
	}
	b = binary.LittleEndian.AppendUint64(b, xxhash.Sum64(text))
	h.buf = b
	return xxhash.Sum64(b), size
}

// appendNode appends what a node says besides its text.
func appendNode(b []byte, n *node) []byte {
	b = binary.LittleEndian.AppendUint64(b, n.key.hash)
	b = append(b, byte(n.kind))
	num := uint64(n.num)
	if n.kind == str || n.kind == number {
		num = uint64(n.len)
	}
	return binary.LittleEndian.AppendUint64(b, num)
}

// stable returns the hash of all names and values of a detection without those that change with every scan.
func (h *hasher) stable(nodes []node, text []byte) uint64 {
	b := h.buf[:0]
	h.skipped = h.skipped[:0]
	for i := 1; i < len(nodes); i += int(nodes[i].size) {
		value := nodes[i : i+int(nodes[i].size)]
		if changesWithEveryScan(value[0].key.role) {
			for j := range value {
				if value[j].len > 0 {
					h.skipped = append(h.skipped, span{value[j].off, value[j].off + value[j].len})
				}
			}
			continue
		}
		for j := range value {
			b = appendNode(b, &value[j])
		}
	}
	slices.SortFunc(h.skipped, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var digest xxhash.Digest
	digest.Reset()
	from := uint32(0)
	for _, s := range h.skipped {
		_, _ = digest.Write(text[from:s.from]) // never fails
		from = s.to
	}
	_, _ = digest.Write(text[from:])
	b = binary.LittleEndian.AppendUint64(b, digest.Sum64())
	h.buf = b
	return xxhash.Sum64(b)
}

// changesWithEveryScan reports whether the value with that role says only that a detection was looked at again.
func changesWithEveryScan(r role) bool {
	return r == roleLastFound || r == roleLastProcessed || r == roleLastTest || r == roleTimesFound
}

// pair returns the hash of two hashes.
func (h *hasher) pair(a, b uint64) uint64 {
	buf := binary.LittleEndian.AppendUint64(h.buf[:0], a)
	buf = binary.LittleEndian.AppendUint64(buf, b)
	h.buf = buf
	return xxhash.Sum64(buf)
}

// identity returns a hash of what identifies a detection that has no ID.
func (h *hasher) identity(host uint64, nodes []node, text []byte, at *places) uint64 {
	b := binary.LittleEndian.AppendUint64(h.buf[:0], host)
	for _, r := range [...]role{roleQID, rolePort, roleProtocol, roleSSL, roleFQDN, roleInstance} {
		if i := at[r]; i != 0 {
			n := &nodes[i]
			b = append(b, byte(n.kind))
			b = binary.LittleEndian.AppendUint64(b, uint64(n.num))
			b = append(b, textOf(nodes, i, text)...)
		}
		b = append(b, 0)
	}
	h.buf = b
	return xxhash.Sum64(b)
}
