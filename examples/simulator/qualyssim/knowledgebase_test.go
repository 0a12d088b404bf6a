// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type entriesAnswer struct {
	List *struct {
		Entries []entryElement `xml:"VULN"`
	} `xml:"RESPONSE>VULN_LIST"`
	IDSet *struct {
		IDs    []int64  `xml:"ID"`
		Ranges []string `xml:"ID_RANGE"`
	} `xml:"RESPONSE>ID_SET"`
}

type entryElement struct {
	QID      int64    `xml:"QID"`
	Title    string   `xml:"TITLE"`
	Modified string   `xml:"LAST_SERVICE_MODIFICATION_DATETIME"`
	CVE      []string `xml:"CVE_LIST>CVE>ID"`
	Solution string   `xml:"SOLUTION"`
	Vector   string   `xml:"CVSS_V3>VECTOR_STRING"`
	Threats  []struct {
		ID   int    `xml:"id,attr"`
		Name string `xml:",chardata"`
	} `xml:"THREAT_INTELLIGENCE>THREAT_INTEL"`
	Exploits []string `xml:"CORRELATION>EXPLOITS>EXPLT_SRC>EXPLT_LIST>EXPLT>REF"`
	Modules  string   `xml:"SUPPORTED_MODULES"`
	Changes  []string `xml:"CHANGE_LOG_LIST>CHANGE_LOG_INFO>COMMENTS"`
}

func (c *client) entries(parameters string) entriesAnswer {
	c.t.Helper()
	got := c.list(entryPath, parameters)
	require.NoError(c.t, got.err)
	require.Equal(c.t, http.StatusOK, got.StatusCode, got.body)
	var answer entriesAnswer
	require.NoError(c.t, xml.Unmarshal([]byte(got.body), &answer))
	return answer
}

func qidList(entries []Entry) string {
	texts := make([]string, len(entries))
	for i, e := range entries {
		texts[i] = strconv.FormatInt(e.QID, 10)
	}
	return strings.Join(texts, ",")
}

func TestEntriesAreThoseThatExist(t *testing.T) {
	c := newClient(t, Options{Pretty: true})
	asked := slices.Collect(c.server.QIDs())[:100]
	answer := c.entries("details=All&ids=" + qidList(asked))
	var want []int64
	for _, e := range asked {
		if e.Exists {
			want = append(want, e.QID)
		}
	}
	require.Less(t, len(want), len(asked), "every QID has an entry")
	var got []int64
	for _, e := range answer.List.Entries {
		got = append(got, e.QID)
		assert.NotEmpty(t, e.Title)
		assert.NotEmpty(t, e.CVE)
		assert.NotEmpty(t, e.Vector)
		assert.Equal(t, 1, e.Threats[0].ID)
		assert.NotEmpty(t, e.Threats[0].Name)
		assert.Empty(t, e.Modules)
		assert.Empty(t, e.Changes)
	}
	assert.Equal(t, want, got)
}

func TestEntryDetails(t *testing.T) {
	c := newClient(t, Options{})
	entries := slices.DeleteFunc(slices.Collect(c.server.QIDs()), func(e Entry) bool { return !e.Exists })
	ids := "ids=" + qidList(entries[:20])

	basic := c.entries(ids)
	for _, e := range basic.List.Entries {
		assert.NotEmpty(t, e.Solution)
		assert.Empty(t, e.Vector)
		assert.Empty(t, e.Exploits)
	}
	all := c.entries(ids + "&details=All&show_supported_modules_info=1&show_qid_change_log=1&show_pci_reasons=1")
	exploits := 0
	for _, e := range all.List.Entries {
		exploits += len(e.Exploits)
		assert.NotEmpty(t, e.Modules)
		assert.Len(t, e.Changes, 2)
	}
	assert.Positive(t, exploits)
	assert.Len(t, c.entries("ids=").List.Entries, len(entries), "an empty list does not ask for everything")

	none := c.entries("details=None")
	assert.Nil(t, none.List)
	listed := slices.Clone(none.IDSet.IDs)
	for _, text := range none.IDSet.Ranges {
		ranges, why := parseRanges(text)
		require.Empty(t, why)
		for id := ranges[0][0]; id <= ranges[0][1]; id++ {
			listed = append(listed, id)
		}
	}
	slices.Sort(listed)
	assert.NotEmpty(t, none.IDSet.Ranges)
	require.Len(t, listed, len(entries))
	for i, e := range entries {
		assert.Equal(t, e.QID, listed[i])
	}
}

func TestWithoutEntriesThereIsNoList(t *testing.T) {
	c := newClient(t, Options{})
	assert.Nil(t, c.entries("ids=1-3").List)
	assert.Nil(t, c.entries("ids=1-3&details=None").IDSet)
}

func TestChangedEntry(t *testing.T) {
	c := newClient(t, Options{})
	entries := slices.DeleteFunc(slices.Collect(c.server.QIDs()), func(e Entry) bool { return !e.Exists })
	since := "last_modified_after=" + start.Format(time.RFC3339)
	require.Nil(t, c.entries(since).List)
	before := c.entries("ids=" + qidList(entries[5:6])).List.Entries[0]

	c.clock.move(time.Minute)
	require.NoError(t, c.server.ChangeEntry(entries[5].QID))
	changed := c.entries(since).List.Entries
	require.Len(t, changed, 1)
	assert.Equal(t, entries[5].QID, changed[0].QID)
	assert.Equal(t, "2026-03-01T12:01:00Z", changed[0].Modified)
	assert.NotEqual(t, before.Solution, changed[0].Solution)
	require.Error(t, c.server.ChangeEntry(1))
}

func TestEntriesChangeWithTheClock(t *testing.T) {
	c := newClient(t, Options{ChangeEvery: time.Minute, ChangeShare: 0.1})
	since := "last_modified_after=" + start.Format(time.RFC3339)
	require.Nil(t, c.entries(since).List)
	c.clock.move(time.Minute)
	changed := len(c.entries(since).List.Entries)
	assert.Positive(t, changed)
	c.clock.move(time.Minute)
	assert.Greater(t, len(c.entries(since).List.Entries), changed)
}

func TestKnowledgeBaseWithoutPermission(t *testing.T) {
	c := newClient(t, Options{NoKnowledgeBasePermission: true})
	requireReturn(t, c.list(entryPath, "ids=38000"), http.StatusForbidden, codeNoPermission)
	assert.NotEmpty(t, c.detections("").flat(t))
}
