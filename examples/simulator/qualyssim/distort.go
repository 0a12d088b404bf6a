// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// xml returns a builder for the call's answer, with what faults change about all of it.
func (c *call) xml() *xmlBuilder {
	x := &xmlBuilder{pretty: c.s.options.Pretty, zone: "Z", encoding: "UTF-8"}
	has := c.mishap.answer
	switch {
	case has[OffsetTimes]:
		x.zone = "+0000"
	case has[ZonelessTimes]:
		x.zone = ""
	}
	if has[LeadingComment] {
		x.leading = "<!-- This report is about hosts //-->\n\n  "
	}
	for fault := range charsets {
		if has[fault] {
			x.encoding = charsets[fault].name
		}
	}
	return x
}

// datetime is the answer's DATETIME.
func (c *call) datetime() string {
	if c.mishap.datetime != "" {
		return c.mishap.datetime
	}
	return c.spelledTime(c.now.Add(time.Duration(c.mishap.skew)).Unix())
}

// spelledTime is a time of a row of the activity log.
func (c *call) spelledTime(unix int64) string {
	b := appendTime(nil, unix)
	switch {
	case c.mishap.answer[OffsetTimes]:
		b = append(b[:len(b)-1], "+0000"...)
	case c.mishap.answer[ZonelessTimes]:
		b = b[:len(b)-1]
	}
	return string(b)
}

// date is the answer's Date.
func (c *call) date() string {
	now := c.now.Add(time.Duration(c.mishap.skew))
	if t, err := time.Parse(time.RFC3339, c.mishap.datetime); err == nil {
		now = t
	}
	return now.UTC().Format(http.TimeFormat)
}

// refusesParameter answers a call itself if it has a parameter that faults refuse.
func (c *call) refusesParameter() bool {
	refused := c.mishap.faults.RefuseParameters
	if len(refused) == 0 || c.api == Auth {
		return false
	}
	if c.gateway() {
		for _, name := range refused {
			if c.form.Has(name) || bytes.Contains(c.payload, []byte(strconv.Quote(name))) {
				c.failed(http.StatusBadRequest, "unknown parameter or field "+strconv.Quote(name))
				return true
			}
		}
		return false
	}
	for _, name := range refused {
		if !c.form.Has(name) {
			continue
		}
		code, text := c.mishap.faults.RefuseCode, "parameter "+name+" has invalid value: "+c.form.Get(name)
		if code == 0 {
			code = codeUnrecognized
		}
		if code == codeUnrecognized {
			text = "unrecognized parameter(s): " + name
		}
		c.simpleReturn(http.StatusBadRequest, code, text, 0)
		return true
	}
	return false
}

// unrenderable answers as the server does when it cannot make an answer at all.
func (c *call) unrenderable() {
	switch c.mishap.faults.Unrenderable {
	case UnrenderableCut:
		c.note(errCut)
	case UnrenderableStall:
		<-c.r.Context().Done()
		c.note(c.r.Context().Err())
	default:
		c.html(http.StatusInternalServerError, "<html><body><h1>500 Internal Server Error</h1></body></html>\n")
	}
}

// charset is a one-byte encoding that agrees with ISO-8859-1 but for what special holds.
type charset struct {
	name    string
	special map[rune]byte
}

var charsets = map[Fault]charset{
	Latin1: {name: "ISO-8859-1"},
	Latin9: {name: "ISO-8859-15", special: map[rune]byte{
		'€': 0xa4, 'Š': 0xa6, 'š': 0xa8, 'Ž': 0xb4, 'ž': 0xb8, 'Œ': 0xbc, 'œ': 0xbd, 'Ÿ': 0xbe,
	}},
	Windows1252: {name: "windows-1252", special: map[rune]byte{
		'€': 0x80, '‚': 0x82, 'ƒ': 0x83, '„': 0x84, '…': 0x85, '†': 0x86, '‡': 0x87, 'ˆ': 0x88, '‰': 0x89, 'Š': 0x8a, '‹': 0x8b,
		'Œ': 0x8c, 'Ž': 0x8e, '‘': 0x91, '’': 0x92, '“': 0x93, '”': 0x94, '•': 0x95, '–': 0x96, '—': 0x97, '˜': 0x98, '™': 0x99,
		'š': 0x9a, '›': 0x9b, 'œ': 0x9c, 'ž': 0x9e, 'Ÿ': 0x9f,
	}},
}

// encoded is text, which ends at the end of a character, in the encoding that the answer declares. A character that it
// lacks becomes a question mark, a byte that is no UTF-8 stays.
func (c *call) encoded(text []byte) []byte {
	var set charset
	for fault := range charsets {
		if c.mishap.answer[fault] {
			set = charsets[fault]
		}
	}
	if set.name == "" {
		return text
	}
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		special, ok := set.special[r]
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, text[0])
		case ok:
			out = append(out, special)
		case r < 0x80 || r >= 0xa0 && r < 0x100 && !set.replaces(byte(r)):
			out = append(out, byte(r))
		default:
			out = append(out, '?')
		}
		text = text[size:]
	}
	return out
}

// replaces says whether a byte stands for another character than in ISO-8859-1.
func (s *charset) replaces(b byte) bool {
	for _, special := range s.special {
		if special == b {
			return true
		}
	}
	return false
}
