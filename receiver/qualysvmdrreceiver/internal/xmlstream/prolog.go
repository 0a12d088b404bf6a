// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"

	"golang.org/x/text/transform"
)

var byteOrderMark = []byte("\uFEFF")

// outside reads over what stands outside of the root and is no markup: white
// space, and the byte order mark at the very beginning.
func (r *Reader) outside() error {
	if r.Offset() == 0 {
		mark, err := r.startsWith(byteOrderMark)
		if err != nil {
			return r.truncated(err)
		}
		if mark {
			r.pos += len(byteOrderMark)
			r.marked = true
			return nil
		}
	}
	n := skipSpace(r.unread(), 0)
	if n == 0 {
		return r.syntax(0, "text outside of the root element")
	}
	r.pos += n
	return nil
}

// xmlDeclaration reads the XML declaration, for the encoding that it names.
func (r *Reader) xmlDeclaration() error {
	if r.begun {
		return r.syntax(0, "XML declaration elsewhere than at the beginning")
	}
	end := bytes.Index(r.unread(), instructionEnd)
	for ; end < 0; end = bytes.Index(r.unread(), instructionEnd) {
		if err := r.fill(); err != nil {
			return r.tooLong("XML declaration", err)
		}
	}
	p := r.unread()[:end+len(instructionEnd)]
	i, err := r.attributes(p, len(openXML))
	if err != nil || i != end {
		return r.syntax(0, "malformed XML declaration")
	}
	var decoder transform.Transformer
	for _, a := range r.attrs {
		switch string(a.name) {
		case "version", "standalone":
		case "encoding":
			var known bool
			if decoder, known = decoderOf(string(a.value)); !known {
				return r.syntax(0, "encoding %.64q is not supported", a.value)
			}
		default:
			return r.syntax(0, "malformed XML declaration")
		}
	}
	r.begun = true
	r.pos += len(p)
	if decoder != nil && !r.marked {
		r.decodeRest(decoder)
	}
	return nil
}

// documentType reads over the document type. What it refers to is never read,
// and it may declare nothing itself.
func (r *Reader) documentType() error {
	if err := r.expect(openDoctype); err != nil {
		return err
	}
	if r.root || r.doctype {
		return r.syntax(0, "document type elsewhere than once before the root element")
	}
	p, err := r.wholeDocumentType()
	if err != nil {
		return err
	}
	if !isDocumentType(p) {
		return r.syntax(0, "malformed document type")
	}
	r.begun = true
	r.doctype = true
	r.pos += len(p)
	return nil
}

// wholeDocumentType returns the document type that the unread bytes begin with,
// through its end, and has it in the window for that.
func (r *Reader) wholeDocumentType() ([]byte, error) {
	var quote byte
	for seen := len(openDoctype); ; {
		p := r.unread()
		for ; seen < len(p); seen++ {
			switch c := p[seen]; {
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case c == '"', c == '\'':
				quote = c
			case c == '[':
				return nil, r.syntax(seen, "document type with an internal subset")
			case c == '<':
				return nil, r.syntax(seen, "malformed document type")
			case c == '>':
				return p[:seen+1], nil
			}
		}
		if err := r.fill(); err != nil {
			return nil, r.tooLong("document type", err)
		}
	}
}

// isDocumentType reports whether p is a document type without an internal subset.
func isDocumentType(p []byte) bool {
	nameAt := skipSpace(p, len(openDoctype))
	i := nameEnd(p, nameAt)
	if nameAt == len(openDoctype) || i == nameAt {
		return false
	}
	idAt := skipSpace(p, i)
	if idAt > i {
		literals := 0
		switch {
		case bytes.HasPrefix(p[idAt:], []byte("SYSTEM")):
			literals = 1
		case bytes.HasPrefix(p[idAt:], []byte("PUBLIC")):
			literals = 2
		}
		if literals > 0 {
			i = idAt + len("SYSTEM")
		}
		for range literals {
			at := skipSpace(p, i)
			end := quotedEnd(p, at)
			if at == i || end == at {
				return false
			}
			i = end
		}
	}
	return skipSpace(p, i) == len(p)-1
}
