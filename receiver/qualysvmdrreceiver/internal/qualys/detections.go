// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"bytes"
	"context"
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

// DetectionQuery selects host detections.
type DetectionQuery struct {
	// Version is that of the API, as "5.0".
	Version string
	// Status are those of the detections: New, Active, Fixed, Re-Opened. nil: all but Fixed (Qualys API documentation).
	Status []string
	// Filter with Since selects what changed since.
	Filter TimeFilter
	Since  time.Time
	// IDs are the IDs of the hosts. nil: all.
	IDs []IDRange
	// Min and Max are the smallest and the greatest ID of a host asked for. 0: none.
	Min, Max uint64
	// Limit is the number of hosts in a response. 0: all in one.
	Limit int
	// Parameters are those of Qualys' documentation; one whose value is "" is left out. Extra is that of a Continuation.
	Parameters, Extra map[string]string
	// Omit names the parameters that are not to be sent at all, as the server does not support them.
	Omit map[string]bool
}

func (q DetectionQuery) form() url.Values {
	f := newForm(q.Parameters, q.Extra)
	f.text("output_format", "XML")
	f.text("status", strings.Join(q.Status, ","))
	f.since(q.Filter, q.Since)
	f.ranges(q.IDs)
	f.id("id_min", q.Min)
	f.id("id_max", q.Max)
	f.limit(q.Limit)
	return f.without(q.Omit)
}

// Detections asks for one page of the host detection list. The page must be closed.
func (c *Client) Detections(ctx context.Context, q DetectionQuery) (*DetectionPage, error) {
	form := q.form()
	l, err := c.list(ctx, Detections, q.Version, "/fo/asset/host/vm/detection/", form, detectionList)
	if err != nil {
		return nil, err
	}
	return &DetectionPage{response: l.response, list: l, paging: paging{sent: form, extra: q.Extra, omit: q.Omit, min: q.Min}}, nil
}

// DetectionPage is one response of the host detection list while it arrives.
type DetectionPage struct {
	response *response
	list     *list
	paging   paging
	inHost   bool
	begin    []byte // of the last host, through its ID
	next     *Continuation
	err      error
}

// ServerTime is the server's clock when it began to respond: RESPONSE/DATETIME, else the header Date, else zero.
func (p *DetectionPage) ServerTime() time.Time { return p.list.time() }

// Next fills s with the hosts that come next; what was in s is overwritten and its memory used again. It returns io.EOF after
// the clean end of the response. With every other error, an *Error, s holds what could still be read, and its last host can be
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
	s.marks = append(s.marks, mark{data: int64(from), response: offset})
	p.inHost = !done
	return done, err
}

// finish notes how the page has ended.
func (p *DetectionPage) finish(err error) {
	if err == io.EOF {
		p.next, err = p.paging.next(p.list.warning, p.lastHost())
	}
	if err != nil {
		p.err = p.response.fail(err)
		return
	}
	p.response.end(OutcomeOK)
	p.err = io.EOF
}

// lastHost is the ID of the last host, 0: unknown. It is looked for only where the list goes on.
func (p *DetectionPage) lastHost() uint64 {
	if !p.list.warning.truncates() {
		return 0
	}
	id, err := hostID(p.begin)
	if err != nil {
		return 0
	}
	return id
}

// Continue returns where the list goes on, false: it is complete. It knows only after Next has returned io.EOF.
func (p *DetectionPage) Continue() (Continuation, bool) {
	if p.err != io.EOF || p.next == nil {
		return Continuation{}, false
	}
	return *p.next, true
}

// Warning is what the response warns of, for people: an ending version, a page that is full. It knows only after Next has
// returned io.EOF.
func (p *DetectionPage) Warning() string {
	return p.list.warning.message()
}

// Bytes returns how much of the response was read, inflated.
func (p *DetectionPage) Bytes() int64 { return p.response.inflated }

// Close releases the connection, and the API for the next request.
func (p *DetectionPage) Close() { p.response.Close() }

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
