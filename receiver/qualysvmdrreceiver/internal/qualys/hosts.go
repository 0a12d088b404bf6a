// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"errors"
	"io"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// HostEvent is what [Hosts.Next] has come to.
type HostEvent uint8

// The events of a host, in the order in which they come: BeginHost, any number of HostElement, DetectionList and Detection,
// EndHost.
const (
	// BeginHost is the start of a HOST.
	BeginHost HostEvent = iota + 1
	// HostElement is an element of the host itself: a child of HOST, or of DETECTION_LIST and not a DETECTION.
	HostElement
	// DetectionList is the start of a DETECTION_LIST that has attributes. What is in it comes as events of its own.
	DetectionList
	// Detection is a DETECTION.
	Detection
	// EndHost is the end of a HOST.
	EndHost
)

// Hosts walks the hosts of segments. Its zero value is ready for Reset, and one is used again and again: it keeps its memory.
// It is not safe for concurrent use.
type Hosts struct {
	xml     *xmlstream.Reader
	chain   chain
	element int // depth of the element that the caller consumes; 0: none
}

// Reset makes h walk the hosts of s, and, while the last host of a segment goes on in the next one, of those that more
// returns. more may fill the segment that it returned before again. It may be nil if s.More is false.
//
// If the response breaks inside a host, more returns the page's error, and with it the segment that holds what could still be
// read, or none: func() (*Segment, error) { return s, page.Next(s) } does. Next returns all that is whole, then the error.
func (h *Hosts) Reset(s *Segment, more func() (*Segment, error)) {
	h.chain.reset(s, more)
	h.element = 0
	if h.xml == nil {
		h.xml = xmlstream.NewFragmentReader(nil)
	}
	h.xml.ResetBytes(s.Data, &h.chain)
}

// Next goes to the next event. At HostElement and Detection the caller may consume the element by XML; what is left of it is
// skipped. It returns io.EOF after the last host. Errors are those of xmlstream and of more; see Locate.
func (h *Hosts) Next() (HostEvent, error) {
	for h.element > 0 && h.xml.Depth() >= h.element {
		if _, err := h.xml.Next(); err != nil {
			return 0, err
		}
	}
	h.element = 0
	for {
		kind, err := h.xml.Next()
		if err != nil {
			return 0, err
		}
		switch depth := h.xml.Depth(); {
		case kind == xmlstream.EndElement && depth == 0:
			return EndHost, nil
		case kind != xmlstream.StartElement:
		case depth == 1:
			return BeginHost, nil
		case depth == 2 && string(h.xml.Name()) == "DETECTION_LIST":
			if h.xml.Attrs() > 0 {
				return DetectionList, nil
			}
		case depth == 3 && string(h.xml.Name()) == "DETECTION":
			h.element = depth
			return Detection, nil
		default:
			h.element = depth
			return HostElement, nil
		}
	}
}

// XML is the reader that stands, at every event but EndHost, at the StartElement of the element. At HostElement and Detection
// the caller consumes it through its EndElement and no further, at BeginHost and DetectionList it only looks at the attributes.
func (h *Hosts) XML() *xmlstream.Reader { return h.xml }

// Locate returns the error of Next or of XML with its offset, if it has one, counted in the whole response instead of in the
// segments.
func (h *Hosts) Locate(err error) error {
	var syntax *xmlstream.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	return &xmlstream.SyntaxError{Offset: h.chain.inResponse(syntax.Offset), Msg: syntax.Msg}
}

// chain reads segments in a row as one stream: what stands behind the first one, which is read in its place.
type chain struct {
	segment *Segment
	more    func() (*Segment, error)
	err     error // what more has ended with: comes after the data of segment
	pos     int   // in the data of segment
	before  int64 // bytes of the segments before
	marks   []mark
}

func (c *chain) reset(s *Segment, more func() (*Segment, error)) {
	*c = chain{more: more, marks: c.marks[:0]}
	c.add(s)
	c.pos = len(s.Data)
}

func (c *chain) add(s *Segment) {
	c.segment, c.pos = s, 0
	for _, m := range s.marks {
		c.marks = append(c.marks, mark{data: c.before + m.data, response: m.response})
	}
}

// Read reads on, in the next segment if need be.
func (c *chain) Read(p []byte) (int, error) {
	for c.pos == len(c.segment.Data) {
		switch {
		case c.err != nil:
			return 0, c.err
		case !c.segment.More:
			return 0, io.EOF
		case c.more == nil:
			return 0, io.ErrUnexpectedEOF
		}
		c.before += int64(c.pos) // before the call: it can fill the same segment again
		next, err := c.more()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		c.err = err
		if next == nil {
			next = &Segment{}
		}
		c.add(next)
	}
	n := copy(p, c.segment.Data[c.pos:])
	c.pos += n
	return n, nil
}

// inResponse returns which byte of the response a byte of the stream was.
func (c *chain) inResponse(offset int64) int64 {
	for i := len(c.marks) - 1; i >= 0; i-- {
		if m := c.marks[i]; m.data <= offset {
			return m.response + offset - m.data
		}
	}
	return offset
}
