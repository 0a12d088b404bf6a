// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
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
var backend = regexp.MustCompile(`(?m)^ +endpoint: \$\{env:OTLP_ENDPOINT:-[^}]+\}\n`)

// startExample starts an example, with the subscription in place of Qualys and the sink in place of its backend. The
// collector runs in an empty folder, which is where examples without variables write to.
func startExample(t *testing.T, name string, s *Subscription, sink *Sink) *Collector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "examples", name))
	require.NoError(t, err)
	return Start(t, s.Config(sink.Protobuf(), backend.ReplaceAllString(string(text), "")))
}

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
	c := startExample(t, "routing.yaml", subscription, NewSink(t))
	for file, logType := range map[string]string{"detections": vulnerabilityLogs, "knowledge-base": knowledgeBaseLogs, "assets": assetInventory} {
		pattern := filepath.Join("qualysvmdr", file+".jsonl")
		c.Await(t, logType+" are in a file of their own", func() bool {
			n := len(recordsIn(t, c, pattern))
			return logType == vulnerabilityLogs && n == len(expected) || logType == assetInventory && n == 10 || logType == knowledgeBaseLogs && n > 0
		})
		records := recordsIn(t, c, pattern)
		assert.Len(t, records, countOf(records, logType), "records of other kinds in "+pattern)
	}
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
	expected := openDetections(t, subscription)
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
		activity, status := int64(2), int64(99)
		switch detection.Status {
		case "New":
			activity, status = 1, 1
		case "Fixed":
			activity, status = 3, 4
		}
		assert.Equal(t, int64(2002), event["class_uid"])
		assert.Equal(t, int64(2), event["category_uid"])
		assert.Equal(t, activity, event["activity_id"])
		assert.Equal(t, 200200+activity, event["type_uid"])
		assert.Equal(t, detection.Severity, event["severity_id"])
		if event["status_id"] != int64(3) { // suppressed: ignored or disabled
			assert.Equal(t, status, event["status_id"])
		}
		assert.Equal(t, r.Log.Timestamp().AsTime().UnixMilli(), event["time"])
		metadata := event["metadata"].(map[string]any)
		assert.Equal(t, "1.5.0", metadata["version"])
		assert.Equal(t, "Qualys", metadata["product"].(map[string]any)["vendor_name"])
		assert.NotEmpty(t, event["finding_info"].(map[string]any)["uid"])
		assert.NotEmpty(t, event["finding_info"].(map[string]any)["title"])
		vulnerabilities := event["vulnerabilities"].([]any)
		require.Len(t, vulnerabilities, 1)
		assert.NotEmpty(t, vulnerabilities[0].(map[string]any)["advisory"].(map[string]any)["uid"])
		device := event["device"].(map[string]any)
		assert.Contains(t, device, "type_id")
		if os, ok := device["os"].(map[string]any); ok {
			assert.Contains(t, os, "type_id")
		}
		assert.Equal(t, detection.Results, event["unmapped"].(map[string]any)["Results"])
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
