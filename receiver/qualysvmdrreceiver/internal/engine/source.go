// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// Source is one Qualys list that can be collected. Its methods are called by several goroutines at once.
type Source interface {
	// Plan returns the passes of a collection that begins now.
	Plan(w Window) []Pass
	// Fetch sends one request. The caller closes the page. A parameter that Qualys does not know and that the user did not
	// choose is left out by Fetch itself.
	Fetch(ctx context.Context, r Request) (Page, error)
	// Repeats reports whether a collection of what has changed since then can bring this item again as it is.
	Repeats(item *records.Item, since time.Time) bool
	// Judge says what can be done about an error of Fetch or of a page.
	Judge(err error) Verdict
}

// Lister is a Source that can name the IDs of the units that a pass will bring, so that a pass can be cut into ranges that
// are read side by side.
type Lister interface {
	// List returns the IDs in ascending order. They only choose the cuts: units that are not listed are asked for, too.
	// An error for which errors.Is finds ErrNoList will not pass.
	List(ctx context.Context, p *Pass) ([]Range, error)
	// Slots is how many requests of the source may run at once now.
	Slots() int
}

// Finisher is a Source that has something to do when all passes of a collection were delivered. It is called again after
// errors and restarts until it returns nil.
type Finisher interface {
	Finish(ctx context.Context, run *Run) error
}

// Window is what a collection is planned by.
type Window struct {
	// Now is the local clock.
	Now time.Time
	// Watermark is the server's clock at the start of the last finished collection, zero before the first. What had
	// changed by then was delivered.
	Watermark time.Time
	// Full is whether everything is to be asked for, not only what changed.
	Full bool
}

// Pass is one list that a collection asks for.
type Pass struct {
	Query
	// Deduplicate leaves out what was delivered before with the same content. Such a pass of a full collection asks for what has
	// changed since the watermark, where windows have brought some of that meanwhile for the rest.
	Deduplicate bool `json:"deduplicate,omitempty"`
	// UpdatedBefore, if not zero, leaves out what was updated since: another pass of the collection brings it.
	UpdatedBefore time.Time `json:"updated_before,omitzero"`
	// Units are quarantined units that are tried again; nil: everything that the query selects.
	Units []uint64 `json:"units,omitempty"`
}

// Query is what selects the items of a pass, in words of the source.
type Query struct {
	// Status are states of detections; nil: any.
	Status []string `json:"status,omitempty"`
	// Filter is the name of a time filter, and Since its value; without a filter everything is asked for.
	Filter string    `json:"filter,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// widen returns a query that selects what either of two does.
func (q Query) widen(other Query) Query {
	status := slices.Clone(q.Status)
	for _, s := range other.Status {
		if !slices.Contains(status, s) {
			status = append(status, s)
		}
	}
	switch {
	case q.Filter != other.Filter:
		return Query{Status: status}
	case other.Since.Before(q.Since):
		return Query{Status: status, Filter: q.Filter, Since: other.Since}
	}
	return Query{Status: status, Filter: q.Filter, Since: q.Since}
}

// equal reports whether two queries select the same.
func (q Query) equal(other Query) bool {
	return slices.Equal(q.Status, other.Status) && q.Filter == other.Filter && q.Since.Equal(other.Since)
}

// String is the query for people.
func (q Query) String() string {
	text := ""
	for i, s := range q.Status {
		if i > 0 {
			text += ","
		}
		text += s
	}
	if q.Filter != "" {
		if text != "" {
			text += " "
		}
		text += fmt.Sprintf("%s=%s", q.Filter, q.Since.UTC().Format(time.RFC3339))
	}
	if text == "" {
		return "all"
	}
	return text
}

// Range are the units from First to Last, both included.
type Range struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// Cursor says from where on a list was not delivered. Its zero value is the beginning.
type Cursor struct {
	// ID is the first unit that was not delivered, or whatever the source goes on by.
	ID uint64 `json:"id,omitempty"`
	// Ties tell a source whose items have no identity how much of what comes next was delivered, in a form of its own.
	Ties []byte `json:"ties,omitempty"`
	// Extra are parameters that the last response asked for the next request. They are not kept over a restart.
	Extra map[string]string `json:"-"`
}

// Request is what a page is asked for with.
type Request struct {
	Pass *Pass
	// Collection is the ID of the collection that the request is for, Sequence its number in the storage.
	Collection string
	Sequence   uint64
	// Full is the sequence number of the full collection that is not finished, 0: there is none.
	Full uint64
	// Cursor is where the page begins.
	Cursor Cursor
	// Max is the last unit of the range, 0: it has no end.
	Max uint64
	// Ranges, if not nil, are asked for instead of everything from the cursor to Max, which they lie within.
	Ranges []Range
	// Limit is the number of units in the page at most.
	Limit int
	// Brought, if not nil, says that quarantined units are tried that have missed everything, and reports whether an item was
	// delivered since, whatever it said.
	Brought func(*records.Item) bool
}

// Page is a response while it arrives.
type Page interface {
	// ServerTimes are what the response tells of the server's clock; those that it does not tell are left out.
	ServerTimes() []time.Time
	// Read makes records of the items that decide takes, and emits them in the order of the response. Decide is called by
	// several goroutines at once. Everything that was read whole before an error is emitted before it is returned; an error
	// in the bytes of the response is a *UnitError.
	Read(ctx context.Context, decide Decide, emit func(Chunk) error) error
	// Next returns where the list goes on, if it does. It knows only after Read has returned nil. An error means that the
	// page cannot be gone on from, and is to be asked for again.
	Next() (Cursor, bool, error)
	// Bytes is how much of the response was read, inflated.
	Bytes() int64
	Close()
}

// Decide says what becomes of an item.
type Decide func(*records.Item) Decision

// Decision is what becomes of an item.
type Decision uint8

// The decisions.
const (
	Take      Decision = iota // it is delivered
	Duplicate                 // it was delivered before with the same content
	Skip                      // it was delivered by this pass, or was not asked for
)

// Chunk is a run of records with what was left out of it.
type Chunk struct {
	records.Chunk
	Duplicates []records.Item
	// Writes are what is to be written when the records have been delivered, together with the cursor.
	Writes []func(tx *checkpoint.Tx)
}

// UnitError is an error in the bytes of a response.
type UnitError struct {
	// Unit is the one whose bytes broke, 0: it is not known.
	Unit uint64
	Err  error
}

// Error tells where the response broke.
func (e *UnitError) Error() string {
	if e.Unit == 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("in %d: %v", e.Unit, e.Err)
}

// Unwrap returns what broke.
func (e *UnitError) Unwrap() error { return e.Err }
