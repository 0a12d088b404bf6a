// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnswersHoldTheModel(t *testing.T) {
	for _, pretty := range []bool{false, true} {
		t.Run("pretty "+strconv.FormatBool(pretty), func(t *testing.T) {
			c := newClient(t, Options{Pretty: pretty})
			page := c.detections(everything)
			require.NotEmpty(t, page.flat(t))
			assert.Equal(t, slices.Collect(c.server.Detections()), page.flat(t))
			for _, h := range page.hosts() {
				for _, d := range h.Detections {
					want, err := c.server.Results(d.UniqueVulnID)
					require.NoError(t, err)
					assert.Equal(t, want, *d.Results)
				}
			}
			assert.Equal(t, "2026-03-01T12:00:00Z", page.Response.Datetime)
			assert.Nil(t, page.Response.Warning)
		})
	}
}

func TestSeedDecidesContent(t *testing.T) {
	read := func(seed uint64) string {
		c := newClient(t, Options{Seed: seed, PublicURL: "https://qualys.example.com"})
		return c.list(detectionPath, everything+"&show_qds=1&show_qds_factors=1&show_tags=1").body
	}
	first := read(1)
	again, other := read(1), read(2)
	assert.Equal(t, first, again)
	assert.NotEqual(t, first, other)
}

// updated is the time by which a detection counts as updated.
func updated(d Detection) time.Time {
	if d.LastUpdate.IsZero() {
		return d.LastFound
	}
	return d.LastUpdate
}

// Filters are compared with an independent reading of each of them over the whole model.
func TestDetectionFilters(t *testing.T) {
	c := newClient(t, Options{Hosts: 30})
	all := slices.Collect(c.server.Detections())
	hosts := make([]int64, 0, 30)
	scanned := map[int64]time.Time{}
	for _, d := range all {
		if !slices.Contains(hosts, d.HostID) {
			hosts = append(hosts, d.HostID)
		}
		// Fixed ones are tested after they were last found.
		for _, at := range []time.Time{d.LastFound, d.LastUpdate} {
			if at.After(scanned[d.HostID]) {
				scanned[d.HostID] = at
			}
		}
	}
	times := make([]time.Time, 0, len(all))
	for _, d := range all {
		times = append(times, updated(d))
	}
	slices.SortFunc(times, time.Time.Compare)
	median := times[len(times)/2]
	text := func(n int64) string { return strconv.FormatInt(n, 10) }

	for name, test := range map[string]struct {
		parameters string
		keeps      func(Detection) bool
	}{
		"default leaves fixed and information out": {"", func(d Detection) bool { return d.Status != StatusFixed && d.Type != Info }},
		"fixed only":     {"status=Fixed", func(d Detection) bool { return d.Status == StatusFixed && d.Type != Info }},
		"potential only": {"status=New,Active,Fixed,Re-Opened&include_vuln_type=potential", func(d Detection) bool { return d.Type == Potential }},
		"severities":     {everything + "&severities=1,4-5", func(d Detection) bool { return d.Severity != 2 && d.Severity != 3 }},
		"qids":           {everything + "&qids=" + text(all[0].QID) + ",50000-55000", func(d Detection) bool { return d.QID == all[0].QID || d.QID >= 50000 && d.QID <= 55000 }},
		"ids": {everything + "&ids=" + text(hosts[2]) + "," + text(hosts[5]) + "-" + text(hosts[7]), func(d Detection) bool {
			return slices.Contains(hosts, d.HostID) && (d.HostID == hosts[2] || d.HostID >= hosts[5] && d.HostID <= hosts[7])
		}},
		"id_min":                {everything + "&id_min=" + text(hosts[3]), func(d Detection) bool { return d.HostID >= hosts[3] }},
		"id_min between hosts":  {everything + "&id_min=" + text(hosts[3]+1), func(d Detection) bool { return d.HostID > hosts[3] }},
		"id_max":                {everything + "&id_max=" + text(hosts[3]), func(d Detection) bool { return d.HostID <= hosts[3] }},
		"updated since":         {everything + "&detection_updated_since=" + median.Format(time.RFC3339), func(d Detection) bool { return updated(d).After(median) }},
		"updated since a date":  {everything + "&detection_updated_since=" + median.Format(time.DateOnly), func(d Detection) bool { return updated(d).After(median.Truncate(24 * time.Hour)) }},
		"updated in three days": {everything + "&max_days_since_detection_updated=3", func(d Detection) bool { return updated(d).After(start.Add(-72 * time.Hour)) }},
		"scanned after":         {everything + "&vm_scan_date_after=" + median.Format(time.RFC3339), func(d Detection) bool { return scanned[d.HostID].After(median) }},
		"processed after":       {everything + "&vm_processed_after=" + median.Format(time.RFC3339), func(d Detection) bool { return scanned[d.HostID].After(median) }},
		"all of it":             {everything + "&id_min=" + text(hosts[3]) + "&severities=5", func(d Detection) bool { return d.HostID >= hosts[3] && d.Severity == 5 }},
	} {
		t.Run(name, func(t *testing.T) {
			want := slices.DeleteFunc(slices.Clone(all), func(d Detection) bool { return !test.keeps(d) })
			require.NotEmpty(t, want)
			require.Less(t, len(want), len(all))
			page := c.detections("truncation_limit=0&" + test.parameters)
			assert.Equal(t, want, page.flat(t))
			assert.Equal(t, want, c.collect(test.parameters))
		})
	}
}

func TestProcessedAfterSeesLateChanges(t *testing.T) {
	c := newClient(t, Options{Hosts: 30, ChangeEvery: time.Minute, ChangeShare: 1, ProcessingDelay: 10 * time.Minute})
	c.clock.move(10*time.Minute + 30*time.Second)
	assert.Empty(t, c.collect(everything+"&detection_updated_since=2026-03-01T12:00:00Z"), "changes are visible before they are processed")
	c.clock.move(time.Hour)
	assert.NotEmpty(t, c.collect(everything+"&detection_updated_since=2026-03-01T12:50:00Z"))
	assert.Empty(t, c.collect(everything+"&detection_updated_since=2026-03-01T13:00:30Z"))
	assert.NotEmpty(t, c.collect(everything+"&detection_processed_after=2026-03-01T13:00:30Z"))
}

func TestPagesHoldEveryHostOnce(t *testing.T) {
	for name, test := range map[string]struct {
		options    Options
		parameters string
		pages      int
	}{
		"truncated":          {Options{Hosts: 25}, "truncation_limit=10", 3},
		"exactly full pages": {Options{Hosts: 20}, "truncation_limit=10", 2},
		"capped":             {Options{Hosts: 25, PageCap: 10}, "truncation_limit=0", 3},
		"one host a page":    {Options{Hosts: 4, PageBytes: 1}, "", 4},
		"filtered":           {Options{Hosts: 25}, "truncation_limit=10&severities=1-4&show_tags=1", 3},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, test.options)
			want := c.collect(everything + "&" + test.parameters)
			var got []Detection
			parameters := everything + "&" + test.parameters
			for pages := 1; ; pages++ {
				page := c.detections(parameters)
				got = append(got, page.flat(t)...)
				warning := page.Response.Warning
				if warning == nil {
					assert.Equal(t, test.pages, pages)
					break
				}
				assert.Equal(t, codeTruncated, warning.Code)
				next, err := url.Parse(warning.URL)
				require.NoError(t, err)
				assert.Equal(t, detectionPath, next.Path)
				assert.Equal(t, c.url, next.Scheme+"://"+next.Host)
				form := next.Query()
				assert.Equal(t, "list", form.Get("action"))
				assert.Equal(t, "New,Active,Fixed,Re-Opened", form.Get("status"), "the URL lost a parameter")
				form.Del("action")
				parameters = form.Encode()
				require.Less(t, pages, 100)
			}
			assert.Equal(t, want, got)
		})
	}
}

func TestEmptyListHasNoHostList(t *testing.T) {
	c := newClient(t, Options{})
	page := c.detections("id_min=99999999")
	assert.Nil(t, page.Response.HostList)
	assert.NotEmpty(t, page.Response.Datetime)
}

func TestShownElements(t *testing.T) {
	c := newClient(t, Options{Hosts: 40, Assets: 40})
	assetOf := map[int64]int64{}
	for a := range c.server.Assets() {
		assetOf[a.HostID] = a.ID
	}
	plain := c.detections("show_results=0")
	for _, h := range plain.hosts() {
		assert.Zero(t, h.AssetID)
		assert.Empty(t, h.Tags)
		for _, d := range h.Detections {
			assert.Nil(t, d.Results)
			assert.Empty(t, d.QDS)
			assert.Empty(t, d.QDSFactors)
			assert.Empty(t, d.LastReopened)
		}
	}

	rich := c.detections(everything + "&show_asset_id=1&show_tags=1&show_cloud_tags=1&host_metadata=all&show_qds=1&show_qds_factors=1&show_reopened_info=1")
	var cloudTags, metadata, reopened int
	for _, h := range rich.hosts() {
		assert.Equal(t, assetOf[h.ID], h.AssetID)
		assert.NotEmpty(t, h.Tags)
		cloudTags += len(h.CloudTags)
		metadata += len(h.Metadata)
		for _, d := range h.Detections {
			assert.NotEmpty(t, d.QDS)
			assert.NotEmpty(t, d.QDSFactors)
			reopened += len(d.LastReopened)
		}
	}
	assert.Positive(t, cloudTags)
	assert.Positive(t, metadata)
	assert.Positive(t, reopened)
}

func TestVersionsAddElements(t *testing.T) {
	c := newClient(t, Options{})
	for version, hasCVE := range map[string]bool{"2.0": false, "3.0": false, "4.0": false, "5.0": true} {
		got := c.list("/api/"+version+"/fo/asset/host/vm/detection/", "")
		require.Equal(t, http.StatusOK, got.StatusCode)
		assert.Equal(t, hasCVE, strings.Contains(got.body, "<CVE>"), version)
	}
	got := c.list("/api/6.0/fo/asset/host/vm/detection/", "")
	assert.Equal(t, http.StatusNotFound, got.StatusCode)
	assert.Contains(t, got.body, "<GENERIC_RETURN>")
}

func TestRefusedRequests(t *testing.T) {
	for name, test := range map[string]struct {
		path, form string
		code       int
	}{
		"unknown parameter":             {detectionPath, "action=list&show_everything=1", codeUnrecognized},
		"no action":                     {detectionPath, "", codeMissing},
		"other action":                  {detectionPath, "action=delete", codeInvalid},
		"ids that are none":             {detectionPath, "action=list&ids=abc", codeInvalid},
		"range that goes down":          {detectionPath, "action=list&ids=9-1", codeInvalid},
		"parameter given twice":         {detectionPath, "action=list&qids=1&qids=2", codeInvalid},
		"time with a zone":              {detectionPath, "action=list&vm_processed_after=2026-01-01T00:00:00%2B01:00", codeInvalid},
		"time with a fraction":          {detectionPath, "action=list&vm_processed_after=2026-01-01T00:00:00.5Z", codeInvalid},
		"negative number":               {detectionPath, "action=list&truncation_limit=-1", codeInvalid},
		"state that does not exist":     {detectionPath, "action=list&status=Reopened", codeInvalid},
		"neither 0 nor 1":               {detectionPath, "action=list&show_tags=true", codeInvalid},
		"knowledge base is not limited": {entryPath, "action=list&truncation_limit=10", codeUnrecognized},
		"details that do not exist":     {entryPath, "action=list&details=Most", codeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			requireReturn(t, newClient(t, Options{}).post(test.path, test.form), http.StatusBadRequest, test.code)
		})
	}
}

func TestEveryParameterOfTheReceiverIsAccepted(t *testing.T) {
	c := newClient(t, Options{})
	got := c.list(detectionPath, "use_tags=1&tag_set_by=name&tag_include_selector=any&tag_set_include=a%26b&tag_set_exclude=c"+
		"&ag_titles=x,y&ips=10.0.0.1-10.0.0.9&network_ids=1&os_pattern=%5EWindows&output_format=XML&arf_kernel_filter=1"+
		"&arf_service_filter=0&arf_config_filter=4&filter_superseded_qids=1&ag_ids=5")
	assert.Equal(t, http.StatusOK, got.StatusCode, got.body)
}

func TestRequestsThatReachNoAPI(t *testing.T) {
	c := newClient(t, Options{})
	long := c.do(http.MethodGet, c.url+detectionPath+"?action=list&ids="+strings.Repeat("6500001,", 2000)+"1", "", "")
	assert.Equal(t, http.StatusRequestURITooLong, long.StatusCode)
	assert.Contains(t, long.Header.Get("Content-Type"), "text/html")

	c.header.Del("X-Requested-With")
	requireReturn(t, c.list(detectionPath, ""), http.StatusBadRequest, codeMissing)
	assert.Equal(t, http.StatusNotFound, c.post("/somewhere/else", "").StatusCode)
}

func TestGetWorksAsPostDoes(t *testing.T) {
	c := newClient(t, Options{})
	got := c.do(http.MethodGet, c.url+detectionPath+"?action=list&truncation_limit=0", "", "")
	assert.Equal(t, c.list(detectionPath, "truncation_limit=0").body, got.body)
}

func TestContentChangesWithTheClock(t *testing.T) {
	c := newClient(t, Options{Hosts: 60, ChangeEvery: time.Minute, ChangeShare: 0.2})
	byID := func() map[int64]Detection {
		all := map[int64]Detection{}
		for d := range c.server.Detections() {
			all[d.UniqueVulnID] = d
		}
		return all
	}
	seen := map[string]bool{}
	before := byID()
	for range 30 {
		since := c.clock.Now()
		c.clock.move(time.Minute)
		after := byID()
		changed := map[int64]bool{}
		for id, d := range after {
			old, existed := before[id]
			if !existed || updated(old) != updated(d) {
				changed[id] = true
				seen[string(old.Status)+">"+string(d.Status)] = true
				assert.Equal(t, c.clock.Now(), updated(d))
			} else {
				assert.Equal(t, old, d)
			}
		}
		listed := map[int64]bool{}
		for _, d := range c.collect(everything + "&detection_updated_since=" + since.Format(time.RFC3339)) {
			listed[d.UniqueVulnID] = true
		}
		for id := range changed {
			assert.True(t, listed[id], "a change is not listed")
		}
		assert.Less(t, len(changed), len(after)/2)
		before = after
	}
	for _, transition := range []string{">New", "New>Active", "Active>Active", "Active>Fixed", "Fixed>Re-Opened", "Re-Opened>Active"} {
		assert.True(t, seen[transition], transition)
	}
}

func TestTouchedDetectionIsListed(t *testing.T) {
	c := newClient(t, Options{ChangeEvery: time.Hour})
	first := c.collect("")[0]
	since := "detection_updated_since=" + start.Format(time.RFC3339)
	require.Empty(t, c.collect(since))

	c.clock.move(time.Minute)
	require.NoError(t, c.server.TouchDetection(first.UniqueVulnID, StatusFixed))
	assert.Empty(t, c.collect(since), "a fixed detection is listed without being asked for")
	got := c.detections(since + "&status=Fixed")
	require.Len(t, got.flat(t), 1)
	fixed := got.flat(t)[0]
	assert.Equal(t, first.UniqueVulnID, fixed.UniqueVulnID)
	assert.Equal(t, first.LastFound, fixed.LastFound)
	assert.Equal(t, c.clock.Now(), fixed.LastUpdate)

	require.NoError(t, c.server.TouchDetection(first.UniqueVulnID, StatusReopened))
	assert.Equal(t, StatusReopened, c.collect(since)[0].Status)
	require.NoError(t, c.server.TouchDetection(first.UniqueVulnID, ""))
	assert.Empty(t, c.collect(since), "a removed detection is listed")
	require.NoError(t, c.server.TouchDetection(first.UniqueVulnID, StatusNew))
	assert.Len(t, c.collect(since), 1)

	require.Error(t, c.server.TouchDetection(1, StatusNew))
	require.Error(t, c.server.TouchDetection(first.UniqueVulnID, "Gone"))
}

func TestTotalBytesDecidesTheNumberOfHosts(t *testing.T) {
	const want = 5_000_000
	c := newClient(t, Options{TotalBytes: want, MinDetections: 50, MaxDetections: 300})
	got := c.list(detectionPath, everything+"&truncation_limit=0&show_asset_id=1&show_tags=1&show_qds=1&show_qds_factors=1")
	assert.InEpsilon(t, want, len(got.body), 0.4)
}

// Comments may stand anywhere: the naive client above ignores them, here they are counted.
func TestCommentsAndDoctypeAreThere(t *testing.T) {
	c := newClient(t, Options{Hosts: 100, MinDetections: 50, MaxDetections: 60})
	got := c.list(detectionPath, "truncation_limit=0")
	decoder := xml.NewDecoder(strings.NewReader(got.body))
	var before, inside, after, doctypes, depth int
	rooted := false
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch token.(type) {
		case xml.StartElement:
			depth, rooted = depth+1, true
		case xml.EndElement:
			depth--
		case xml.Directive:
			doctypes++
		case xml.Comment:
			switch {
			case depth > 2:
				inside++
			case depth == 0 && !rooted:
				before++
			case depth == 0:
				after++
			}
		}
	}
	assert.Equal(t, 1, doctypes)
	assert.Positive(t, before)
	assert.Positive(t, inside)
	assert.Positive(t, after)
}
