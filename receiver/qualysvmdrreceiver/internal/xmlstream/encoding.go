// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/transform"
)

// encodings are the names of what can be read, in upper case, with their tables. Those without one are read as they are.
var encodings = map[string]*charmap.Charmap{
	"UTF-8":        nil,
	"US-ASCII":     nil,
	"ISO-8859-1":   charmap.ISO8859_1,
	"ISO-8859-15":  charmap.ISO8859_15,
	"WINDOWS-1252": charmap.Windows1252,
}

// decoderOf returns what makes UTF-8 of a declared encoding, nil: it is that, and reports whether the encoding is known.
func decoderOf(name string) (decoder transform.Transformer, known bool) {
	table, known := encodings[strings.ToUpper(name)]
	if table != nil {
		decoder = table.NewDecoder()
	}
	return decoder, known
}

// decodeRest has everything that has not been consumed decoded. What was before counts as it was.
func (w *window) decodeRest(decoder transform.Transformer) {
	rest := bytes.Clone(w.buf[w.pos:w.end])
	src := w.src
	if w.err != nil {
		src = brokenOff{w.err}
	}
	w.base += int64(w.pos)
	w.src, w.err = transform.NewReader(io.MultiReader(bytes.NewReader(rest), src), decoder), nil
	w.buf, w.lent = w.own, false
	w.pos, w.end = 0, 0
}

// brokenOff is a source that has ended with an error.
type brokenOff struct{ err error }

// Read implements io.Reader.
func (b brokenOff) Read([]byte) (int, error) { return 0, b.err }
