// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"strconv"
	"strings"
)

// xmlBuilder appends elements to a buffer, indented as Qualys indents or without any white space between them.
type xmlBuilder struct {
	buf    []byte
	pretty bool
	depth  int

	// What faults change.
	zone     string // in place of the Z of times
	encoding string // declared in place of UTF-8
	leading  string // stands before the XML declaration
}

const spaces = "                                "

func (x *xmlBuilder) indent() {
	if x.pretty {
		x.buf = append(x.buf, spaces[:2*x.depth]...)
	}
}

func (x *xmlBuilder) newline() {
	if x.pretty {
		x.buf = append(x.buf, '\n')
	}
}

func (x *xmlBuilder) start(name string) {
	x.indent()
	x.buf = append(x.buf, '<')
	x.buf = append(x.buf, name...)
	x.buf = append(x.buf, '>')
}

func (x *xmlBuilder) end(name string) {
	x.buf = append(x.buf, '<', '/')
	x.buf = append(x.buf, name...)
	x.buf = append(x.buf, '>')
	x.newline()
}

// open begins an element that holds elements.
func (x *xmlBuilder) open(name string) {
	x.start(name)
	x.newline()
	x.depth++
}

// close ends what open began.
func (x *xmlBuilder) close(name string) {
	x.depth--
	x.indent()
	x.end(name)
}

// plain writes a value that needs no escaping.
func (x *xmlBuilder) plain(name, value string) {
	x.start(name)
	x.buf = append(x.buf, value...)
	x.end(name)
}

// text writes a value with entities.
func (x *xmlBuilder) text(name, value string) {
	x.start(name)
	x.buf = appendEscaped(x.buf, value)
	x.end(name)
}

// cdata writes a value in a CDATA section.
func (x *xmlBuilder) cdata(name, value string) {
	x.start(name)
	x.buf = appendCDATA(x.buf, value)
	x.end(name)
}

// spacedCDATA writes a value in a CDATA section with white space around it.
func (x *xmlBuilder) spacedCDATA(name, value string) {
	x.start(name)
	x.buf = append(x.buf, "\n  "...)
	x.buf = appendCDATA(x.buf, value)
	x.buf = append(x.buf, "\n"...)
	x.end(name)
}

func (x *xmlBuilder) int(name string, value int64) {
	x.start(name)
	x.buf = strconv.AppendInt(x.buf, value, 10)
	x.end(name)
}

func (x *xmlBuilder) flag(name string, value bool) {
	if value {
		x.plain(name, "1")
	} else {
		x.plain(name, "0")
	}
}

// time writes Unix seconds as a time, and nothing for 0.
func (x *xmlBuilder) time(name string, unix int64) {
	if unix == 0 {
		return
	}
	x.start(name)
	x.buf = appendTime(x.buf, unix)
	if x.zone != "Z" {
		x.buf = append(x.buf[:len(x.buf)-1], x.zone...)
	}
	x.end(name)
}

// attribute writes an element with one attribute and a value that needs no escaping.
func (x *xmlBuilder) attribute(name, key, attribute, value string) {
	x.indent()
	x.buf = append(x.buf, '<')
	x.buf = append(x.buf, name...)
	x.buf = append(x.buf, ' ')
	x.buf = append(x.buf, key...)
	x.buf = append(x.buf, '=', '"')
	x.buf = appendEscaped(x.buf, attribute)
	x.buf = append(x.buf, '"', '>')
	x.buf = append(x.buf, value...)
	x.end(name)
}

// comment writes a comment on a line of its own, from the first column as Qualys does.
func (x *xmlBuilder) comment(text string) {
	x.buf = append(x.buf, "<!-- "...)
	x.buf = append(x.buf, text...)
	x.buf = append(x.buf, " -->"...)
	x.newline()
}

const evaluationComment = "<!-- This report was generated with an evaluation version of Qualys //-->\n"

func (x *xmlBuilder) declaration() {
	x.buf = append(x.buf, x.leading...)
	x.buf = append(x.buf, `<?xml version="1.0" encoding="`+x.encoding+"\" ?>\n"...)
}

// prolog writes what stands before and including the root's RESPONSE and its DATETIME.
func (x *xmlBuilder) prolog(root, dtd, datetime string) {
	x.declaration()
	x.buf = append(x.buf, "<!DOCTYPE "...)
	x.buf = append(x.buf, root...)
	x.buf = append(x.buf, ` SYSTEM "`...)
	x.buf = append(x.buf, dtd...)
	x.buf = append(x.buf, "\">\n"+evaluationComment...)
	x.open(root)
	x.open("RESPONSE")
	x.plain("DATETIME", datetime)
	x.comment("keep-alive for " + root + " ")
}

// epilog closes what prolog opened; comments follow the root.
func (x *xmlBuilder) epilog(root string) {
	x.close("RESPONSE")
	x.close(root)
	x.buf = append(x.buf, evaluationComment...)
	x.buf = append(x.buf, "<!-- CONFIDENTIAL. This is simulated data; nobody's hosts are in it. //-->\n"...)
	x.comment("keep-alive for " + root + " ")
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")

func appendEscaped(b []byte, s string) []byte {
	if !strings.ContainsAny(s, `&<>"'`) {
		return append(b, s...)
	}
	return append(b, escaper.Replace(s)...)
}

const (
	cdataStart = "<![CDATA["
	cdataEnd   = "]]>"
	// cdataSplit is "]]>" inside CDATA: it has to be spread over two sections.
	cdataSplit = "]]" + cdataEnd + cdataStart + ">"
)

func appendCDATA(b []byte, s string) []byte {
	b = append(b, cdataStart...)
	if strings.Contains(s, cdataEnd) {
		s = strings.ReplaceAll(s, cdataEnd, cdataSplit)
	}
	b = append(b, s...)
	return append(b, cdataEnd...)
}

// appendTime appends Unix seconds as 2006-01-02T15:04:05Z, without time.Format as every detection has seven of them.
func appendTime(b []byte, unix int64) []byte {
	b = appendDate(b, unix)
	s := int(((unix % day) + day) % day)
	return append(b, 'T',
		'0'+byte(s/36000), '0'+byte(s/3600%10), ':',
		'0'+byte(s/600%6), '0'+byte(s/60%10), ':',
		'0'+byte(s%60/10), '0'+byte(s%10), 'Z')
}

// appendDate appends the date of Unix seconds as 2006-01-02 (the civil calendar from days, as days since 0000-03-01).
func appendDate(b []byte, unix int64) []byte {
	days := unix/day + 719468
	if unix%day < 0 {
		days--
	}
	era := days / 146097
	dayOfEra := days - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*dayOfYear + 2) / 153
	dom := dayOfYear - (153*shifted+2)/5 + 1
	month := shifted + 3
	year := yearOfEra + era*400
	if month > 12 {
		month -= 12
		year++
	}
	return append(b,
		'0'+byte(year/1000), '0'+byte(year/100%10), '0'+byte(year/10%10), '0'+byte(year%10), '-',
		'0'+byte(month/10), '0'+byte(month%10), '-',
		'0'+byte(dom/10), '0'+byte(dom%10))
}
