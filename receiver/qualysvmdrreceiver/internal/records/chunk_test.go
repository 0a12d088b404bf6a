// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// takeAll reads an answer and takes every Chunk as soon as it is full.
func takeAll(t *testing.T, d *Detections, answer string) []Chunk {
	t.Helper()
	d.Begin(collected, "", nil)
	var outs []Chunk
	require.NoError(t, readHosts(d, strings.NewReader(answer), func() {
		if d.Full() {
			outs = append(outs, d.Take())
		}
	}))
	return append(outs, d.Take())
}

func TestOutputsHaveAtMostSoManyRecords(t *testing.T) {
	settings := testSettings()
	settings.MaxRecords = 2
	two := func(id int) string {
		return fmt.Sprintf("<HOST><ID>%d</ID><DNS>h%d</DNS><DETECTION><QID>1</QID></DETECTION><DETECTION><QID>2</QID></DETECTION><DETECTION><QID>3</QID></DETECTION></HOST>", id, id)
	}
	outs := takeAll(t, NewDetections(settings), "<L>"+two(1)+two(2)+"</L>")
	require.Len(t, outs, 4)
	var got []string
	for _, out := range outs {
		for i, item := range out.Items {
			got = append(got, fmt.Sprintf("%d/%d", item.Unit, item.QID))
			v, _ := recordsOf(out)[i].Body().Map().Get("Hostname")
			assert.Equal(t, fmt.Sprintf("h%d", item.Unit), v.Str(), "records after Take still have the host's values")
		}
	}
	assert.Equal(t, []string{"1/1", "1/2", "1/3", "2/1", "2/2", "2/3"}, got)
	assert.Equal(t, 1, outs[0].Logs.ResourceLogs().Len())
	assert.Equal(t, 2, outs[1].Logs.ResourceLogs().Len(), "one resource a host")
	assert.Zero(t, outs[0].UnitDone)
	assert.Equal(t, uint64(1), outs[1].UnitDone)
	assert.Equal(t, 1, outs[1].UnitsDone)
	assert.Zero(t, outs[2].UnitDone)
	assert.Equal(t, uint64(2), outs[3].UnitDone)
	assert.Empty(t, outs[3].Items)
	assert.Zero(t, outs[3].Logs.LogRecordCount())
}

func TestOutputsHaveAtMostSoManyBytes(t *testing.T) {
	for _, json := range []bool{false, true} {
		t.Run(fmt.Sprintf("json %t", json), func(t *testing.T) {
			settings := testSettings()
			settings.JSON = json
			settings.MaxBytes = 1000
			var elements []string
			for _, n := range []int{50, 50, 5000, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 5000, 5000, 50} {
				elements = append(elements, "<DETECTION><RESULTS>"+strings.Repeat("x", n)+"</RESULTS></DETECTION>")
			}
			n := 0
			for _, out := range takeAll(t, NewDetections(settings), oneHost(elements...)) {
				assert.True(t, out.Bytes <= 1000 || len(out.Items) == 1, "%d bytes in %d records", out.Bytes, len(out.Items))
				assert.Len(t, recordsOf(out), len(out.Items))
				n += len(out.Items)
			}
			assert.Len(t, elements, n)
		})
	}
}

func TestOutputsOfEntriesAndAssetsAreLimited(t *testing.T) {
	settings := testSettings()
	settings.MaxBytes = 500
	k := NewKnowledgeBase(settings)
	k.Begin(collected, "", nil, nil)
	require.NoError(t, readEntries(k, strings.NewReader("<L><VULN><QID>1</QID></VULN><VULN><QID>2</QID><SOLUTION>"+strings.Repeat("x", 900)+"</SOLUTION></VULN><VULN><QID>3</QID></VULN></L>")))
	a := NewAssets(settings)
	a.Begin(collected, "", nil)
	require.NoError(t, readAssets(a, strings.NewReader(`[{"assetId":1},{"assetId":2,"x":"`+strings.Repeat("x", 900)+`"},{"assetId":3}]`)))
	for _, b := range []interface {
		Full() bool
		Take() Chunk
	}{k, a} {
		for want := uint64(1); want <= 3; want++ {
			assert.Equal(t, want < 3, b.Full())
			out := b.Take()
			require.Len(t, out.Items, 1)
			assert.Equal(t, want, out.Items[0].Key)
			assert.Equal(t, 1, out.UnitsDone)
		}
		assert.False(t, b.Full())
	}
}

func TestKeepDecidesWhichRecordsAreMade(t *testing.T) {
	d := NewDetections(testSettings())
	var seen []Item
	d.Begin(collected, "", func(item *Item) bool {
		seen = append(seen, *item)
		return item.QID == 2
	})
	answer := oneHost("<DETECTION><QID>1</QID></DETECTION><DETECTION><QID>2</QID></DETECTION><DETECTION><QID>3</QID></DETECTION>")
	require.NoError(t, readHosts(d, strings.NewReader(answer), nil))
	out := d.Take()
	require.Len(t, out.Items, 1)
	assert.Equal(t, uint32(2), out.Items[0].QID)
	assert.Equal(t, 1, out.Logs.LogRecordCount())
	assert.Len(t, seen, 3)
	assert.Equal(t, uint64(7), out.UnitDone)

	d.Begin(collected, "", func(*Item) bool { return false })
	require.NoError(t, readHosts(d, strings.NewReader(answer), nil))
	out = d.Take()
	assert.Zero(t, out.Logs.ResourceLogs().Len(), "no resource without records")
	assert.Equal(t, 1, out.UnitsDone)
	assert.Equal(t, uint64(7), out.UnitDone)

	k := NewKnowledgeBase(testSettings())
	k.Begin(collected, "", func(item *Item) bool { return item.QID != 1 }, nil)
	require.NoError(t, readEntries(k, strings.NewReader("<L><VULN><QID>1</QID></VULN><VULN><QID>2</QID></VULN></L>")))
	out = k.Take()
	require.Len(t, out.Items, 1)
	assert.Equal(t, uint32(2), out.Items[0].QID)
	assert.Equal(t, 2, out.UnitsDone)

	a := NewAssets(testSettings())
	a.Begin(collected, "", func(item *Item) bool { return item.Key != 2 })
	require.NoError(t, readAssets(a, strings.NewReader(`[{"assetId":1},{"assetId":2}]`)))
	out = a.Take()
	require.Len(t, out.Items, 1)
	assert.Equal(t, uint64(1), out.Items[0].Key)
	assert.Equal(t, uint64(2), out.UnitDone)
	assert.Equal(t, 2, out.UnitsDone)
}

func TestRecordsDoNotChangeAfterTake(t *testing.T) {
	// Strings share blocks with those of later records, and scratch memory is reused.
	d := NewDetections(testSettings())
	first := takeAll(t, d, testdata(t, "detections.xml"))[0]
	before := first.Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().AsString()
	takeAll(t, d, page(3, 50))
	assert.Equal(t, before, first.Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().AsString())
}

func TestRepairedBytesAreCounted(t *testing.T) {
	out := detectionsOf(t, testSettings(), oneHost("<OS>a\xffb</OS><DETECTION><RESULTS>a\xff\x01</RESULTS></DETECTION>"))
	assert.Equal(t, int64(2), out.Repaired)
	v, _ := onlyRecord(t, out).Body().Map().Get("OS")
	assert.Equal(t, "a\ufffdb", v.Str())

	assert.Equal(t, int64(1), entriesOf(t, testSettings(), "<VULN><TITLE>\xff</TITLE></VULN>").Repaired)

	out = assetsOf(t, testSettings(), collected, "[{\"assetId\":1,\"assetName\":\"a\xffb\",\"x\":\"\\u00e9\",\"y\":\"\\ud800\"}]")
	assert.Equal(t, int64(2), out.Repaired)
	v, _ = onlyRecord(t, out).Body().Map().Get("assetName")
	assert.Equal(t, "a\ufffdb", v.Str())
	v, _ = onlyRecord(t, out).Body().Map().Get("x")
	assert.Equal(t, "é", v.Str())
}
