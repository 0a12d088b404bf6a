// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// normal returns a value as encoding/json would read it.
func normal(t *testing.T, v pcommon.Value) any {
	t.Helper()
	text, err := json.Marshal(v.AsRaw())
	require.NoError(t, err)
	var out any
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}

// agree checks that both formats of the body say the same, and that the items do not depend on it.
func agree(t *testing.T, structured, inJSON Chunk) {
	t.Helper()
	maps, texts := recordsOf(structured), recordsOf(inJSON)
	require.Len(t, texts, len(maps))
	for i := range maps {
		var got any
		require.NoError(t, json.Unmarshal([]byte(texts[i].Body().Str()), &got))
		assert.Equal(t, normal(t, maps[i].Body()), got)
		assert.Equal(t, maps[i].Attributes().AsRaw(), texts[i].Attributes().AsRaw())
		structured.Items[i].Bytes, inJSON.Items[i].Bytes = 0, 0
	}
	assert.Equal(t, structured.Items, inJSON.Items)
	assert.Equal(t, structured.UnitDone, inJSON.UnitDone)
}

// FuzzHosts reads anything as an answer: nothing panics, and both formats of the body agree.
func FuzzHosts(f *testing.F) {
	f.Add(testdata(f, "detections.xml"))
	f.Add(`<HOST><ID>7</ID><DETECTION_LIST><DETECTION><QID>1</QID></DETECTION></DETECTION_LIST><DNS>late</DNS><DETECTION/></HOST>`)
	f.Add(page(2, 3))
	f.Add(`<HOST a="b"><ID>1</ID>x<A n="1"/><A_LIST n="2"><A n="3">t</A></A_LIST><DETECTION x="y">t<QDS_FACTORS><F name="a">1</F></QDS_FACTORS></DETECTION><A>late</A></HOST>`)
	f.Fuzz(func(t *testing.T, answer string) {
		var outs []Chunk
		for _, settings := range []Settings{unlimited(), inJSON(unlimited())} {
			d := NewDetections(settings)
			d.Begin(collected, "", nil)
			_ = readHosts(d, strings.NewReader(answer), nil) // what was whole before counts
			outs = append(outs, d.Take())
		}
		agree(t, outs[0], outs[1])
	})
}

// FuzzEntries does the same with entries of the KnowledgeBase, and with detections that carry their fields.
func FuzzEntries(f *testing.F) {
	f.Add(testdata(f, "knowledgebase.xml"))
	f.Add(`<VULN a="1"><CVE_LIST b="2"><CVE c="3"/><CVE_LIST><CVE/></CVE_LIST></CVE_LIST>t<CVE d="4"/></VULN>`)
	f.Fuzz(func(t *testing.T, answer string) {
		var outs []Chunk
		for _, settings := range []Settings{unlimited(), inJSON(unlimited())} {
			settings.EnrichFields = []string{"Cve", "VulnA", "Text", "Title", "Cvss", "Status"}
			k := NewKnowledgeBase(settings)
			k.Begin(collected, "", nil, func(_ *Item, stored []byte) {
				fields, err := ParseEntryFields(stored)
				require.NoError(t, err)
				inMap, asText := enriched(t, false, oneHost("<DETECTION/>"), EntryFound, fields), enriched(t, true, oneHost("<DETECTION/>"), EntryFound, fields)
				assert.Equal(t, textSize(onlyRecord(t, inMap).Body()), int(inMap.Items[0].Bytes))
				agree(t, inMap, asText)
			})
			_ = readEntries(k, strings.NewReader(answer)) // what was whole before counts
			outs = append(outs, k.Take())
		}
		agree(t, outs[0], outs[1])
	})
}

// beyond finds whole numbers that need more than 64 bits, and others that no float64 holds: a map has their text.
var beyond = regexp.MustCompile(`[0-9]{19}|[eE][+-]?[0-9]{2}`)

// FuzzAssets does the same with assets.
func FuzzAssets(f *testing.F) {
	f.Add(testdata(f, "assets.json"))
	f.Add(`[{"a":1,"a":[2],"LogType":{},"softwareListData":{"software":[{"fullName":"x"}]}},null,{"openPortListData":{"openPort":[{}]}}]`)
	f.Fuzz(func(t *testing.T, answer string) {
		if beyond.MatchString(answer) {
			return
		}
		var outs []Chunk
		for _, settings := range []Settings{unlimited(), inJSON(unlimited())} {
			a := NewAssets(settings)
			a.PortsSince(time.Unix(1, 0))
			a.Begin(collected, "", nil)
			_ = readAssets(a, strings.NewReader(answer)) // what was whole before counts
			outs = append(outs, a.Take())
		}
		agree(t, outs[0], outs[1])
	})
}

func TestFormatsAgree(t *testing.T) {
	since := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	agree(t, detectionsOf(t, unlimited(), page(3, 20)), detectionsOf(t, inJSON(unlimited()), page(3, 20)))
	assets, err := os.ReadFile(filepath.Join("testdata", "assets.json"))
	require.NoError(t, err)
	small := strings.ReplaceAll(string(assets), "18446744073709551615", "1")
	agree(t, assetsOf(t, unlimited(), since, small), assetsOf(t, inJSON(unlimited()), since, small))
}
