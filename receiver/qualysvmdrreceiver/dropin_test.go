// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// bodies are the bodies of all records by LogType: as they stand in the record, and read.
type bodies map[string][]body

type body struct {
	text   string
	values map[string]any
}

// collectBodies runs the receiver against the simulator until every dataset has finished a collection.
func collectBodies(t *testing.T, options qualyssim.Options) bodies {
	_, url := subscription(t, options)
	cfg := configFor(url)
	cfg.BodyFormat = BodyJSON
	core, logged := observer.New(zap.InfoLevel)
	sink := new(consumertest.LogsSink)
	stop := start(t, cfg, sink, &statusHost{}, zap.New(core))
	require.Eventually(t, func() bool { return finished(logged) == 3 }, waitLimit, glance)
	stop()
	found := bodies{}
	for _, logs := range sink.AllLogs() {
		for _, rl := range logs.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, record := range sl.LogRecords().All() {
					b := body{text: record.Body().Str()}
					require.NoError(t, json.Unmarshal([]byte(b.text), &b.values))
					logType := fmt.Sprint(b.values["LogType"])
					assert.True(t, strings.HasPrefix(b.text, `{"LogType":"`+logType+`"`), "LogType is the first key")
					found[logType] = append(found[logType], b)
				}
			}
		}
	}
	return found
}

func TestRecordsAreWhatExistingReadersNeed(t *testing.T) {
	found := collectBodies(t, qualyssim.Options{Hosts: 40, Assets: 60})

	t.Run("detections", func(t *testing.T) {
		require.NotEmpty(t, found["vulnerabilityLogs"])
		for _, b := range found["vulnerabilityLogs"] {
			for _, key := range []string{"Hostname", "IP", "Id", "Detection"} {
				require.Contains(t, b.values, key)
			}
			detection, ok := b.values["Detection"].(map[string]any)
			require.True(t, ok)
			for _, key := range []string{"Status", "Results", "Ssl", "Severity", "Type", "Qid", "LastFoundDateTime"} {
				require.Contains(t, detection, key)
			}
			_, err := time.Parse("2006-01-02T15:04:05Z07:00", fmt.Sprint(detection["LastFoundDateTime"]))
			require.NoError(t, err)
		}
	})

	t.Run("KnowledgeBase", func(t *testing.T) {
		require.NotEmpty(t, found["knowledgeBaseLogs"])
		for _, b := range found["knowledgeBaseLogs"] {
			for _, key := range []string{
				"Qid", "VulnerabilityType", "SeverityLevel", "Title", "Category", "Patchable", "Software", "VendorReference", "Cve",
				"Diagnosis", "Consequence", "Solution", "PciFlag", "ThreatIntel", "Discovery",
			} {
				require.Contains(t, b.values, key)
			}
			for _, key := range []string{"Software", "VendorReference", "Cve", "ThreatIntel"} {
				require.IsType(t, []any{}, b.values[key], key)
			}
			require.IsType(t, map[string]any{}, b.values["Discovery"])
			require.Contains(t, []any{0.0, 1.0}, b.values["Patchable"], "it is compared with 1")
		}
	})

	t.Run("assets", func(t *testing.T) {
		require.NotEmpty(t, found["assetInventory"])
		matched, paths := map[string]int{}, map[string]int{}
		withoutAgent := 0
		for _, b := range found["assetInventory"] {
			for _, pattern := range []string{
				`"assetUUID":"([^"]+)`, `dnsName":"([^"]+)`, `lastLoggedOnUser":"([^"]+)`, `tagName":"(.*?)"`, `score":(\d+)`,
				`"provider":"?([^",]+)`, `"netbiosName":"?([^",]+)`, `"domainRole":"?([^",]+)`, `"agent":([^,]+)`,
				`"activatedForModules":(\[.*?\])`, `"errorStatus":(\w+)`, `port":(.*?),`, `"softwareListData":\[(.*?)\]`,
				`description":.*?,"name":"(.*?)","status":"(.*?)"}`,
			} {
				match := regexp.MustCompile(pattern).FindStringSubmatch(b.text)
				if match == nil {
					continue
				}
				matched[pattern]++
				switch pattern {
				case `score":(\d+)`:
					if criticality, ok := b.values["criticality"].(map[string]any); ok {
						assert.Equal(t, fmt.Sprint(criticality["score"]), match[1], "the first score is the criticality's")
					}
				case `"agent":([^,]+)`:
					if b.values["agent"] == nil {
						withoutAgent++
						assert.Equal(t, "null", match[1])
					}
				}
			}
			for _, path := range []string{
				"address", "assetName", "biosDescription", "assetId", "operatingSystem.osName", "hardware.productName",
				"hardware.manufacturer", "hardware.category", "hardware.fullName", "serviceList.service",
			} {
				var at any = b.values
				for _, key := range strings.Split(path, ".") {
					if in, ok := at.(map[string]any); ok {
						at = in[key]
					} else {
						at = nil
					}
				}
				if at != nil {
					paths[path]++
				}
			}
		}
		assert.Len(t, matched, 14, "every pattern matches some asset: %v", matched)
		for _, always := range []string{`"assetUUID":"([^"]+)`, `"agent":([^,]+)`, `"softwareListData":\[(.*?)\]`} {
			assert.Equal(t, len(found["assetInventory"]), matched[always], always)
		}
		assert.Len(t, paths, 10, "%v", paths)
		assert.Positive(t, withoutAgent, "there must be assets without an agent to see how they read")
	})
}
