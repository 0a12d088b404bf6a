// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scripted is three hosts of two detections each.
func scripted(at time.Time) *Script {
	s := new(Script)
	for _, host := range []int64{10, 20, 30} {
		for n := range int64(2) {
			s.SetDetection(host, ScriptedDetection{ID: 10*host + n, QID: 1000 + n, Updated: at, Results: "a < b"})
		}
	}
	return s
}

func ids(hosts []hostElement) []int64 {
	var all []int64
	for _, h := range hosts {
		for _, d := range h.Detections {
			all = append(all, d.UniqueVulnID)
		}
	}
	return all
}

func TestScriptedDetectionsAreFilteredAndPagedAsOthers(t *testing.T) {
	s := scripted(start.Add(-time.Hour))
	s.SetDetection(20, ScriptedDetection{ID: 201, QID: 1001, Status: StatusFixed, Updated: start})
	s.SetDetection(30, ScriptedDetection{ID: 301, QID: 1001, Updated: start, Ignored: true})
	c := newClient(t, Options{Script: s})
	for parameters, want := range map[string][]int64{
		"":                    {100, 101, 200, 300},
		"include_ignored=1":   {100, 101, 200, 300, 301},
		"status=Fixed":        {201},
		"ids=10-15,30":        {100, 101, 300},
		"ids=25":              nil,
		"id_min=11&id_max=29": {200},
		"qids=1001":           {101},
		"detection_updated_since=2026-03-01T11:30:00Z&status=Active,Fixed": {201},
	} {
		assert.Equal(t, want, ids(c.detections(parameters).hosts()), parameters)
	}
	first := c.detections("truncation_limit=2")
	require.NotNil(t, first.Response.Warning)
	assert.Contains(t, first.Response.Warning.URL, "id_min=30")

	h, found := s.Host(20)
	require.True(t, found)
	h.Detections[1].Status = StatusReopened
	s.SetHost(20, h)
	s.RemoveDetection(10, 101)
	s.RemoveHost(30)
	assert.Equal(t, []int64{100, 200, 201}, ids(c.detections("").hosts()))
	assert.Len(t, slices.Collect(c.server.Detections()), 3)
}

func TestScriptedBytesStandAsTheyAre(t *testing.T) {
	s := scripted(start)
	s.SetHost(20, ScriptedHost{
		AssetID: 77, Name: "db", Elements: "<OS>Example</OS>",
		Detections: []ScriptedDetection{{ID: 200, QID: 1, Updated: start, Elements: "<CVE>CVE-1</CVE>"}, {Raw: "<DETECTION><QID>1</BROKEN>"}},
	})
	c := newClient(t, Options{Script: s})
	got := c.list(detectionPath, "show_asset_id=1").body
	for _, part := range []string{"<ASSET_ID>77</ASSET_ID>", "<OS>Example</OS><DETECTION_LIST>", "<CVE>CVE-1</CVE></DETECTION><DETECTION><QID>1</BROKEN></DETECTION_LIST>", "<RESULTS>a &lt; b</RESULTS>"} {
		assert.Contains(t, got, part)
	}
}

func TestScriptedEntriesAssetsAndRows(t *testing.T) {
	s := new(Script)
	s.SetEntry(1001, ScriptedEntry{Modified: start})
	s.SetEntry(1002, ScriptedEntry{Modified: start.Add(-time.Hour), Elements: "<CVE_LIST/>"})
	s.SetAsset(5, ScriptedAsset{Modified: start, Members: `"agent":null`})
	s.SetAsset(7, ScriptedAsset{Modified: start.Add(-time.Hour), Told: start, HostID: 20})
	s.AddActivity(Activity{Date: start.Add(-time.Minute), Action: "login"}, Activity{Date: start, Action: "logout"})
	c := newClient(t, Options{Script: s})

	assert.Contains(t, c.list(entryPath, "details=None").body, "<ID_RANGE>1001-1002</ID_RANGE>")
	assert.Contains(t, c.list(entryPath, "details=None&last_modified_after=2026-03-01T11:30:00Z").body, "<ID>1001</ID>")
	assert.Contains(t, c.list(entryPath, "ids=1002,4000").body, "<CVE_LIST/></VULN>")
	s.RemoveEntry(1002)
	assert.NotContains(t, c.list(entryPath, "ids=1002,4000").body, "<VULN_LIST>")

	rows := c.list("/api/2.0/fo/activity_log/", "truncation_limit=1").body
	assert.Contains(t, rows, ",logout,")
	assert.Contains(t, rows, "id_max=1")

	c.login()
	assert.Equal(t, []int64{5, 7}, assetIDs(t, c.assets("", "")))
	assert.Equal(t, []int64{5}, assetIDs(t, c.assets("", `{"filters":[{"field":"asset.lastUpdatedDate","operator":"GREATER","value":"2026-03-01T11:30:00Z"}]}`)))
	s.RemoveAsset(5)
	assert.Contains(t, c.search("", "").body, `"lastModifiedDate":"2026-03-01T12:00:00.000Z"`)
}

func TestWholeServerWorksInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(time.Now())
		server := New(Options{Script: s, NoGzip: true, Faults: Faults{Delay: Duration(time.Minute), Next: []NextFault{{Fault: Stall, CutAfter: 10}}}})
		pipe := NewPipe(server)
		defer func() { assert.NoError(t, pipe.Close()) }()
		call := func() (status int, err error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://server.test"+detectionPath+"?action=list", nil)
			require.NoError(t, err)
			request.Header.Set("X-Requested-With", "test")
			request.SetBasicAuth(DefaultUsername, DefaultPassword)
			response, err := (&http.Client{Transport: pipe.Transport()}).Do(request)
			if err != nil {
				return 0, err
			}
			defer response.Body.Close()
			_, err = io.Copy(io.Discard, response.Body)
			return response.StatusCode, err
		}
		began := time.Now()
		_, err := call()
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Hour, time.Since(began))
		status, err := call()
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, status)
		synctest.Wait()
		asked := server.Requests()
		require.Len(t, asked, 2)
		assert.Equal(t, []time.Time{began.UTC(), began.Add(time.Hour).UTC()}, []time.Time{asked[0].Time, asked[1].Time})
		assert.Equal(t, []bool{true, false}, []bool{asked[0].Aborted, asked[1].Aborted})
	})
}

func TestInterceptorMayAnswerChangeOrBreak(t *testing.T) {
	c := newClient(t, Options{Script: scripted(start), NoGzip: true, Concurrency: 1})
	var seen []Request
	c.server.Intercept(func(_ context.Context, r Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		seen = append(seen, r)
		switch r.Form.Get("id_min") {
		case "1":
			w.WriteHeader(http.StatusTeapot)
			return true
		case "2":
			recorded := httptest.NewRecorder()
			serve(recorded)
			_, err := w.Write([]byte(strings.Replace(recorded.Body.String(), "<ID>10<", "<ID>11<", 1)))
			return assert.NoError(t, err)
		case "3":
			serve(httptest.NewRecorder())
			panic(http.ErrAbortHandler)
		}
		return false
	})
	assert.Equal(t, http.StatusTeapot, c.list(detectionPath, "id_min=1").StatusCode)
	assert.Equal(t, int64(11), c.detections("id_min=2").hosts()[0].ID)
	assert.Error(t, c.list(detectionPath, "id_min=3").err)
	assert.Len(t, c.detections("id_min=4").hosts(), 3, "calls that were taken over or broken do not count as running")
	c.server.Intercept(nil)
	assert.Len(t, c.detections("id_min=1").hosts(), 3)
	assert.Len(t, seen, 4)
	logged := c.server.Requests()
	assert.Equal(t, http.StatusTeapot, logged[0].Status)
	assert.True(t, logged[2].Done && logged[2].Aborted)
}
