// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// reference reads the entity or character reference p begins with, or says what
// is wrong with it. The number of a character reference comes as it is, at most
// one above utf8.MaxRune.
func reference(p []byte) (c rune, size int, problem string) {
	end := bytes.IndexByte(p[:min(len(p), MaxReference)], ';')
	if end < 0 {
		return 0, 0, fmt.Sprintf("& that begins no reference of at most %d bytes", MaxReference)
	}
	name := p[1:end]
	size = end + 1
	switch string(name) {
	case "lt":
		return '<', size, ""
	case "gt":
		return '>', size, ""
	case "amp":
		return '&', size, ""
	case "apos":
		return '\'', size, ""
	case "quot":
		return '"', size, ""
	}
	if len(name) == 0 || name[0] != '#' {
		return 0, 0, fmt.Sprintf("undeclared entity %q", p[:size])
	}
	c, ok := charNumber(name[1:])
	if !ok {
		return 0, 0, fmt.Sprintf("malformed character reference %q", p[:size])
	}
	return c, size, ""
}

// charNumber parses the number of a character reference: decimal, or
// hexadecimal after an x.
func charNumber(p []byte) (c rune, ok bool) {
	base := rune(10)
	if len(p) > 0 && p[0] == 'x' {
		base = 16
		p = p[1:]
	}
	for _, b := range p {
		digit := rune(b)
		switch {
		case b >= '0' && b <= '9':
			digit -= '0'
		case base == 16 && b >= 'a' && b <= 'f':
			digit -= 'a' - 10
		case base == 16 && b >= 'A' && b <= 'F':
			digit -= 'A' - 10
		default:
			return 0, false
		}
		c = min(c*base+digit, utf8.MaxRune+1)
	}
	return c, len(p) > 0
}
