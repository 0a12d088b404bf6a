// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

const (
	sanitizerBuffer = 32 << 10
	maxNesting      = 64       // of JSON objects and arrays
	maxString       = 5 << 20  // decoded bytes kept of a string: more than records keep, so that they see that it was longer
	maxScalar       = 64 << 10 // bytes of a number or a literal
)

// byteOrderMark is that of UTF-8, which some servers put before what they say.
var byteOrderMark = []byte("\uFEFF")

var (
	errScalar  = errors.New("json: number or literal is too long")
	errNesting = fmt.Errorf("json: more than %d objects and arrays inside each other", maxNesting)
)

// sanitizer reads JSON and makes it fit for a strict decoder that holds whole tokens: control characters inside strings, which
// JSON forbids and Qualys sends now and then, become escapes; what a string has beyond maxString is left out; white space is
// kept to one character; nesting and numbers have their limits; a byte order mark at the beginning is left out. Everything else
// passes as it is, faults included.
type sanitizer struct {
	src      io.Reader
	limit    int // maxString
	buf      []byte
	begun    bool
	pos, end int
	err      error  // what src ended with
	escaped  []byte // to hand out before anything else
	repaired int64  // strings that held control characters

	inString bool
	mended   bool // the string counts as repaired
	slash    bool // a backslash came last
	hex      int  // digits left of \uXXXX
	kept     int  // bytes of the string that were met
	full     bool // what comes of the string is left out
	space    bool // white space came last
	depth    int
	scalar   int // bytes of the number or literal
}

func newSanitizer(src io.Reader) *sanitizer {
	return &sanitizer{src: src, limit: maxString, buf: make([]byte, sanitizerBuffer)}
}

// Read returns what is fit.
func (g *sanitizer) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if len(g.escaped) > 0 {
			n := copy(p, g.escaped)
			g.escaped = g.escaped[n:]
			return n, nil
		}
		if g.pos == g.end {
			if g.err != nil {
				return 0, g.err
			}
			g.fill()
			continue
		}
		n, read, err := g.scan(p, g.buf[g.pos:min(g.end, g.pos+len(p))])
		g.pos += read
		if n > 0 {
			return n, nil
		}
		if err != nil {
			g.err = err
			g.pos = g.end
		}
	}
}

// fill reads on, at first behind a byte order mark.
func (g *sanitizer) fill() {
	g.pos, g.end = 0, 0
	if g.begun {
		g.end, g.err = g.src.Read(g.buf)
		return
	}
	g.begun = true
	for g.end < len(byteOrderMark) && g.err == nil {
		var n int
		n, g.err = g.src.Read(g.buf[g.end:])
		g.end += n
	}
	if bytes.HasPrefix(g.buf[:g.end], byteOrderMark) {
		g.pos = len(byteOrderMark)
	}
}

// scan copies what of in is fit to dst, which is as long, and returns how many bytes that are and how many of in
// were read. It stops behind what is left out of a string: an escape can come in its place.
func (g *sanitizer) scan(dst, in []byte) (n, read int, err error) {
	from, i := 0, 0 // what is between them is to be copied
	for i < len(in) {
		if g.inString {
			if g.midway() {
				i += g.plain(in[i:])
				if i < len(in) && in[i] == '"' {
					g.inString = false
					i++
					continue
				}
			}
			if i == len(in) {
				break
			}
			if !g.inside(in[i]) {
				n += copy(dst[n:], in[from:i])
				return n, i + 1, nil
			}
			i++
			continue
		}
		c := meanings[in[i]]
		if c == jsonScalar {
			g.space = false
			run := scalar(in[i:])
			if g.scalar+run > maxScalar {
				i += maxScalar - g.scalar
				g.scalar = maxScalar
				err = errScalar
				break
			}
			g.scalar += run
			i += run
			continue
		}
		g.scalar = 0
		switch c {
		case jsonBlank:
			if g.space {
				n += copy(dst[n:], in[from:i])
				i += blanks(in[i:])
				from = i
				continue
			}
		case jsonQuote:
			g.inString, g.mended, g.full, g.kept = true, false, false, 0
		case jsonBegin:
			g.depth++
		case jsonEnd:
			g.depth--
		}
		if g.depth > maxNesting {
			err = errNesting
			break
		}
		g.space = c == jsonBlank
		i++
	}
	n += copy(dst[n:], in[from:i])
	return n, i, err
}

// scalar returns how much of a number or literal p begins with.
func scalar(p []byte) int {
	for i, c := range p {
		if meanings[c] != jsonScalar {
			return i
		}
	}
	return len(p)
}

// blanks returns how much white space p begins with.
func blanks(p []byte) int {
	for i, c := range p {
		if meanings[c] != jsonBlank {
			return i
		}
	}
	return len(p)
}

// meaning is what a byte between strings stands for.
type meaning uint8

const (
	jsonScalar meaning = iota // of a number or literal, or nothing that JSON knows
	jsonBlank
	jsonQuote
	jsonBegin
	jsonEnd
	jsonSeparator
)

var meanings = [256]meaning{
	' ': jsonBlank, '\t': jsonBlank, '\r': jsonBlank, '\n': jsonBlank, '"': jsonQuote,
	'{': jsonBegin, '[': jsonBegin, '}': jsonEnd, ']': jsonEnd, ',': jsonSeparator, ':': jsonSeparator,
}

// midway reports whether any byte of a string can come next.
func (g *sanitizer) midway() bool { return !g.slash && g.hex == 0 && !g.full }

// plain returns how many bytes p begins with that mean nothing but themselves, as far as the string has room.
func (g *sanitizer) plain(p []byte) int {
	p = p[:min(len(p), max(g.limit-g.kept, 0))]
	n := 0
	for ; n+8 <= len(p); n += 8 {
		if special := specials(binary.LittleEndian.Uint64(p[n:])); special != 0 {
			n += bits.TrailingZeros64(special) / 8
			g.kept += n
			return n
		}
	}
	for n < len(p) && p[n] >= ' ' && p[n] != '"' && p[n] != '\\' {
		n++
	}
	g.kept += n
	return n
}

// specials has the high bit set of the first byte of x that is a control character, a quotation mark or a backslash; bits
// above it can be wrong.
func specials(x uint64) uint64 {
	const (
		each = 0x0101010101010101
		high = 0x80 * each
	)
	marks := x ^ '"'*each
	slashes := x ^ '\\'*each
	return ((x-' '*each)&^x | (marks-each)&^marks | (slashes-each)&^slashes) & high
}

// inside looks at a byte of a string.
func (g *sanitizer) inside(c byte) (keep bool) {
	if g.slash {
		g.slash = false
		if c < ' ' {
			return g.escape("u%04x", c)
		}
		if c == 'u' {
			g.hex = 4
		}
		return !g.full
	}
	if g.hex > 0 && inName(c) {
		g.hex--
		return !g.full
	}
	g.hex = 0
	if c == '"' {
		g.inString = false
		return true
	}
	// A string is cut before a character, never inside one.
	if g.kept >= g.limit && c&0xC0 != 0x80 {
		g.full = true
	}
	g.kept++
	g.slash = c == '\\'
	if c < ' ' {
		return g.escape(`\u%04x`, c)
	}
	return !g.full
}

// escape hands out an escape in place of a control character.
func (g *sanitizer) escape(format string, c byte) (keep bool) {
	if !g.full {
		if !g.mended {
			g.mended = true
			g.repaired++
		}
		g.escaped = fmt.Appendf(g.escaped[:0], format, c)
	}
	return false
}
