// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func hostIDs(c *client) []int64 {
	var all []int64
	for h := range c.server.Hosts() {
		all = append(all, h.ID)
	}
	return all
}

func TestHostsAppearAndVanish(t *testing.T) {
	c := newClient(t, Options{Hosts: 200, HostTurnover: 0.05, ChangeEvery: time.Minute})
	first := hostIDs(c)
	require.Len(t, first, 200)
	gone := map[int64]bool{}
	for range 40 {
		before := hostIDs(c)
		c.clock.move(time.Minute)
		now := hostIDs(c)
		for _, id := range before {
			if !slices.Contains(now, id) {
				gone[id] = true
			}
		}
		for _, id := range now {
			assert.False(t, gone[id], "a host that vanished does not come back")
		}
		assert.InDelta(t, 200, len(now), 60)
	}
	assert.Equal(t, hostIDs(c), c.hostList("truncation_limit=0").ids())
	removed := slices.Collect(c.server.RemovedHosts())
	for _, h := range removed {
		assert.True(t, gone[h.ID])
	}
	assert.Len(t, removed, len(gone))
	assert.Greater(t, hostIDs(c)[len(hostIDs(c))-1], first[199])
}

// Whoever asks for changes alone must see a new host, too: nothing of it may be older than the host.
func TestNewHostsAreSeenByThoseWhoAskForChanges(t *testing.T) {
	c := newClient(t, Options{Hosts: 50, HostTurnover: 0.1, ChangeEvery: time.Minute, MaxDetections: 5})
	known := map[int64]bool{}
	note := func(parameters string) {
		for _, d := range c.detections(everything + "&include_ignored=1&include_disabled=1&truncation_limit=0" + parameters).flat(t) {
			known[d.UniqueVulnID] = true
		}
	}
	note("")
	for range 20 {
		since := c.clock.Now().Add(-time.Second)
		c.clock.move(time.Minute)
		note("&detection_updated_since=" + since.Format("2006-01-02T15:04:05Z"))
	}
	form, err := url.ParseQuery(everything)
	require.NoError(t, err)
	all, err := c.server.DetectionsFor(form)
	require.NoError(t, err)
	for d := range all {
		assert.True(t, known[d.UniqueVulnID], d)
	}
}

func TestPurgedAndMergedHostsAreGone(t *testing.T) {
	c := newClient(t, Options{Hosts: 10})
	ids := hostIDs(c)
	number := func(id int64) string { return strconv.FormatInt(id, 10) }
	purged := len(c.detections(everything + "&ids=" + number(ids[2])).flat(t))
	require.Equal(t, http.StatusNoContent, c.control(http.MethodPost, "/change", `{"purge_host":`+number(ids[2])+`}`).StatusCode)
	require.Equal(t, http.StatusNoContent, c.control(http.MethodPost, "/change", `{"merge_host":`+number(ids[3])+`,"into":`+number(ids[4])+`}`).StatusCode)
	left := slices.Concat(ids[:2], ids[4:])
	assert.Equal(t, left, c.hostList("").ids())
	for _, d := range c.detections(everything).flat(t) {
		assert.NotContains(t, ids[2:4], d.HostID)
	}
	removed := lines[Host](t, c.control(http.MethodGet, "/expected?kind=removed_hosts", "").body)
	require.Len(t, removed, 2)
	assert.Equal(t, []int64{ids[2], 0, ids[3], ids[4]}, []int64{removed[0].ID, removed[0].ReplacedBy, removed[1].ID, removed[1].ReplacedBy})
	assert.Contains(t, c.list(hostListPath, "ids="+number(ids[4])).body, agentID(3), "the agent reports as the other host")
	ofHost := func(d Detection) bool { return d.HostID == ids[2] && d.Removed == "host" }
	all := lines[Detection](t, c.control(http.MethodGet, "/expected?kind=removed_detections", "").body)
	assert.Len(t, slices.DeleteFunc(all, func(d Detection) bool { return !ofHost(d) }), purged)
	assert.Equal(t, http.StatusBadRequest, c.control(http.MethodPost, "/change", `{"purge_host":`+number(ids[2])+`}`).StatusCode)
	assert.Len(t, lines[Host](t, c.control(http.MethodGet, "/expected?kind=hosts&ids="+number(ids[0]), "").body), 1)
}

func TestDetectionsVanishWithoutAStatus(t *testing.T) {
	c := newClient(t, Options{Hosts: 30})
	before := c.detections(everything).flat(t)
	ignored, removed := before[0], before[1]
	disabled := before[slices.IndexFunc(before, func(d Detection) bool { return d.QID != ignored.QID && d.QID != removed.QID })]
	number := func(id int64) string { return strconv.FormatInt(id, 10) }
	for _, change := range []string{
		`{"detection":` + number(ignored.UniqueVulnID) + `,"ignored":true}`,
		`{"detection":` + number(removed.UniqueVulnID) + `,"status":""}`,
		`{"disable_qid":` + number(disabled.QID) + `}`,
	} {
		require.Equal(t, http.StatusNoContent, c.control(http.MethodPost, "/change", change).StatusCode, change)
	}
	want := slices.DeleteFunc(slices.Clone(before), func(d Detection) bool {
		return d.UniqueVulnID == ignored.UniqueVulnID || d.UniqueVulnID == removed.UniqueVulnID || d.QID == disabled.QID
	})
	assert.Equal(t, want, c.detections(everything).flat(t))
	reasons := map[string]int{}
	for d := range c.server.RemovedDetections() {
		reasons[d.Removed]++
	}
	assert.Equal(t, map[string]int{"ignored": 1, "removed": 1, "disabled": len(before) - len(want) - 2}, reasons)

	shown := c.list(detectionPath, everything+"&include_ignored=1&ids="+number(ignored.HostID)).body
	assert.Contains(t, shown, "<IS_IGNORED>1<")
	shown = c.list(detectionPath, everything+"&include_disabled=1&qids="+number(disabled.QID)).body
	assert.Contains(t, shown, "<IS_DISABLED>1<")
	assert.NotContains(t, c.list(detectionPath, everything).body, "<IS_IGNORED>1<")

	require.Equal(t, http.StatusNoContent, c.control(http.MethodPost, "/change", `{"enable_qid":`+number(disabled.QID)+`}`).StatusCode)
	assert.Len(t, c.detections(everything).flat(t), len(before)-2)
}

func TestQIDsLoseAndDisableTheirEntry(t *testing.T) {
	c := newClient(t, Options{})
	all := slices.Collect(c.server.QIDs())
	entry := all[slices.IndexFunc(all, func(e Entry) bool { return e.Exists && !e.Disabled })].QID
	text := strconv.FormatInt(entry, 10)
	c.clock.move(time.Hour)
	require.NoError(t, c.server.DisableQID(entry, true))
	got := c.list(entryPath, "ids="+text+"&last_modified_after=2026-03-01T12:30:00Z").body
	assert.Contains(t, got, "<IS_DISABLED>1<", "a refresh has to learn of it")
	require.NoError(t, c.server.RemoveEntry(entry))
	assert.NotContains(t, c.list(entryPath, "ids="+text).body, "<VULN>")
	require.NoError(t, c.server.ChangeEntry(entry))
	assert.Contains(t, c.list(entryPath, "ids="+text).body, "<VULN>")
}

func TestHostsMayHaveNoDetections(t *testing.T) {
	c := newClient(t, Options{Hosts: 100, MinDetections: -1, MaxDetections: 3})
	bare := 0
	for h := range c.server.Hosts() {
		assert.False(t, h.Scanned.IsZero())
		if h.Detections == 0 {
			bare++
		}
	}
	assert.Positive(t, bare)
	assert.Len(t, c.hostList("").ids(), 100)
}

func TestHostAndAssetHaveOneNameAndSomeAssetsSayLittle(t *testing.T) {
	c := newClient(t, Options{Hosts: 100, Assets: 100})
	c.login()
	hosts := slices.Collect(c.server.Hosts())
	bare := 0
	for i, a := range c.assets("pageSize=100", "").List.Assets {
		var name, address string
		require.NoError(t, json.Unmarshal(a["dnsName"], &name))
		require.NoError(t, json.Unmarshal(a["address"], &address))
		assert.Equal(t, []string{hosts[i].Name, hosts[i].IP}, []string{name, address})
		nulls := 0
		for _, field := range []string{"hardware", "operatingSystem", "networkInterfaceListData"} {
			if string(a[field]) == "null" {
				nulls++
			}
		}
		if nulls == 3 {
			bare++
		}
	}
	assert.Positive(t, bare)
	assert.Less(t, bare, 15)
}

func TestDetectionSourcesOnlyOnDemand(t *testing.T) {
	c := newClient(t, Options{})
	assert.NotContains(t, c.list(detectionPath, everything).body, "VULNERABILITY_DETECTION_SOURCE")
	got := c.list(detectionPath, everything+"&vuln_detection_source=1").body
	assert.Contains(t, got, "<LATEST_VULNERABILITY_DETECTION_SOURCE>Cloud Agent<")
	assert.Contains(t, got, "<VULNERABILITY_DETECTION_SOURCES>Cloud Agent,Internal Scanner<")
}
