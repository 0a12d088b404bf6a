// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"io"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

var (
	hostItems = shape{root: "HOST_LIST_OUTPUT", holder: "HOST_LIST", items: []string{"HOST"}}
	hostIDs   = shape{root: "HOST_LIST_OUTPUT", holder: "ID_SET", items: []string{"ID", "ID_RANGE"}}
)

// HostQuery selects hosts of the host list.
type HostQuery struct {
	// Version is that of the API, as "5.0".
	Version string
	// Details is what is told of each host: All, All/AGs, Basic or Basic/AGs. "": as Qualys likes.
	Details string
	// IDs are the IDs of the hosts. nil: all.
	IDs []IDRange
	// Min and Max are the smallest and the greatest ID asked for. 0: none.
	Min, Max uint64
	// Limit is the number of hosts in a response. 0: all in one.
	Limit int
	// Filter with Since selects what changed since; only ScannedAfter is known here.
	Filter TimeFilter
	Since  time.Time
	// Parameters are those of Qualys' documentation; one whose value is "" is left out. Extra is that of a Continuation.
	Parameters, Extra map[string]string
	// Omit names the parameters that are not to be sent at all, as the server does not support them.
	Omit map[string]bool
}

func (q HostQuery) form() url.Values {
	f := newForm(q.Parameters, q.Extra)
	f.text("details", q.Details)
	f.ranges(q.IDs)
	f.id("id_min", q.Min)
	f.id("id_max", q.Max)
	f.limit(q.Limit)
	f.since(q.Filter, q.Since)
	return f.without(q.Omit)
}

// Hosts asks for one page of the host list. The page must be closed.
func (c *Client) Hosts(ctx context.Context, q HostQuery) (*HostPage, error) {
	form := q.form()
	l, err := c.list(ctx, HostList, q.Version, "/fo/asset/host/", form, hostItems)
	if err != nil {
		return nil, err
	}
	return &HostPage{items{list: l, paging: paging{sent: form, extra: q.Extra, omit: q.Omit, min: q.Min}}}, nil
}

// HostPage is one response of the host list while it arrives.
type HostPage struct{ items items }

// Next returns a reader that stands at the StartElement of the next HOST, for the caller to consume through its EndElement and
// no further; what is left of it is skipped. It returns io.EOF after the clean end of the response, else an *Error.
func (p *HostPage) Next() (*xmlstream.Reader, error) { return p.items.read() }

// Note tells the page the ID of the host that was read last, which only the caller knows. Where Qualys says that the list goes
// on, but not where, it goes on behind this one.
func (p *HostPage) Note(id uint64) { p.items.note(id) }

// Continue returns where the list goes on, false: it is complete. It knows only after Next has returned io.EOF.
func (p *HostPage) Continue() (Continuation, bool) { return p.items.rest() }

// ServerTime is the server's clock when it began to respond: RESPONSE/DATETIME, else the header Date, else zero.
func (p *HostPage) ServerTime() time.Time { return p.items.list.time() }

// Warning is what the response warns of, for people. It knows only after Next has returned io.EOF.
func (p *HostPage) Warning() string { return p.items.list.warning.message() }

// Bytes returns how much of the response was read, inflated.
func (p *HostPage) Bytes() int64 { return p.items.list.response.inflated }

// Close releases the connection, and the API's slot for the next request.
func (p *HostPage) Close() { p.items.list.response.Close() }

// HostIDs is what a list of host IDs says besides them.
type HostIDs struct {
	// ServerTime is the server's clock when it began to respond, zero if it does not say.
	ServerTime time.Time
	// Complete is true for a response that was read to its end, has no WARNING and at least one ID: only such a one shows that
	// a host is not there.
	Complete bool
	// Empty is true for a response like that without an ID: no host is there, or the account sees none any more.
	Empty bool
}

// HostIDs asks for the IDs of all hosts that q selects, in one response, and calls visit for each range of them, while they
// arrive. q's Details and Limit do not matter, nor do its parameters that only choose what is shown of a host. An error of
// visit ends it and is returned as it is.
func (c *Client) HostIDs(ctx context.Context, q HostQuery, visit func(IDRange) error) (HostIDs, error) {
	q.Details, q.Limit = "None", 0
	q.Parameters, q.Extra = selecting(q.Parameters), selecting(q.Extra)
	l, err := c.list(ctx, HostList, q.Version, "/fo/asset/host/", q.form(), hostIDs)
	if err != nil {
		return HostIDs{}, err
	}
	met := false
	err = l.ranges(func(r IDRange) error {
		met = true
		return visit(r)
	})
	whole := err == nil && l.warning == warning{}
	return HostIDs{ServerTime: l.time(), Complete: whole && met, Empty: whole && !met}, err
}

// selecting returns the parameters that select hosts: the others choose what is shown of them.
func selecting(parameters map[string]string) map[string]string {
	selecting := maps.Clone(parameters)
	maps.DeleteFunc(selecting, func(name, _ string) bool {
		return strings.HasPrefix(name, "show_") || strings.HasPrefix(name, "host_metadata") || name == "cloud_tag_fields"
	})
	return selecting
}

// ranges calls visit for each item of a list of IDs, and closes the response.
func (l *list) ranges(visit func(IDRange) error) error {
	defer l.response.Close()
	for {
		err := l.next()
		if err == io.EOF {
			l.response.end(OutcomeOK)
			return nil
		}
		var text string
		if err == nil {
			text, err = elementText(l.xml)
		}
		var r IDRange
		if err == nil {
			r, err = parseRange(text)
		}
		if err != nil {
			return l.response.fail(err)
		}
		if err := visit(r); err != nil {
			return err
		}
	}
}
