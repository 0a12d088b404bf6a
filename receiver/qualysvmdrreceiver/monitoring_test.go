// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// ownMetric is a metric of metadata.yaml under the name that the collector writes by default, without suffixes for unit
// and type.
type ownMetric struct {
	histogram bool
	// labels are its attributes, with their values where there is a list of them.
	labels map[string][]any
}

func ownMetrics(t *testing.T) map[string]ownMetric {
	t.Helper()
	text, err := os.ReadFile("metadata.yaml")
	require.NoError(t, err)
	metadata := readYAML(t, string(text))
	attributes := metadata["attributes"].(map[string]any)
	metrics := map[string]ownMetric{}
	for name, definition := range metadata["telemetry"].(map[string]any)["metrics"].(map[string]any) {
		definition := definition.(map[string]any)
		_, histogram := definition["histogram"]
		metric := ownMetric{histogram: histogram, labels: map[string][]any{"job": nil, "instance": nil}}
		names, _ := definition["attributes"].([]any)
		for _, attribute := range names {
			described := attributes[attribute.(string)].(map[string]any)
			label := attribute.(string)
			if override, ok := described["name_override"].(string); ok {
				label = override
			}
			metric.labels[label], _ = described["enum"].([]any)
		}
		metrics["otelcol_"+name] = metric
	}
	require.NotEmpty(t, metrics)
	return metrics
}

var (
	ownName      = regexp.MustCompile(`otelcol_qualysvmdr_\w+(\{[^}]*\})?`)
	labelMatcher = regexp.MustCompile(`(\w+)(=~|!~|!=|=)\\?"([^"\\]*)\\?"`)
)

func TestMonitoringUsesMetricsThatThereAre(t *testing.T) {
	metrics := ownMetrics(t)
	for _, file := range []string{"dashboard.json", "alerts.yaml", "README.md"} {
		text, err := os.ReadFile("../../examples/monitoring/" + file)
		require.NoError(t, err)
		used := ownName.FindAllString(string(text), -1)
		require.NotEmpty(t, used, file)
		for _, use := range used {
			name, matchers, _ := strings.Cut(use, "{")
			metric, known := metrics[name]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, ok := strings.CutSuffix(name, suffix); ok && !known {
					metric, known = metrics[base]
					known = known && metric.histogram
				}
			}
			if !assert.True(t, known, "%s: there is no metric %s", file, name) {
				continue
			}
			for _, matcher := range labelMatcher.FindAllStringSubmatch(matchers, -1) {
				label, value := matcher[1], matcher[3]
				values, known := metric.labels[label]
				assert.True(t, known, "%s: %s has no label %s", file, name, label)
				if len(values) > 0 {
					for one := range strings.SplitSeq(value, "|") {
						assert.Contains(t, values, one, "%s: label %s of %s", file, label, name)
					}
				}
			}
		}
	}
}

func TestWhatTheClientTellsIsDocumented(t *testing.T) {
	metrics := ownMetrics(t)
	assert.ElementsMatch(t, []any{
		qualys.OutcomeOK, qualys.OutcomeLimited, qualys.OutcomeNewToken, qualys.OutcomeConfig,
		qualys.OutcomeAmbiguous, qualys.OutcomeFailed, qualys.OutcomeIncomplete, qualys.OutcomeCancelled,
	}, metrics["otelcol_qualysvmdr_requests"].labels["outcome"])
	assert.ElementsMatch(t, []any{qualys.WaitRateLimit, qualys.WaitReserve, qualys.WaitConcurrency},
		metrics["otelcol_qualysvmdr_limit_wait"].labels["reason"])
}

func TestDashboardShowsEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../../examples/monitoring/dashboard.json")
	require.NoError(t, err)
	assert.True(t, json.Valid(text))
	shown := ownName.FindAllString(string(text), -1)
	for name := range ownMetrics(t) {
		assert.True(t, slices.ContainsFunc(shown, func(use string) bool { return strings.HasPrefix(use, name) }), "%s is not on the dashboard", name)
	}
}
