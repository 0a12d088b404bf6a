// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// enrichFields are those that detections carry by default.
var enrichFields = []string{
	"Title", "VulnerabilityType", "Category", "SeverityLevel", "Patchable", "PublishedDateTime", "LastServiceModificationDateTime", "Cve",
	"VendorReference", "Cvss", "CvssV3", "ThreatIntel", "PciFlag",
}

// storedFields returns what is handed out of the fields of each entry of an answer.
func storedFields(t testing.TB, answer string, fields ...string) (handedOut []string) {
	t.Helper()
	settings := testSettings()
	settings.EnrichFields = fields
	k := NewKnowledgeBase(settings)
	k.Begin(collected, "", nil, func(_ *Item, stored []byte) { handedOut = append(handedOut, string(stored)) })
	require.NoError(t, readEntries(k, strings.NewReader(answer)))
	return handedOut
}

// typicalFields are those of the richest of the entries in the test data.
func typicalFields(t testing.TB) []byte {
	t.Helper()
	longest := ""
	for _, stored := range storedFields(t, testdata(t, "knowledgebase.xml"), enrichFields...) {
		if len(stored) > len(longest) {
			longest = stored
		}
	}
	return []byte(longest)
}

const (
	richEntry = `<VULN><QID>8</QID><CVE_LIST><CVE><ID>CVE-1</ID><URL><![CDATA[http://a]]></URL></CVE></CVE_LIST><TITLE>a "b" €</TITLE>` +
		`<CVSS_V3><BASE>7</BASE></CVSS_V3><SEVERITY_LEVEL>4</SEVERITY_LEVEL><STATUS>x</STATUS><DIAGNOSIS>long</DIAGNOSIS></VULN>`
	richFields = `{"Cve":[{"ID":"CVE-1","URL":"http://a"}],"Title":"a \"b\" €","CvssV3":{"Base":7.0},"SeverityLevel":4}`
)

func TestEntriesHandOutTheFieldsThatWereSent(t *testing.T) {
	got := storedFields(t, "<LIST>"+richEntry+"<VULN><QID>9</QID></VULN></LIST>", "Status", "SeverityLevel", "Title", "Cve", "CvssV3", "ThreatIntel")
	require.Len(t, got, 2)
	assert.Equal(t, richFields, got[0], "in the order of the entry, and without what its record adds empty")
	assert.Equal(t, "{}", got[1])
}

// An entry that has not changed is no record, but its fields are wanted all the same.
func TestFieldsAreHandedOutOfEntriesThatAreNotWanted(t *testing.T) {
	settings := testSettings()
	settings.EnrichFields = []string{"Title"}
	k := NewKnowledgeBase(settings)
	var calls []string
	k.Begin(collected, "", func(*Item) bool {
		calls = append(calls, "keep")
		return false
	}, func(item *Item, stored []byte) {
		calls = append(calls, string(stored))
		assert.Equal(t, uint32(8), item.QID)
	})
	require.NoError(t, readEntries(k, strings.NewReader(richEntry)))
	assert.Equal(t, []string{"keep", `{"Title":"a \"b\" €"}`}, calls)
	assert.Empty(t, k.Take().Items)
}

// enriched returns the only record of an answer after it was enriched.
func enriched(t *testing.T, asJSON bool, answer string, status EntryStatus, fields *EntryFields) Chunk {
	t.Helper()
	settings := testSettings()
	settings.JSON, settings.EnrichFields = asJSON, enrichFields
	out := detectionsOf(t, settings, answer)
	Enrich(onlyRecord(t, out), &out.Items[0], status, fields, asJSON)
	return out
}

func TestDetectionsCarryTheirEntry(t *testing.T) {
	fields, err := ParseEntryFields([]byte(richFields))
	require.NoError(t, err)
	none, err := ParseEntryFields([]byte("{}"))
	require.NoError(t, err)
	answer := oneHost("<KNOWLEDGE_BASE>k</KNOWLEDGE_BASE><DETECTION><QID>8</QID></DETECTION>")
	plain := onlyRecord(t, detectionsOf(t, inJSON(testSettings()), answer)).Body().Str()
	for name, test := range map[string]struct {
		status EntryStatus
		fields *EntryFields
		want   string
	}{
		"found":       {EntryFound, fields, `{"Status":"found",` + richFields[1:]},
		"poor":        {EntryFound, none, `{"Status":"found"}`},
		"not found":   {EntryNotFound, nil, `{"Status":"not_found"}`},
		"unavailable": {EntryUnavailable, nil, `{"Status":"unavailable"}`},
	} {
		t.Run(name, func(t *testing.T) {
			text := enriched(t, true, answer, test.status, test.fields)
			body := onlyRecord(t, text).Body().Str()
			assert.Equal(t, plain[:len(plain)-1]+`,"KnowledgeBase":`+test.want+"}", body)
			assert.Contains(t, body, `"QualysKnowledgeBase":"k"`, "an element of that name does not make the key twice")
			assert.Len(t, body, int(text.Items[0].Bytes))

			structured := enriched(t, false, answer, test.status, test.fields)
			m := onlyRecord(t, structured).Body().Map()
			assert.Equal(t, "KnowledgeBase", keysOf(m)[m.Len()-1])
			assert.Equal(t, textSize(onlyRecord(t, structured).Body()), int(structured.Items[0].Bytes))
			agree(t, structured, text)
		})
	}
}

// A reader that drops duplicates by the UID must not drop a change of the entry.
func TestUIDCoversTheEntry(t *testing.T) {
	answer := oneHost("<DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID></DETECTION>")
	one, err := ParseEntryFields([]byte(`{"Title":"a"}`))
	require.NoError(t, err)
	other, err := ParseEntryFields([]byte(`{"Title":"b"}`))
	require.NoError(t, err)
	seen := map[string]bool{uidOf(t, detectionsOf(t, testSettings(), answer)): true}
	for _, out := range []Chunk{
		enriched(t, false, answer, EntryFound, one), enriched(t, false, answer, EntryFound, other),
		enriched(t, false, answer, EntryNotFound, nil), enriched(t, false, answer, EntryUnavailable, nil),
		enriched(t, false, oneHost("<OS>o</OS><DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID></DETECTION>"), EntryFound, one),
	} {
		uid := uidOf(t, out)
		assert.False(t, seen[uid])
		assert.Regexp(t, "^0000000000000006[0-9a-f]{16}$", uid)
		seen[uid] = true
	}
	assert.True(t, seen[uidOf(t, enriched(t, true, answer, EntryFound, one))], "the same as JSON")
}

func TestStoredFieldsThatAreNone(t *testing.T) {
	for _, stored := range []string{"", "[]", "null", `{"a":1`, `{"a":1}}`, `{"a":1,"a":2}`, "{a}"} {
		_, err := ParseEntryFields([]byte(stored))
		require.Error(t, err, stored)
	}
}

// Many shards enrich with the same fields at once, and what is done with one record must not show in another.
func TestFieldsAreSharedSafely(t *testing.T) {
	stored := typicalFields(t)
	fields, err := ParseEntryFields(stored)
	require.NoError(t, err)
	want := bytes.Clone(stored)
	clear(stored)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			body := onlyRecord(t, enriched(t, false, oneHost("<DETECTION/>"), EntryFound, fields)).Body().Map()
			entry, _ := body.Get("KnowledgeBase")
			got, err := json.Marshal(entry.Map().AsRaw())
			assert.NoError(t, err)
			var expected map[string]any
			assert.NoError(t, json.Unmarshal(want, &expected))
			expected["Status"] = "found"
			text, err := json.Marshal(expected)
			assert.NoError(t, err)
			assert.JSONEq(t, string(text), string(got))
			theirs := pcommon.NewMap()
			body.CopyTo(theirs) // as the collector does with what is marked read-only for those who change it
			changed, _ := theirs.Get("KnowledgeBase")
			changed.Map().Clear()
		})
	}
	wg.Wait()
}

// enrichedOf returns the detections of the test data with an entry that is known, and with ones that are not.
func enrichedOf(t *testing.T, settings Settings) Chunk {
	t.Helper()
	settings.EnrichFields = enrichFields
	fields, err := ParseEntryFields(typicalFields(t))
	require.NoError(t, err)
	out := detectionsOf(t, settings, testdata(t, "detections.xml"))
	for i, lr := range recordsOf(out) {
		status := []EntryStatus{EntryFound, EntryNotFound, EntryUnavailable}[i%3]
		known := fields
		if status != EntryFound {
			known = nil
		}
		Enrich(lr, &out.Items[i], status, known, settings.JSON)
	}
	return out
}
