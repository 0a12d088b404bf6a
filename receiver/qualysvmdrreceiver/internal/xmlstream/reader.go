// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import "io"

// Kind says what [Reader.Next] has read.
type Kind uint8

// The kinds of token.
const (
	// StartElement is a start tag, or the first half of an empty-element tag.
	StartElement Kind = iota + 1
	// EndElement is an end tag, or the second half of an empty-element tag.
	EndElement
	// Text is a piece of character data.
	Text
)

// Limits of a document. What exceeds them gives a SyntaxError.
const (
	// MaxDepth is how many elements may be open at once.
	MaxDepth = 64
	// MaxName is the longest name of an element or attribute, in bytes.
	MaxName = 1 << 10
	// MaxAttrs is how many attributes an element may have.
	MaxAttrs = 256
	// MaxTag is the longest tag, XML declaration or document type, in bytes.
	MaxTag = windowSize
	// MaxReference is the longest entity or character reference, in bytes.
	MaxReference = 64
)

// mode is what the next call of Next has to begin with.
type mode uint8

const (
	inContent  mode = iota // between tokens
	inEmptyTag             // after the first half of an empty-element tag
	inCDATA                // in a CDATA section
	inRaw                  // in an element that Raw has begun
	ended                  // after the end of the document or an error
)

// Reader reads the tokens of one document, or of a sequence of elements.
//
// What its methods return as []byte belongs to the Reader: it is valid until
// the next call of a method that reads or resets. After an error, and after the end,
// every further call gives the same error. It is not safe for concurrent use.
type Reader struct {
	window

	fragment bool
	begun    bool // something but white space and comments has been met
	marked   bool // the document began with a byte order mark, which says that it is UTF-8
	doctype  bool // a document type has been met
	root     bool // a root element has been met
	mode     mode
	kind     Kind // of the last token
	failure  error

	depth   int
	names   []byte            // the names of the open elements, one after the other
	starts  [MaxDepth + 1]int // where in names each begins, and where the next would
	unsaved bool              // the name of the innermost one is not in names, but only in name

	name      stretch
	nameSaved bool // whether name is in names, and not in the window
	tagLen    int  // bytes of the last start tag, which end at pos
	attrs     []attr
	values    []byte // attribute values that differ from what is written
	data      stretch
	isDecoded bool   // whether the text is decoded, and not data
	decoded   []byte // text that differs from what is written
	cdata     bool
	repaired  int64
	raw       rawScan
}

// stretch is where something is in a buffer. A slice of it would be a pointer, and each that is stored takes time while the
// garbage collector works.
type stretch struct{ from, to int }

// NewReader returns a Reader of the one document in src. It reads no further
// than it needs for the next token, up to 64 KiB at a time, and through the end
// of src.
func NewReader(src io.Reader) *Reader {
	r := new(Reader)
	r.Reset(src)
	return r
}

// NewFragmentReader returns a Reader of a sequence of elements in src, with
// nothing but white space, comments and processing instructions around them.
// There may be none at all. What may come before the root of a document may
// come before the first of them.
func NewFragmentReader(src io.Reader) *Reader {
	r := &Reader{fragment: true}
	r.Reset(src)
	return r
}

// Reset makes r read src from the beginning, as a document or as fragments as
// before. It keeps the memory.
func (r *Reader) Reset(src io.Reader) {
	r.reset(src)
	*r = Reader{
		window:   r.window,
		fragment: r.fragment,
		names:    r.names[:0],
		attrs:    r.attrs[:0],
		values:   r.values[:0],
		decoded:  r.decoded[:0],
	}
}

// ResetBytes is Reset for an input that begins with data and goes on in src. It
// reads data where it is, so that data must not change until src is read from,
// nor the eight bytes behind it, if its capacity reaches so far.
func (r *Reader) ResetBytes(data []byte, src io.Reader) {
	r.Reset(src)
	r.lend(data)
}

// Next reads the next token. It returns io.EOF after the end of the document, a
// *SyntaxError where the input is not XML, an error that wraps
// io.ErrUnexpectedEOF if the input ends early, and errors of the source as they
// are. All complete tokens before an error are returned first.
//
// Comments, processing instructions, the document type and white space outside
// of the root are read over. White space between elements is Text.
func (r *Reader) Next() (Kind, error) {
	if r.unsaved {
		r.save()
	}
	for {
		kind, err := r.token()
		if err != nil {
			return 0, r.fail(err)
		}
		if kind != 0 {
			r.kind = kind
			return kind, nil
		}
	}
}

// token reads what comes next. It returns 0 if that is nothing to hand out.
func (r *Reader) token() (Kind, error) {
	if r.mode != inContent {
		return r.resume()
	}
	if r.pos == r.end {
		if err := r.fill(); err != nil {
			return 0, r.atEnd(err)
		}
	}
	if r.buf[r.pos] != '<' {
		if r.depth == 0 {
			return 0, r.outside()
		}
		return r.textPiece()
	}
	if r.pos+1 == r.end {
		if err := r.fill(); err != nil {
			return 0, r.truncated(err)
		}
	}
	switch r.buf[r.pos+1] {
	case '/':
		return r.endTag()
	case '!':
		return r.declaration()
	case '?':
		return 0, r.instruction()
	default:
		return r.startTag()
	}
}

// resume goes on where the last call has left something to do.
func (r *Reader) resume() (Kind, error) {
	switch r.mode {
	case inEmptyTag:
		r.mode = inContent
		r.pop()
		return EndElement, nil
	case inCDATA:
		return r.cdataPiece()
	case inRaw:
		return 0, errRawOpen
	default:
		return 0, r.failure
	}
}

// atEnd judges the end of the input between two tokens.
func (r *Reader) atEnd(err error) error {
	if err == io.EOF && r.depth == 0 && (r.root || r.fragment) {
		return io.EOF
	}
	return r.truncated(err)
}

func (r *Reader) fail(err error) error {
	r.mode = ended
	r.failure = err
	return err
}

// Skip reads through the end of the innermost open element: after a
// StartElement, through the EndElement that belongs to it. What it reads over
// is checked like everything else.
func (r *Reader) Skip() error {
	for depth := r.depth; depth > 0 && r.depth >= depth; {
		if _, err := r.Next(); err != nil {
			return err
		}
	}
	return nil
}

// Name returns the name of the StartElement or EndElement that was the last token.
func (r *Reader) Name() []byte {
	if r.nameSaved {
		return r.names[r.name.from:r.name.to]
	}
	return r.buf[r.name.from:r.name.to]
}

// Attrs returns the number of attributes of the last StartElement.
func (r *Reader) Attrs() int { return len(r.attrs) }

// Attr returns attribute i of the last StartElement, its value decoded. It
// panics if i is not below Attrs, as an index does.
func (r *Reader) Attr(i int) (name, value []byte) {
	return r.attrs[i].name, r.attrs[i].value
}

// Text returns the Text that was the last token, or that Leaf has just read over:
// one piece of character data, decoded. A value can come in several: comments,
// processing instructions and the borders of CDATA sections split it, and so does
// a length beyond 64 KiB, but never a rune.
func (r *Reader) Text() []byte {
	if r.isDecoded {
		return r.decoded
	}
	return r.buf[r.data.from:r.data.to]
}

// CDATA reports whether the last Text stood in a CDATA section.
func (r *Reader) CDATA() bool { return r.cdata }

// Depth returns how many elements are open. A StartElement opens its element,
// an EndElement closes it.
func (r *Reader) Depth() int { return r.depth }

// Offset returns how many bytes of the input, as UTF-8, have been consumed.
func (r *Reader) Offset() int64 { return r.base + int64(r.pos) }

// Repaired returns in how many pieces of text and attribute values there were
// bytes that are not UTF-8, or characters that XML forbids.
func (r *Reader) Repaired() int64 { return r.repaired }
