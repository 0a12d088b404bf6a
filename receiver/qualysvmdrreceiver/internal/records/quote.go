// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// appendQuoted appends text, which is UTF-8, as a JSON string: what [jsontext.AppendQuote] gives. It looks at eight bytes at
// once and copies them on the way, as most of the time that JSON takes goes into long texts with a tab or line end every 60 bytes.
func appendQuoted(dst, text []byte) []byte {
	dst = append(slices.Grow(dst, len(text)+len(`""`)), '"')
	i := 0
	for i <= len(text)-8 {
		x := binary.LittleEndian.Uint64(text[i:])
		from := len(dst)
		dst = binary.LittleEndian.AppendUint64(dst, x)
		n := plain(x)
		if n == 8 {
			i += 8
			continue
		}
		dst = appendEscaped(dst[:from+n], text[i+n])
		i += n + 1
	}
	if rest := len(text) - i; rest > 0 && len(text) >= 8 {
		x := binary.LittleEndian.Uint64(text[len(text)-8:]) >> (64 - 8*rest)
		if plain(x) == rest { // behind it are zeros
			from := len(dst)
			dst = binary.LittleEndian.AppendUint64(dst, x)[:from+rest]
			i = len(text)
		}
	}
	for _, c := range text[i:] {
		if c < ' ' || c == '"' || c == '\\' {
			dst = appendEscaped(dst, c)
		} else {
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
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

// plain returns how many of the eight bytes of x there are before the first one that JSON wants escaped.
func plain(x uint64) int {
	const (
		each = 0x0101010101010101
		low  = 0x7F * each
		high = 0x80 * each
	)
	// Adding to seven bits of a byte leaves its neighbours alone, and sets its highest bit where the sum reaches 0x80: where
	// it is no control character, and where it differs from a quote, and from a backslash. Bytes beyond ASCII stay as they are.
	y := x & low
	is := (y + (0x80-' ')*each) & ((y ^ '"'*each) + low) & ((y ^ '\\'*each) + low)
	return bits.TrailingZeros64(^(is|x)&high) / 8
}
