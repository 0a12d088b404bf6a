// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

const (
	benchHosts      = 20
	benchDetections = 150
)

// BenchmarkDetections compares the way from a page to records with reading its tokens alone, and with building the same
// records from values in memory.
func BenchmarkDetections(b *testing.B) {
	answer := page(benchHosts, benchDetections)
	perDetection := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(benchHosts*benchDetections), "ns/detection")
	}
	for _, format := range []string{"structured", "json"} {
		b.Run("records "+format, func(b *testing.B) {
			settings := testSettings()
			settings.JSON = format == "json"
			d := NewDetections(settings)
			b.SetBytes(int64(len(answer)))
			b.ReportAllocs()
			for b.Loop() {
				d.Begin(collected, "", nil)
				err := readHosts(d, strings.NewReader(answer), func() {
					if d.Full() {
						d.Take()
					}
				})
				require.NoError(b, err)
				d.Take()
			}
			perDetection(b)
		})
	}
	b.Run("known already", func(b *testing.B) {
		d := NewDetections(testSettings())
		b.SetBytes(int64(len(answer)))
		b.ReportAllocs()
		for b.Loop() {
			d.Begin(collected, "", func(*Item) bool { return false })
			require.NoError(b, readHosts(d, strings.NewReader(answer), nil))
			d.Take()
		}
		perDetection(b)
	})
	b.Run("tokens", func(b *testing.B) {
		b.SetBytes(int64(len(answer)))
		b.ReportAllocs()
		x := xmlstream.NewReader(nil)
		for b.Loop() {
			x.Reset(strings.NewReader(answer))
			for {
				if _, err := x.Next(); err != nil {
					break
				}
			}
		}
		perDetection(b)
	})
	b.Run("values in memory", func(b *testing.B) {
		hosts := inMemory(detectionsOf(b, unlimited(), answer))
		b.ReportAllocs()
		for b.Loop() {
			logs := plog.NewLogs()
			for _, records := range hosts {
				rl := logs.ResourceLogs().AppendEmpty()
				to := rl.ScopeLogs().AppendEmpty().LogRecords()
				for _, r := range records {
					lr := to.AppendEmpty()
					lr.SetTimestamp(r.time)
					lr.SetObservedTimestamp(r.time)
					build(lr.Attributes(), r.attributes)
					build(lr.Body().SetEmptyMap(), r.body)
				}
			}
		}
		perDetection(b)
	})
}

func unlimited() Settings {
	s := testSettings()
	s.MaxRecords, s.MaxBytes = 0, 0
	return s
}

type memoryRecord struct {
	time             pcommon.Timestamp
	attributes, body []member
}

// A member's value is a string, an int64, a map or a list.
type member struct {
	key   string
	value any
}

func inMemory(out Chunk) [][]memoryRecord {
	var hosts [][]memoryRecord
	for _, rl := range out.Logs.ResourceLogs().All() {
		var host []memoryRecord
		for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
			host = append(host, memoryRecord{time: lr.Timestamp(), attributes: membersOf(lr.Attributes()), body: membersOf(lr.Body().Map())})
		}
		hosts = append(hosts, host)
	}
	return hosts
}

func membersOf(m pcommon.Map) []member {
	list := []member{}
	for k, v := range m.All() {
		list = append(list, member{key: k, value: valueOf(v)})
	}
	return list
}

func valueOf(v pcommon.Value) any {
	switch v.Type() {
	case pcommon.ValueTypeMap:
		return membersOf(v.Map())
	case pcommon.ValueTypeSlice:
		list := []any{}
		for _, entry := range v.Slice().All() {
			list = append(list, valueOf(entry))
		}
		return list
	default:
		return v.AsRaw()
	}
}

func build(m pcommon.Map, members []member) {
	m.EnsureCapacity(len(members))
	for i := range members {
		switch v := members[i].value.(type) {
		case string:
			m.PutStr(members[i].key, v)
		case int64:
			m.PutInt(members[i].key, v)
		case []member:
			build(m.PutEmptyMap(members[i].key), v)
		case []any:
			s := m.PutEmptySlice(members[i].key)
			s.EnsureCapacity(len(v))
			for _, entry := range v {
				build(s.AppendEmpty().SetEmptyMap(), entry.([]member))
			}
		}
	}
}

// BenchmarkAssets compares reading a page of assets of about 100 kB into records with decoding it by encoding/json.
func BenchmarkAssets(b *testing.B) {
	answer := assetPage(30, 100)
	for _, format := range []string{"structured", "json"} {
		b.Run("records "+format, func(b *testing.B) {
			settings := testSettings()
			settings.JSON = format == "json"
			a := NewAssets(settings)
			b.SetBytes(int64(len(answer)))
			b.ReportAllocs()
			for b.Loop() {
				a.Begin(collected, "", nil)
				require.NoError(b, readAssets(a, strings.NewReader(answer)))
				a.Take()
			}
		})
	}
	b.Run("encoding json", func(b *testing.B) {
		b.SetBytes(int64(len(answer)))
		b.ReportAllocs()
		for b.Loop() {
			dec := json.NewDecoder(strings.NewReader(answer))
			_, err := dec.Token()
			require.NoError(b, err)
			for dec.More() {
				var asset map[string]any
				require.NoError(b, dec.Decode(&asset))
			}
		}
	})
}

// assetPage is an answer of assets with so many pieces of software each, about 1 kB a piece.
func assetPage(assets, software int) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range assets {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"assetId":%d,"assetUUID":"c0ffee00-%d","address":"192.0.2.1","dnsName":"press-%d.plant.example.test","agent":null,"openPortListData":{"openPort":[`, 9100000+i, i, i)
		for p := range 50 {
			if p > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"port":%d,"description":"port %d","protocol":"TCP","detectedService":"x","lastUpdated":"2026-11-19T20:00:00.000Z","authorization":null}`, p, p)
		}
		b.WriteString(`]},"softwareListData":{"software":[`)
		for s := range software {
			if s > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"id":84643595982954%d,"discoverySources":"AGENT","fullName":"Example Software %d 64-Bit","softwareType":"Application","isIgnored":false,"ignoredReason":null,"category":"Plant / Control","category1":"Plant","category2":"Control","productName":"Software %d","component":null,"publisher":"Example","edition":null,"marketVersion":"2","version":"2.4.%d","update":null,"architecture":"64-Bit","installDate":"2026-10-25T14:21:12.000Z","installPath":"/opt/example/software-%d","lastUpdated":"2026-11-19T14:21:12.000Z","lastUseDate":null,"language":null,"formerlyKnownAs":null,"isPackage":true,"isPackageComponent":false,"packageName":"software-%d","productUrl":",,","lifecycle":{"gaDate":null,"eolDate":null,"stage":"GA","lifeCycleConfidence":"Exact","detectionScore":0},"license":{"category":"Open Source"}}`, s, s, s, s, s, s)
		}
		b.WriteString(`]},"criticality":{"score":4}}`)
	}
	b.WriteByte(']')
	return b.String()
}
