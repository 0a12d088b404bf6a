// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const activityPath = "/api/2.0/fo/activity_log/"

var footer = regexp.MustCompile(`(?s)----BEGIN_RESPONSE_FOOTER_CSV\nWARNING\nCODE,TEXT,URL\n(.*)----END_RESPONSE_FOOTER_CSV\n$`)

// activities reads a page as a naive client does, and returns the address of the next one.
func (c *client) activities(parameters string) (rows []Activity, next string) {
	c.t.Helper()
	got := c.list(activityPath, parameters)
	require.NoError(c.t, got.err)
	require.Equal(c.t, http.StatusOK, got.StatusCode, got.body)
	body := got.body
	if found := footer.FindStringSubmatch(body); found != nil {
		body = strings.TrimSuffix(body, found[0])
		warning, err := csv.NewReader(strings.NewReader(found[1])).Read()
		require.NoError(c.t, err)
		next = warning[2]
	}
	r := csv.NewReader(strings.NewReader(body))
	read, err := r.ReadAll()
	require.NoError(c.t, err, body)
	require.Equal(c.t, []string{"Date", "Action", "Module", "Details", "User Name", "User Role", "User IP"}, read[0])
	for _, fields := range read[1:] {
		at, err := time.Parse(time.RFC3339, fields[0])
		require.NoError(c.t, err)
		rows = append(rows, Activity{
			Date: at, Action: fields[1], Module: fields[2], Details: fields[3], UserName: fields[4], UserRole: fields[5], UserIP: fields[6],
		})
	}
	return rows, next
}

// told are the rows of the model as answers tell them.
func (c *client) told() []Activity {
	rows := slices.Collect(c.server.Activities())
	for i := range rows {
		rows[i].ID = 0
		rows[i].Details = strings.ReplaceAll(rows[i].Details, "\r\n", "\n") // as encoding/csv reads it
	}
	return rows
}

func TestActivityLogOverItsPages(t *testing.T) {
	c := newClient(t, Options{Activities: 95})
	rows, next := c.activities("truncation_limit=10")
	pages := 1
	for next != "" {
		u, err := url.Parse(next)
		require.NoError(t, err)
		require.Equal(t, c.url, u.Scheme+"://"+u.Host)
		var more []Activity
		more, next = c.activities(strings.TrimPrefix(u.RawQuery, "action=list&"))
		rows = append(rows, more...)
		pages++
	}
	assert.Equal(t, 10, pages)
	assert.Equal(t, c.told(), rows)
	assert.True(t, slices.IsSortedFunc(rows, func(a, b Activity) int { return b.Date.Compare(a.Date) }), "the newest come first")
	assert.Less(t, len(slices.Compact(rows)), 95, "some rows are what the one before is")
}

func TestActivityLogFilters(t *testing.T) {
	c := newClient(t, Options{Activities: 60})
	all := c.told()
	rows, _ := c.activities("since_datetime=" + all[20].Date.Format(time.RFC3339))
	for _, row := range rows {
		assert.True(t, row.Date.After(all[20].Date))
	}
	assert.NotEmpty(t, rows)
	rows, _ = c.activities("username=user_1&truncation_limit=0")
	want := slices.DeleteFunc(slices.Clone(all), func(a Activity) bool { return a.UserName != "user_1" })
	assert.Equal(t, want, rows)
	requireReturn(t, c.list(activityPath, "ids=5"), http.StatusBadRequest, codeUnrecognized)
	requireReturn(t, c.list(activityPath, "since_datetime=yesterday"), http.StatusBadRequest, codeInvalid)
	assert.Equal(t, http.StatusNotFound, c.list("/api/3.0/fo/activity_log/", "").StatusCode)
}

func TestActivityLogGrows(t *testing.T) {
	c := newClient(t, Options{Activities: 5, ChangeEvery: time.Minute})
	before := c.told()
	require.Len(t, before, 5)
	c.clock.move(10 * time.Minute)
	after := c.told()
	require.Len(t, after, 25)
	assert.Equal(t, before, after[20:])
	assert.Equal(t, start.Add(10*time.Minute), after[0].Date)
	assert.Equal(t, start.Add(time.Minute), after[19].Date)
	rows, _ := c.activities("")
	assert.Equal(t, after, rows)
}

func TestActivityLogWithFaults(t *testing.T) {
	c := newClient(t, Options{Pretty: true, Activities: 30})
	fault := func(f Fault) answer {
		require.NoError(t, c.server.SetFaults(Faults{Next: []NextFault{{Fault: f, API: ActivityLog}}}))
		return c.list(activityPath, "truncation_limit=20")
	}
	whole := c.list(activityPath, "truncation_limit=20").body
	assert.True(t, strings.HasPrefix(whole, "----BEGIN_RESPONSE_BODY_CSV\n"))
	assert.Contains(t, whole, "----END_RESPONSE_BODY_CSV\n")
	assert.ErrorContains(t, fault(Cut).err, "EOF")
	cut := fault(CutCleanly)
	require.NoError(t, cut.err)
	assert.Less(t, len(cut.body), len(whole))
	assert.Contains(t, fault(ForeignURL).body, ForeignHost)
	assert.Contains(t, fault(InvalidUTF8).body, "\xe9")
	assert.Contains(t, fault(ControlCharacters).body, "\x00")
	assert.Contains(t, fault(UnknownElements).body, "Future Column")
	requireReturn(t, fault(RateLimited), http.StatusConflict, codeRateLimit)
	require.NoError(t, c.server.SetFaults(Faults{Next: []NextFault{{Fault: WarningWithoutURL}}}))
	assert.Contains(t, c.list(activityPath, "").body, "1981,")
}
