// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// place is where character data stands, which decides what has a meaning there.
type place uint8

const (
	text place = iota
	cdataSection
	attribute
)

// class is what plain has to know about a byte of character data outside of CDATA.
type class uint8

const (
	ordinary  class = iota
	special         // always needs treatment: carriage returns, control characters
	multibyte       // belongs to a rune beyond ASCII, or is not UTF-8
	ampersand       // begins a reference
	less            // ends text
	greater         // must not be the last one of "]]>" in text
)

var classes = func() (t [256]class) {
	for c := range t {
		if c < ' ' && c != '\t' && c != '\n' {
			t[c] = special
		}
		if c >= utf8.RuneSelf {
			t[c] = multibyte
		}
	}
	t['&'] = ampersand
	t['<'] = less
	t['>'] = greater
	return t
}()

// plain returns the end of the longest run from p[i] on that means what it says:
// no references, line ends to normalise, bytes to repair. It also ends before
// what ends the data. p must be a part of the window: see word.
func plain(p []byte, i int, where place) int {
	if where == cdataSection {
		return plainCDATA(p, i)
	}
	for {
		i = ordinaryEnd(p, i)
		if i >= len(p) {
			return len(p)
		}
		switch classes[p[i]] {
		case multibyte:
			size := plainRune(p[i:])
			if size == 0 {
				return i
			}
			i += size - 1
		case less:
			if where == text {
				return i
			}
		case greater:
			if where == text && i >= 2 && p[i-1] == ']' && p[i-2] == ']' {
				return i
			}
		default: // special, ampersand
			return i
		}
		i++
	}
}

// plainCDATA is plain in a CDATA section, where the long texts are.
func plainCDATA(p []byte, i int) int {
	for i < len(p) {
		m := cdataMarks(word(p, i))
		if m == 0 {
			i += 8
			for len(p)-i >= 32 {
				q := (*[32]byte)(p[i:])
				a, b := cdataMarks(binary.LittleEndian.Uint64(q[:])), cdataMarks(binary.LittleEndian.Uint64(q[8:]))
				c, d := cdataMarks(binary.LittleEndian.Uint64(q[16:])), cdataMarks(binary.LittleEndian.Uint64(q[24:]))
				if a|b|c|d == 0 {
					i += 32
					continue
				}
				if a|b == 0 {
					i, a, b = i+16, c, d
				}
				if a == 0 {
					i, a = i+8, b
				}
				m = a
				break
			}
			if m == 0 {
				continue
			}
		}
		if i += bits.TrailingZeros64(m) / 8; i >= len(p) {
			break
		}
		switch {
		case p[i] >= utf8.RuneSelf:
			for i < len(p) && p[i] >= utf8.RuneSelf {
				size := plainRune(p[i:])
				if size == 0 {
					return i
				}
				i += size
			}
		case p[i] == ']' && !bytes.HasPrefix(p[i:], cdataEnd):
			i++
		default:
			return i
		}
	}
	return len(p)
}

// plainRune returns the size of the rune beyond ASCII that p begins with, 0: it has
// to be repaired. Runes of two and of three bytes, but those that begin with the
// bytes of surrogates or U+FFFE, are known to be good by their form.
func plainRune(p []byte) int {
	switch c := p[0]; {
	case c >= 0xC2 && c <= 0xDF && len(p) > 1 && p[1]&0xC0 == 0x80:
		return 2
	case c >= 0xE1 && c <= 0xEC && len(p) > 2 && p[1]&0xC0 == 0x80 && p[2]&0xC0 == 0x80:
		return 3
	}
	c, size := utf8.DecodeRune(p)
	if c == utf8.RuneError && size == 1 || !isChar(c) {
		return 0
	}
	return size
}

// High and low bits of the eight bytes of a word.
const (
	each = 0x0101010101010101
	low  = 0x7F * each
	high = 0x80 * each
)

// word returns the eight bytes from p[i] on. Those behind the end of p can be
// any, but must exist: the window has spare bytes behind its end for that.
func word(p []byte, i int) uint64 {
	return binary.LittleEndian.Uint64(p[i : i+8])
}

// ordinaryEnd returns the index of the first byte from p[i] on that is not ordinary outside of CDATA, or one that is not in p.
func ordinaryEnd(p []byte, i int) int {
	for i < len(p) {
		// Most values are short, so that the first word tells.
		if marks := textMarks(word(p, i)); marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
		i += 8
		for ; len(p)-i >= 32; i += 32 {
			q := (*[32]byte)(p[i:])
			a, b := textMarks(binary.LittleEndian.Uint64(q[:])), textMarks(binary.LittleEndian.Uint64(q[8:]))
			c, d := textMarks(binary.LittleEndian.Uint64(q[16:])), textMarks(binary.LittleEndian.Uint64(q[24:]))
			switch {
			case a|b|c|d == 0:
				continue
			case a != 0:
				return i + bits.TrailingZeros64(a)/8
			case b != 0:
				return i + 8 + bits.TrailingZeros64(b)/8
			case c != 0:
				return i + 16 + bits.TrailingZeros64(c)/8
			default:
				return i + 24 + bits.TrailingZeros64(d)/8
			}
		}
	}
	return i
}

// cdataMarks looks at eight bytes at once: it sets the highest bit of each one that is not ordinary in CDATA. That is what is not
// ASCII, a control character but tab and newline, or a bracket. Adding to seven bits of a byte leaves its neighbours alone, and
// sets its highest bit where the sum reaches 0x80.
func cdataMarks(x uint64) uint64 {
	y := x & low
	return (x | ^(allowed(y) & ((y ^ ']'*each) + low))) & high
}

// textMarks is cdataMarks outside of CDATA, where ampersands and both of < and > take the place of brackets.
func textMarks(x uint64) uint64 {
	const lessOrGreater = ('<' ^ '>') * each
	y := x & low
	return (x | ^(allowed(y) & ((y ^ '&'*each) + low) & ((y&^lessOrGreater ^ '<'*each) + low))) & high
}

// allowed sets the highest bit of each of eight bytes of ASCII that is no control character, or is a tab or newline. What it does
// to the other bits means nothing.
func allowed(y uint64) uint64 {
	return y + (0x80-' ')*each | (y+(0x80-'\t')*each)&^(y+(0x80-'\n'-1)*each)
}

// isChar reports whether XML allows the character (production Char of XML 1.0).
func isChar(c rune) bool {
	switch {
	case c < ' ':
		return c == '\t' || c == '\n' || c == '\r'
	case c < 0xD800:
		return true
	default:
		return c >= 0xE000 && c <= utf8.MaxRune && c != 0xFFFE && c != 0xFFFF
	}
}
