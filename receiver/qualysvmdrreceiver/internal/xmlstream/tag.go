// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"unicode/utf8"
)

// attr is an attribute of the current element.
type attr struct{ name, value []byte }

// startTag reads a start tag or an empty-element tag.
func (r *Reader) startTag() (Kind, error) {
	r.attrs = r.attrs[:0]
	p := r.unread()[1:]
	n := asciiName(p)
	if n > 0 && n < len(p) && isNameStart(rune(p[0])) {
		if size := r.plainAttributes(p, n); size > 0 {
			return r.open(p[:n], 1+size)
		}
	}
	return r.longStartTag()
}

// plainAttributes reads the attributes and the end of the start tag whose name p begins with, n bytes long, if they are
// written as nearly all are: a space before each, double quotes, nothing to decode. It returns the size of what it has
// read, name included, 0: nothing.
func (r *Reader) plainAttributes(p []byte, n int) int {
	for p[n] == ' ' {
		at := n + 1
		end := at + asciiName(p[at:])
		from := end + len(`="`)
		if end == at || end-at > MaxName || !isNameStart(rune(p[at])) || from > len(p) || string(p[end:from]) != `="` {
			return r.noAttributes()
		}
		size := bytes.IndexByte(p[from:], '"')
		n = from + size + 1
		if size < 0 || n == len(p) || plain(p[from:from+size], 0, text) < size || r.hasAttr(p[at:end]) || len(r.attrs) == MaxAttrs {
			return r.noAttributes()
		}
		r.attrs = append(r.attrs, attr{name: p[at:end], value: p[from : from+size]})
	}
	if p[n] != '>' {
		return r.noAttributes()
	}
	return n + 1
}

func (r *Reader) noAttributes() int {
	r.attrs = r.attrs[:0]
	return 0
}

func (r *Reader) hasAttr(name []byte) bool {
	for i := range r.attrs {
		if bytes.Equal(r.attrs[i].name, name) {
			return true
		}
	}
	return false
}

// longStartTag reads a start tag with attributes or white space of another kind,
// with a name beyond ASCII, or that is not in the window yet.
func (r *Reader) longStartTag() (Kind, error) {
	if c := r.unread()[1]; c < utf8.RuneSelf && !isNameStart(rune(c)) {
		return 0, r.syntax(0, "< that begins no tag")
	}
	tag, err := r.wholeTag("start tag")
	if err != nil {
		return 0, err
	}
	name := tag[1:nameEnd(tag, 1)]
	if len(name) == 0 {
		return 0, r.syntax(1, "malformed element name")
	}
	i, err := r.attributes(tag, 1+len(name))
	if err != nil {
		return 0, err
	}
	switch string(tag[i:]) {
	case ">":
	case "/>":
		r.mode = inEmptyTag
	default:
		return 0, r.syntax(i, "malformed start tag")
	}
	return r.open(name, len(tag))
}

// attributes reads the attributes that begin at p[i], up to the ">", "/" or "?"
// of the end, and returns where that is. What p begins with, the unread bytes do.
func (r *Reader) attributes(p []byte, i int) (int, error) {
	r.values = r.values[:0]
	for {
		at := skipSpace(p, i)
		if at == len(p) || p[at] == '>' || p[at] == '/' || p[at] == '?' {
			return at, nil
		}
		if at == i {
			return 0, r.syntax(at, "no white space before an attribute")
		}
		end := nameEnd(p, at)
		name := p[at:end]
		if len(name) == 0 {
			return 0, r.syntax(at, "malformed attribute name")
		}
		if len(name) > MaxName {
			return 0, r.syntax(at, "attribute name longer than %d bytes", MaxName)
		}
		if i = skipSpace(p, end); i == len(p) || p[i] != '=' {
			return 0, r.syntax(at, "attribute without a value")
		}
		from := skipSpace(p, i+1)
		if i = quotedEnd(p, from); i == from {
			return 0, r.syntax(at, "attribute value without quotes")
		}
		if err := r.addAttr(name, from+1, i-1); err != nil {
			return 0, err
		}
	}
}

// addAttr adds an attribute, whose value is written at from up to to in the
// unread bytes, to the current element.
func (r *Reader) addAttr(name []byte, from, to int) error {
	if len(r.attrs) == MaxAttrs {
		return r.syntax(from, "more than %d attributes", MaxAttrs)
	}
	if r.hasAttr(name) {
		return r.syntax(from, "attribute %.64q twice", name)
	}
	a := attr{name: name, value: r.unread()[from:to]}
	if i := plain(a.value, 0, attribute); i < len(a.value) {
		start := len(r.values)
		var err error
		if r.values, err = r.decode(r.values, from, from+i, to, attribute); err != nil {
			return err
		}
		a.value = r.values[start:]
	}
	r.attrs = append(r.attrs, a)
	return nil
}

// quotedEnd returns the index behind the quoted literal that begins at p[i], or
// i if there is none.
func quotedEnd(p []byte, i int) int {
	if i == len(p) || p[i] != '"' && p[i] != '\'' {
		return i
	}
	n := bytes.IndexByte(p[i+1:], p[i])
	if n < 0 {
		return i
	}
	return i + 1 + n + 1
}

// endTag reads an end tag.
func (r *Reader) endTag() (Kind, error) {
	if r.depth > 0 {
		name := r.top()
		p := r.buf[r.pos+len("</") : r.end]
		if len(p) > len(name) && p[len(name)] == '>' && string(p[:len(name)]) == string(name) {
			r.pos += len("</") + len(name) + len(">")
			r.pop()
			return EndElement, nil
		}
	}
	return r.longEndTag()
}

// longEndTag reads an end tag with white space, one that is not in the window
// yet, or one that is wrong.
func (r *Reader) longEndTag() (Kind, error) {
	tag, err := r.wholeTag("end tag")
	if err != nil {
		return 0, err
	}
	end := nameEnd(tag, len("</"))
	name := tag[len("</"):end]
	switch {
	case len(name) == 0 || skipSpace(tag, end) != len(tag)-1:
		return 0, r.syntax(0, "malformed end tag")
	case r.depth == 0:
		return 0, r.syntax(0, "end tag %.64q without its start tag", name)
	case !bytes.Equal(name, r.top()):
		return 0, r.syntax(0, "end tag %.64q inside element %.64q", name, r.top())
	}
	r.pos += len(tag)
	r.pop()
	return EndElement, nil
}

// wholeTag returns the tag that the unread bytes begin with, through its end,
// and has it in the window for that. It does not look at what is in the tag.
func (r *Reader) wholeTag(what string) ([]byte, error) {
	var quote byte
	for seen := 1; ; {
		p := r.unread()
		for ; seen < len(p); seen++ {
			if !tagMarks[p[seen]] {
				continue
			}
			switch c := p[seen]; {
			case c == '<':
				return nil, r.syntax(seen, "< inside a tag")
			case c == quote:
				quote = 0
			case quote != 0:
			case c == '>':
				return p[:seen+1], nil
			default:
				quote = c
			}
		}
		if err := r.fill(); err != nil {
			return nil, r.tooLong(what, err)
		}
	}
}

// tagMarks are the bytes that matter for where a tag ends.
var tagMarks = [256]bool{'<': true, '>': true, '"': true, '\'': true}

// open opens the element of a start tag of tagLen bytes, and consumes the tag.
func (r *Reader) open(name []byte, tagLen int) (Kind, error) {
	switch {
	case r.depth == 0 && r.root && !r.fragment:
		return 0, r.syntax(0, "second root element %.64q", name)
	case r.depth == MaxDepth:
		return 0, r.syntax(0, "more than %d elements deep", MaxDepth)
	case len(name) > MaxName:
		return 0, r.syntax(0, "element name longer than %d bytes", MaxName)
	}
	r.begun = true
	r.root = true
	r.begin(len(name), tagLen)
	return StartElement, nil
}

// begin makes the element of a start tag of tagLen bytes, which it consumes, the innermost one. Its name has nameLen bytes.
func (r *Reader) begin(nameLen, tagLen int) {
	from := r.pos + len("<")
	r.name, r.nameSaved = stretch{from, from + nameLen}, false
	r.unsaved = true
	r.depth++
	r.tagLen = tagLen
	r.pos += tagLen
}

// save puts the name of the innermost element, which has just begun, where it stays until the element ends.
func (r *Reader) save() {
	from := r.starts[r.depth-1]
	r.names = append(r.names[:from], r.Name()...)
	r.name, r.nameSaved = stretch{from, len(r.names)}, true
	r.starts[r.depth] = len(r.names)
	r.unsaved = false
}

// pop closes the innermost element. Its name stays in place until the next save.
func (r *Reader) pop() {
	r.name, r.nameSaved = stretch{r.starts[r.depth-1], r.starts[r.depth]}, true
	r.depth--
}

// top returns the name of the innermost open element.
func (r *Reader) top() []byte {
	return r.names[r.starts[r.depth-1]:r.starts[r.depth]]
}
