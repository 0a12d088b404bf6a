// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// putMembers adds siblings to a map, their strings parts of text. The map has none of their keys yet.
func putMembers(m pcommon.Map, nodes []node, text string) {
	for i := 0; i < len(nodes); i += int(nodes[i].size) {
		n := &nodes[i]
		switch n.kind {
		case str, number:
			m.PutStr(n.key.text, text[n.off:n.off+n.len])
		case integer:
			m.PutInt(n.key.text, n.num)
		case double:
			m.PutDouble(n.key.text, math.Float64frombits(uint64(n.num)))
		case boolean:
			m.PutBool(n.key.text, n.num != 0)
		case null:
			m.PutEmpty(n.key.text)
		case object:
			putMap(m.PutEmptyMap(n.key.text), nodes[i:i+int(n.size)], text)
		case list:
			putList(m.PutEmptySlice(n.key.text), nodes[i:i+int(n.size)], text)
		}
	}
}

// putMap fills m with the children of the map that is the first of nodes.
func putMap(m pcommon.Map, nodes []node, text string) {
	m.EnsureCapacity(int(nodes[0].num))
	putMembers(m, nodes[1:], text)
}

// putList fills s with the entries of the list that is the first of nodes.
func putList(s pcommon.Slice, nodes []node, text string) {
	s.EnsureCapacity(int(nodes[0].num))
	for i := 1; i < len(nodes); i += int(nodes[i].size) {
		n := &nodes[i]
		v := s.AppendEmpty()
		switch n.kind {
		case str, number:
			v.SetStr(text[n.off : n.off+n.len])
		case integer:
			v.SetInt(n.num)
		case double:
			v.SetDouble(math.Float64frombits(uint64(n.num)))
		case boolean:
			v.SetBool(n.num != 0)
		case null:
		case object:
			putMap(v.SetEmptyMap(), nodes[i:i+int(n.size)], text)
		case list:
			putList(v.SetEmptySlice(), nodes[i:i+int(n.size)], text)
		}
	}
}
