// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import "unicode/utf8"

// What constructs begin and end with.
var (
	openXML     = []byte("<?xml")
	openComment = []byte("<!--")
	openCDATA   = []byte("<![CDATA[")
	openDoctype = []byte("<!DOCTYPE")

	instructionEnd = []byte("?>")
	commentEnd     = []byte("-->")
	cdataEnd       = []byte("]]>")
	tagEnd         = []byte(">")
)

// declaration reads what begins with "<!".
func (r *Reader) declaration() (Kind, error) {
	if len(r.unread()) == len("<!") {
		if err := r.fill(); err != nil {
			return 0, r.truncated(err)
		}
	}
	switch r.unread()[len("<!")] {
	case '-':
		return 0, r.comment()
	case '[':
		return r.beginCDATA()
	default:
		return 0, r.documentType()
	}
}

func (r *Reader) comment() error {
	if err := r.expect(openComment); err != nil {
		return err
	}
	r.pos += len(openComment)
	return r.readPast(commentEnd)
}

func (r *Reader) beginCDATA() (Kind, error) {
	if err := r.expect(openCDATA); err != nil {
		return 0, err
	}
	if r.depth == 0 {
		return 0, r.syntax(0, "CDATA section outside of the root element")
	}
	r.pos += len(openCDATA)
	r.mode = inCDATA
	return r.cdataPiece()
}

// instruction reads over a processing instruction, or reads the XML declaration.
func (r *Reader) instruction() error {
	isXML, err := r.startsWith(openXML)
	if err != nil {
		return r.truncated(err)
	}
	if isXML {
		if len(r.unread()) == len(openXML) {
			if err := r.fill(); err != nil {
				return r.truncated(err)
			}
		}
		if c := r.unread()[len(openXML)]; isSpace(c) || c == '?' {
			return r.xmlDeclaration()
		}
	}
	if c := r.unread()[len("<?")]; c < utf8.RuneSelf && !isNameStart(rune(c)) {
		return r.syntax(0, "malformed processing instruction")
	}
	r.begun = true
	r.pos += len("<?") + 1
	return r.readPast(instructionEnd)
}

// expect gives an error unless the unread bytes start with opening.
func (r *Reader) expect(opening []byte) error {
	found, err := r.startsWith(opening)
	if err != nil {
		return r.truncated(err)
	}
	if !found {
		return r.syntax(0, "unknown markup declaration")
	}
	return nil
}

// readPast reads over everything through the next mark.
func (r *Reader) readPast(mark []byte) error {
	if err := r.skipPast(mark); err != nil {
		return r.truncated(err)
	}
	return nil
}
