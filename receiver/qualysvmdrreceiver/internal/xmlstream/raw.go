// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import "bytes"

// Raw appends to dst the element whose StartElement was the last token, byte for
// byte as it is written, start tag and end tag included, to hand it to another
// Reader. It does so until the element ends (done is true, and r stands as after
// the EndElement) or out has reached limit bytes, give or take a few; then
// another call with room in dst goes on, and only Raw or Reset may be called.
//
// It is fast because it only counts tags. It neither matches names nor looks at
// text; that is left to the other Reader. On an error out holds what could be
// read.
func (r *Reader) Raw(dst []byte, limit int) (out []byte, done bool, err error) {
	switch {
	case r.mode == ended:
		return dst, false, r.failure
	case r.mode == inRaw:
	case r.kind != StartElement:
		return dst, false, errRawPlace
	default:
		dst = append(dst, r.buf[r.pos-r.tagLen:r.pos]...)
		r.raw = rawScan{open: 1}
		if r.mode == inEmptyTag {
			r.raw.open = 0
		}
		r.mode = inRaw
	}
	for r.raw.open > 0 {
		if len(dst) >= limit {
			return dst, false, nil
		}
		p := r.unread()
		n := r.raw.scan(p[:min(len(p), max(limit-len(dst), len(openCDATA)))])
		dst = append(dst, p[:n]...)
		r.pos += n
		if n > 0 {
			continue
		}
		if err := r.fill(); err != nil {
			dst = append(dst, r.unread()...)
			r.pos = r.end
			return dst, false, r.fail(r.cut(err))
		}
	}
	r.mode = inContent
	r.kind = EndElement
	r.pop()
	return dst, true, nil
}

// rawScan is where Raw is in its element. It can stop behind every byte but the
// first ones of a construct.
type rawScan struct {
	open   int    // elements that are open, the one itself included
	until  []byte // what ends the construct that has begun, if that is not a start tag
	closes bool   // whether that construct is an end tag
	inTag  bool   // whether a start tag has begun
	quote  byte   // what ends the attribute value that has begun in it
	slash  bool   // whether a slash was the last byte of it
}

// scan reads over as much of p as it can tell what it is, at most through the
// end of the element, and returns how much that is. It is 0 only if p is shorter
// than what constructs begin with.
func (s *rawScan) scan(p []byte) int {
	i := 0
	for s.open > 0 && i < len(p) {
		switch {
		case s.inTag:
			i += s.startTag(p[i:])
		case s.until != nil:
			n := bytes.Index(p[i:], s.until)
			if n < 0 {
				return max(i, len(p)-len(s.until)+1)
			}
			i += n + len(s.until)
			s.until = nil
			if s.closes {
				s.closes = false
				s.open--
			}
		default:
			n := bytes.IndexByte(p[i:], '<')
			if n < 0 {
				return len(p)
			}
			i += n
			if n = s.begin(p[i:]); n == 0 {
				return i
			}
			i += n
		}
	}
	return i
}

// begin reads what tells which construct p begins with, or all of a short tag.
func (s *rawScan) begin(p []byte) int {
	if len(p) < 2 {
		return 0
	}
	switch p[1] {
	case '/':
		if n := bytes.IndexByte(p, '>'); n > 0 {
			s.open--
			return n + 1
		}
		s.until = tagEnd
		s.closes = true
		return 2
	case '?':
		s.until = instructionEnd
		return 2
	case '!':
		return s.beginDeclaration(p)
	default:
		if n := 1 + asciiName(p[1:]); n < len(p) && p[n] == '>' {
			s.open++
			return n + 1
		}
		s.inTag = true
		return 1
	}
}

func (s *rawScan) beginDeclaration(p []byte) int {
	switch {
	case bytes.HasPrefix(p, openComment):
		s.until = commentEnd
		return len(openComment)
	case bytes.HasPrefix(p, openCDATA):
		s.until = cdataEnd
		return len(openCDATA)
	case len(p) < len(openCDATA):
		return 0
	default:
		// No element can hold it. The reader of what Raw returns says so.
		s.until = tagEnd
		return 2
	}
}

// startTag reads on in a start tag.
func (s *rawScan) startTag(p []byte) int {
	for i, c := range p {
		switch {
		case s.quote != 0:
			if c == s.quote {
				s.quote = 0
			}
		case c == '"', c == '\'':
			s.quote = c
		case c == '>':
			if !s.slash {
				s.open++
			}
			s.slash = false
			s.inTag = false
			return i + 1
		}
		s.slash = c == '/'
	}
	return len(p)
}
