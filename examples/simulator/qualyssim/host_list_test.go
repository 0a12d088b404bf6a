// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"encoding/xml"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const hostListPath = "/api/5.0/fo/asset/host/"

// hostListAnswer is what a naive client reads of the host list.
type hostListAnswer struct {
	Hosts []struct {
		ID       int64    `xml:"ID"`
		AssetID  int64    `xml:"ASSET_ID"`
		IP       string   `xml:"IP"`
		DNS      string   `xml:"DNS"`
		OS       string   `xml:"OS"`
		TruRisk  string   `xml:"TRURISK_SCORE"`
		Risk     string   `xml:"ASSET_RISK_SCORE"`
		Formula  string   `xml:"TRURISK_SCORE_FACTORS>TRURISK_SCORE_FORMULA"`
		Owner    string   `xml:"OWNER"`
		Groups   string   `xml:"ASSET_GROUP_IDS"`
		Metadata []string `xml:"METADATA>EC2>ATTRIBUTE>NAME"`
		Tags     []struct {
			ID   string `xml:"TAG_ID"`
			Name string `xml:"NAME"`
		} `xml:"TAGS>TAG"`
	} `xml:"RESPONSE>HOST_LIST>HOST"`
	IDs    []int64  `xml:"RESPONSE>ID_SET>ID"`
	Ranges []string `xml:"RESPONSE>ID_SET>ID_RANGE"`
	Code   int      `xml:"RESPONSE>WARNING>CODE"`
	URL    string   `xml:"RESPONSE>WARNING>URL"`
}

func (c *client) hostList(parameters string) *hostListAnswer {
	c.t.Helper()
	got := c.list(hostListPath, parameters)
	require.NoError(c.t, got.err)
	require.Equal(c.t, http.StatusOK, got.StatusCode, got.body)
	page := new(hostListAnswer)
	require.NoError(c.t, xml.Unmarshal([]byte(got.body), page))
	return page
}

func (a *hostListAnswer) ids() []int64 {
	var all []int64
	for i := range a.Hosts {
		all = append(all, a.Hosts[i].ID)
	}
	return all
}

// hostRanges is hosts 1 to 3, 5, 7 and 8; 5 has no detections and was scanned an hour later.
func hostRanges() *Script {
	s := new(Script)
	for _, id := range []int64{1, 2, 3, 7, 8} {
		s.SetDetection(id, ScriptedDetection{ID: 10 * id, QID: 1, Updated: start})
	}
	s.SetHost(5, ScriptedHost{Scanned: start.Add(time.Hour), Processed: start.Add(time.Hour)})
	return s
}

func TestHostListHasHostsWithoutDetections(t *testing.T) {
	c := newClient(t, Options{Script: hostRanges()})
	for parameters, want := range map[string][]int64{
		"":                                   {1, 2, 3, 5, 7, 8},
		"ids=2-5,8":                          {2, 3, 5, 8},
		"id_min=3&id_max=7":                  {3, 5, 7},
		"vm_scan_since=2026-03-01T12:00:00Z": {5},
		"vm_processed_after=2026-03-01T12:30:00Z": {5},
		"id_min=9": nil,
	} {
		assert.Equal(t, want, c.hostList(parameters).ids(), parameters)
	}
	assert.Len(t, c.detections("").hosts(), 5)
	assert.NotContains(t, c.list(hostListPath, "id_min=9").body, "HOST_LIST>")
}

func TestIDsOfHostsComeAsRanges(t *testing.T) {
	c := newClient(t, Options{Script: hostRanges()})
	all := c.hostList("details=None&truncation_limit=0")
	assert.Equal(t, []int64{5}, all.IDs)
	assert.Equal(t, []string{"1-3", "7-8"}, all.Ranges)
	assert.Empty(t, all.Hosts)
	first := c.hostList("details=None&truncation_limit=2")
	assert.Equal(t, []string{"1-2"}, first.Ranges)
	assert.Contains(t, first.URL, "details=None&id_min=3&truncation_limit=2")
	assert.NotContains(t, c.list(hostListPath, "details=None&id_min=9").body, "ID_SET")
}

func TestHostListIsPaged(t *testing.T) {
	c := newClient(t, Options{Hosts: 30})
	var all []int64
	page := c.hostList("truncation_limit=7")
	all = append(all, page.ids()...)
	for page.URL != "" {
		assert.Equal(t, codeTruncated, page.Code)
		got := c.do(http.MethodGet, page.URL, "", "")
		page = new(hostListAnswer)
		require.NoError(t, xml.Unmarshal([]byte(got.body), page))
		all = append(all, page.ids()...)
	}
	assert.Len(t, all, 30)
	assert.IsIncreasing(t, all)
}

func TestHostListShowsWhatIsAskedFor(t *testing.T) {
	c := newClient(t, Options{Hosts: 60})
	for _, h := range c.hostList("").Hosts {
		assert.Empty(t, h.TruRisk+h.Risk+h.Formula+h.Owner+h.Groups)
		assert.Empty(t, h.Tags)
		assert.Zero(t, h.AssetID)
	}
	tagsWithoutID := 0
	for _, h := range c.hostList("details=All/AGs&show_asset_id=1&show_tags=1&show_trurisk=1&show_trurisk_factors=1&show_ars=1&host_metadata=ec2").Hosts {
		assert.NotEmpty(t, h.TruRisk)
		assert.NotEmpty(t, h.Risk)
		assert.NotEmpty(t, h.Formula)
		assert.NotEmpty(t, h.Owner)
		assert.NotEmpty(t, h.Groups)
		assert.NotZero(t, h.AssetID)
		for _, tag := range h.Tags {
			if tag.ID == "" {
				tagsWithoutID++
			}
		}
	}
	assert.Positive(t, tagsWithoutID)
}

func TestBothListsSayTheSameOfAHost(t *testing.T) {
	c := newClient(t, Options{Hosts: 5})
	var detections struct {
		Hosts []struct {
			ID  int64  `xml:"ID"`
			IP  string `xml:"IP"`
			DNS string `xml:"DNS"`
			OS  string `xml:"OS"`
		} `xml:"RESPONSE>HOST_LIST>HOST"`
	}
	require.NoError(t, xml.Unmarshal([]byte(c.list(detectionPath, "").body), &detections))
	listed := c.hostList("").Hosts
	require.NotEmpty(t, detections.Hosts)
	for i, h := range detections.Hosts {
		assert.Equal(t, []any{listed[i].ID, listed[i].IP, listed[i].DNS, listed[i].OS}, []any{h.ID, h.IP, h.DNS, h.OS})
	}
}

func TestHostListRefuses(t *testing.T) {
	c := newClient(t, Options{Hosts: 5, RateLimit: 3})
	requireReturn(t, c.list(hostListPath, "show_qds=1"), http.StatusBadRequest, codeUnrecognized)
	requireReturn(t, c.list(hostListPath, "details=Some"), http.StatusBadRequest, codeInvalid)
	requireReturn(t, c.list(detectionPath, "show_trurisk=1"), http.StatusBadRequest, codeUnrecognized)
	for _, version := range []string{"2.0", "3.0", "4.0"} {
		got := c.list("/api/"+version+"/fo/asset/host/", "")
		if version == "3.0" || version == "4.0" {
			requireReturn(t, got, http.StatusConflict, codeRateLimit)
			continue
		}
		assert.Equal(t, http.StatusOK, got.StatusCode)
	}
	assert.Equal(t, http.StatusOK, c.list(detectionPath, "").StatusCode, "its limit is its own")

	c = newClient(t, Options{NoHostListPermission: true})
	assert.Equal(t, http.StatusNotFound, c.list("/api/6.0/fo/asset/host/", "").StatusCode)
	requireReturn(t, c.list(hostListPath, ""), http.StatusForbidden, codeNoPermission)
	assert.Equal(t, HostList, c.server.Requests()[0].API)
}
