// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"io"
)

// windowSize is how much of the input is held, in bytes, and so the longest
// tag and the longest piece of text.
const windowSize = 64 << 10

// spare is how many bytes behind the end of a part of the window can be read:
// see word.
const spare = 8

// maxEmptyReads is how often a source may return neither bytes nor an error.
const maxEmptyReads = 100

// window is the part of the input that is in memory.
type window struct {
	src  io.Reader
	err  error  // what src ended with; no more is read from it
	own  []byte // windowSize bytes, and spare ones
	buf  []byte // own, or what was lent
	lent bool
	pos  int   // in buf: what is before has been consumed
	end  int   // in buf: what is before has been read
	base int64 // offset of buf[0] in the input
}

func (w *window) reset(src io.Reader) {
	if w.own == nil {
		w.own = make([]byte, windowSize, windowSize+spare)
	}
	*w = window{src: src, own: w.own, buf: w.own}
}

// lend makes data the input before that of the source. It is read where it is.
func (w *window) lend(data []byte) {
	if cap(data)-len(data) < spare {
		data = append(make([]byte, 0, len(data)+spare), data...)
	}
	w.buf, w.end, w.lent = data, len(data), true
}

// unread returns the bytes that have been read and not yet consumed, as many as
// the window holds. They move with the next fill.
func (w *window) unread() []byte {
	return w.buf[w.pos:min(w.end, w.pos+windowSize)]
}

// fill reads at least one byte more. It returns errWindowFull if the bytes that
// have not been consumed leave no room, else the error that ended the source.
func (w *window) fill() error {
	if w.err != nil {
		return w.err
	}
	if w.end-w.pos >= len(w.own) {
		return errWindowFull
	}
	if w.pos > 0 || w.lent {
		copy(w.own, w.buf[w.pos:w.end])
		w.buf, w.lent = w.own, false
		w.base += int64(w.pos)
		w.end -= w.pos
		w.pos = 0
	}
	for range maxEmptyReads {
		n, err := w.src.Read(w.buf[w.end:])
		if n < 0 || n > len(w.buf)-w.end {
			n, err = 0, errBadCount
		}
		w.end += n
		w.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	w.err = io.ErrNoProgress
	return w.err
}

// startsWith reports whether the unread bytes start with prefix, and reads no
// more than it takes to know.
func (w *window) startsWith(prefix []byte) (bool, error) {
	for {
		p := w.unread()
		n := min(len(p), len(prefix))
		if string(p[:n]) != string(prefix[:n]) {
			return false, nil
		}
		if n == len(prefix) {
			return true, nil
		}
		if err := w.fill(); err != nil {
			return false, err
		}
	}
}

// skipPast consumes everything through the next mark.
func (w *window) skipPast(mark []byte) error {
	for {
		p := w.unread()
		if i := bytes.Index(p, mark); i >= 0 {
			w.pos += i + len(mark)
			return nil
		}
		// The last bytes can be the first ones of the mark.
		tail := min(len(p), len(mark)-1)
		w.pos += len(p) - tail
		if len(w.unread()) > tail {
			continue // what was lent holds more than a window
		}
		if err := w.fill(); err != nil {
			return err
		}
	}
}
