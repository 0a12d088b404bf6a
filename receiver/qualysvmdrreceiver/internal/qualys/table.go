// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

const (
	// maxRow is how many bytes of a CSV response one row may take: as much as a record may hold.
	maxRow = 8 << 20
	// maxCommas is how many commas: the memory of a row is mostly that of its fields, if those are short.
	maxCommas = 64 << 10
)

var (
	errRowTooLarge = errors.New("csv: row of more than 8 MiB, or of more than 65536 fields")
	errNotCSV      = errors.New("response is not CSV")
)

// table reads the rows of a CSV response. It is liberal with quotes, of which Qualys documents nothing, and with the number of
// fields; a line break inside of a field becomes one newline.
type table struct {
	src *tableSource
	csv *csv.Reader
	// open is true if the row read last does not end with a line break: it can be cut.
	open bool
}

func newTable(src io.Reader) *table {
	t := &table{src: &tableSource{src: bufio.NewReaderSize(src, 32<<10), left: maxRow, commas: maxCommas}}
	t.csv = csv.NewReader(t.src)
	t.csv.FieldsPerRecord = -1
	t.csv.LazyQuotes = true
	t.csv.ReuseRecord = true
	return t
}

// begin reports whether what comes first can be CSV, over a byte order mark and white space. Only its first bytes are read.
func (t *table) begin() error {
	if bom, err := t.src.src.Peek(3); err == nil && bytes.Equal(bom, []byte("\xEF\xBB\xBF")) {
		_, _ = t.src.src.Discard(len(bom)) // they were peeked at
	}
	for {
		first, err := t.src.src.ReadByte()
		if err != nil {
			return err
		}
		switch first {
		case ' ', '\t', '\r', '\n':
			continue
		case '<', '{', '[':
			return errNotCSV
		}
		return t.src.src.UnreadByte()
	}
}

// next returns the fields of the next row, which are valid until it is called again. It returns io.EOF after the last row, and
// io.ErrUnexpectedEOF if that has no end: a quoted field is still open.
func (t *table) next() ([]string, error) {
	fields, err := t.csv.Read()
	if err != nil {
		return nil, err
	}
	t.src.left, t.src.commas = maxRow, maxCommas
	if last := fields[len(fields)-1]; t.src.ended && strings.HasSuffix(last, endOfTable) {
		if last == endOfTable && len(fields) == 1 {
			return nil, io.EOF
		}
		return nil, io.ErrUnexpectedEOF
	}
	t.open = t.src.ended && t.csv.InputOffset() > t.src.size
	return fields, nil
}

// endOfTable is a row that tableSource puts behind the last one. If it is not met as a row of its own, the row before it has
// swallowed it: encoding/csv itself is silent about a quote that is missing at the end, if it is to be liberal with quotes.
const endOfTable = "\x00end\x00"

// tableSource is the bytes of a table, with endOfTable behind them. What one row may take of them is limited.
type tableSource struct {
	src    *bufio.Reader
	left   int   // of the limit
	commas int   // that may still come
	size   int64 // bytes read of src
	ended  bool
	end    string // what is still to be read of endOfTable
}

// Read reads the bytes.
func (s *tableSource) Read(p []byte) (int, error) {
	if s.ended {
		if s.end == "" {
			return 0, io.EOF
		}
		n := copy(p, s.end)
		s.end = s.end[n:]
		return n, nil
	}
	if s.left <= 0 || s.commas <= 0 {
		return 0, errRowTooLarge
	}
	n, err := s.src.Read(p[:min(len(p), s.left)])
	s.left -= n
	s.commas -= bytes.Count(p[:n], []byte(","))
	s.size += int64(n)
	if err == io.EOF {
		s.ended, s.end, err = true, "\n"+endOfTable, nil
	}
	return n, err
}
