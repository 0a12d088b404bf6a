// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"bytes"
	"encoding/csv"
	"math"
	"net/url"
	"strconv"
)

const (
	activityVersion = "2.0"
	// activityRows is how many rows an answer has without truncation_limit.
	activityRows = 1000
	// activityBytes is about how long a row is.
	activityBytes = 110
)

var activityParameters = map[string]check{
	"action":           oneOf("list"),
	"since_datetime":   isTime,
	"until_datetime":   isTime,
	"truncation_limit": isNumber,
	"id_max":           isNumber,
	"username":         anything,
	"user_action":      anything,
	"user_role":        anything,
}

// activityQuery is what a request asks for.
type activityQuery struct {
	limit        int // 0: everything
	idMax        int64
	since, until int64 // not included
	form         url.Values
}

func parseActivityQuery(form url.Values) (*activityQuery, error) {
	if err := checkParameters(form, activityParameters); err != nil {
		return nil, err
	}
	q := &activityQuery{limit: activityRows, idMax: math.MaxInt64, since: math.MinInt64, until: math.MaxInt64, form: form}
	if form.Has("truncation_limit") {
		q.limit, _ = strconv.Atoi(form.Get("truncation_limit"))
	}
	if form.Has("id_max") {
		q.idMax, _ = strconv.ParseInt(form.Get("id_max"), 10, 64)
	}
	if form.Has("since_datetime") {
		q.since, _ = parseTime(form.Get("since_datetime"))
	}
	if form.Has("until_datetime") {
		q.until, _ = parseTime(form.Get("until_datetime"))
	}
	return q, nil
}

// takes says whether a row is asked for, whatever page it is on.
func (q *activityQuery) takes(a *activity) bool {
	wanted := func(name, value string) bool { return !q.form.Has(name) || q.form.Get(name) == value }
	return a.at > q.since && a.at < q.until && wanted("username", a.user) && wanted("user_action", a.action) && wanted("user_role", a.role)
}

// serveActivity answers with one page of the user activity log, the newest row first.
func serveActivity(c *call) {
	if c.r.PathValue("version") != activityVersion {
		serveUnknownAPI(c)
		return
	}
	q, err := parseActivityQuery(c.form)
	if err != nil {
		c.refuse(err)
		return
	}
	rows, next := activities(c.s.content, q, c.at)
	b := c.body("text/csv", int64(len(rows))*activityBytes)
	defer b.end()

	var text bytes.Buffer
	frame := func(line string) {
		if c.s.options.Pretty {
			text.WriteString("----" + line + "\n")
		}
	}
	unknown := c.mishap.answer[UnknownElements]
	columns := []string{"Date", "Action", "Module", "Details", "User Name", "User Role", "User IP"}
	if unknown {
		columns = append(columns, "Future Column")
	}
	frame("BEGIN_RESPONSE_BODY_CSV")
	w := csv.NewWriter(&text)
	_ = w.Write(columns) // a buffer takes everything
	for i := range rows {
		a := &rows[i]
		fields := []string{c.spelledTime(a.at), a.action, a.module, c.spoiled(a.details), a.user, a.role, a.ip}
		if unknown {
			fields = append(fields, "of the future")
		}
		_ = w.Write(fields)
		w.Flush()
		if text.Len() >= chunk {
			if b.write(text.Bytes()) != nil {
				return
			}
			text.Reset()
		}
	}
	w.Flush()
	frame("END_RESPONSE_BODY_CSV")
	switch {
	case next != 0:
		c.appendActivityWarning(&text, codeTruncated, strconv.Itoa(len(rows))+" record limit exceeded. Use URL to get next batch of results.", next)
	case c.mishap.answer[WarningWithoutURL]:
		c.appendActivityWarning(&text, codeMessage, "This version of the API will end. Move to the next one, and be safe.", 0)
	}
	_ = b.write(text.Bytes()) // the call keeps the error
}

// spoiled is a text with what faults put into it.
func (c *call) spoiled(text string) string {
	if c.mishap.answer[InvalidUTF8] {
		text += " caf\xe9"
	}
	if c.mishap.answer[ControlCharacters] {
		text += " \x00\x1b[0m"
	}
	return text
}

// appendActivityWarning writes what stands behind the rows; next is the ID of the next page's first row, 0 if there is none.
func (c *call) appendActivityWarning(text *bytes.Buffer, code int, message string, next int64) {
	address := ""
	if next != 0 && !c.mishap.answer[TruncatedWithoutURL] {
		form := url.Values{}
		for name, values := range c.form {
			form[name] = values
		}
		form.Set("id_max", strconv.FormatInt(next, 10))
		base := c.base()
		if c.mishap.answer[ForeignURL] {
			base = "https://" + ForeignHost
		}
		address = base + c.r.URL.Path + "?" + form.Encode()
	}
	text.WriteString("----BEGIN_RESPONSE_FOOTER_CSV\nWARNING\n")
	w := csv.NewWriter(text)
	_ = w.WriteAll([][]string{{"CODE", "TEXT", "URL"}, {strconv.Itoa(code), message, address}}) // a buffer takes everything
	text.WriteString("----END_RESPONSE_FOOTER_CSV\n")
}
