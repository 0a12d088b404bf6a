// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ActivityQuery selects rows of the user activity log.
type ActivityQuery struct {
	// Version is that of the API, as "2.0".
	Version string
	// Since is the time of the oldest rows. Zero: as far as the log goes.
	Since time.Time
	// Max is the row from which on an older page goes: the ID of a Continuation. 0: the newest.
	Max uint64
	// Limit is the number of rows in a response. 0: as Qualys likes.
	Limit int
	// Parameters are those of Qualys' documentation; one whose value is "" is left out. Extra is that of a Continuation.
	Parameters, Extra map[string]string
}

// ActivitySince is the parameter that ActivityQuery.Since is sent as: where the server does not support it, all rows are to be
// asked for. Whether it includes the time itself is unverified.
const ActivitySince = "since_datetime"

func (q ActivityQuery) form() url.Values {
	f := newForm(q.Parameters, q.Extra)
	if !q.Since.IsZero() {
		f.since(ActivitySince, q.Since)
	}
	f.id("id_max", q.Max)
	if q.Limit > 0 {
		f.limit(q.Limit)
	}
	return f.values
}

// Activity asks for one page of the user activity log, newest rows first. The page must be closed.
func (c *Client) Activity(ctx context.Context, q ActivityQuery) (*ActivityPage, error) {
	path, err := versioned(ActivityLog, q.Version, "/fo/activity_log/")
	if err != nil {
		return nil, err
	}
	form := q.form()
	p := &ActivityPage{paging: paging{sent: form, extra: q.Extra}, max: q.Max}
	p.response, err = c.exchange(ctx, request{
		api:  ActivityLog,
		path: path,
		form: form,
		open: p.open,
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ActivityPage is one response of the user activity log while it arrives: CSV, with a warning behind it if there are more pages.
//
//	----BEGIN_RESPONSE_BODY_CSV
//	Date,Action,Module,Details,User Name,User Role,User IP
//	2026-11-20T09:15:00Z,login,auth,user_logged in,john_doe,Manager,192.0.2.7
//	----END_RESPONSE_BODY_CSV
//	----BEGIN_RESPONSE_FOOTER_CSV
//	WARNING
//	CODE,TEXT,URL
//	1980,"1 record limit exceeded. …","https://…/api/2.0/fo/activity_log/?action=list&truncation_limit=1&id_max=41"
//	----END_RESPONSE_FOOTER_CSV
//
// The seven columns are documented; which of the lines around them come, and how they are quoted, is unverified: each of them
// may be missing.
type ActivityPage struct {
	paging   paging
	max      uint64 // the request's id_max
	response *response
	table    *table
	columns  []string
	frame    string // the part of the response that has begun and not ended, "": it is not said
	footer   bool   // the rows are over
	warning  warning
	next     *Continuation
	err      error
}

var errNoColumns = errors.New("response has no column Date")

// open reads through the names of the columns. A response that begins with anything else is not the log.
func (p *ActivityPage) open(a *response) error {
	*p = ActivityPage{paging: p.paging, max: p.max, response: a, table: newTable(a)}
	err := p.table.begin()
	for err == nil && p.columns == nil && !p.footer {
		var fields []string
		if fields, err = p.table.next(); err != nil || p.framed(fields) {
			continue
		}
		if !slices.ContainsFunc(fields, func(name string) bool { return strings.EqualFold(strings.TrimSpace(name), "Date") }) {
			err = errNoColumns
			continue
		}
		p.columns = make([]string, len(fields))
		for i, name := range fields {
			p.columns[i] = strings.TrimSpace(name)
		}
	}
	if err != nil {
		return a.classified(err)
	}
	return nil
}

// Columns are the names of the columns as Qualys writes them.
func (p *ActivityPage) Columns() []string { return p.columns }

// Next returns the fields of the next row, in the order of Columns; there can be fewer, or more. They are valid until it is
// called again. It returns io.EOF after the end of the response, else an *Error.
//
// A response that the connection cut is an error. If a proxy ended it and HTTP shows nothing of that, it is one if a row or one
// of the frames around them is incomplete; a response without frames that ends between two rows cannot be told from a whole one.
func (p *ActivityPage) Next() ([]string, error) {
	for p.err == nil {
		fields, err := p.table.next()
		switch {
		case err != nil:
			p.finish(err)
		case p.framed(fields):
		case p.footer || p.warns(fields):
			p.readFooter(fields)
		case p.table.open && len(fields) < len(p.columns):
			p.finish(io.ErrUnexpectedEOF)
		default:
			p.response.stall.progress()
			return fields, nil
		}
	}
	return nil, p.err
}

// framed reads a line that begins or ends a part of the response, if a row is one.
func (p *ActivityPage) framed(fields []string) bool {
	if len(fields) != 1 || !strings.HasPrefix(fields[0], "----") {
		return false
	}
	line := strings.TrimSpace(strings.Trim(fields[0], "-"))
	if name, ok := strings.CutPrefix(line, "BEGIN_RESPONSE_"); ok {
		p.frame = name
		p.footer = strings.HasPrefix(name, "FOOTER")
		return true
	}
	if _, ok := strings.CutPrefix(line, "END_RESPONSE_"); ok {
		p.footer = p.footer || strings.HasPrefix(p.frame, "BODY")
		p.frame = ""
		return true
	}
	return false
}

// warns reports whether a row begins the warning: it is no row of the log then.
func (p *ActivityPage) warns(fields []string) bool {
	p.footer = len(fields) != len(p.columns) && strings.TrimSpace(fields[0]) == "WARNING"
	return p.footer
}

// readFooter reads a row behind those of the log: of names, or of a code, a text and an address in any order.
func (p *ActivityPage) readFooter(fields []string) {
	for _, field := range fields {
		field = strings.TrimSpace(field)
		switch {
		case slices.Contains([]string{"", "WARNING", "CODE", "TEXT", "URL"}, strings.ToUpper(field)):
		case strings.HasPrefix(field, "https://"), strings.HasPrefix(field, "http://"):
			p.warning.url = field
		case number(field) != 0:
			p.warning.code = field
		default:
			p.warning.text = field
		}
	}
}

// finish notes how the page has ended.
func (p *ActivityPage) finish(err error) {
	switch {
	case err == io.EOF && p.frame != "":
		err = io.ErrUnexpectedEOF
	case err == io.EOF:
		err = p.findNext()
	}
	if err != nil {
		p.err = p.response.fail(err)
		return
	}
	p.response.end(OutcomeOK)
	p.err = io.EOF
}

// findNext works out where the next page begins. A warning without an address leaves that to the caller.
func (p *ActivityPage) findNext() error {
	if p.warning.url == "" {
		return nil
	}
	named := queryOf(p.warning.url)
	id, err := strconv.ParseUint(named.Get("id_max"), 10, 63)
	switch {
	case err != nil || id == 0:
		return errors.New("response names a next page, but not the row that it begins with")
	case p.max > 0 && id >= p.max:
		return fmt.Errorf("next page does not advance: it begins with row %d, this one did with %d", id, p.max)
	}
	p.next = &Continuation{ID: id, Extra: p.paging.extras(p.warning, named)}
	return nil
}

// Continue returns where the next page begins, false: the log is complete, or nobody says; see Truncated. It knows only after
// Next has returned io.EOF.
func (p *ActivityPage) Continue() (Continuation, bool) {
	if p.err != io.EOF || p.next == nil {
		return Continuation{}, false
	}
	return *p.next, true
}

// Truncated reports whether the response says that there are more rows. It knows only after Next has returned io.EOF.
func (p *ActivityPage) Truncated() bool { return p.err == io.EOF && p.warning.truncates() }

// Warning is what the response warns of, for people. It knows only after Next has returned io.EOF.
func (p *ActivityPage) Warning() string { return p.warning.message() }

// ServerTime is the server's clock as the header Date tells, else zero.
func (p *ActivityPage) ServerTime() time.Time { return headerTime(p.response.header) }

// Bytes returns how much of the response was read, inflated.
func (p *ActivityPage) Bytes() int64 { return p.response.inflated }

// Close releases the connection, and the API for the next request.
func (p *ActivityPage) Close() { p.response.Close() }
