// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"unicode/utf8"
)

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\t' || c == '\r'
}

// skipSpace returns the index behind the white space that begins at p[i].
func skipSpace(p []byte, i int) int {
	for i < len(p) && isSpace(p[i]) {
		i++
	}
	return i
}

// nameBytes are the ASCII characters that can stand in a name.
var nameBytes = func() (t [256]bool) {
	for c := range utf8.RuneSelf {
		t[c] = isNameRune(rune(c))
	}
	return t
}()

// asciiName returns the length of the run of ASCII name characters p begins with.
func asciiName(p []byte) int {
	for i, c := range p {
		if !nameBytes[c] {
			return i
		}
	}
	return len(p)
}

// nameEnd returns the index behind the name that begins at p[i], or i if there
// is none.
func nameEnd(p []byte, i int) int {
	if i == len(p) {
		return i
	}
	first := rune(p[i])
	if first >= utf8.RuneSelf {
		first, _ = utf8.DecodeRune(p[i:])
	}
	if !isNameStart(first) {
		return i
	}
	for {
		i += asciiName(p[i:])
		if i == len(p) || p[i] < utf8.RuneSelf {
			return i
		}
		c, size := utf8.DecodeRune(p[i:])
		if !isNameRune(c) {
			return i
		}
		i += size
	}
}

// isNameStart is production NameStartChar of XML 1.0, fifth edition.
func isNameStart(c rune) bool {
	switch {
	case c < utf8.RuneSelf:
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':'
	case c < 0x2000:
		return c >= 0xC0 && c != 0xD7 && c != 0xF7 && (c < 0x300 || c > 0x36F) && c != 0x37E
	default:
		return c == 0x200C || c == 0x200D ||
			c >= 0x2070 && c <= 0x218F ||
			c >= 0x2C00 && c <= 0x2FEF ||
			c >= 0x3001 && c <= 0xD7FF ||
			c >= 0xF900 && c <= 0xFDCF ||
			c >= 0xFDF0 && c <= 0xFFFD && c != utf8.RuneError ||
			c >= 0x10000 && c <= 0xEFFFF
	}
}

// isNameRune is production NameChar of XML 1.0, fifth edition.
func isNameRune(c rune) bool {
	return isNameStart(c) ||
		c >= '0' && c <= '9' || c == '-' || c == '.' || c == 0xB7 ||
		c >= 0x300 && c <= 0x36F ||
		c == 0x203F || c == 0x2040
}
