// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
)

// outOf returns what an example makes of one record, which is nothing if a filter keeps it back.
func outOf(t *testing.T, example string, in record) []plog.LogRecord {
	t.Helper()
	p := pipelineOf(t, example, "logs")
	require.NoError(t, p.first.ConsumeLogs(t.Context(), in.logs(t)))
	var out []plog.LogRecord
	for _, logs := range p.out.AllLogs() {
		out = append(out, logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0))
	}
	assert.Empty(t, p.logs.All(), "what a processor warns of fills the log of every collection")
	return out
}

func TestOpenDetectionsAreCountedBySeverityAgeAndGroup(t *testing.T) {
	tests := []struct {
		name, found, groups string
		tags                any
		age, group          string
	}{
		{"this week", "2026-11-13T09:15:00Z", "", []any{map[string]any{"TagId": 1, "Name": `PCI "in scope"`}}, "up to 7 days", `PCI "in scope"`},
		{"this month", "2026-11-13T09:14:00Z", "", []any{}, "8 to 30 days", "none"},
		{"this quarter", "2026-10-01T00:00:00.5Z", "", "", "31 to 90 days", "none"},
		{"older", "2025-10-01T00:00:00Z", "", []any{map[string]any{"TagId": 1}}, "above 90 days", "none"},
		{"who knows", "", "", nil, "unknown", "none"},
		{"a group that was named", "", "Servers|Clients", []any{map[string]any{"Name": "Sales"}, map[string]any{"Name": "Clients"}}, "unknown", "Clients"},
		{"none of the groups that were named", "", "Servers|Clients", []any{map[string]any{"Name": "Sales"}}, "unknown", "Sales"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.groups != "" {
				t.Setenv("HOST_GROUPS", test.groups)
			}
			in := read(t, "detection_enriched")
			change(in.Body, map[string]any{"Tag": test.tags, "Detection": map[string]any{"FirstFoundDateTime": test.found}})
			out := outOf(t, "detection-metrics.yaml", in)
			require.Len(t, out, 1)
			got := out[0].Attributes().AsRaw()
			assert.Equal(t, test.age, got["age"])
			assert.Equal(t, test.group, got["group"])
			assert.EqualValues(t, 4, got["severity"])
			assert.Equal(t, "Confirmed", got["type"])
		})
	}
}

func TestOnlyDetectionsAreCounted(t *testing.T) {
	for _, name := range []string{"removed_detection", "host", "asset", "knowledge_base_entry", "collection", "health"} {
		assert.Empty(t, outOf(t, "detection-metrics.yaml", read(t, name)), name)
	}
}

func TestNobodyIsPagedForAnOldDetection(t *testing.T) {
	for name, want := range map[string]plog.SeverityNumber{"detection_enriched": plog.SeverityNumberInfo, "health": plog.SeverityNumberUnspecified} {
		out := outOf(t, "one-severity.yaml", read(t, name))
		require.Len(t, out, 1)
		assert.Equal(t, want, out[0].SeverityNumber(), name)
	}
}

// A builder refuses modules of different releases, and a reader cannot see which versions go together.
func TestBuilderFilesTakeTheVersionsOfTheDistribution(t *testing.T) {
	module := regexp.MustCompile(`(?m)gomod: (go\.opentelemetry\.io\S+|github\.com/open-telemetry\S+?)/([a-z]+) (v\S+)$`)
	text, err := os.ReadFile("../builder-config.yaml")
	require.NoError(t, err)
	versions := map[string]string{}
	for _, found := range module.FindAllStringSubmatch(string(text), -1) {
		versions[found[1]] = found[3]
	}
	files, err := filepath.Glob("recipes/builder-*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		modules := module.FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, modules, file)
		for _, found := range modules {
			assert.Equal(t, versions[found[1]], found[3], "%s: %s", file, found[2])
		}
	}
}
