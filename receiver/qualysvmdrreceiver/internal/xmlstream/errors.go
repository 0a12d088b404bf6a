// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"errors"
	"fmt"
	"io"
)

// SyntaxError says where and why the input is not XML, or is beyond a limit of
// this package. An input that is merely cut off is none; it gives an error that
// wraps io.ErrUnexpectedEOF.
type SyntaxError struct {
	// Offset is the place in the input, in bytes from its beginning. What is not written in UTF-8 counts as it would be there.
	Offset int64
	// Msg says what is wrong there.
	Msg string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("xml: byte %d: %s", e.Offset, e.Msg)
}

var (
	errWindowFull = errors.New("xml: window is full")
	errBadCount   = errors.New("xml: source returned an impossible count of bytes")
	errRawOpen    = errors.New("xml: Raw has not reached the end of its element")
	errRawPlace   = errors.New("xml: Raw called elsewhere than after a start element")
)

// syntax makes a SyntaxError for the place n bytes behind what has been consumed.
func (r *Reader) syntax(n int, format string, args ...any) error {
	return &SyntaxError{Offset: r.Offset() + int64(n), Msg: fmt.Sprintf(format, args...)}
}

// truncated turns the error that ended the input inside the document into the
// caller's: the end of the input becomes io.ErrUnexpectedEOF, others stay.
func (r *Reader) truncated(err error) error {
	if err != io.EOF {
		return err
	}
	place := "outside of an element"
	if r.depth > 0 {
		place = fmt.Sprintf("inside element %.64q", r.top())
	}
	return fmt.Errorf("xml: byte %d: document ends %s: %w", r.base+int64(r.end), place, io.ErrUnexpectedEOF)
}

// tooLong is like truncated, and names what did not fit if the window was full.
func (r *Reader) tooLong(what string, err error) error {
	if err == errWindowFull {
		return r.syntax(0, "%s longer than %d bytes", what, windowSize)
	}
	return r.truncated(err)
}
