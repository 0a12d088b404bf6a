// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	logColumns = "Date,Action,Module,Details,User Name,User Role,User IP\n"
	logRow     = "2026-11-20T09:15:00Z,login,auth,user_logged in,john,Manager,192.0.2.7\n"
	bodyBegin  = "----BEGIN_RESPONSE_BODY_CSV\n"
	bodyEnd    = "----END_RESPONSE_BODY_CSV\n"
	footBegin  = "----BEGIN_RESPONSE_FOOTER_CSV\n"
	footEnd    = "----END_RESPONSE_FOOTER_CSV\n"
	moreRows   = "CODE,TEXT,URL\n1980,\"1 record limit exceeded. Use URL, please.\",https://elsewhere.test/x?action=delete&id_max=41&truncation_limit=9&password=p&new=1\n"
)

// readRows reads a response to its end.
func readRows(p *ActivityPage) ([][]string, error) {
	var rows [][]string
	for {
		row, err := p.Next()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, slices.Clone(row))
	}
}

// activity asks for a page of the log and returns its rows.
func activity(ctx context.Context, c *Client) ([][]string, error) {
	p, err := c.Activity(ctx, ActivityQuery{Version: "2.0"})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return readRows(p)
}

func TestActivityPages(t *testing.T) {
	row := strings.Split(strings.TrimSpace(logRow), ",")
	tests := []struct {
		name string
		body string
		rows [][]string
		next uint64 // the row that the next page begins with
		cut  bool   // there are more rows, and it is not said where
		warn string
		err  string
	}{
		{name: "rows alone", body: logColumns + logRow + logRow, rows: [][]string{row, row}},
		{name: "no rows", body: logColumns},
		{name: "nothing in its frame", body: bodyBegin + bodyEnd},
		{name: "no line break at the end", body: strings.TrimSpace(logColumns + logRow), rows: [][]string{row}},
		{name: "byte order mark, CRLF, blank lines", body: "\xEF\xBB\xBF\r\n" + strings.ReplaceAll(logColumns+"\n"+logRow, "\n", "\r\n"), rows: [][]string{row}},
		{name: "everything quoted", body: "\"Date\",\"User IP\"\n\"2026\",\"::1\"\n", rows: [][]string{{"2026", "::1"}}},
		{name: "other columns in another order", body: "New, date ,Action\nx,2026,login\n", rows: [][]string{{"x", "2026", "login"}}},
		{name: "lines, commas and quotes in fields", body: "Date,Details\n2026,\"a,\r\n\"\"b\"\"\n----END\"\n", rows: [][]string{{"2026", "a,\n\"b\"\n----END"}}},
		{name: "stray quotes", body: "Date,Details\n2026,tag \"a\" made\n2026,\"tag \"b\" made\"\n", rows: [][]string{{"2026", `tag "a" made`}, {"2026", `tag "b" made`}}},
		{name: "fewer and more fields", body: "Date,Action\n2026\n2026,a,b\n", rows: [][]string{{"2026"}, {"2026", "a", "b"}}},
		{name: "frames", body: bodyBegin + logColumns + logRow + bodyEnd, rows: [][]string{row}},
		{name: "frames and more", body: bodyBegin + logColumns + logRow + bodyEnd + footBegin + "WARNING\n" + moreRows + footEnd, rows: [][]string{row}, next: 41, warn: "1980 1 record limit exceeded. Use URL, please."},
		{name: "frame around the footer only", body: logColumns + logRow + footBegin + "WARNING\n" + moreRows + footEnd, rows: [][]string{row}, next: 41, warn: "1980"},
		{name: "frame around the rows only", body: bodyBegin + logColumns + logRow + bodyEnd + "WARNING\n" + moreRows, rows: [][]string{row}, next: 41, warn: "1980"},
		{name: "no frames and more", body: logColumns + logRow + "\nWARNING\n" + moreRows, rows: [][]string{row}, next: 41, warn: "1980"},
		{name: "warning in one row", body: logColumns + logRow + "WARNING,1980,more,https://x.test/?id_max=41\n", rows: [][]string{row}, next: 41, warn: "1980 more"},
		{name: "warning without an address", body: logColumns + logRow + "WARNING\nCODE,TEXT,URL\n1981,This version ends.,\n", rows: [][]string{row}, warn: "1981 This version ends."},
		{name: "truncated without an address", body: logColumns + logRow + "WARNING\nCODE,TEXT,URL\n1980,more rows,\n", rows: [][]string{row}, cut: true, warn: "1980 more rows"},
		{name: "a row of the action WARNING", body: "Action,Date\nWARNING,2026\n", rows: [][]string{{"WARNING", "2026"}}},
		{name: "something before the rows", body: "----BEGIN_RESPONSE_BODY_CSV----\n" + logColumns + logRow + "----END_RESPONSE_BODY_CSV----\n", rows: [][]string{row}},

		{name: "cut in a quoted field", body: "Date,Details\n2026,a\n2026,\"b", rows: [][]string{{"2026", "a"}}, err: "unexpected EOF"},
		{name: "cut before the line break of a quoted field", body: "Date,Details\n2026,a\n2026,\"b\n", rows: [][]string{{"2026", "a"}}, err: "unexpected EOF"},
		{name: "cut between fields", body: "Date,Action,Details\n2026,a,b\n2026,a", rows: [][]string{{"2026", "a", "b"}}, err: "unexpected EOF"},
		{name: "cut before the end of the frame", body: bodyBegin + logColumns + logRow, rows: [][]string{row}, err: "unexpected EOF"},
		{name: "cut in the footer", body: logColumns + logRow + footBegin + "WARNING\n" + moreRows, rows: [][]string{row}, err: "unexpected EOF"},
		{name: "next page without a row", body: logColumns + logRow + "WARNING,1980,more,https://x.test/?truncation_limit=5\n", rows: [][]string{row}, err: "not the row"},
		{name: "next page from nowhere", body: logColumns + logRow + "WARNING,1980,more,https://x.test/?id_max=0\n", rows: [][]string{row}, err: "not the row"},
		{name: "next page that does not advance", body: logColumns + logRow + "WARNING,1980,more,https://x.test/?id_max=99\n", rows: [][]string{row}, err: "does not advance"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c, o := start(t, reply200(tt.body, "Date", "Fri, 20 Nov 2026 09:15:00 GMT"))
				p, err := c.Activity(t.Context(), ActivityQuery{Version: "2.0", Limit: 1, Max: 99, Since: time.Date(2026, 11, 19, 1, 0, 0, 0, time.FixedZone("", 3600))})
				require.NoError(t, err)
				defer p.Close()
				rows, err := readRows(p)
				assert.Equal(t, tt.rows, rows)
				assert.Equal(t, int64(len(tt.body)), p.Bytes())
				assert.Equal(t, time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC), p.ServerTime())
				next, more := p.Continue()
				p.Close()
				if tt.err != "" {
					require.ErrorContains(t, err, tt.err)
					assert.Equal(t, Generic, requireError(t, err).Class)
					assert.False(t, more, "a cut response is never taken for the last page, nor for one with a next")
					assert.Equal(t, []string{"activity_log failed"}, o.outcomes)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, []string{"activity_log ok"}, o.outcomes)
				assert.Contains(t, p.Warning(), tt.warn)
				assert.Equal(t, tt.next != 0, more)
				assert.Equal(t, tt.next, next.ID)
				assert.Subset(t, map[string]string{"new": "1"}, next.Extra, "the address must not decide what is asked for")
				assert.Equal(t, tt.cut || more, p.Truncated())
				calls := f.received()
				require.Len(t, calls, 1)
				assert.Equal(t, url.Values{
					"action": {"list"}, "truncation_limit": {"1"}, "id_max": {"99"}, "since_datetime": {"2026-11-19T00:00:00Z"},
				}, calls[0].form)
				assert.Equal(t, "/api/2.0/fo/activity_log/", calls[0].path)
				assert.Equal(t, "list", calls[0].form.Get("action"))
				assert.NotEmpty(t, calls[0].header.Get("X-Requested-With"))
			})
		})
	}
}

// What is no CSV is an error of the same class as from the other APIs of the server.
func TestActivityResponsesAreClassified(t *testing.T) {
	tests := []struct {
		name    string
		status  int
		body    string
		class   Class
		login   bool
		message string
	}{
		{name: "expired account", status: 200, body: simpleReturn(2001, "expired"), class: Config, login: true, message: "code 2001: expired"},
		{name: "expired account behind a byte order mark", status: 200, body: "\xEF\xBB\xBF\n" + simpleReturn(2001, "expired"), class: Config, login: true, message: "code 2001: expired"},
		{name: "of an old API", status: 200, body: `<GENERIC_RETURN><RETURN status="FAILED" number="2011">second factor</RETURN></GENERIC_RETURN>`, class: Config, login: true, message: "second factor"},
		{name: "bad login", status: 401, body: simpleReturn(2000, "no"), class: Config, login: true},
		{name: "no permission", status: 403, body: simpleReturn(2010, "no"), class: Config},
		{name: "invalid parameter", status: 400, body: simpleReturn(1905, "parameter id_max has invalid value"), class: Config},
		{name: "forbidden without a code", status: 403, class: Ambiguous},
		{name: "maintenance", status: 200, body: "<!DOCTYPE html>\n<html><title>Down</title></html>", class: Generic, message: "HTML page: Down: response is not CSV"},
		{name: "JSON", status: 200, body: `{"message":"what?"}`, class: Generic, message: "what?"},
		{name: "empty", status: 200, class: Generic, message: "empty response"},
		{name: "white space", status: 200, body: " \r\n\n", class: Generic, message: "empty response"},
		{name: "garbage", status: 200, body: "\x00\xff\x17", class: Generic, message: "no column Date"},
		{name: "another table", status: 200, body: "Title,Owner\nx,y\n", class: Generic, message: "no column Date"},
		{name: "cut in the names", status: 200, body: `"Date,Action`, class: Generic, message: "unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, respond(tt.status, tt.body))
				_, err := activity(t.Context(), c)
				e := requireError(t, err)
				assert.Equal(t, ActivityLog, e.API)
				assert.Equal(t, tt.class.String(), e.Class.String())
				assert.Equal(t, tt.login, e.Login)
				assert.Contains(t, e.Error(), tt.message)
				assert.Equal(t, tt.login, c.Rejection(Server) != nil)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, reply200(logColumns))
		_, err := c.Activity(t.Context(), ActivityQuery{Version: "../x"})
		assert.Equal(t, Config, requireError(t, err).Class)
		assert.Empty(t, f.received())
	})
}

func TestActivityCutByTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, logColumns+logRow)
		})
		rows, err := activity(t.Context(), c)
		assert.Len(t, rows, 1, "what came whole counts")
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

// One row must not take all memory, whether it ends or not; many may come.
func TestActivityRowsAreLimited(t *testing.T) {
	const field = 3 << 20
	long := strings.Repeat("x", field)
	tests := []struct {
		name string
		body io.Reader
		rows int
		err  error
	}{
		{"long rows", strings.NewReader(logColumns + strings.Repeat("2026,"+long+","+long+"\n", 3)), 3, nil},
		{"a row beyond the limit", strings.NewReader(logColumns + logRow + "2026," + long + "," + long + "," + long + "\n"), 1, errRowTooLarge},
		{"a quoted field without end", io.MultiReader(strings.NewReader(logColumns+logRow+"2026,\""), endless("line\n")), 1, errRowTooLarge},
		{"a row of commas only", io.MultiReader(strings.NewReader(logColumns+logRow), strings.NewReader(strings.Repeat(",", 70_000)+"\n")), 1, errRowTooLarge},
		{"a line without end", io.MultiReader(strings.NewReader(logColumns+logRow), endless("x")), 1, errRowTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := responseOf(t, ActivityLog, nil)
			a.body = tt.body
			a.client.settings.MaxInflated = 1 << 30
			p := &ActivityPage{}
			require.NoError(t, p.open(a))
			rows, err := readRows(p)
			assert.Len(t, rows, tt.rows)
			assert.ErrorIs(t, err, tt.err)
			assert.Less(t, p.Bytes(), int64(24<<20), "no more is read of a row that is too long")
		})
	}
}

// endless repeats a text for ever.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

// FuzzActivityPage reads anything as a response: nothing panics, and of what is well-formed no row is lost.
func FuzzActivityPage(f *testing.F) {
	for _, body := range []string{
		logColumns + logRow, bodyBegin + logColumns + logRow + bodyEnd + footBegin + "WARNING\n" + moreRows + footEnd,
		"\xEF\xBB\xBFDate\r\n\"a\r\n\"\"b\"\"\"\r\n", "Date,x\n\"2026,\"\"\n", "Date\n" + endOfTable, "<html>",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p := &ActivityPage{}
		if err := p.open(responseOf(t, ActivityLog, body)); err != nil {
			return
		}
		rows, err := readRows(p)
		strict := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF"))))
		strict.FieldsPerRecord = len(p.Columns())
		want, malformed := strict.ReadAll()
		if malformed != nil || len(p.Columns()) < 2 || bytes.Contains(body, []byte(endOfTable)) {
			return
		}
		require.NoError(t, err)
		require.Len(t, rows, len(want)-1)
		for i, row := range rows {
			require.Equal(t, want[i+1], row)
		}
	})
}
