// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// walk writes down the events of segments; read says how the elements are read.
func walk(h *Hosts, read func(*xmlstream.Reader) error) (string, error) {
	var events strings.Builder
	for {
		event, err := h.Next()
		if err != nil {
			return events.String(), err
		}
		switch event {
		case BeginHost:
			events.WriteString("(")
		case EndHost:
			events.WriteString(")")
		case DetectionList:
			events.WriteString(" L")
		case HostElement:
			fmt.Fprintf(&events, " %s", h.XML().Name())
		case Detection:
			events.WriteString(" D")
		}
		if event == HostElement || event == Detection {
			if err := read(h.XML()); err != nil {
				return events.String(), err
			}
		}
	}
}

func untouched(*xmlstream.Reader) error { return nil }

func half(r *xmlstream.Reader) error {
	_, err := r.Next()
	return err
}

const twoHosts = `<HOST> <ID>1</ID><TAGS><TAG><NAME/></TAG></TAGS>
<DETECTION_LIST><DETECTION><QID>7</QID></DETECTION> <NEW>x</NEW><DETECTION/></DETECTION_LIST><LATE/>
<DETECTION_LIST n="2"><DETECTION><DETECTION_LIST n="3"/></DETECTION></DETECTION_LIST></HOST>
<HOST><ID>2</ID></HOST>`

func TestHosts(t *testing.T) {
	const events = "( ID TAGS D NEW D LATE L D)( ID)"
	for name, read := range map[string]func(*xmlstream.Reader) error{
		"consumed":  (*xmlstream.Reader).Skip,
		"untouched": untouched,
		"in part":   half,
	} {
		t.Run(name, func(t *testing.T) {
			var h Hosts
			for range 2 { // one Hosts is used again
				h.Reset(&Segment{Data: []byte(twoHosts)}, nil)
				got, err := walk(&h, read)
				require.ErrorIs(t, err, io.EOF)
				assert.Equal(t, events, got)
			}
		})
	}
}

// The attributes of what is around a host's elements are there to be read.
func TestAttributesAroundTheElementsOfAHost(t *testing.T) {
	var h Hosts
	h.Reset(&Segment{Data: []byte(`<HOST a="1"><ID/><DETECTION_LIST/><DETECTION_LIST b="2"><DETECTION/></DETECTION_LIST></HOST>`)}, nil)
	var got []string
	for {
		event, err := h.Next()
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			break
		}
		if event == BeginHost || event == DetectionList {
			require.Equal(t, 1, h.XML().Attrs())
			attr, value := h.XML().Attr(0)
			got = append(got, fmt.Sprintf("%s %s=%s", h.XML().Name(), attr, value))
		}
	}
	assert.Equal(t, []string{"HOST a=1", "DETECTION_LIST b=2"}, got)
}

// A host that is cut anywhere into segments reads the same as a whole one.
func TestHostsInParts(t *testing.T) {
	var h Hosts
	h.Reset(&Segment{Data: []byte(twoHosts)}, nil)
	want, err := walk(&h, (*xmlstream.Reader).Skip)
	require.ErrorIs(t, err, io.EOF)
	for at := range len(twoHosts) {
		parts := []*Segment{
			{Data: []byte(twoHosts[:at]), More: true},
			{More: true},
			{Data: []byte(twoHosts[at:])},
		}
		h.Reset(parts[0], func() (*Segment, error) {
			parts = parts[1:]
			return parts[0], nil
		})
		got, err := walk(&h, (*xmlstream.Reader).Skip)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, want, got, "cut at %d", at)
	}
}

// The detections before a break are delivered; the break is told as what it is.
func TestHostsOfABrokenResponse(t *testing.T) {
	broken, _, _ := strings.Cut(twoHosts, "<NEW>")
	cause := errors.New("cable pulled")
	for _, tt := range []struct {
		name   string
		more   func() (*Segment, error)
		want   error
		events string
	}{
		{name: "page tells", more: func() (*Segment, error) { return nil, cause }, want: cause},
		{name: "page tells with what it could read", more: func() (*Segment, error) { return &Segment{Data: []byte("<NEW/><DETEC"), More: true}, cause }, want: cause, events: " NEW"},
		{name: "no page", more: func() (*Segment, error) { return nil, nil }, want: io.ErrUnexpectedEOF},
		{name: "nobody tells", want: io.ErrUnexpectedEOF},
		{name: "page has ended", more: func() (*Segment, error) { return nil, io.EOF }, want: io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h Hosts
			h.Reset(&Segment{Data: []byte(broken), More: true}, tt.more)
			got, err := walk(&h, (*xmlstream.Reader).Skip)
			require.ErrorIs(t, err, tt.want)
			assert.Equal(t, "( ID TAGS D"+tt.events, got)
			assert.Equal(t, err, h.Locate(err), "without an offset there is nothing to locate")
		})
	}
}

// The byte that is at fault is found in the response, however it was cut into segments.
func TestFaultsAreLocatedInTheResponse(t *testing.T) {
	good := manyHosts(1, 1_500_000)
	good = strings.TrimSuffix(strings.TrimPrefix(good, "<HOST_LIST>"), "</HOST_LIST>")
	last := "<HOST><ID>7</ID><DETECTION_LIST><DETECTION><QID></NEW></DETECTION></DETECTION_LIST></HOST>"
	for name, inner := range map[string]string{
		"in the first host":      "<HOST_LIST>\n" + last + good,
		"behind a comment":       "<HOST_LIST><!-- keep-alive -->" + last,
		"behind a host in parts": "<HOST_LIST>" + good + "<!-- keep-alive -->" + good + "\n\n" + last,
		"in a host in parts":     "<HOST_LIST>" + good + "\n" + strings.Replace(good, "<QID>1499</QID>", "<QID>1499</NEW>", 1),
	} {
		t.Run(name, func(t *testing.T) {
			body := hostList(inner + "</HOST_LIST>")
			fault := strings.Index(body, "</NEW>")
			p := &DetectionPage{response: responseOf(t, Detections, []byte(body))}
			var err error
			p.list, err = openList(p.response, detectionList)
			require.NoError(t, err)
			var s Segment
			var h Hosts
			next := func() (*Segment, error) { return &s, p.Next(&s) }
			for err == nil {
				if err = p.Next(&s); err == nil {
					h.Reset(&s, next)
					if _, err = walk(&h, (*xmlstream.Reader).Skip); err == io.EOF {
						err = nil
					}
				}
			}
			var syntax *xmlstream.SyntaxError
			require.ErrorAs(t, h.Locate(err), &syntax)
			assert.InDelta(t, fault, syntax.Offset, 10)
		})
	}
}
