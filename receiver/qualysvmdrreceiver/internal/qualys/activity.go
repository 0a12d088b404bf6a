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

// Activity asks for one page of the user activity log, newest rows first, in an API version as "2.0". params are those of
// Qualys's documentation: since_datetime, truncation_limit (rows in the answer), and id_max, from which row on an older page
// goes; action is set here. The page must be closed.
func (c *Client) Activity(ctx context.Context, version string, params url.Values) (*ActivityPage, error) {
	path, err := versioned(ActivityLog, version, "/fo/activity_log/")
	if err != nil {
		return nil, err
	}
	p := &ActivityPage{params: with(params, "action", "list")}
	p.answer, err = c.exchange(ctx, request{
		api:   ActivityLog,
		path:  path,
		form:  p.params,
		basic: true,
		open:  p.open,
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ActivityPage is one answer of the user activity log while it arrives: CSV, with a warning behind it if there are more pages.
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
	params  url.Values
	answer  *answer
	table   *table
	columns []string
	frame   string // the part of the answer that has begun and not ended, "": it is not said
	footer  bool   // the rows are over
	warning warning
	next    url.Values
	err     error
}

var errNoColumns = errors.New("answer has no column Date")

// open reads through the names of the columns. An answer that begins with anything else is not the log.
func (p *ActivityPage) open(a *answer) error {
	*p = ActivityPage{params: p.params, answer: a, table: newTable(a)}
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
		return a.refused(err)
	}
	return nil
}

// Columns are the names of the columns as Qualys writes them.
func (p *ActivityPage) Columns() []string { return p.columns }

// Next returns the fields of the next row, in the order of Columns; there can be fewer, or more. They are valid until it is
// called again. It returns io.EOF after the end of the answer, else an *Error.
//
// An answer that the connection cut is an error. If a proxy ended it and HTTP shows nothing of that, it is one if a row or one
// of the frames around them is incomplete; an answer without frames that ends between two rows cannot be told from a whole one.
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
			p.answer.patience.progress()
			return fields, nil
		}
	}
	return nil, p.err
}

// framed reads a line that begins or ends a part of the answer, if a row is one.
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

// warns tells whether a row begins the warning: it is no row of the log then.
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
		p.err = p.answer.fail(err)
		return
	}
	p.answer.end(OutcomeOK)
	p.err = io.EOF
}

// findNext works out the parameters of the next page.
func (p *ActivityPage) findNext() error {
	if p.warning.url == "" {
		return nil
	}
	next, named := follow(p.params, p.warning.url)
	id, err := strconv.ParseUint(named.Get("id_max"), 10, 64)
	if err != nil || id == 0 {
		return errors.New("answer names a next page, but not the row that it begins with")
	}
	if before, err := strconv.ParseUint(p.params.Get("id_max"), 10, 64); err == nil && id >= before {
		return fmt.Errorf("next page does not advance: it begins with row %d, this one did with %d", id, before)
	}
	next.Set("id_max", strconv.FormatUint(id, 10))
	p.next = next
	return nil
}

// NextPage returns the parameters to ask for the next page with, if there is one; id_max is one of them. It knows only after
// Next has returned io.EOF.
func (p *ActivityPage) NextPage() (url.Values, bool) {
	return p.next, p.err == io.EOF && p.next != nil
}

// Warning is what the answer warns of, for people. It knows only after Next has returned io.EOF.
func (p *ActivityPage) Warning() string { return p.warning.message() }

// ServerTime is the server's clock as the header Date tells, else zero.
func (p *ActivityPage) ServerTime() time.Time { return headerTime(p.answer.header) }

// Bytes returns how much of the answer was read, inflated.
func (p *ActivityPage) Bytes() int64 { return p.answer.inflated }

// Close releases the connection, and the API for the next request.
func (p *ActivityPage) Close() { p.answer.Close() }
