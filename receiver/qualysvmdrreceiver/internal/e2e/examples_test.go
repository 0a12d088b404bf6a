// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
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
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// backend is where an example sends to if nobody says otherwise; without it, it is the sink of the tests' configuration.
var backend = regexp.MustCompile(`(?m)^ +endpoint: \$\{env:(OTLP|LOKI|SPLUNK_OTLP|SUMO|VICTORIALOGS)_ENDPOINT:-[^}]+\}.*\n`)

// startExample starts an example, with the subscription in place of Qualys and the sink in place of its backend. The
// collector runs in an empty folder, which is where examples without variables write to.
//
// Edits are pairs of texts: what stands in the example, and what a user writes in its place.
func startExample(t *testing.T, name string, s *Subscription, sink *Sink, edits ...string) *Collector {
	t.Helper()
	return startExampleWith(t, name, s, sink.Protobuf(), edits...)
}

// startExampleWith is startExample for an example that has another exporter.
func startExampleWith(t *testing.T, name string, s *Subscription, exporter Exporter, edits ...string) *Collector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "examples", name))
	require.NoError(t, err)
	configured := backend.ReplaceAllString(string(text), "")
	for i := 0; i < len(edits); i += 2 {
		require.Contains(t, configured, edits[i], name)
		configured = strings.Replace(configured, edits[i], edits[i+1], 1)
	}
	return Start(t, s.Config(exporter, configured))
}

// withActivityLog has an example collect the activity log as well.
var withActivityLog = []string{"    vulnerabilities:\n", "    activity_log:\n    vulnerabilities:\n"}

// recordsIn are the log records of the file exporter's files that a pattern names, in the folder that a collector runs in. A
// line that is still being written is left out.
func recordsIn(t *testing.T, c *Collector, pattern string) (records []plog.LogRecord) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.command.Dir, pattern))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		end := bytes.LastIndexByte(text, '\n')
		for line := range bytes.Lines(text[:end+1]) {
			logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(line)
			require.NoError(t, err)
			for _, ofResource := range logs.ResourceLogs().All() {
				for _, ofScope := range ofResource.ScopeLogs().All() {
					for _, log := range ofScope.LogRecords().All() {
						records = append(records, log)
					}
				}
			}
		}
	}
	return records
}

func countOf(records []plog.LogRecord, logType string) (n int) {
	for _, log := range records {
		if attribute(log, "LogType") == logType {
			n++
		}
	}
	return n
}

func TestExampleForFiles(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 10, Assets: 10})
	expected := openDetections(t, subscription)
	c := startExample(t, "file.yaml", subscription, NewSink(t))
	c.Await(t, "everything is in the file", func() bool {
		records := recordsIn(t, c, "qualysvmdr.jsonl")
		return countOf(records, vulnerabilityLogs) == len(expected) && countOf(records, assetInventory) == 10 && countOf(records, knowledgeBaseLogs) > 0
	})
}

func TestExampleOfRouting(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 10, Assets: 10})
	expected := openDetections(t, subscription)
	c := startExample(t, "routing.yaml", subscription, NewSink(t), withActivityLog...)
	for file, logType := range map[string]string{"detections": vulnerabilityLogs, "knowledge-base": knowledgeBaseLogs, "assets": assetInventory} {
		pattern := filepath.Join("qualysvmdr", file+".jsonl")
		c.Await(t, logType+" are in a file of their own", func() bool {
			n := len(recordsIn(t, c, pattern))
			return logType == vulnerabilityLogs && n == len(expected) || logType == assetInventory && n == 10 || logType == knowledgeBaseLogs && n > 0
		})
		records := recordsIn(t, c, pattern)
		assert.Len(t, records, countOf(records, logType), "records of other kinds in "+pattern)
	}
	// What no pipeline of its own is for is not lost.
	others := filepath.Join("qualysvmdr", "others.jsonl")
	c.Await(t, "everything else is in one more file", func() bool {
		records := recordsIn(t, c, others)
		return countOf(records, userActivityLogs) > 0 && countOf(records, healthEvents) > 0
	})
	for _, log := range recordsIn(t, c, others) {
		assert.NotContains(t, []string{vulnerabilityLogs, knowledgeBaseLogs, assetInventory}, attribute(log, "LogType"))
	}
}

// forwarded says which kinds of records a run of the example for Sumo Logic marked for Cloud SIEM, by what their messages say.
func forwarded(t *testing.T, records []Record) map[string]string {
	t.Helper()
	marks := map[string]string{}
	for _, r := range records {
		var message struct{ LogType string }
		require.NoError(t, json.Unmarshal([]byte(r.Log.Body().Str()), &message))
		mark, ok := r.Resource.Attributes().Get("_siemForward")
		require.True(t, ok)
		if before, known := marks[message.LogType]; known {
			require.Equal(t, before, mark.Str(), message.LogType)
		}
		marks[message.LogType] = mark.Str()
	}
	return marks
}

func TestExampleForSumoLogic(t *testing.T) {
	for name, tt := range map[string]struct {
		edits []string
		want  map[string]string
	}{
		"inventory goes to Cloud SIEM, and nothing else": {
			want: map[string]string{vulnerabilityLogs: "false", knowledgeBaseLogs: "false", assetInventory: "true", userActivityLogs: "false", healthEvents: "false"},
		},
		"detections and entries on demand": {
			edits: []string{"${env:SUMO_SIEM_FORWARD_VULNERABILITIES:-false}", "true"},
			want:  map[string]string{vulnerabilityLogs: "true", knowledgeBaseLogs: "true", assetInventory: "true", userActivityLogs: "false", healthEvents: "false"},
		},
		"nothing at all": {
			edits: []string{"${env:SUMO_SIEM_FORWARD:-true}", "false"},
			want:  map[string]string{vulnerabilityLogs: "false", knowledgeBaseLogs: "false", assetInventory: "false", userActivityLogs: "false", healthEvents: "false"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			subscription := NewSubscription(t, qualyssim.Options{Hosts: 5, Assets: 5})
			sink := NewSink(t)
			c := startExample(t, "sumologic.yaml", subscription, sink, append(tt.edits, withActivityLog...)...)
			// All attributes are gone, LogType with them: the messages have to tell.
			c.Await(t, "all kinds arrived", func() bool { return len(forwarded(t, sink.Records(""))) == len(tt.want) })
			assert.Equal(t, tt.want, forwarded(t, sink.Records("")))
			for _, r := range sink.Records("") {
				assert.Zero(t, r.Log.Attributes().Len())
				resource := r.Resource.Attributes().AsRaw()
				assert.Equal(t, "qualys/vmdr", resource["_sourceCategory"])
				assert.Equal(t, "qualys", resource["subscription"])
				assert.Equal(t, "qualysvmdr", resource["_sourceName"])
				inventory := strings.HasPrefix(r.Log.Body().Str(), `{"LogType":"assetInventory"`)
				assert.Equal(t, inventory, resource["_siemDataType"] == "Inventory")
				assert.Equal(t, !inventory && resource["_siemForward"] == "true", resource["_parser"] != nil)
			}
		})
	}
}

func TestExampleForSumoLogicSendsNoMessageThatIsSplit(t *testing.T) {
	const limit = 64 << 10
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 5, MinDetections: 4, MaxDetections: 4, ResultsSize: 4 * limit})
	expected := openDetections(t, subscription)
	sink := NewSink(t)
	c := startExample(t, "sumologic.yaml", subscription, sink)
	detections := func() (bodies []string) {
		for _, r := range sink.Records("") {
			if body := r.Log.Body().Str(); strings.HasPrefix(body, `{"LogType":"vulnerabilityLogs"`) {
				bodies = append(bodies, body)
			}
		}
		return bodies
	}
	c.Await(t, "all detections arrived", func() bool { return len(detections()) == len(expected) })
	shortened := 0
	for _, body := range detections() {
		assert.LessOrEqual(t, len(body), limit)
		var message struct {
			Detection struct {
				UniqueVulnID int64 `json:"UniqueVulnId"`
				Results      string
			}
		}
		require.NoError(t, json.Unmarshal([]byte(body), &message))
		whole := expected[message.Detection.UniqueVulnID].Results
		if message.Detection.Results == whole {
			continue
		}
		shortened++
		kept, marked := strings.CutSuffix(message.Detection.Results, " [cut]")
		assert.True(t, marked)
		assert.True(t, strings.HasPrefix(whole, kept))
		assert.NotEmpty(t, kept)
	}
	assert.Positive(t, shortened)
}

func TestExampleForVictoriaLogs(t *testing.T) {
	const long = 500_000
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 5, MinDetections: 4, MaxDetections: 4, ResultsSize: long, Assets: 5})
	expected := openDetections(t, subscription)
	sink := NewSink(t)
	c := startExample(t, "victorialogs.yaml", subscription, sink)
	c.Await(t, "all kinds arrived", func() bool {
		return sink.Count(vulnerabilityLogs) == len(expected) && sink.Count(assetInventory) == 5 && sink.Count(knowledgeBaseLogs) > 0 && sink.Count(healthEvents) > 0
	})
	cut := 0
	for _, r := range sink.Records(vulnerabilityLogs) {
		id := number(t, r.Log.Attributes(), "qualys.detection.id")
		headline, results, found := strings.Cut(attribute(r.Log, "_msg"), "\n")
		require.True(t, found, "a line and the results")
		assert.Contains(t, headline, r.Log.SeverityText()+" QID "+attribute(r.Log, "qualys.qid")+" "+expected[id].Status+" ")
		assert.True(t, strings.HasPrefix(expected[id].Results, results))
		assert.LessOrEqual(t, len(results), long)
		if len(results) < len(expected[id].Results) {
			cut++
		}
		body, _ := r.Log.Body().Map().Get("Detection")
		assert.NotContains(t, body.Map().AsRaw(), "Results", "results twice in one record")
	}
	assert.Positive(t, cut)
	for _, logType := range []string{knowledgeBaseLogs, assetInventory, healthEvents} {
		for _, r := range sink.Records(logType) {
			assert.NotEmpty(t, attribute(r.Log, "_msg"))
			assert.NotEqual(t, logType, attribute(r.Log, "_msg"), "a message that says no more than its kind")
		}
	}
}

func TestExamplesForBackendsThatReadResources(t *testing.T) {
	for name, tt := range map[string]struct {
		exporter func(*Sink) Exporter
		edits    []string
		want     map[string]any
	}{
		"loki.yaml": {
			exporter: (*Sink).Protobuf,
			want:     map[string]any{"service.name": "qualysvmdr"},
		},
		"splunk.yaml": {
			exporter: (*Sink).GRPC,
			edits:    []string{"${env:SPLUNK_OTLP_INSECURE:-false}", "true"},
			want:     map[string]any{"com.splunk.index": "main", "com.splunk.sourcetype": "qualys:vmdr", "com.splunk.source": "qualysvmdr"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			subscription := NewSubscription(t, qualyssim.Options{Hosts: 5, Assets: 5})
			expected := openDetections(t, subscription)
			sink := NewSink(t)
			c := startExampleWith(t, name, subscription, tt.exporter(sink), tt.edits...)
			c.Await(t, "all kinds arrived", func() bool {
				return sink.Count(vulnerabilityLogs) == len(expected) && sink.Count(assetInventory) == 5 && sink.Count(knowledgeBaseLogs) > 0
			})
			for _, logType := range []string{vulnerabilityLogs, knowledgeBaseLogs, assetInventory} {
				for _, r := range sink.Records(logType) {
					for key, value := range tt.want {
						assert.Equal(t, value, r.Resource.Attributes().AsRaw()[key], key)
					}
				}
			}
		})
	}
}

func TestExampleOfTheActivityLog(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{})
	sink := NewSink(t)
	c := startExample(t, "activity-log.yaml", subscription, sink)
	c.Await(t, "rows arrived", func() bool { return sink.Count(userActivityLogs) > 0 })
}

func TestExampleOfOldTimestamps(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 20})
	expected := openDetections(t, subscription)
	sink := NewSink(t)
	c := startExample(t, "old-timestamps.yaml", subscription, sink)
	c.Await(t, "all detections arrived", func() bool { return sink.Count(vulnerabilityLogs) == len(expected) })
	moved := 0
	for _, r := range sink.Records(vulnerabilityLogs) {
		age := r.Log.ObservedTimestamp().AsTime().Sub(r.Log.Timestamp().AsTime())
		assert.LessOrEqual(t, age, 7*24*time.Hour)
		if event := attribute(r.Log, "event.time"); event != "" {
			moved++
			assert.Zero(t, age)
			found, ok := r.Log.Body().Map().Get("Detection")
			require.True(t, ok)
			lastFound, _ := found.Map().Get("LastFoundDateTime")
			assert.Equal(t, lastFound.Str(), event)
		}
	}
	assert.Positive(t, moved)
	assert.Less(t, moved, len(expected))
}

func TestExampleWithoutAttributes(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 3, Assets: 3})
	sink := NewSink(t)
	c := startExample(t, "no-attributes.yaml", subscription, sink)
	// Records without attributes have no LogType to count them by, and look all the same to the sink.
	c.Await(t, "records arrived", func() bool { return sink.Taken() > 0 })
	for _, r := range sink.Records("") {
		assert.Zero(t, r.Log.Attributes().Len())
		assert.Zero(t, r.Resource.Attributes().Len())
		assert.True(t, strings.HasPrefix(r.Log.Body().Str(), `{"LogType":"`), r.Log.Body().Str())
	}
}

func TestExampleOfSeveralSubscriptions(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 3, Assets: 3})
	sink := NewSink(t)
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "examples", "several-subscriptions.yaml"))
	require.NoError(t, err)
	// Three receivers, each with the endpoints of the simulator.
	endpoints := "server: {endpoint: \"" + subscription.URL + "\"}\n    gateway: {endpoint: \"" + subscription.URL + "\"}"
	configured := regexp.MustCompile(`platform: \$\{[^}]+\}`).ReplaceAllString(backend.ReplaceAllString(string(text), ""), endpoints)
	// The receiver of the tests' configuration, which this example does not use, must be a valid one all the same.
	configured = strings.Replace(configured, "receivers:\n", "receivers:\n  qualysvmdr: {vulnerabilities: }\n", 1)
	c := Start(t, subscription.Config(sink.Protobuf(), configured))
	sources := func(logType string) map[string]bool {
		found := map[string]bool{}
		for _, r := range sink.Records(logType) {
			source, _ := r.Resource.Attributes().Get("qualys.receiver")
			found[source.Str()] = true
		}
		return found
	}
	// Equal records of two receivers have the same log.record.uid, and are one to the sink.
	c.Await(t, "all kinds arrived", func() bool {
		return len(sources(vulnerabilityLogs)) > 0 && len(sources(assetInventory)) > 0 && sink.Repeated(vulnerabilityLogs) > 0 && sink.Repeated(assetInventory) > 0
	})
	for _, source := range []string{"qualysvmdr/emea", "qualysvmdr/us", "qualysvmdr/us-assets"} {
		c.AwaitOutput(t, `"otelcol.component.id": "`+source+`"`)
	}
}

func TestExampleOfOCSF(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 20, Assets: 10})
	expected := openDetections(t, subscription, "include_ignored", "include_disabled")
	sink := NewSink(t)
	c := startExample(t, "ocsf.yaml", subscription, sink)
	c.Await(t, "all detections and assets arrived", func() bool {
		return sink.Count(vulnerabilityLogs) == len(expected) && sink.Count(assetInventory) == 10
	})

	for _, r := range sink.Records(vulnerabilityLogs) {
		event := r.Log.Body().Map().AsRaw()
		id := number(t, r.Log.Attributes(), "qualys.detection.id")
		detection := expected[id]
		require.NotZero(t, detection.UniqueVulnID, "detection %d", id)
		activity := int64(2)
		switch {
		case strings.EqualFold(detection.Status, "New"):
			activity = 1
		case strings.EqualFold(detection.Status, "Fixed"):
			activity = 3
		}
		assert.Equal(t, int64(2002), event["class_uid"])
		assert.Equal(t, int64(2), event["category_uid"])
		assert.Equal(t, activity, event["activity_id"])
		assert.Equal(t, 200200+activity, event["type_uid"])
		assert.Equal(t, detection.Severity, event["severity_id"])
		if event["status_id"] != int64(3) { // suppressed: ignored or disabled
			assert.Equal(t, int64(1), event["status_id"])
		}
		assert.Equal(t, detection.Status, event["status_detail"])
		assert.Equal(t, r.Log.Timestamp().AsTime().UnixMilli(), event["time"])
		metadata := event["metadata"].(map[string]any)
		assert.Equal(t, "1.5.0", metadata["version"])
		assert.Equal(t, "Qualys", metadata["product"].(map[string]any)["vendor_name"])
		assert.NotEmpty(t, event["finding_info"].(map[string]any)["uid"])
		assert.NotEmpty(t, event["finding_info"].(map[string]any)["title"])
		vulnerabilities := event["vulnerabilities"].([]any)
		require.Len(t, vulnerabilities, 1)
		vulnerability := vulnerabilities[0].(map[string]any)
		assert.NotEqual(t, vulnerability["cve"] == nil, vulnerability["advisory"] == nil, "just one of cve and advisory")
		device := event["device"].(map[string]any)
		assert.Contains(t, device, "type_id")
		if os, ok := device["os"].(map[string]any); ok {
			assert.Contains(t, os, "type_id")
		}
		assert.Equal(t, detection.Results, event["unmapped"].(map[string]any)["Detection"].(map[string]any)["Results"])
	}
	for _, r := range sink.Records(assetInventory) {
		event := r.Log.Body().Map().AsRaw()
		assert.Equal(t, int64(5001), event["class_uid"])
		assert.Equal(t, int64(5), event["category_uid"])
		assert.Equal(t, int64(500102), event["type_uid"])
		assert.Equal(t, int64(1), event["severity_id"])
		device := event["device"].(map[string]any)
		assert.NotEmpty(t, device["uid"])
		assert.NotEmpty(t, device["hostname"])
		assert.Contains(t, device, "type_id")
	}
	assert.NotContains(t, c.Output(), "failed to execute statement")
}

func number(t *testing.T, attributes pcommon.Map, key string) int64 {
	t.Helper()
	value, ok := attributes.Get(key)
	require.True(t, ok, key)
	return value.Int()
}
