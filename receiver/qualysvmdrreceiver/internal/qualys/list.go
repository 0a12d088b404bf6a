// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// shape is how the responses of an API are built:
//
//	<root><RESPONSE><DATETIME/><holder><item/>…</holder><WARNING/></RESPONSE></root>
//
// Unknown elements are skipped, and items directly in RESPONSE are taken as well: Qualys adds elements often.
type shape struct {
	root   string
	holder string
	items  []string
}

// list walks a response that is a list.
type list struct {
	shape      shape
	response   *response
	xml        *xmlstream.Reader
	begun      bool // RESPONSE was met
	standing   bool // at the start of an item that was not handed out yet
	item       int  // depth of the item handed out
	serverTime time.Time
	warning    warning
	err        error
}

// warning is what a list says besides its items. It is never an error.
type warning struct{ code, text, url string }

// message is the warning for people, "": there is none.
func (w warning) message() string { return shorten(oneLine(w.code+" "+w.text), maxText) }

var errNoResponse = errors.New("response has no RESPONSE")

// list asks an API of the server for a list.
func (c *Client) list(ctx context.Context, api API, version, path string, form url.Values, s shape) (l *list, err error) {
	if path, err = versioned(api, version, path); err != nil {
		return nil, err
	}
	_, err = c.exchange(ctx, request{
		api:  api,
		path: path,
		form: form,
		open: func(a *response) (err error) {
			l, err = openList(a, s)
			return err
		},
	})
	return l, err
}

// openList reads a response through its time. One that is not the list expected is an *Error; one that is, but cannot be read
// any further, is left for next to tell.
func openList(a *response, s shape) (*list, error) {
	l := &list{shape: s, response: a, xml: xmlstream.NewReader(a)}
	for {
		kind, err := l.xml.Next()
		if err != nil {
			return nil, a.classified(err)
		}
		if kind == xmlstream.StartElement {
			break
		}
	}
	if name := string(l.xml.Name()); name != s.root {
		return nil, a.classified(fmt.Errorf("root element is %.60q, not %s", name, s.root))
	}
	l.standing, l.err = l.walk(true)
	return l, nil
}

// next goes to the start of the next item. What is left of the last one is skipped. It returns io.EOF after the end of the
// document.
func (l *list) next() error {
	switch {
	case l.err != nil:
		return l.err
	case l.standing:
		l.standing = false
	default:
		l.err = l.skipRest()
		if l.err == nil {
			_, l.err = l.walk(false)
		}
	}
	if l.err != nil {
		return l.err
	}
	l.item = l.xml.Depth()
	return nil
}

// skipRest reads through the end of the item that was handed out.
func (l *list) skipRest() error {
	if l.item == 0 {
		return nil
	}
	for l.xml.Depth() >= l.item {
		if _, err := l.xml.Next(); err != nil {
			return err
		}
	}
	l.response.stall.progress()
	return nil
}

// walk goes to the start of the next item, or, if untilTime, only through DATETIME: then it returns false.
func (l *list) walk(untilTime bool) (item bool, err error) {
	for {
		kind, err := l.xml.Next()
		if err == io.EOF && !l.begun {
			return false, errNoResponse
		}
		if err != nil {
			return false, err
		}
		if kind != xmlstream.StartElement {
			continue
		}
		name, depth := string(l.xml.Name()), l.xml.Depth()
		switch {
		case depth == 2 && name == "RESPONSE":
			l.begun = true
		case depth == 3 && name == l.shape.holder:
		case depth >= 3 && slices.Contains(l.shape.items, name):
			return true, nil
		case depth == 3 && name == "DATETIME":
			if err := l.readTime(); err != nil || untilTime {
				return false, err
			}
		case depth == 3 && name == "WARNING":
			if err := l.readWarning(); err != nil {
				return false, err
			}
		default:
			if err := l.xml.Skip(); err != nil {
				return false, err
			}
		}
	}
}

func (l *list) readTime() error {
	text, err := elementText(l.xml)
	if t, bad := time.Parse(time.RFC3339, strings.TrimSpace(text)); bad == nil && l.serverTime.IsZero() {
		l.serverTime = t.UTC()
	}
	return err
}

func (l *list) readWarning() error {
	for {
		kind, err := l.xml.Next()
		if err != nil {
			return err
		}
		if kind == xmlstream.EndElement {
			return nil
		}
		if kind != xmlstream.StartElement {
			continue
		}
		name := string(l.xml.Name())
		text, err := elementText(l.xml)
		if err != nil {
			return err
		}
		switch text = strings.TrimSpace(text); name {
		case "CODE":
			l.warning.code = text
		case "TEXT":
			l.warning.text = text
		case "URL":
			l.warning.url = text
		}
	}
}

// time is the server's clock: as the document tells, else as the header does, else zero.
func (l *list) time() time.Time {
	if !l.serverTime.IsZero() {
		return l.serverTime
	}
	return headerTime(l.response.header)
}

func headerTime(h http.Header) time.Time {
	t, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// maxElement is how much of the text of a small element is kept, in bytes. A URL is the longest of them.
const maxElement = 64 << 10

// elementText reads the text of the element that has begun, through its end. That of elements in it belongs to it.
func elementText(xml *xmlstream.Reader) (string, error) {
	var text []byte
	for depth := xml.Depth(); xml.Depth() >= depth; {
		kind, err := xml.Next()
		if err != nil {
			return string(text), err
		}
		if kind == xmlstream.Text {
			text = append(text, xml.Text()[:min(len(xml.Text()), maxElement-len(text))]...)
		}
	}
	return string(text), nil
}
