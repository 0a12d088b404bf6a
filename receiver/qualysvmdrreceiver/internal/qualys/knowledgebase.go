// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"errors"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

var (
	entryList = shape{root: "KNOWLEDGE_BASE_VULN_LIST_OUTPUT", holder: "VULN_LIST", items: []string{"VULN"}}
	idList    = shape{root: "KNOWLEDGE_BASE_VULN_LIST_OUTPUT", holder: "ID_SET", items: []string{"ID", "ID_RANGE"}}
)

// ErrNoIDs is what Entries returns if it is called without QIDs: Qualys would respond with everything it has.
var ErrNoIDs = errors.New("no ids to ask the KnowledgeBase for")

// EntryQuery selects KnowledgeBase entries.
type EntryQuery struct {
	// Version is that of the API, as "4.0".
	Version string
	// QIDs are those of the entries, at least one.
	QIDs []uint32
	// Min is the smallest QID asked for: the ID of a Continuation. 0: none.
	Min uint32
	// Parameters are those of Qualys' documentation; one whose value is "" is left out. Extra is that of a Continuation.
	Parameters, Extra map[string]string
}

func (q EntryQuery) form() url.Values {
	f := newForm(q.Parameters, q.Extra)
	f.text("details", "All")
	ids := make([]string, len(q.QIDs))
	for i, qid := range q.QIDs {
		ids[i] = strconv.FormatUint(uint64(qid), 10)
	}
	f.text("ids", strings.Join(ids, ","))
	f.id("id_min", uint64(q.Min))
	return f.values
}

// Entries asks for KnowledgeBase entries. Without QIDs it sends nothing and returns ErrNoIDs. The page must be closed.
func (c *Client) Entries(ctx context.Context, q EntryQuery) (*EntryPage, error) {
	if len(q.QIDs) == 0 {
		return nil, ErrNoIDs
	}
	form := q.form()
	l, err := c.list(ctx, KnowledgeBase, q.Version, "/fo/knowledge_base/vuln/", form, entryList)
	if err != nil {
		return nil, err
	}
	return &EntryPage{items{list: l, paging: paging{sent: form, extra: q.Extra, min: uint64(q.Min)}}}, nil
}

// EntryPage is one response of the KnowledgeBase while it arrives.
type EntryPage struct{ items items }

// Next returns a reader that stands at the StartElement of the next VULN, for the caller to consume through its EndElement and
// no further; what is left of it is skipped. It returns io.EOF after the clean end of the response, else an *Error.
func (p *EntryPage) Next() (*xmlstream.Reader, error) { return p.items.read() }

// Note tells the page the QID of the entry that was read last, which only the caller knows. Where Qualys says that the list
// goes on, but not where, it goes on behind this one.
func (p *EntryPage) Note(qid uint64) { p.items.note(qid) }

// Continue returns where the response goes on, to be asked for with the same QIDs, false: it is complete. It knows only after
// Next has returned io.EOF.
func (p *EntryPage) Continue() (Continuation, bool) { return p.items.rest() }

// ServerTime is the server's clock when it began to respond: RESPONSE/DATETIME, else the header Date, else zero.
func (p *EntryPage) ServerTime() time.Time { return p.items.list.time() }

// Warning is what the response warns of, for people. It knows only after Next has returned io.EOF.
func (p *EntryPage) Warning() string { return p.items.list.warning.message() }

// Bytes returns how much of the response was read, inflated.
func (p *EntryPage) Bytes() int64 { return p.items.list.response.inflated }

// Close releases the connection, and the API's slot for the next request.
func (p *EntryPage) Close() { p.items.list.response.Close() }

// EntryIDQuery selects QIDs.
type EntryIDQuery struct {
	// Version is that of the API, as "4.0".
	Version string
	// ModifiedAfter selects entries that Qualys has modified since. Zero: all.
	ModifiedAfter time.Time
	// Min is the smallest QID asked for: the ID of a Continuation. 0: none.
	Min uint32
	// Parameters are those of Qualys' documentation; one whose value is "" is left out. Extra is that of a Continuation.
	Parameters, Extra map[string]string
}

// ModifiedAfter is the parameter that EntryIDQuery.ModifiedAfter is sent as: where the server does not support it, all are
// to be asked for.
const ModifiedAfter = "last_modified_after"

func (q EntryIDQuery) form() url.Values {
	f := newForm(q.Parameters, q.Extra)
	f.text("details", "None")
	if !q.ModifiedAfter.IsZero() {
		f.since(ModifiedAfter, q.ModifiedAfter)
	}
	f.id("id_min", uint64(q.Min))
	return f.values
}

// EntryIDs is what a list of QIDs says besides them.
type EntryIDs struct {
	// ServerTime is the server's clock when it began to respond, zero if it does not say.
	ServerTime time.Time
	// Continuation is where the list goes on if there is More.
	Continuation
	More bool
}

// EntryIDs asks which QIDs there are, in one response, and calls visit for each range of them, first and last included, while
// they arrive. An error of visit ends it and is returned as it is.
func (c *Client) EntryIDs(ctx context.Context, q EntryIDQuery, visit func(first, last uint32) error) (EntryIDs, error) {
	form := q.form()
	l, err := c.list(ctx, KnowledgeBase, q.Version, "/fo/knowledge_base/vuln/", form, idList)
	if err != nil {
		return EntryIDs{}, err
	}
	last := uint64(0)
	err = l.ranges(func(r IDRange) error {
		last = r.Last
		if r.First > math.MaxUint32 {
			return nil // no detection has such a QID
		}
		return visit(uint32(r.First), uint32(min(r.Last, math.MaxUint32)))
	})
	ids := EntryIDs{ServerTime: l.time()}
	if err != nil {
		return ids, err
	}
	next, err := paging{sent: form, extra: q.Extra, min: uint64(q.Min)}.next(l.warning, last)
	if err != nil {
		return ids, asError(KnowledgeBase, l.response.status, err)
	}
	if next != nil {
		ids.Continuation, ids.More = *next, true
	}
	return ids, nil
}
