// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

const (
	maxText  = 300 // bytes of Qualys's text in a message
	maxTitle = 100 // bytes of a foreign page in a message
)

// reply is what a response says that is not what was asked for.
type reply struct {
	html  bool          // a page for people
	empty bool          // nothing at all
	code  int           // of Qualys, or 0
	text  string        // for people
	limit int           // bytes of it that are of use
	all   string        // everything, to look for names in
	wait  time.Duration // SECONDS_TO_WAIT, or 0
	// strange is what was not understood of it.
	strange []header
}

// readReply reads the first bytes of a response.
func readReply(head []byte) reply {
	head = bytes.TrimSpace(bytes.TrimPrefix(head, byteOrderMark))
	if len(head) == 0 {
		return reply{empty: true, text: "empty response", limit: maxText}
	}
	if r, ok := readReturn(head); ok {
		return r
	}
	if text, ok := objectText(head); ok {
		return reply{text: text, limit: maxText, all: string(head)}
	}
	if text, ok := htmlText(head); ok {
		return reply{html: true, text: text, limit: maxTitle}
	}
	if head[0] == '<' {
		return reply{}
	}
	return reply{text: string(head), limit: maxTitle}
}

// readReturn reads a SIMPLE_RETURN, or a GENERIC_RETURN of the older APIs. What it could read of a cut one counts.
func readReturn(head []byte) (reply, bool) {
	xml := xmlstream.NewReader(bytes.NewReader(head))
	r := reply{limit: maxText}
	found := false
	var value, key string
	var items strings.Builder
	for {
		kind, err := xml.Next()
		if err != nil {
			break
		}
		name := string(xml.Name())
		switch {
		case kind == xmlstream.StartElement && xml.Depth() == 1:
			if name != "SIMPLE_RETURN" && name != "GENERIC_RETURN" {
				return reply{}, false
			}
			found = true
		case kind == xmlstream.StartElement:
			value = ""
			if name == "RETURN" {
				r.code = returnCode(xml)
			}
		case kind == xmlstream.Text:
			value += string(xml.Text())
		case name == "CODE":
			r.code = number(value)
		case name == "TEXT", name == "RETURN":
			r.text = value
		case name == "KEY":
			key = strings.TrimSpace(value)
		case name == "VALUE":
			fmt.Fprintf(&items, " %s %s", key, value)
			if key == "SECONDS_TO_WAIT" {
				var understood bool
				if r.wait, understood = seconds(value); !understood {
					r.strange = append(r.strange, header{key, value})
				}
			}
		}
	}
	r.all = r.text + items.String()
	return r, found
}

// number returns the number that a text is, or 0.
func number(text string) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0
	}
	return n
}

// returnCode is the code of a RETURN element, or 0.
func returnCode(xml *xmlstream.Reader) int {
	for i := range xml.Attrs() {
		if name, value := xml.Attr(i); string(name) == "number" {
			return number(string(value))
		}
	}
	return 0
}

var (
	htmlBegin = regexp.MustCompile(`(?i)<(!doctype\s+)?html`)
	htmlTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title`)
)

// htmlText says what HTML page a response is, if it is one.
func htmlText(head []byte) (string, bool) {
	if !htmlBegin.Match(head[:min(len(head), 4<<10)]) {
		return "", false
	}
	if title := htmlTitle.FindSubmatch(head); title != nil {
		return "HTML page: " + html.UnescapeString(string(title[1])), true
	}
	return "HTML page", true
}

// objectText joins what a JSON object of the gateway says. Its errors have several shapes.
func objectText(head []byte) (string, bool) {
	var fields map[string]any
	if json.Unmarshal(head, &fields) != nil {
		return "", false
	}
	texts := stringsOf(fields, []string{"responseCode", "responseMessage", "error", "errorCode", "message", "errorMessage"})
	if len(texts) == 0 {
		texts = stringsOf(fields, slices.Sorted(maps.Keys(fields)))
	}
	if len(texts) == 0 {
		return "JSON object without a message", true
	}
	return strings.Join(texts, ": "), true
}

func stringsOf(fields map[string]any, names []string) (texts []string) {
	for _, name := range names {
		if text, ok := fields[name].(string); ok && text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// oneLine makes a text fit for a message: one line of printable characters.
func oneLine(text string) string {
	printable := strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case c == utf8.RuneError || !unicode.IsPrint(c):
			return -1
		}
		return c
	}, text)
	return strings.Join(strings.Fields(printable), " ")
}

// shorten cuts a text to at most n bytes, at a rune.
func shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
