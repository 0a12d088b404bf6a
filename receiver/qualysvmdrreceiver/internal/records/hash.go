// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// hasher makes hashes of records.
type hasher struct {
	buf []byte
}

// values returns the hash of all names and values of a tape, and the size of its text, names included. Numbers count by
// what they say, and text without the white space around it, so that the same values have the same hash however they
// were written.
func (h *hasher) values(nodes []node, text []byte) (sum uint64, size int) {
	b := h.buf[:0]
	size = len(text)
	for i := range nodes {
		n := &nodes[i]
		size += len(n.key.text)
		b = binary.LittleEndian.AppendUint64(b, n.key.hash)
		b = append(b, byte(n.kind))
		num := uint64(n.num)
		if n.kind == str || n.kind == number {
			num = uint64(n.len)
		}
		b = binary.LittleEndian.AppendUint64(b, num)
	}
	b = binary.LittleEndian.AppendUint64(b, xxhash.Sum64(text))
	h.buf = b
	return xxhash.Sum64(b), size
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
