// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const lateHost = `<HOST><ID>7</ID><IP>192.0.2.1</IP><TAGS><TAG><NAME>a</NAME></TAG></TAGS>` +
	`<DETECTION_LIST><DETECTION><QID>1</QID></DETECTION></DETECTION_LIST>` +
	`<DNS>late</DNS><TAGS><TAG><NAME>b</NAME></TAG></TAGS>` +
	`<DETECTION_LIST><DETECTION><QID>2</QID></DETECTION></DETECTION_LIST>` +
	`<OS>later</OS><ASSET_ID>9</ASSET_ID><LAST_SCAN_DATETIME>2026-11-01</LAST_SCAN_DATETIME><QG_HOSTID>g</QG_HOSTID></HOST>`

const lateWant = `{"LogType":"vulnerabilityLogs","Id":7,"IP":"192.0.2.1","Hostname":"late","Tag":[{"Name":"a"},{"Name":"b"}],` +
	`"Detection":{"Qid":%,"Type":"","Severity":0,"Ssl":0,"Results":"","Status":"","LastFoundDateTime":""},` +
	`"Dns":"late","OS":"later","AssetId":9,"LastScanDateTime":"2026-11-01","QgHostId":"g"}`

func TestLateElementsAreAddedToReachableRecords(t *testing.T) {
	out := detectionsOf(t, inJSON(testSettings()), lateHost)
	records := recordsOf(out)
	require.Len(t, records, 2)
	for i, qid := range []string{"1", "2"} {
		want := strings.ReplaceAll(lateWant, "%", qid)
		assert.Equal(t, want, records[i].Body().Str())
		assert.Len(t, want, int(out.Items[i].Bytes))
		assert.Equal(t, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Unix(), out.Items[i].Scanned)
		id, ok := records[i].Attributes().Get(attrAssetID)
		require.True(t, ok)
		assert.Equal(t, int64(9), id.Int())
	}
	assert.Equal(t, int(out.Items[0].Bytes+out.Items[1].Bytes), out.Bytes)
	assert.Equal(t, 6, out.Late)
	require.Equal(t, 1, out.Logs.ResourceLogs().Len())
	resource := out.Logs.ResourceLogs().At(0).Resource().Attributes().AsRaw()
	assert.Equal(t, "g", resource["host.id"])
	assert.Equal(t, "late", resource["host.name"])
}

func TestLateElementsInMaps(t *testing.T) {
	out := detectionsOf(t, testSettings(), lateHost)
	records := recordsOf(out)
	require.Len(t, records, 2)
	sum := 0
	for i, lr := range records {
		assert.Equal(t,
			[]string{"LogType", "Id", "IP", "Hostname", "Tag", "Detection", "Dns", "OS", "AssetId", "LastScanDateTime", "QgHostId"},
			keysOf(lr.Body().Map()))
		v, _ := lr.Body().Map().Get("Detection")
		qid, _ := v.Map().Get("Qid")
		assert.Equal(t, int64(i+1), qid.Int())
		sum += int(out.Items[i].Bytes)
	}
	assert.Equal(t, sum, out.Bytes)
	assert.Equal(t, out.Items[0].Bytes, out.Items[1].Bytes)
}

func TestLateAttributesAreAddedToo(t *testing.T) {
	for _, settings := range []Settings{testSettings(), inJSON(testSettings())} {
		out := detectionsOf(t, settings, oneHost(`<DETECTION/><DETECTION_LIST part="2"><DETECTION/></DETECTION_LIST>`))
		records := recordsOf(out)
		require.Len(t, records, 2)
		for _, lr := range records {
			assert.Contains(t, lr.Body().AsString(), `"DetectionListPart":"2"`)
		}
		assert.Equal(t, 1, out.Late)
	}
}

func TestLateElementsThatWereAddedEmpty(t *testing.T) {
	body := hostJSON(t, "<DETECTION/><IP>192.0.2.1</IP><NETBIOS>n</NETBIOS>")
	assert.True(t, strings.HasSuffix(body, `},"IP":"192.0.2.1","Hostname":"n","Netbios":"n"}`), body)
	assert.Equal(t, 1, strings.Count(body, `"IP"`), "not the empty one, too")
}

func TestLateElementsDoNotReachTakenRecords(t *testing.T) {
	for _, json := range []bool{false, true} {
		settings := testSettings()
		settings.JSON = json
		settings.MaxRecords = 1
		d := NewDetections(settings)
		d.Begin(collected, nil)
		var outs []Output
		require.NoError(t, readHosts(d, strings.NewReader(oneHost("<DETECTION/><DETECTION/><OS>late</OS><DETECTION/>")), func() {
			if d.Full() {
				outs = append(outs, d.Take())
			}
		}))
		outs = append(outs, d.Take())
		var with []bool
		for _, out := range outs {
			for _, lr := range recordsOf(out) {
				with = append(with, strings.Contains(lr.Body().AsString(), "late"))
			}
		}
		assert.Equal(t, []bool{false, false, true}, with)
	}
}

func TestLateElementsBeforeTakeWithinTheHost(t *testing.T) {
	d := NewDetections(testSettings())
	d.Begin(collected, nil)
	var taken Output
	step := 0
	require.NoError(t, readHosts(d, strings.NewReader(oneHost("<DETECTION/><OS>late</OS>")), func() {
		if step++; step == 4 {
			taken = d.Take()
		}
	}))
	assert.Contains(t, onlyRecord(t, taken).Body().AsString(), "late")
	assert.Equal(t, 1, taken.Late)
	rest := d.Take()
	assert.Empty(t, rest.Items)
	assert.Equal(t, uint64(7), rest.HostDone)
}
