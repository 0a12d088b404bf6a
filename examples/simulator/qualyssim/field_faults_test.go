// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// always is a fault of every call.
func always(faults ...Fault) Faults {
	f := Faults{Rates: map[Fault]float64{}, APIs: allAPIs}
	for _, fault := range faults {
		f.Rates[fault] = 1
	}
	return f
}

func TestKnowledgeBaseIsTruncated(t *testing.T) {
	s := new(Script)
	for qid := range int64(5) {
		s.SetEntry(1001+qid, ScriptedEntry{Modified: start})
	}
	c := newClient(t, Options{Script: s, KnowledgeBasePageCap: 2})
	for _, parameters := range []string{"details=All&ids=1001-1005", "details=None"} {
		first := c.list(entryPath, parameters).body
		assert.Contains(t, first, "<CODE>1980</CODE>", parameters)
		assert.Contains(t, first, "id_min=1003", parameters)
		last := c.list(entryPath, parameters+"&id_min=1005").body
		assert.Contains(t, last, "1005<", parameters)
		assert.NotContains(t, last, "WARNING", parameters)
	}
	assert.Contains(t, c.list(entryPath, "details=All&ids=1001-1005").body, "ids=1001-1005", "the URL keeps what was asked for")
}

func TestTruncatedWithoutURL(t *testing.T) {
	c := newClient(t, Options{PageCap: 2, KnowledgeBasePageCap: 2, Faults: always(TruncatedWithoutURL)})
	for _, path := range []string{detectionPath, hostListPath, entryPath} {
		got := c.list(path, "").body
		assert.Contains(t, got, "<CODE>1980</CODE>", path)
		assert.NotContains(t, got, "<URL><![CDATA[http://127", path)
	}
	rows := c.list("/api/2.0/fo/activity_log/", "truncation_limit=2").body
	assert.Contains(t, rows, "\n1980,")
	assert.NotContains(t, rows, "http:")
}

func TestCommentBeforeTheDeclaration(t *testing.T) {
	c := newClient(t, Options{Faults: always(LeadingComment)})
	require.NoError(t, c.server.SetFaults(Faults{Rates: always(LeadingComment).Rates, Next: []NextFault{{Fault: AccountExpired}}}))
	for range 2 {
		assert.Regexp(t, `^<!--.*-->\s+<\?xml `, c.list(detectionPath, "").body)
	}
	assert.Regexp(t, `^<!--.*-->\s+<\?xml `, c.list(entryPath, "ids=38000-39000").body)
}

func TestOtherEncodings(t *testing.T) {
	s := new(Script)
	s.SetDetection(1, ScriptedDetection{ID: 1, QID: 1, Updated: start, Results: "größe € ¤ Š “x” 東"})
	for fault, want := range map[Fault]string{
		Latin1:      "gr\xf6\xdfe ? \xa4 ? ?x? ?",
		Latin9:      "gr\xf6\xdfe \xa4 ? \xa6 ?x? ?",
		Windows1252: "gr\xf6\xdfe \x80 \xa4 \x8a \x93x\x94 ?",
	} {
		c := newClient(t, Options{Script: s, Faults: always(fault)})
		got := c.list(detectionPath, "").body
		assert.Contains(t, got, `encoding="`+charsets[fault].name+`"`)
		assert.Contains(t, got, "<RESULTS>"+want+"</RESULTS>")
	}
	c := newClient(t, Options{Hosts: 20, Faults: always(Latin1)})
	assert.False(t, utf8.ValidString(c.list(detectionPath, everything).body))
	assert.False(t, utf8.ValidString(c.list(entryPath, "").body))
}

func TestLimitsWithoutACode(t *testing.T) {
	for name, test := range map[string]struct {
		next         NextFault
		path         string
		status       int
		header, body string
	}{
		"text":        {NextFault{Fault: LimitText, Wait: 3}, detectionPath, 409, "X-RateLimit-ToWait-Sec", "This API cannot be run again for another 3 seconds."},
		"empty":       {NextFault{Fault: LimitEmpty, Wait: 3}, entryPath, 409, "X-RateLimit-ToWait-Sec", ""},
		"429":         {NextFault{Fault: LimitEmpty, Wait: 3, Status: 429, WaitHeader: "Retry-After"}, hostListPath, 429, "Retry-After", ""},
		"gateway":     {NextFault{Fault: LimitEmpty, API: Assets, Wait: 3, WaitHeader: "Retry-After"}, searchPath, 429, "Retry-After", ""},
		"maintenance": {NextFault{Fault: Maintenance, Wait: 3}, detectionPath, 503, "Retry-After", maintenancePage},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.login()
			require.NoError(t, c.server.SetFaults(Faults{Next: []NextFault{test.next}}))
			got := c.list(test.path, "")
			assert.Equal(t, test.status, got.StatusCode)
			assert.Equal(t, "3", got.Header.Get(test.header))
			assert.Equal(t, test.body, got.body)
		})
	}
}

func TestHeadersAreReplaced(t *testing.T) {
	c := newClient(t, Options{RateLimit: 10, Faults: Faults{Headers: map[string]string{
		"X-RateLimit-Window-Sec": "315360000", "X-RateLimit-Remaining": "",
	}, Next: []NextFault{{Fault: RateLimited, Wait: 5}}}})
	for range 2 {
		got := c.list(detectionPath, "").Header
		assert.Equal(t, "315360000", got.Get("X-RateLimit-Window-Sec"))
		assert.Empty(t, got.Values("X-RateLimit-Remaining"))
	}
}

func TestTimeOutsOfGateways(t *testing.T) {
	for fault, status := range map[Fault]int{BadGateway: 502, GatewayTimeout: 504, OriginTimeout: 524, RequestTimeout: 408} {
		c := newClient(t, Options{Faults: always(fault)})
		assert.Equal(t, status, c.list(detectionPath, "").StatusCode)
	}
}

func TestHasMoreInOtherShapes(t *testing.T) {
	for fault, want := range map[Fault][2]string{
		HasMoreMissing: {`"lastSeenAssetId":`, "hasMore"},
		HasMoreString:  {`"hasMore":"1"`, ""},
		HasMoreFloat:   {`"hasMore":1.0,`, ""},
		HasMoreBool:    {`"hasMore":true`, ""},
	} {
		c := newClient(t, Options{Assets: 5})
		c.login()
		require.NoError(t, c.server.SetFaults(always(fault)))
		got := c.search("pageSize=2", "").body
		assert.Contains(t, got, want[0])
		if want[1] != "" {
			assert.NotContains(t, got, want[1])
		}
	}
	c := newClient(t, Options{Assets: 5})
	c.login()
	require.NoError(t, c.server.SetFaults(always(EmptyPageWithMore)))
	got := c.search("pageSize=2", "").body
	assert.Contains(t, got, `"hasMore":1`)
	assert.NotContains(t, got, "lastSeenAssetId")
}

func TestSearchOfAssetsEndsSilently(t *testing.T) {
	c := newClient(t, Options{Assets: 10, AssetCap: 5})
	c.login()
	first := c.assets("pageSize=3", "")
	assert.Equal(t, 1, first.HasMore)
	last := c.assets("pageSize=3&lastSeenAssetId="+strconv.FormatInt(first.LastSeenAssetID, 10), "")
	assert.Equal(t, []int{2, 0}, []int{last.Count, last.HasMore})
	count := c.do(http.MethodPost, c.url+"/rest/2.0/count/am/asset", "", "application/json")
	assert.Contains(t, count.body, `"count":10`)
}

func TestHostThatCannotBeRenderedSpoilsEachOfItsPages(t *testing.T) {
	s := scripted(start) // 10, 20, 30
	s.SetEntry(7, ScriptedEntry{Modified: start})
	s.SetEntry(8, ScriptedEntry{Modified: start})
	c := newClient(t, Options{Script: s, Faults: Faults{UnrenderableHosts: []int64{20}, UnrenderableQIDs: []int64{8}}})
	for _, path := range []string{detectionPath, hostListPath} {
		for parameters, status := range map[string]int{
			"": 500, "truncation_limit=1": 200, "ids=10-19,21-40": 200, "ids=20": 500, "id_min=20&truncation_limit=1": 500, "id_min=21": 200,
		} {
			assert.Equal(t, status, c.list(path, parameters).StatusCode, path+parameters)
		}
	}
	assert.Equal(t, http.StatusOK, c.list(hostListPath, "details=None").StatusCode)
	assert.Equal(t, http.StatusOK, c.list(entryPath, "ids=7").StatusCode)
	assert.Equal(t, http.StatusInternalServerError, c.list(entryPath, "ids=7,8").StatusCode)

	require.NoError(t, c.server.SetFaults(Faults{UnrenderableHosts: []int64{20}, Unrenderable: UnrenderableCut}))
	assert.Nil(t, c.list(detectionPath, "").Response, "not a byte came")
	assert.Error(t, c.server.SetFaults(Faults{Unrenderable: "softly"}))

	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Script: scripted(time.Now()), Faults: Faults{UnrenderableHosts: []int64{20}, Unrenderable: UnrenderableStall}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://server.test"+detectionPath+"?action=list", nil)
		require.NoError(t, err)
		r.Header.Set("X-Requested-With", "test")
		r.SetBasicAuth(DefaultUsername, DefaultPassword)
		pipe := NewPipe(s)
		defer func() { assert.NoError(t, pipe.Close()) }()
		_, err = pipe.Transport().RoundTrip(r) //nolint:bodyclose // there is no response
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestHostsDescend(t *testing.T) {
	c := newClient(t, Options{Script: scripted(start), Faults: always(Descending)})
	var got []int64
	page := c.detections("truncation_limit=2")
	for _, h := range page.hosts() {
		got = append(got, h.ID)
	}
	assert.Equal(t, []int64{20, 10}, got)
	require.NotNil(t, page.Response.Warning)
	assert.Contains(t, page.Response.Warning.URL, "id_min=30")
}

func TestClockIsWrong(t *testing.T) {
	c := newClient(t, Options{Faults: Faults{Next: []NextFault{
		{Fault: WrongClock, ClockSkew: Duration(-6 * time.Hour)}, {Fault: WrongClock, Datetime: "9999-12-31T23:59:59Z"},
	}}})
	for _, want := range []time.Time{start.Add(-6 * time.Hour), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), start} {
		got := c.list(detectionPath, "")
		assert.Contains(t, got.body, "<DATETIME>"+want.Format("2006-01-02T15:04:05Z")+"</DATETIME>")
		assert.Equal(t, want.Format(http.TimeFormat), got.Header.Get("Date"))
	}
	f := always(WrongClock)
	f.ClockSkew = Duration(5 * time.Hour)
	require.NoError(t, c.server.SetFaults(f))
	assert.Equal(t, start.Add(5*time.Hour).Format(http.TimeFormat), c.list("/api/2.0/fo/activity_log/", "").Header.Get("Date"))
}

func TestParametersAreRefusedOneByOne(t *testing.T) {
	c := newClient(t, Options{})
	c.login()
	require.NoError(t, c.server.SetFaults(Faults{RefuseParameters: []string{"show_qds", "ids", "asset.lastUpdatedDate", "pageSize"}}))
	first := requireReturn(t, c.list(detectionPath, "ids=1&show_qds=1"), http.StatusBadRequest, codeUnrecognized)
	assert.Contains(t, first.Text, "show_qds")
	assert.NotContains(t, first.Text, "ids")
	assert.Contains(t, requireReturn(t, c.list(detectionPath, "ids=1"), http.StatusBadRequest, codeUnrecognized).Text, "ids")
	assert.Equal(t, http.StatusOK, c.list(detectionPath, "").StatusCode)
	requireFailed(t, c.search("pageSize=1", ""), http.StatusBadRequest)
	requireFailed(t, c.search("", `{"filters":[{"field":"asset.lastUpdatedDate","operator":"GREATER","value":"2026-03-01T11:30:00Z"}]}`), http.StatusBadRequest)
	assert.NotEmpty(t, c.assets("", "").List.Assets)

	require.NoError(t, c.server.SetFaults(Faults{RefuseParameters: []string{"status"}, RefuseCode: codeInvalid}))
	requireReturn(t, c.list(detectionPath, "status=New"), http.StatusBadRequest, codeInvalid)
}

func TestStatusesAndTimesInOtherSpellings(t *testing.T) {
	for fault, want := range map[Fault]string{UpperCaseStatus: "<STATUS>FIXED<", LowerCaseStatus: "<STATUS>fixed<"} {
		c := newClient(t, Options{Faults: always(fault)})
		assert.Contains(t, c.list(detectionPath, "status=Fixed").body, want)
	}
	for fault, zone := range map[Fault]string{OffsetTimes: "+0000", ZonelessTimes: ""} {
		c := newClient(t, Options{})
		c.login()
		require.NoError(t, c.server.SetFaults(always(fault)))
		at := start.Format("2006-01-02T15:04:05") + zone
		got := c.list(detectionPath, "").body
		assert.Contains(t, got, "<DATETIME>"+at+"</DATETIME>")
		assert.NotRegexp(t, `\d\d:\d\dZ<`, got)
		row := strings.Split(c.list("/api/2.0/fo/activity_log/", "").body, "\n")[1]
		assert.Regexp(t, `:\d\d`+strings.ReplaceAll(zone, "+", `\+`)+`,`, row)
		assert.Contains(t, c.search("", "").body, `.000`+zone+`"`)
	}
}

func TestFaultsAreAllNamed(t *testing.T) {
	for _, fault := range answerFaults {
		_, replaces := replies[fault]
		assert.False(t, replaces, fault)
	}
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(answerFaults))), len(answerFaults))
}
