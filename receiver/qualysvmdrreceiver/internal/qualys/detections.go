// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"bytes"
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

// Sizes of a Segment, in bytes.
const (
	// softSize ends a segment after the host that reaches it.
	softSize = 256 << 10
	// hardSize ends a segment inside a host.
	hardSize = 1 << 20
)

var detectionList = shape{root: "HOST_LIST_VM_DETECTION_OUTPUT", holder: "HOST_LIST", items: []string{"HOST"}}

// Detections asks for one page of the host detection list, in an API version as "5.0". params are those of Qualys's
// documentation; action is set here. The page must be closed.
func (c *Client) Detections(ctx context.Context, version string, params url.Values) (*DetectionPage, error) {
	path, err := versioned(Detections, version, "/fo/asset/host/vm/detection/")
	if err != nil {
		return nil, err
	}
	p := &DetectionPage{params: with(params, "action", "list")}
	p.answer, err = c.exchange(ctx, request{
		api:   Detections,
		path:  path,
		form:  p.params,
		basic: true,
		open: func(a *answer) (err error) {
			p.list, err = openList(a, detectionList)
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// DetectionPage is one answer of the host detection list while it arrives.
type DetectionPage struct {
	params url.Values
	answer *answer
	list   *list
	inHost bool
	begin  []byte // of the last host, through its ID
	next   url.Values
	err    error
}

// ServerTime is the server's clock when it began to answer: RESPONSE/DATETIME, else the header Date, else zero.
func (p *DetectionPage) ServerTime() time.Time { return p.list.time() }

// Next fills s with the hosts that come next; what was in s is overwritten and its memory used again. It returns io.EOF after
// the clean end of the answer. With every other error, an *Error, s holds what could still be read, and its last host can be
// incomplete.
func (p *DetectionPage) Next(s *Segment) error {
	s.reset()
	if p.err != nil {
		return p.err
	}
	for len(s.Data) < softSize {
		if !p.inHost {
			if err := p.list.next(); err != nil {
				p.finish(err)
				if p.err == io.EOF && len(s.Data) > 0 {
					return nil
				}
				return p.err
			}
		}
		done, err := p.readHost(s)
		if err != nil {
			s.More = true
			p.finish(err)
			return p.err
		}
		if !done {
			s.More = true
			return nil
		}
	}
	return nil
}

// readHost appends the host that the list stands at, or what is left of it, as far as there is room.
func (p *DetectionPage) readHost(s *Segment) (done bool, err error) {
	from, offset := len(s.Data), p.list.xml.Offset()
	s.Data, done, err = p.list.xml.Raw(s.Data, hardSize)
	if !p.inHost {
		read := s.Data[from:]
		p.begin = append(p.begin[:0], read[:min(len(read), maxBegin)]...)
		// The list has consumed the start tag already.
		offset -= int64(bytes.IndexByte(read, '>') + 1)
	}
	s.marks = append(s.marks, mark{data: int64(from), answer: offset})
	p.inHost = !done
	return done, err
}

// finish notes how the page has ended.
func (p *DetectionPage) finish(err error) {
	if err == io.EOF {
		err = p.findNext()
	}
	if err != nil {
		p.err = p.answer.fail(err)
		return
	}
	p.answer.end(OutcomeOK)
	p.err = io.EOF
}

// NextPage returns the parameters to ask for the next page with, if there is one: those of this page's request, and those of
// the address that Qualys names, of which nothing else is used. It knows only after Next has returned io.EOF; a warning
// without an address means that the list is complete.
func (p *DetectionPage) NextPage() (url.Values, bool) {
	return p.next, p.err == io.EOF && p.next != nil
}

// Warning is what the answer warns of, for people: an ending version, a page that is full. It knows only after Next has
// returned io.EOF.
func (p *DetectionPage) Warning() string {
	return p.list.warning.message()
}

// Bytes returns how much of the answer was read, inflated.
func (p *DetectionPage) Bytes() int64 { return p.answer.inflated }

// Close releases the connection, and the API for the next request.
func (p *DetectionPage) Close() { p.answer.Close() }

var errNoNext = errors.New("answer names a next page, but not the host that it begins with")

// findNext works out the parameters of the next page.
func (p *DetectionPage) findNext() error {
	if p.list.warning.url == "" {
		return nil
	}
	next, named := follow(p.params, p.list.warning.url)
	before, _ := strconv.ParseUint(p.params.Get("id_min"), 10, 64)
	id, err := strconv.ParseUint(named.Get("id_min"), 10, 64)
	if err != nil {
		last, err := hostID(p.begin)
		if err != nil {
			return errNoNext
		}
		id = last + 1
	}
	if id <= before {
		return fmt.Errorf("next page does not advance: it begins with host %d, this one did with %d", id, before)
	}
	next.Set("id_min", strconv.FormatUint(id, 10))
	p.next = next
	return nil
}

// maxBegin is how much of a host is kept to find its ID in, which comes first.
const maxBegin = 1 << 10

// hostID returns the ID of the host that begins with raw.
func hostID(raw []byte) (uint64, error) {
	xml := xmlstream.NewFragmentReader(bytes.NewReader(raw))
	for {
		kind, err := xml.Next()
		if err != nil {
			return 0, err
		}
		if kind != xmlstream.StartElement || xml.Depth() != 2 {
			continue
		}
		if string(xml.Name()) == "ID" {
			text, err := elementText(xml)
			if err != nil {
				return 0, err
			}
			return strconv.ParseUint(strings.TrimSpace(text), 10, 63)
		}
		if err := xml.Skip(); err != nil {
			return 0, err
		}
	}
}
