// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/binary"
	"math/bits"
)

// appendQuoted appends text, which is UTF-8, as a JSON string: what [jsontext.AppendQuote] gives. It looks at eight bytes at
// once, as most of the time that JSON takes goes into long texts.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for {
		n := unescaped(text)
		dst = append(dst, text[:n]...)
		if n == len(text) {
			return append(dst, '"')
		}
		dst = appendEscaped(dst, text[n])
		text = text[n+1:]
	}
}

// appendEscaped appends the escape of a quote, a backslash or a control character.
func appendEscaped(dst []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	default:
		return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xF])
	}
}

// unescaped returns how many bytes there are before the first one that JSON wants escaped.
func unescaped(text []byte) int {
	const (
		each = 0x0101010101010101
		low  = 0x7F * each
		high = 0x80 * each
	)
	i := 0
	for ; len(text)-i >= 8; i += 8 {
		// Adding to seven bits of a byte leaves its neighbours alone, and sets its highest bit where the sum reaches 0x80: where
		// it is no control character, and where it differs from a quote, and from a backslash. Bytes beyond ASCII stay as they are.
		x := binary.LittleEndian.Uint64(text[i:])
		y := x & low
		plain := (y + (0x80-' ')*each) & ((y ^ '"'*each) + low) & ((y ^ '\\'*each) + low)
		if marks := ^(plain | x) & high; marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' {
			return i
		}
	}
	return i
}
