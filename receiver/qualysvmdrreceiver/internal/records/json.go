// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"bytes"
	"math"
	"strconv"
)

// appendMembers appends siblings as the members of a JSON object, without the braces.
func appendMembers(dst []byte, nodes []node, text []byte) []byte {
	for i := 0; i < len(nodes); i += int(nodes[i].size) {
		n := &nodes[i]
		name := n.key.member
		if i == 0 {
			name = n.key.quoted
		}
		dst = append(dst, name...)
		if n.kind == str { // as most are
			dst = appendQuoted(dst, text[n.off:n.off+n.len])
			continue
		}
		dst = appendValue(dst, nodes[i:i+int(n.size)], text)
	}
	return dst
}

// appendValue appends the value that is the first of nodes.
func appendValue(dst []byte, nodes []node, text []byte) []byte {
	n := &nodes[0]
	switch n.kind {
	case str:
		dst = appendQuoted(dst, text[n.off:n.off+n.len])
	case number:
		dst = append(dst, text[n.off:n.off+n.len]...)
	case integer:
		dst = strconv.AppendInt(dst, n.num, 10)
	case double:
		dst = appendDouble(dst, math.Float64frombits(uint64(n.num)))
	case boolean:
		dst = strconv.AppendBool(dst, n.num != 0)
	case null:
		dst = append(dst, "null"...)
	case object:
		dst = append(dst, '{')
		dst = appendMembers(dst, nodes[1:], text)
		dst = append(dst, '}')
	case list:
		dst = append(dst, '[')
		for i := 1; i < len(nodes); i += int(nodes[i].size) {
			if i > 1 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, nodes[i:i+int(nodes[i].size)], text)
		}
		dst = append(dst, ']')
	}
	return dst
}

// appendDouble appends f so that readers take it for a double, also when it is whole.
func appendDouble(dst []byte, f float64) []byte {
	from := len(dst)
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if format == 'f' && bytes.IndexByte(dst[from:], '.') < 0 {
		dst = append(dst, ".0"...)
	}
	return dst
}
