// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// forEachForm runs a benchmark on both forms of a page of 20 MB.
func forEachForm(b *testing.B, run func(b *testing.B, page []byte)) {
	for name, pretty := range map[string]bool{"pretty": true, "compact": false} {
		page := pageOf(20_000_000, pretty)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			run(b, page)
		})
	}
}

// BenchmarkSegments reads a page into segments of raw hosts.
func BenchmarkSegments(b *testing.B) {
	forEachForm(b, func(b *testing.B, content []byte) {
		client := clientOf(content)
		var segment qualys.Segment
		for b.Loop() {
			page, err := client.Detections(b.Context(), qualys.DetectionQuery{Version: "5.0"})
			require.NoError(b, err)
			for err == nil {
				err = page.Next(&segment)
			}
			require.Equal(b, io.EOF, err)
			page.Close()
		}
	})
}

// BenchmarkDetections makes records of a page, on one core.
func BenchmarkDetections(b *testing.B) {
	for _, format := range []string{"structured", "json"} {
		b.Run(format, func(b *testing.B) {
			forEachForm(b, func(b *testing.B, page []byte) {
				settings := recordSettings(serverName)
				settings.JSON = format == "json"
				reader := newDetectionReader(settings)
				client := clientOf(page)
				for b.Loop() {
					require.NoError(b, reader.read(b.Context(), client, func(records.Chunk) {}))
				}
			})
		})
	}
}

// BenchmarkEnriched makes records of a page that carry their entries, on one core.
func BenchmarkEnriched(b *testing.B) {
	fields, err := typicalFields()
	require.NoError(b, err)
	for _, format := range []string{"structured", "json"} {
		b.Run(format, func(b *testing.B) {
			forEachForm(b, func(b *testing.B, page []byte) {
				settings := recordSettings(serverName)
				settings.JSON, settings.EnrichFields = format == "json", enrichFields
				reader := newDetectionReader(settings)
				client := clientOf(page)
				for b.Loop() {
					require.NoError(b, reader.read(b.Context(), client, func(chunk records.Chunk) { enrich(chunk, fields, settings.JSON) }))
				}
			})
		})
	}
}

// BenchmarkEncodingJSON makes records whose bodies are JSON by encoding/xml and encoding/json.
func BenchmarkEncodingJSON(b *testing.B) {
	forEachForm(b, func(b *testing.B, page []byte) {
		for b.Loop() {
			require.NoError(b, readJSONBodies(page, func(plog.Logs) {}))
		}
	})
}

// BenchmarkEncodingXML makes the same records by encoding/xml.
func BenchmarkEncodingXML(b *testing.B) {
	forEachForm(b, func(b *testing.B, page []byte) {
		for b.Loop() {
			built := newDetectionRecords(false, func(plog.Logs) {})
			require.NoError(b, decodeHosts(bytes.NewReader(page), built.add))
			built.flush()
		}
	})
}

// BenchmarkBuilding builds the records of a page from values in memory.
func BenchmarkBuilding(b *testing.B) {
	forEachForm(b, func(b *testing.B, page []byte) {
		var hosts []*xmlHost
		require.NoError(b, decodeHosts(bytes.NewReader(page), func(h *xmlHost) { hosts = append(hosts, h) }))
		for b.Loop() {
			built := newDetectionRecords(true, func(plog.Logs) {})
			for _, h := range hosts {
				built.add(h)
			}
			built.flush()
		}
	})
}

// BenchmarkAssets makes records of a page of assets.
func BenchmarkAssets(b *testing.B) {
	for name, pretty := range map[string]bool{"pretty": true, "compact": false} {
		page := assetPageOf(300, pretty)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			builder := records.NewAssets(recordSettings(gatewayName))
			client := clientOf(page)
			for b.Loop() {
				require.NoError(b, readAssets(b.Context(), client, builder, func(records.Chunk) {}))
			}
		})
	}
}

// BenchmarkCollection collects a page as the receiver does, with checkpoints in memory and in a file, on one core and on two.
// All records can come again and are remembered, which is the most that storing can cost.
func BenchmarkCollection(b *testing.B) {
	page := pageOf(20_000_000, true)
	detections := 0
	require.NoError(b, decodeHosts(bytes.NewReader(page), func(h *xmlHost) { detections += len(h.Detections) }))
	for name, open := range map[string]func(context.Context) (storage.Client, error){
		"memory": nil,
		"file":   func(ctx context.Context) (storage.Client, error) { return openFile(ctx, b.TempDir()) },
	} {
		for cores := 1; cores <= 2; cores++ {
			b.Run(fmt.Sprintf("%s/cores=%d", name, cores), func(b *testing.B) {
				c := &collection{page: page, records: detections, storage: open, overlap: 48 * time.Hour}
				b.SetBytes(int64(len(page)))
				for b.Loop() {
					_, err := c.run(b.Context(), cores)
					require.NoError(b, err)
				}
			})
		}
	}
}

// openFile opens the collector's file storage.
func openFile(ctx context.Context, dir string) (storage.Client, error) {
	factory := filestorage.NewFactory()
	config := factory.CreateDefaultConfig().(*filestorage.Config)
	config.Directory = dir
	settings := extension.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	ext, err := factory.Create(ctx, settings, config)
	if err != nil {
		return nil, err
	}
	return ext.(storage.Extension).GetClient(ctx, component.KindReceiver, component.MustNewID("qualysvmdr"), "")
}
