// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/golden"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/plogtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

var update = flag.Bool("update", false, "write the golden files")

func TestGoldenRecords(t *testing.T) {
	since := time.Date(2026, time.November, 19, 20, 0, 0, 0, time.UTC)
	datasets := []struct {
		name string
		read func(*testing.T, Settings) Chunk
	}{
		{"detections", func(t *testing.T, s Settings) Chunk { return detectionsOf(t, s, testdata(t, "detections.xml")) }},
		{"knowledgebase", func(t *testing.T, s Settings) Chunk { return entriesOf(t, s, testdata(t, "knowledgebase.xml")) }},
		{"assets", func(t *testing.T, s Settings) Chunk { return assetsOf(t, s, since, testdata(t, "assets.json")) }},
		{"hosts", func(t *testing.T, s Settings) Chunk { return hostListOf(t, s, testdata(t, "hosts.xml")) }},
		{"removals", func(_ *testing.T, s Settings) Chunk { return removalsOf(s) }},
		{"collection", func(_ *testing.T, s Settings) Chunk { return collectionEventOf(s) }},
		{"enriched", enrichedOf},
		{"activity", func(t *testing.T, s Settings) Chunk { return activityOf(t, s, testdata(t, "activity.csv")) }},
	}
	for _, dataset := range datasets {
		for _, format := range []string{"structured", "json"} {
			t.Run(dataset.name+" "+format, func(t *testing.T) {
				settings := testSettings()
				settings.JSON = format == "json"
				out := dataset.read(t, settings)
				path := filepath.Join("testdata", dataset.name+"_"+format+".yaml")
				if *update {
					require.NoError(t, golden.WriteLogsToFile(path, out.Logs))
				}
				want, err := golden.ReadLogs(path)
				require.NoError(t, err)
				require.NoError(t, plogtest.CompareLogs(want, out.Logs))
				require.Len(t, out.Items, out.Logs.LogRecordCount())
			})
		}
	}
}

func TestKeysKeepTheirOrder(t *testing.T) {
	body := onlyRecord(t, detectionsOf(t, testSettings(), oneHost(
		"<OS>o</OS><IP>192.0.2.1</IP><DNS>d</DNS><NEW>n</NEW><ASSET_ID>5</ASSET_ID>",
		"<DETECTION><STATUS>New</STATUS><QDS severity='LOW'>3</QDS><QID>1</QID><AAA>x</AAA></DETECTION>",
	))).Body().Map()
	assert.Equal(t, []string{"LogType", "Id", "OS", "IP", "Hostname", "Dns", "New", "AssetId", "Detection"}, keysOf(body))
	detection, _ := body.Get("Detection")
	assert.Equal(t, []string{"Status", "Qds", "QdsSeverity", "Qid", "Aaa", "Type", "Severity", "Ssl", "Results", "LastFoundDateTime"}, keysOf(detection.Map()))
}

func keysOf(m pcommon.Map) []string {
	var keys []string
	for k := range m.All() {
		keys = append(keys, k)
	}
	return keys
}
