// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"unicode/utf8"
)

// textPiece reads character data up to the next tag, or as much of it as the
// window holds.
func (r *Reader) textPiece() (Kind, error) {
	p := r.unread()
	seen := plain(p, 0, text)
	if seen < len(p) && p[seen] == '<' {
		return r.hand(0, seen, seen, text), nil
	}
	for {
		if i := bytes.IndexByte(p[seen:], '<'); i >= 0 {
			return r.piece(seen+i, text)
		}
		seen = len(p)
		if err := r.fill(); err != nil {
			return r.lastPiece(text, err)
		}
		p = r.unread()
	}
}

// cdataPiece reads on in a CDATA section, through its end or as far as the
// window holds.
func (r *Reader) cdataPiece() (Kind, error) {
	p := r.unread()
	seen := plain(p, 0, cdataSection)
	if seen > 0 && bytes.HasPrefix(p[seen:], cdataEnd) {
		kind := r.hand(0, seen, seen, cdataSection)
		r.pos += len(cdataEnd)
		r.mode = inContent
		return kind, nil
	}
	seen = max(0, seen-len(cdataEnd)+1)
	for {
		if i := bytes.Index(p[seen:], cdataEnd); i >= 0 {
			kind, err := r.piece(seen+i, cdataSection)
			r.pos += len(cdataEnd)
			r.mode = inContent
			return kind, err
		}
		seen = max(0, len(p)-len(cdataEnd)+1)
		if err := r.fill(); err != nil {
			return r.lastPiece(cdataSection, err)
		}
		p = r.unread()
	}
}

// lastPiece is the piece before the place where the window cannot be filled
// further, or the error if there is nothing left to hand out.
func (r *Reader) lastPiece(where place, err error) (Kind, error) {
	n := whole(r.unread(), where)
	if n == 0 {
		return 0, r.truncated(err)
	}
	return r.piece(n, where)
}

// whole returns how much of the unfinished data p can be handed out, whatever
// may follow: not the beginning of a reference, a rune, a line end or "]]>".
func whole(p []byte, where place) int {
	n := len(p)
	if where == text {
		tail := max(0, n-MaxReference)
		tail += bytes.LastIndexByte(p[tail:], ';') + 1
		if i := bytes.IndexByte(p[tail:], '&'); i >= 0 {
			return tail + i
		}
	}
	if n > 0 && p[n-1] == '\r' {
		return n - 1
	}
	for i := 1; i < utf8.UTFMax && i <= n; i++ {
		if utf8.RuneStart(p[n-i]) {
			if !utf8.FullRune(p[n-i:]) {
				return n - i
			}
			break
		}
	}
	for range len(cdataEnd) - 1 {
		if n > 0 && p[n-1] == ']' {
			n--
		}
	}
	return n
}

// piece reads the first n unread bytes as a piece of text. It returns 0 if that
// is nothing.
func (r *Reader) piece(n int, where place) (Kind, error) {
	if n == 0 {
		return 0, nil
	}
	p := r.unread()[:n]
	i := plain(p, 0, where)
	if i == n {
		return r.hand(0, n, n, where), nil
	}
	var err error
	if r.decoded, err = r.decode(r.decoded[:0], 0, i, n, where); err != nil {
		return 0, err
	}
	r.hand(0, n, n, where)
	r.isDecoded = true
	return Text, nil
}

// hand makes the unread bytes from index from up to to the current piece of text,
// and consumes n bytes.
func (r *Reader) hand(from, to, n int, where place) Kind {
	r.data, r.isDecoded = stretch{r.pos + from, r.pos + to}, false
	r.cdata = where == cdataSection
	r.pos += n
	return Text
}

// decode appends to dst what the unread bytes from index from up to to mean.
// Those before index i are plain.
func (r *Reader) decode(dst []byte, from, i, to int, where place) ([]byte, error) {
	p := r.unread()[:to]
	dst = append(dst, p[from:i]...)
	repaired := false
	for i < len(p) {
		c, size := utf8.DecodeRune(p[i:])
		switch c {
		case '&':
			var problem string
			if c, size, problem = reference(p[i:]); problem != "" {
				return dst, r.syntax(i, "%s", problem)
			}
			repaired = repaired || !isChar(c)
		case '\r':
			c = '\n'
			if i+1 < len(p) && p[i+1] == '\n' {
				size = len("\r\n")
			}
		case '>':
			return dst, r.syntax(i, "]]> outside of a CDATA section")
		default:
			repaired = true
		}
		// What UTF-8 cannot encode becomes U+FFFD here.
		dst = utf8.AppendRune(dst, c)
		i += size
		next := plain(p, i, where)
		dst = append(dst, p[i:next]...)
		i = next
	}
	if repaired {
		r.repaired++
	}
	return dst, nil
}
