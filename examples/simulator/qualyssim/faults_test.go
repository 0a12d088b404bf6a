// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// record calls a server without a network.
func record(t *testing.T, s *Server, path, form string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Requested-With", "test")
	r.SetBasicAuth(DefaultUsername, DefaultPassword)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestFaultsThatReplaceTheAnswer(t *testing.T) {
	for fault, want := range map[Fault]struct{ status, code int }{
		BadLogin:               {401, 2000},
		Forbidden:              {403, 2010},
		AccountExpired:         {200, 2001},
		AccountInactive:        {409, 2002},
		RegistrationIncomplete: {409, 2003},
		SecondFactor:           {409, 2011},
		PasswordChange:         {409, 2012},
		InvalidParameter:       {400, 1905},
		Busy:                   {409, 1960},
		RateLimited:            {409, 1965},
		ServerError:            {500, 999},
		MaintenanceReturn:      {503, 1999},
	} {
		t.Run(string(fault), func(t *testing.T) {
			c := newClient(t, Options{Faults: Faults{Next: []NextFault{{Fault: fault}}}})
			requireReturn(t, c.list(detectionPath, ""), want.status, want.code)
			assert.NotEmpty(t, c.detections("").flat(t), "the fault did not end")
		})
	}
}

func TestFaultsWithoutADocument(t *testing.T) {
	for name, test := range map[string]struct {
		fault NextFault
		check func(*testing.T, answer)
	}{
		"page of maintenance": {NextFault{Fault: Maintenance}, func(t *testing.T, a answer) {
			assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
			assert.Contains(t, a.body, "<html>")
		}},
		"page that looks like success": {NextFault{Fault: Maintenance, Status: 200}, func(t *testing.T, a answer) {
			assert.Equal(t, http.StatusOK, a.StatusCode)
			assert.Contains(t, a.body, "<html>")
		}},
		"page of login":   {NextFault{Fault: LoginPage}, func(t *testing.T, a answer) { assert.Equal(t, http.StatusUnauthorized, a.StatusCode) }},
		"page of gateway": {NextFault{Fault: BadGateway}, func(t *testing.T, a answer) { assert.Equal(t, http.StatusBadGateway, a.StatusCode) }},
		"limit of gateway": {NextFault{Fault: TooManyRequests}, func(t *testing.T, a answer) {
			assert.Equal(t, http.StatusTooManyRequests, a.StatusCode)
			assert.Empty(t, a.Header.Get("Retry-After"))
		}},
		"limit with a time": {NextFault{Fault: TooManyRequests, Wait: 30}, func(t *testing.T, a answer) {
			assert.Equal(t, "30", a.Header.Get("Retry-After"))
		}},
		"redirect": {NextFault{Fault: Redirect}, func(t *testing.T, a answer) {
			assert.Equal(t, http.StatusFound, a.StatusCode)
			assert.Contains(t, a.Header.Get("Location"), ForeignHost)
		}},
		"empty": {NextFault{Fault: Empty}, func(t *testing.T, a answer) {
			assert.Equal(t, http.StatusOK, a.StatusCode)
			assert.Empty(t, a.body)
		}},
		"garbage": {NextFault{Fault: Garbage}, func(t *testing.T, a answer) {
			assert.Equal(t, http.StatusOK, a.StatusCode)
			assert.False(t, utf8.ValidString(a.body))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Faults: Faults{Next: []NextFault{test.fault}}})
			test.check(t, c.list(detectionPath, ""))
			assert.Equal(t, []Fault{test.fault.Fault}, c.server.Requests()[0].Faults)
		})
	}
}

func TestGatewayFaultsAreJSON(t *testing.T) {
	c := newClient(t, Options{})
	c.login()
	for fault, want := range map[Fault]struct {
		status int
		text   string
	}{
		Busy:         {429, "rate limit"},
		RateLimited:  {429, "rate limit"},
		BadLogin:     {401, `"error":"Unauthorized"`},
		TokenExpired: {401, `"message":"JWT expired"`},
		Forbidden:    {403, `"responseCode":"FAILED"`},
		Failed:       {200, `"responseCode":"FAILED"`},
		ServerError:  {500, `"responseCode":"FAILED"`},
	} {
		require.NoError(t, c.server.SetFaults(Faults{Next: []NextFault{{Fault: fault, API: Assets}}}))
		c.detections("")
		got := c.search("", "")
		assert.Equal(t, want.status, got.StatusCode, fault)
		assert.Contains(t, got.body, want.text, fault)
	}
}

func TestCuts(t *testing.T) {
	for name, test := range map[string]struct {
		fault  Faults
		breaks bool
		bytes  int
	}{
		"after bytes":   {Faults{Rates: map[Fault]float64{Cut: 1}, CutAfter: 500}, true, 500},
		"anywhere":      {Faults{Rates: map[Fault]float64{Cut: 1}}, true, 0},
		"without trace": {Faults{Rates: map[Fault]float64{CutCleanly: 1}, CutAfter: 500}, false, 500},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			whole := c.list(detectionPath, "").body
			require.NoError(t, c.server.SetFaults(test.fault))
			// Random cuts have to hit wherever they fall.
			for range 10 {
				got := c.list(detectionPath, "")
				assert.Equal(t, test.breaks, got.err != nil)
				assert.Less(t, len(got.body), len(whole))
				if test.bytes > 0 {
					assert.Len(t, got.body, test.bytes)
				}
				assert.True(t, strings.HasPrefix(whole, got.body))
			}
		})
	}
}

func TestRandomCutOfLongAnswerFallsAnywhere(t *testing.T) {
	c := newClient(t, Options{Hosts: 200, MinDetections: 50, MaxDetections: 60, Faults: Faults{Rates: map[Fault]float64{Cut: 1}}})
	shortest, longest := 1<<30, 0
	for range 12 {
		n := len(c.list(detectionPath, "").body)
		shortest, longest = min(shortest, n), max(longest, n)
	}
	assert.Greater(t, longest, 2*shortest)
}

func TestSpoiltText(t *testing.T) {
	for fault, check := range map[Fault]func(string) bool{
		ControlCharacters: func(body string) bool { return strings.ContainsAny(body, "\x00\x01\x1b") },
		InvalidUTF8:       func(body string) bool { return !utf8.ValidString(body) },
		UnknownElements:   func(body string) bool { return strings.Contains(body, "FUTURE") },
	} {
		c := newClient(t, Options{})
		for _, path := range []string{detectionPath, entryPath} {
			assert.False(t, check(c.list(path, "").body), path)
			require.NoError(t, c.server.SetFaults(Faults{Next: []NextFault{{Fault: fault}}}))
			assert.True(t, check(c.list(path, "").body), path)
		}
	}
	c := newClient(t, Options{})
	c.login()
	require.NoError(t, c.server.SetFaults(Faults{Rates: map[Fault]float64{InvalidUTF8: 1, UnknownElements: 1}}))
	got := c.search("", "").body
	assert.False(t, utf8.ValidString(got))
	assert.Contains(t, got, "futureField")
}

func TestUnknownElementsAreWellFormed(t *testing.T) {
	c := newClient(t, Options{Faults: Faults{Rates: map[Fault]float64{UnknownElements: 1}}})
	assert.Equal(t, "tomorrow", c.detections("").hosts()[0].Detections[0].FutureElement)
}

func TestMalformedHosts(t *testing.T) {
	c := newClient(t, Options{})
	hosts := c.detections("truncation_limit=3")
	id := hosts.hosts()[1].ID
	for _, faults := range []Faults{{BrokenHosts: []int64{id}}, {RuinedHosts: []int64{id}}} {
		require.NoError(t, c.server.SetFaults(faults))
		var page detectionsAnswer
		require.Error(t, xml.Unmarshal([]byte(c.list(detectionPath, "truncation_limit=3").body), &page))
		assert.NotEmpty(t, c.detections("truncation_limit=1").flat(t), "another host is spoilt")
	}
}

func TestWarnings(t *testing.T) {
	c := newClient(t, Options{Hosts: 4, Faults: Faults{Rates: map[Fault]float64{ForeignURL: 1, WarningWithoutURL: 1}}})
	first := c.detections("truncation_limit=2")
	require.NotNil(t, first.Response.Warning)
	assert.Contains(t, first.Response.Warning.URL, "https://"+ForeignHost+detectionPath)

	last := c.detections("")
	require.NotNil(t, last.Response.Warning)
	assert.Empty(t, last.Response.Warning.URL)
	assert.NotEmpty(t, last.Response.Warning.Text)
}

func TestRatesAreRates(t *testing.T) {
	c := newClient(t, Options{Hosts: 1, Faults: Faults{Rates: map[Fault]float64{Busy: 0.5}}})
	counts := map[int]int{}
	for range 100 {
		counts[c.list(detectionPath, "").StatusCode]++
	}
	assert.InDelta(t, 50, counts[http.StatusConflict], 25)
	assert.Equal(t, 100, counts[http.StatusConflict]+counts[http.StatusOK])
}

func TestNextFaultsComeInOrder(t *testing.T) {
	c := newClient(t, Options{Faults: Faults{Next: []NextFault{
		{Fault: Busy, API: Detections, Count: 2}, {Fault: ServerError}, {Fault: Busy, API: KnowledgeBase},
	}}})
	var statuses []int
	for range 4 {
		statuses = append(statuses, c.list(detectionPath, "").StatusCode)
	}
	assert.Equal(t, []int{409, 409, 500, 200}, statuses)
	assert.Equal(t, []NextFault{{Fault: Busy, API: KnowledgeBase}}, c.server.Faults().Next)
}

func TestUnknownFaultsAreRefused(t *testing.T) {
	s := New(Options{})
	for _, faults := range []Faults{
		{Rates: map[Fault]float64{"fire": 1}},
		{Rates: map[Fault]float64{Busy: 1.5}},
		{Next: []NextFault{{Fault: "flood"}}},
		{Next: []NextFault{{Fault: Busy, API: "tickets"}}},
		{APIs: []API{"tickets"}},
	} {
		assert.Error(t, s.SetFaults(faults))
	}
}

func TestSlowAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		path    string
		form    string
		least   time.Duration
		most    time.Duration
	}{
		"at first": {Options{Faults: Faults{Delay: Duration(time.Minute)}}, detectionPath, "", time.Minute, time.Minute},
		"with comments": {
			Options{Faults: Faults{KeepAlive: Duration(time.Minute), KeepAliveEvery: Duration(7 * time.Second)}},
			detectionPath, "", time.Minute, time.Minute,
		},
		"in drops": {Options{Hosts: 1, MaxDetections: 1, Faults: Faults{BytesPerSecond: 100}}, detectionPath, "", 10 * time.Second, 5 * time.Minute},
		"for every QID": {
			Options{KnowledgeBaseDelay: time.Second}, entryPath, "&ids=38000-38099", 100 * time.Second, 100 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(test.options)
				begin := time.Now()
				got := record(t, s, test.path, "action=list"+test.form)
				assert.Equal(t, http.StatusOK, got.Code)
				var document struct{ XMLName xml.Name }
				require.NoError(t, xml.Unmarshal(got.Body.Bytes(), &document))
				assert.GreaterOrEqual(t, time.Since(begin), test.least)
				assert.LessOrEqual(t, time.Since(begin), test.most)
			})
		})
	}
}

// Compressed answers come in small writes: each of them took a tenth of a second, however fast the answer was to be.
func TestSpeedOfAnswers(t *testing.T) {
	for _, speed := range []int{75, 1000, 2_000_000} {
		for _, gzipped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes a second, compressed %t", speed, gzipped), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := New(Options{Hosts: 20, Faults: Faults{BytesPerSecond: speed}, NoGzip: !gzipped})
					r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, detectionPath+"?action=list", nil)
					r.Header.Set("X-Requested-With", "test")
					r.Header.Set("Accept-Encoding", "gzip")
					r.SetBasicAuth(DefaultUsername, DefaultPassword)
					w := httptest.NewRecorder()
					begin := time.Now()
					s.ServeHTTP(w, r)
					require.Equal(t, http.StatusOK, w.Code)
					took := time.Duration(w.Body.Len()) * time.Second / time.Duration(speed)
					assert.InDelta(t, took, time.Since(begin), float64(200*time.Millisecond), "%d bytes", w.Body.Len())
				})
			})
		}
	}
}

func TestStalledAnswerEndsWithTheClient(t *testing.T) {
	c := newClient(t, Options{NoGzip: true, Faults: Faults{Rates: map[Fault]float64{Stall: 1}, CutAfter: 200}})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+detectionPath+"?action=list", nil)
	require.NoError(t, err)
	request.Header = c.header
	request.SetBasicAuth(DefaultUsername, DefaultPassword)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	begun := make([]byte, 200)
	_, err = io.ReadFull(response.Body, begun)
	require.NoError(t, err)
	assert.False(t, c.server.Requests()[0].Done)
	// The test server waits for its calls at the end: one that does not end hangs this test.
	require.NoError(t, response.Body.Close())
}
