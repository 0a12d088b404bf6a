// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package examples_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/filterprocessor"
	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/transformprocessor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

var update = flag.Bool("update", false, "write the golden files")

// pipeline is the processors of an example's pipeline, in their order, with what they log and what comes out of them.
type pipeline struct {
	first consumer.Logs
	out   *consumertest.LogsSink
	logs  *observer.ObservedLogs
}

// pipelineOf starts the processors of an example exactly as a collector would: from its own configuration, with its variables.
func pipelineOf(t *testing.T, example, name string) *pipeline {
	t.Helper()
	resolver, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs:              []string{"file:" + example},
		ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory(), envprovider.NewFactory()},
		DefaultScheme:     "env",
	})
	require.NoError(t, err)
	conf, err := resolver.Resolve(t.Context())
	require.NoError(t, err)
	var service struct {
		Pipelines map[string]struct {
			Processors []component.ID `mapstructure:"processors"`
		} `mapstructure:"pipelines"`
	}
	section, err := conf.Sub("service")
	require.NoError(t, err)
	require.NoError(t, section.Unmarshal(&service, confmap.WithIgnoreUnused()))
	require.NotEmpty(t, service.Pipelines[name].Processors)

	core, logs := observer.New(zapcore.WarnLevel)
	p := &pipeline{out: new(consumertest.LogsSink), logs: logs}
	p.first = p.out
	for _, id := range slices.Backward(service.Pipelines[name].Processors) {
		var factory processor.Factory
		for _, known := range []processor.Factory{filterprocessor.NewFactory(), transformprocessor.NewFactory()} {
			if known.Type() == id.Type() {
				factory = known
			}
		}
		require.NotNil(t, factory, id)
		config := factory.CreateDefaultConfig()
		own, err := conf.Sub("processors::" + id.String())
		require.NoError(t, err)
		require.NoError(t, own.Unmarshal(config))
		settings := processortest.NewNopSettings(id.Type())
		settings.Logger = zap.New(core)
		next, err := factory.CreateLogs(t.Context(), settings, config, p.first)
		require.NoError(t, err)
		require.NoError(t, next.Start(t.Context(), componenttest.NewNopHost()))
		t.Cleanup(func() { require.NoError(t, next.Shutdown(t.Context())) })
		p.first = next
	}
	return p
}

// record is a record as the receiver delivers it.
type record struct {
	Resource   map[string]any `mapstructure:"resource"`
	Attributes map[string]any `mapstructure:"attributes"`
	Body       map[string]any `mapstructure:"body"`
}

func (r record) logs(t *testing.T) plog.Logs {
	t.Helper()
	logs := plog.NewLogs()
	group := logs.ResourceLogs().AppendEmpty()
	require.NoError(t, group.Resource().Attributes().FromRaw(r.Resource))
	one := group.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	collected := pcommon.NewTimestampFromTime(time.Date(2026, time.November, 20, 9, 15, 0, 0, time.UTC))
	one.SetTimestamp(collected)
	one.SetObservedTimestamp(collected)
	require.NoError(t, one.Attributes().FromRaw(r.Attributes))
	require.NoError(t, one.Body().SetEmptyMap().FromRaw(r.Body))
	return logs
}

// read reads a record of testdata/records: all of it, or what is different from the record named in "like", less the keys
// that "without" names.
func read(t *testing.T, name string) record {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "records", name+".yaml"))
	require.NoError(t, err)
	retrieved, err := confmap.NewRetrievedFromYAML(text)
	require.NoError(t, err)
	raw, err := retrieved.AsRaw()
	require.NoError(t, err)
	document := raw.(map[string]any)
	var out record
	if base, ok := document["like"].(string); ok {
		out = read(t, base)
	} else {
		out = record{Resource: map[string]any{}, Attributes: map[string]any{}, Body: map[string]any{}}
	}
	without, _ := document["without"].([]any)
	for _, path := range without {
		remove(out.Body, strings.Split(path.(string), "."))
	}
	for key, into := range map[string]map[string]any{"resource": out.Resource, "attributes": out.Attributes, "body": out.Body} {
		if changes, ok := document[key].(map[string]any); ok {
			change(into, changes)
		}
	}
	return out
}

// change lays one map over another, map by map.
func change(into, changes map[string]any) {
	for key, value := range changes {
		inner, isMap := value.(map[string]any)
		old, wasMap := into[key].(map[string]any)
		if isMap && wasMap {
			change(old, inner)
			continue
		}
		into[key] = value
	}
}

func remove(from map[string]any, path []string) {
	if len(path) == 1 {
		delete(from, path[0])
		return
	}
	if inner, ok := from[path[0]].(map[string]any); ok {
		remove(inner, path[1:])
	}
}

// recordNames are the cases: what differs between them is in their files.
func recordNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "records", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(filepath.Base(file), ".yaml")
	}
	return names
}

// asDocument is what is compared with a golden file: everything that an exporter would see of a record.
func asDocument(t *testing.T, logs []plog.Logs) string {
	t.Helper()
	documents := []map[string]any{}
	for _, batch := range logs {
		for _, group := range batch.ResourceLogs().All() {
			for _, scope := range group.ScopeLogs().All() {
				for _, one := range scope.LogRecords().All() {
					body := one.Body().Map().AsRaw()
					if event, ok := body["event"].(map[string]any); ok {
						require.Positive(t, event["ingested"])
						event["ingested"] = "when it was processed"
					}
					documents = append(documents, map[string]any{
						"resource": group.Resource().Attributes().AsRaw(), "scope": scope.Scope().Attributes().AsRaw(),
						"attributes": one.Attributes().AsRaw(), "body": body,
					})
				}
			}
		}
	}
	text, err := json.MarshalIndent(documents, "", "  ")
	require.NoError(t, err)
	return string(text) + "\n"
}

// TestEventsOfSchemas runs each case through the processors of the examples that write another schema. An event that
// changes here must be checked against the official schema before its golden file is written anew with -update.
func TestEventsOfSchemas(t *testing.T) {
	for _, example := range []string{"ocsf", "elasticsearch-ecs"} {
		for _, name := range recordNames(t) {
			t.Run(example+" "+name, func(t *testing.T) {
				p := pipelineOf(t, example+".yaml", "logs")
				require.NoError(t, p.first.ConsumeLogs(t.Context(), read(t, name).logs(t)))
				got := asDocument(t, p.out.AllLogs())
				path := filepath.Join("testdata", example, name+".json")
				if *update {
					require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
					require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
				}
				want, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, string(want), got)
				assert.Empty(t, p.logs.All(), "what a processor warns of fills the log of every collection")
			})
		}
	}
}
