// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	detectionPath = "/api/5.0/fo/asset/host/vm/detection/"
	entryPath     = "/api/4.0/fo/knowledge_base/vuln/"
	searchPath    = "/rest/2.0/search/am/asset"
	everything    = "show_igs=1&status=New,Active,Fixed,Re-Opened"
)

// start of the simulated time in tests; their clock stands there until it is moved.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// client calls a server as the receiver does.
type client struct {
	t      *testing.T
	server *Server
	url    string
	clock  *clock
	token  string
	header http.Header
}

func newClient(t *testing.T, o Options) *client {
	c := &client{t: t, clock: &clock{now: start}, header: http.Header{"X-Requested-With": {"test"}}}
	o.Clock = c.clock.Now
	c.server = New(o)
	server := httptest.NewServer(c.server)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// answer is a whole answer; err is that of reading the body.
type answer struct {
	*http.Response

	body string
	err  error
}

func (c *client) do(method, target, body, contentType string) answer {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, target, strings.NewReader(body))
	require.NoError(c.t, err)
	request.Header = c.header.Clone()
	request.Header.Set("Content-Type", contentType)
	switch {
	case c.token != "":
		request.Header.Set("Authorization", "Bearer "+c.token)
	case request.Header.Get("Authorization") == "":
		request.SetBasicAuth(DefaultUsername, DefaultPassword)
	}
	transport := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := transport.Do(request)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return answer{err: err}
	}
	require.NoError(c.t, err)
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return answer{response, string(read), err}
}

// post sends a form.
func (c *client) post(path, form string) answer {
	c.t.Helper()
	return c.do(http.MethodPost, c.url+path, form, "application/x-www-form-urlencoded")
}

// list is post for action=list.
func (c *client) list(path, parameters string) answer {
	c.t.Helper()
	return c.post(path, "action=list&"+parameters)
}

// login gets a token that later calls use.
func (c *client) login() {
	c.t.Helper()
	c.token = ""
	form := url.Values{"username": {DefaultUsername}, "password": {DefaultPassword}, "token": {"true"}}
	got := c.post("/auth", form.Encode())
	require.Equal(c.t, http.StatusCreated, got.StatusCode, got.body)
	c.token = got.body
}

func (c *client) search(query, filter string) answer {
	c.t.Helper()
	return c.do(http.MethodPost, c.url+searchPath+"?"+query, filter, "application/json")
}

// detectionsAnswer is what a naive client reads of a page.
type detectionsAnswer struct {
	Response struct {
		Datetime string `xml:"DATETIME"`
		HostList *struct {
			Hosts []hostElement `xml:"HOST"`
		} `xml:"HOST_LIST"`
		Warning *struct {
			Code int    `xml:"CODE"`
			Text string `xml:"TEXT"`
			URL  string `xml:"URL"`
		} `xml:"WARNING"`
	} `xml:"RESPONSE"`
}

type hostElement struct {
	ID         int64              `xml:"ID"`
	AssetID    int64              `xml:"ASSET_ID"`
	Tags       []string           `xml:"TAGS>TAG>NAME"`
	CloudTags  []string           `xml:"CLOUD_PROVIDER_TAGS>CLOUD_TAG>NAME"`
	Metadata   []string           `xml:"METADATA>EC2>ATTRIBUTE>NAME"`
	Detections []detectionElement `xml:"DETECTION_LIST>DETECTION"`
}

type detectionElement struct {
	UniqueVulnID  int64    `xml:"UNIQUE_VULN_ID"`
	QID           int64    `xml:"QID"`
	Type          VulnType `xml:"TYPE"`
	Severity      int64    `xml:"SEVERITY"`
	Port          int64    `xml:"PORT"`
	Status        Status   `xml:"STATUS"`
	Results       *string  `xml:"RESULTS"`
	FirstFound    string   `xml:"FIRST_FOUND_DATETIME"`
	LastFound     string   `xml:"LAST_FOUND_DATETIME"`
	LastUpdate    string   `xml:"LAST_UPDATE_DATETIME"`
	LastReopened  string   `xml:"LAST_REOPENED_DATETIME"`
	QDS           string   `xml:"QDS"`
	QDSFactors    []string `xml:"QDS_FACTORS>QDS_FACTOR"`
	CVE           []string `xml:"CVE"`
	FutureElement string   `xml:"FUTURE_ELEMENT"`
}

func (c *client) detections(parameters string) *detectionsAnswer {
	c.t.Helper()
	got := c.list(detectionPath, parameters)
	require.NoError(c.t, got.err)
	require.Equal(c.t, http.StatusOK, got.StatusCode, got.body)
	page := new(detectionsAnswer)
	require.NoError(c.t, xml.Unmarshal([]byte(got.body), page))
	return page
}

func (a *detectionsAnswer) hosts() []hostElement {
	if a.Response.HostList == nil {
		return nil
	}
	return a.Response.HostList.Hosts
}

// flat is the detections of a page as the model lists them.
func (a *detectionsAnswer) flat(t *testing.T) []Detection {
	t.Helper()
	parse := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		at, err := time.Parse(time.RFC3339, text)
		require.NoError(t, err)
		return at
	}
	var all []Detection
	for _, h := range a.hosts() {
		for _, d := range h.Detections {
			all = append(all, Detection{
				HostID: h.ID, UniqueVulnID: d.UniqueVulnID, QID: d.QID, Type: d.Type, Severity: d.Severity, Port: d.Port,
				Status: d.Status, FirstFound: parse(d.FirstFound), LastFound: parse(d.LastFound), LastUpdate: parse(d.LastUpdate),
			})
		}
	}
	return all
}

// simpleReturn is Qualys' error document.
type simpleReturn struct {
	XMLName xml.Name `xml:"SIMPLE_RETURN"`
	Code    int      `xml:"RESPONSE>CODE"`
	Text    string   `xml:"RESPONSE>TEXT"`
	Items   []struct {
		Key   string `xml:"KEY"`
		Value int    `xml:"VALUE"`
	} `xml:"RESPONSE>ITEM_LIST>ITEM"`
}

func requireReturn(t *testing.T, got answer, status, code int) simpleReturn {
	t.Helper()
	require.Equal(t, status, got.StatusCode, got.body)
	var document simpleReturn
	require.NoError(t, xml.Unmarshal([]byte(got.body), &document), got.body)
	assert.Equal(t, code, document.Code, document.Text)
	return document
}

// assetsAnswer is what a naive client reads of a page of assets.
type assetsAnswer struct {
	Count           int    `json:"count"`
	ResponseCode    string `json:"responseCode"`
	LastSeenAssetID int64  `json:"lastSeenAssetId"`
	HasMore         int    `json:"hasMore"`
	List            struct {
		Assets []map[string]json.RawMessage `json:"asset"`
	} `json:"assetListData"`
}

func (c *client) assets(query, filter string) assetsAnswer {
	c.t.Helper()
	got := c.search(query, filter)
	require.NoError(c.t, got.err)
	require.Equal(c.t, http.StatusOK, got.StatusCode, got.body)
	var page assetsAnswer
	require.NoError(c.t, json.Unmarshal([]byte(got.body), &page), got.body)
	return page
}

func assetIDs(t *testing.T, page assetsAnswer) []int64 {
	t.Helper()
	var ids []int64
	for _, a := range page.List.Assets {
		id, err := strconv.ParseInt(string(a["assetId"]), 10, 64)
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}

func requireFailed(t *testing.T, got answer, status int) {
	t.Helper()
	require.Equal(t, status, got.StatusCode, got.body)
	assert.Contains(t, got.body, `"responseCode":"FAILED"`)
}

// collect lists what the server says that a request covers.
func (c *client) collect(parameters string) []Detection {
	c.t.Helper()
	form, err := url.ParseQuery(parameters)
	require.NoError(c.t, err)
	seq, err := c.server.DetectionsFor(form)
	require.NoError(c.t, err)
	return slices.Collect(seq)
}
