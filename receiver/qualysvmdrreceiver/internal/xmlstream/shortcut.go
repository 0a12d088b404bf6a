// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import "bytes"

// Expect reads the start tag that comes next, as Next would, if it has that name and no attributes, and is in the window.
// Otherwise it returns false and has read nothing. The name is one that Name has returned before: nobody checks whether it
// is one.
//
// Which element follows which hardly ever changes, so that this takes the place of most calls of Next.
func (r *Reader) Expect(name string) bool {
	p, n := r.unread(), len(name)
	if len(p) < n+2 || p[0] != '<' || p[n+1] != '>' || string(p[1:n+1]) != name || r.mode != inContent || r.depth == 0 || r.depth == MaxDepth {
		return false
	}
	if r.unsaved {
		r.save()
	}
	r.attrs = r.attrs[:0]
	r.begin(n, n+2)
	r.kind = StartElement
	return true
}

// Leaf reads through the end of the element whose StartElement was the last token, if there is nothing in it but one
// piece of text, or nothing at all, and if that can be seen at once: it is in the window to its end, and means what is
// written. Text and CDATA then tell of that piece, and r stands as after the EndElement. Otherwise Leaf returns false
// and has read nothing, so that Next goes on.
//
// Nearly all elements of a page are such leaves, for which this takes the place of two calls of Next.
func (r *Reader) Leaf() bool {
	if r.kind != StartElement || r.mode > inEmptyTag {
		return false
	}
	if r.mode == inEmptyTag {
		r.mode = inContent
		r.closeLeaf()
		r.isDecoded, r.data = false, stretch{}
		return true
	}
	p := r.unread()
	n := plain(p, 0, text)
	switch {
	case len(p)-n < len("</"):
		return false
	case p[n+1] == '/':
		return r.endLeaf(0, n, n, text)
	case n > 0 || !bytes.HasPrefix(p, openCDATA):
		return false
	}
	n = plain(p, len(openCDATA), cdataSection)
	if !bytes.HasPrefix(p[n:], cdataEnd) {
		return false
	}
	return r.endLeaf(len(openCDATA), n, n+len(cdataEnd), cdataSection)
}

// endLeaf ends the innermost element with the unread bytes from index from up to to as its text, if its end tag begins n bytes
// ahead.
func (r *Reader) endLeaf(from, to, n int, where place) bool {
	name := r.Name()
	tag := r.unread()[n:]
	size := len("</") + len(name) + len(">")
	if len(tag) < size || tag[size-1] != '>' || string(tag[:2]) != "</" || string(tag[2:size-1]) != string(name) {
		return false
	}
	r.hand(from, to, n+size, where)
	r.closeLeaf()
	return true
}

// closeLeaf closes the innermost element, whose name nobody has needed to save.
func (r *Reader) closeLeaf() {
	r.kind = EndElement
	r.unsaved = false
	r.depth--
}

// SkipSpace reads over the white space that comes next, as far as it is in the window. It is for where white space means
// nothing, which takes less than to be handed it. After it neither Leaf nor Raw reads the element that has begun.
func (r *Reader) SkipSpace() {
	if r.mode == inContent && r.depth > 0 {
		r.pos += skipSpace(r.unread(), 0)
		r.kind = Text
	}
}
