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
// It is fast because it looks for nothing but the tags of elements of that name,
// and for what can hide them: CDATA sections, comments and instructions. All else
// is left to the other Reader: where that one finds the element well-formed, its
// end is where it was found here. On an error out holds what could be read.
func (r *Reader) Raw(dst []byte, limit int) (out []byte, done bool, err error) {
	switch {
	case r.mode == ended:
		return dst, false, r.failure
	case r.mode == inRaw:
	case r.kind != StartElement:
		return dst, false, errRawPlace
	default:
		r.save()
		dst = append(dst, r.buf[r.pos-r.tagLen:r.pos]...)
		r.raw = rawScan{name: r.Name(), open: 1}
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
		n := r.raw.scan(p[:min(len(p), max(limit-len(dst), r.raw.longest()))])
		dst = append(dst, p[:n]...)
		r.pos += n
		if n > 0 {
			continue
		}
		if err := r.fill(); err != nil {
			dst = append(dst, r.unread()...)
			r.pos = r.end
			return dst, false, r.fail(r.truncated(err))
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
	name   []byte // of the element
	open   int    // elements of that name that are open, the one itself included
	until  []byte // what ends the construct that has begun, if that is not a start tag
	closes bool   // whether that construct is an end tag
	inTag  bool   // whether a start tag has begun
	quote  byte   // what ends the attribute value that has begun in it
	slash  bool   // whether a slash was the last byte of it
}

// longest is how many bytes it takes at most to tell what a construct is.
func (s *rawScan) longest() int { return max(len(openCDATA), len("</")+len(s.name)+1) }

// scan reads over as much of p as it can tell what it is, at most through the
// end of the element, and returns how much that is. It is 0 only if p is shorter
// than longest.
func (s *rawScan) scan(p []byte) int {
	m := openings{name: s.name[0], first: -1, declaration: -1, instruction: -1}
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
			at := m.next(p, i)
			if at == len(p) {
				return s.unfinished(p, i)
			}
			n, known := s.begin(p, at)
			if !known {
				return s.unfinished(p, i)
			}
			i = n
		}
	}
	return i
}

// openings finds the second bytes of the constructs that matter. Those are rare in
// a page, other than "<", so that looking for each by itself takes least.
type openings struct {
	name                            byte // what the name begins with
	first, declaration, instruction int  // where the next ones are, if not before what was asked for
}

// next returns the index from i on of the next byte that can be the second one of
// a construct, len(p): there is none.
func (m *openings) next(p []byte, i int) int {
	find := func(at *int, c byte) int {
		if *at < i {
			*at = len(p)
			if n := bytes.IndexByte(p[i:], c); n >= 0 {
				*at = i + n
			}
		}
		return *at
	}
	return min(find(&m.first, m.name), find(&m.declaration, '!'), find(&m.instruction, '?'))
}

// begin reads what begins a construct whose second byte, or third in an end tag,
// may be at index at of p, or all of a short tag. It returns the index behind that,
// and false if p ends before it is known.
func (s *rawScan) begin(p []byte, at int) (behind int, known bool) {
	opened := at >= 1 && p[at-1] == '<'
	switch c := p[at]; {
	case c == '!' && opened:
		return s.beginDeclaration(p, at-1)
	case c == '?' && opened:
		s.until = instructionEnd
		return at + 1, true
	case c != s.name[0]:
		return at + 1, true
	}
	closes := at >= 2 && p[at-1] == '/' && p[at-2] == '<'
	rest := p[at:]
	switch {
	case !opened && !closes:
		return at + 1, true
	case len(rest) <= len(s.name):
		return at + 1, !bytes.HasPrefix(s.name, rest)
	case !bytes.HasPrefix(rest, s.name):
		return at + 1, true
	}
	behind = at + len(s.name)
	switch c := p[behind]; {
	case c == '>' && closes:
		s.open--
		return behind + 1, true
	case c == '>':
		s.open++
		return behind + 1, true
	case isSpace(c) && closes:
		s.until = tagEnd
		s.closes = true
	case isSpace(c) || c == '/':
		s.inTag = !closes
	}
	return behind, true
}

// beginDeclaration reads what begins the construct at index at of p, "<!".
func (s *rawScan) beginDeclaration(p []byte, at int) (behind int, known bool) {
	switch p := p[at:]; {
	case bytes.HasPrefix(p, openComment):
		s.until = commentEnd
		return at + len(openComment), true
	case bytes.HasPrefix(p, openCDATA):
		s.until = cdataEnd
		return at + len(openCDATA), true
	case len(p) < len(openCDATA):
		return at, false
	default:
		// No element can hold it. The reader of what Raw returns says so.
		s.until = tagEnd
		return at + len("<!"), true
	}
}

// unfinished returns how much of p, from index i on, can be handed out although
// nothing was found in it: not what may be the beginning of a construct.
func (s *rawScan) unfinished(p []byte, i int) int {
	tail := max(i, len(p)-s.longest()+1)
	if n := bytes.LastIndexByte(p[tail:], '<'); n >= 0 {
		return tail + n
	}
	return len(p)
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
