// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Activity builds the records of the user activity log.
type Activity struct {
	builder
	tape    tape
	at      places // in the tape
	header  []string
	columns []*key // those that rows have had
}

// NewActivity returns a builder of the records of rows.
func NewActivity(settings Settings) *Activity {
	return &Activity{builder: newBuilder(settings), tape: newTape(newInterner(columnRoles))}
}

// Begin says when what follows was collected, by the server's clock, in which collection, and the names of its columns, which
// must not change until the next call. Keep is called for every row that has been read, as by [Detections.Begin]. Rows have no
// ID: keep may set the Key of the Item, so that equal rows have different ones.
func (a *Activity) Begin(collected time.Time, collection string, columns []string, keep func(*Item) bool) {
	a.begin(collected, collection, keep)
	a.header = columns
	a.forgetColumns()
}

// forgetColumns forgets the keys of the columns, which are looked up again.
func (a *Activity) forgetColumns() {
	clear(a.columns)
	a.columns = a.columns[:0]
}

// column returns the key of the field with that index.
func (a *Activity) column(i int) *key {
	for n := len(a.columns); n <= i; n++ {
		text := fmt.Sprintf("Column%d", n+1)
		if n < len(a.header) {
			text = keyText(strings.ReplaceAll(a.header[n], " ", "_"))
		}
		a.columns = append(a.columns, a.tape.interner.key(text))
	}
	return a.columns[i]
}

// Row makes a record of a row: its fields, in the order of the columns. ErrTooLarge says that the row is more than a record
// may hold; nothing is kept of it then.
func (a *Activity) Row(fields []string) error {
	repaired, err := a.read(fields)
	if err != nil {
		return fmt.Errorf("row: %w", err)
	}
	t := &a.tape
	a.at.find(t.nodes, 1, len(t.nodes))
	a.identify()
	if !a.wanted() {
		a.current.UnitsDone++
		return nil
	}
	a.write(t.nodes, t.text)
	if !a.fits() {
		a.finish()
	}
	a.current.UnitsDone++
	if !a.open {
		a.describe(a.resource(), &machine{})
	}
	lr := a.record(&userActivityLogs, a.item.Content, 0)
	if a.item.Updated != 0 && !a.settings.Collected {
		lr.SetTimestamp(pcommon.Timestamp(a.item.Updated * int64(time.Second)))
	}
	a.body(lr, t.nodes, t.text)
	if t.truncated > 0 {
		nameTruncated(lr, truncatedPaths(nil, t.nodes[1:], nil))
	}
	a.current.Truncated += t.truncated
	a.current.Repaired += repaired
	return nil
}

// read reads a row into the tape, and returns in how many fields bytes were repaired.
func (a *Activity) read(fields []string) (repaired int64, err error) {
	t := &a.tape
	if t.reset(maxRecord) {
		a.forgetColumns()
	}
	at := t.push(t.interner.empty, object)
	t.pushText(t.interner.logType, userActivityLogs.logType)
	for i, field := range fields {
		if !utf8.ValidString(field) {
			field = strings.ToValidUTF8(field, "\ufffd")
			repaired++
		}
		from := len(t.text)
		t.text = append(t.text, field...)
		t.pushFrom(a.column(i), from)
		t.charge()
		if t.full() {
			return 0, ErrTooLarge
		}
	}
	t.reserve(at+2, false)
	return repaired, t.close(at)
}

// identify fills in the item.
func (a *Activity) identify() {
	content, size := a.hasher.content(a.tape.nodes, a.tape.text)
	a.item = Item{Content: content, Bytes: int32(size)}
	if s, ok := parseTime(textOf(a.tape.nodes, a.at[roleDate], a.tape.text)); ok {
		a.item.Updated = s
	}
}

// Take returns the oldest Chunk, which goes over to the caller.
func (a *Activity) Take() Chunk { return a.take() }
