// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// ErrNoIDs is what KnowledgeBase returns if it is called without ids: Qualys would answer with everything it has.
var ErrNoIDs = errors.New("no ids to ask the KnowledgeBase for")

// KnowledgeBase asks for the entries of the QIDs that ids in params names, in an API version as "4.0". action and details are
// set here. Without ids it sends nothing and returns ErrNoIDs. The page must be closed.
func (c *Client) KnowledgeBase(ctx context.Context, version string, params url.Values) (*EntryPage, error) {
	if strings.Trim(params.Get("ids"), ", ") == "" {
		return nil, ErrNoIDs
	}
	l, err := c.knowledgeBase(ctx, version, with(params, "action", "list", "details", "All"), entryList)
	if err != nil {
		return nil, err
	}
	return &EntryPage{list: l}, nil
}

// KnowledgeBaseIDs asks which QIDs there are, of those that params select, and calls visit for each range of them, first and
// last included, while they arrive. An error of visit ends it and is returned as it is.
func (c *Client) KnowledgeBaseIDs(ctx context.Context, version string, params url.Values, visit func(first, last uint32) error) (serverTime time.Time, err error) {
	l, err := c.knowledgeBase(ctx, version, with(params, "action", "list", "details", "None"), idList)
	if err != nil {
		return time.Time{}, err
	}
	defer l.answer.Close()
	for {
		if err := l.next(); err == io.EOF {
			l.answer.end(OutcomeOK)
			return l.time(), nil
		} else if err != nil {
			return l.time(), l.answer.fail(err)
		}
		text, err := elementText(l.xml)
		if err != nil {
			return l.time(), l.answer.fail(err)
		}
		first, last, err := parseRange(text)
		if err != nil {
			return l.time(), l.answer.fail(err)
		}
		if err := visit(first, last); err != nil {
			return l.time(), err
		}
	}
}

func (c *Client) knowledgeBase(ctx context.Context, version string, params url.Values, s shape) (l *list, err error) {
	path, err := versioned(KnowledgeBase, version, "/fo/knowledge_base/vuln/")
	if err != nil {
		return nil, err
	}
	_, err = c.exchange(ctx, request{
		api:   KnowledgeBase,
		path:  path,
		form:  params,
		basic: true,
		open: func(a *answer) (err error) {
			l, err = openList(a, s)
			return err
		},
	})
	return l, err
}

// parseRange reads "7" or "7-9".
func parseRange(text string) (first, last uint32, err error) {
	from, to, isRange := strings.Cut(strings.TrimSpace(text), "-")
	if !isRange {
		to = from
	}
	a, errA := strconv.ParseUint(strings.TrimSpace(from), 10, 32)
	b, errB := strconv.ParseUint(strings.TrimSpace(to), 10, 32)
	if errA != nil || errB != nil || b < a {
		return 0, 0, fmt.Errorf("%.40q is neither a QID nor a range of them", text)
	}
	return uint32(a), uint32(b), nil
}

// EntryPage is one answer of the KnowledgeBase while it arrives.
type EntryPage struct{ list *list }

// Next returns a reader that stands at the StartElement of the next VULN, for the caller to consume through its EndElement and
// no further; what is left of it is skipped. It returns io.EOF after the clean end of the answer, else an *Error.
func (p *EntryPage) Next() (*xmlstream.Reader, error) {
	switch err := p.list.next(); err {
	case nil:
		return p.list.xml, nil
	case io.EOF:
		p.list.answer.end(OutcomeOK)
		return nil, io.EOF
	default:
		return nil, p.list.answer.fail(err)
	}
}

// ServerTime is the server's clock when it began to answer: RESPONSE/DATETIME, else the header Date, else zero.
func (p *EntryPage) ServerTime() time.Time { return p.list.time() }

// Bytes returns how much of the answer was read, inflated.
func (p *EntryPage) Bytes() int64 { return p.list.answer.inflated }

// Close releases the connection, and the API for the next request.
func (p *EntryPage) Close() { p.list.answer.Close() }
