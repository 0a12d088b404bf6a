// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// overwrite gives all values of a map others.
func overwrite(m pcommon.Map) {
	for _, v := range m.All() {
		if v.Type() == pcommon.ValueTypeMap {
			overwrite(v.Map())
			continue
		}
		v.SetStr("of somebody else")
	}
}

// twoEnriched returns the records of two detections of a host that carry the same entry.
func twoEnriched(t *testing.T) Chunk {
	t.Helper()
	fields, err := ParseEntryFields([]byte(richFields))
	require.NoError(t, err)
	out := detectionsOf(t, testSettings(), oneHost("<OS>o</OS><DNS_DATA><FQDN>f</FQDN></DNS_DATA><DETECTION><QID>1</QID></DETECTION><DETECTION><QID>2</QID></DETECTION>"))
	for i, lr := range recordsOf(out) {
		Enrich(lr, &out.Items[i], EntryFound, fields, false)
	}
	return out
}

// Those who change records get a copy of their own from the collector, as records are marked read-only.
func TestACopyThatIsChangedChangesNoOtherRecord(t *testing.T) {
	out := twoEnriched(t)
	out.Logs.MarkReadOnly()
	records := recordsOf(out)
	want := []string{records[0].Body().AsString(), records[1].Body().AsString()}
	theirs := pcommon.NewMap()
	records[0].Body().Map().CopyTo(theirs)
	overwrite(theirs)
	assert.Equal(t, want, []string{records[0].Body().AsString(), records[1].Body().AsString()})
	assert.Contains(t, want[0], `"Qid":1`)
	assert.Contains(t, want[1], `"Qid":2`)
	assert.Panics(t, func() { overwrite(records[0].Body().Map()) }, "nobody can do without")
}

// Where the collector gives the memory of values that are no longer used to others, no two records have any in common.
func TestRecordsHaveTheirOwnValuesWherePdataIsPooled(t *testing.T) {
	const gate = "pdata.useProtoPooling"
	require.NoError(t, featuregate.GlobalRegistry().Set(gate, true))
	t.Cleanup(func() { require.NoError(t, featuregate.GlobalRegistry().Set(gate, false)) })
	records := recordsOf(twoEnriched(t))
	want := records[1].Body().AsString()
	overwrite(records[0].Body().Map())
	assert.Equal(t, want, records[1].Body().AsString())
	assert.Contains(t, want, `"Title":"a \"b\" €"`)
	assert.Contains(t, want, `"OS":"o"`)
}

// A record that differs from the others of its host does so alone.
func TestEachRecordHasItsOwnKeys(t *testing.T) {
	records := recordsOf(twoEnriched(t))
	records[0].Body().Map().PutStr("more", "x")
	records[0].Body().Map().Remove("OS")
	_, ok := records[1].Body().Map().Get("more")
	assert.False(t, ok)
	_, ok = records[1].Body().Map().Get("OS")
	assert.True(t, ok)
}
