// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

func TestRecordsAreThoseOfTheBaselines(t *testing.T) {
	for _, pretty := range []bool{false, true} {
		t.Run(fmt.Sprintf("pretty %t", pretty), func(t *testing.T) {
			require.NoError(t, compareDetections(t.Context(), pageOf(1_000_000, pretty)))
			require.NoError(t, compareJSONBodies(t.Context(), pageOf(1_000_000, pretty)))
			require.NoError(t, compareAssets(t.Context(), assetPageOf(10, pretty)))
		})
	}
}

func TestDifferencesAreFound(t *testing.T) {
	page := pageOf(100_000, false)
	one, other := plog.NewLogs(), plog.NewLogs()
	build := func(to plog.Logs, change func(*xmlHost)) {
		built := newDetectionRecords(false, func(logs plog.Logs) { logs.ResourceLogs().MoveAndAppendTo(to.ResourceLogs()) })
		require.NoError(t, decodeHosts(bytes.NewReader(page), func(h *xmlHost) {
			change(h)
			built.add(h)
		}))
		built.flush()
	}
	build(one, func(*xmlHost) {})
	for name, change := range map[string]func(*xmlHost){
		"Results":    func(h *xmlHost) { h.Detections[0].Results += " " },
		"Tag":        func(h *xmlHost) { h.Tags = h.Tags[:0] },
		"host.name":  func(h *xmlHost) { h.DNS = "x" },
		"severity":   func(h *xmlHost) { h.Detections[0].Severity = h.Detections[0].Severity%5 + 1 },
		"one record": func(h *xmlHost) { h.Detections = h.Detections[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			other = plog.NewLogs()
			build(other, change)
			require.Error(t, compare(flatten(one), flatten(other), sameMap))
		})
	}
	assert.NoError(t, compare(flatten(one), flatten(one), sameMap))
}

// compareDetections tells where the receiver's records of a page differ from those of the baseline.
func compareDetections(ctx context.Context, page []byte) error {
	var got, want []located
	err := newDetectionReader(recordSettings(serverName)).read(ctx, clientOf(page), func(out records.Chunk) {
		got = append(got, flatten(out.Logs)...)
	})
	if err != nil {
		return err
	}
	built := newDetectionRecords(false, func(logs plog.Logs) { want = append(want, flatten(logs)...) })
	if err := decodeHosts(bytes.NewReader(page), built.add); err != nil {
		return err
	}
	built.flush()
	return compare(got, want, sameMap)
}

// compareAssets tells where the receiver's records of a page differ from those of the baseline, but for the order of keys.
func compareAssets(ctx context.Context, page []byte) error {
	var got, want []located
	err := readAssets(ctx, clientOf(page), records.NewAssets(recordSettings(gatewayName)), func(out records.Chunk) {
		got = append(got, flatten(out.Logs)...)
	})
	if err != nil {
		return err
	}
	err = decodeAssets(bytes.NewReader(page), func(asset map[string]any) error {
		logs := plog.NewLogs()
		if err := addAsset(logs, asset); err != nil {
			return err
		}
		want = append(want, flatten(logs)...)
		return nil
	})
	if err != nil {
		return err
	}
	return compare(got, want, sameMembers)
}

// located is a record with what is around it.
type located struct {
	resource pcommon.Map
	scope    pcommon.InstrumentationScope
	record   plog.LogRecord
}

func flatten(logs plog.Logs) []located {
	var list []located
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				list = append(list, located{rl.Resource().Attributes(), sl.Scope(), lr})
			}
		}
	}
	return list
}

const uidKey = "log.record.uid"

// compare compares records field by field. Their UIDs are hashes of different kinds: equal ones must be so on both sides.
func compare(got, want []located, same func(path string, got, want pcommon.Map) error) error {
	if len(got) == 0 || len(got) != len(want) {
		return fmt.Errorf("%d records, and %d of the baseline", len(got), len(want))
	}
	uids, back := map[string]string{}, map[string]string{}
	for i := range got {
		path := fmt.Sprintf("record %d: ", i)
		g, w := got[i].record, want[i].record
		uid, other := uidOf(g), uidOf(w)
		if known, ok := uids[uid]; uid == "" || ok && known != other {
			return fmt.Errorf("%sthe UID %q was that of another record", path, uid)
		}
		if known, ok := back[other]; ok && known != uid {
			return fmt.Errorf("%sthe UID %q differs from that of an equal record", path, uid)
		}
		uids[uid], back[other] = other, uid
		for _, field := range []struct {
			name      string
			got, want any
		}{
			{"scope", got[i].scope.Name() + got[i].scope.Version(), want[i].scope.Name() + want[i].scope.Version()},
			{"event name", g.EventName(), w.EventName()},
			{"time", g.Timestamp(), w.Timestamp()},
			{"observed time", g.ObservedTimestamp(), w.ObservedTimestamp()},
			{"severity", g.SeverityNumber(), w.SeverityNumber()},
			{"severity text", g.SeverityText(), w.SeverityText()},
		} {
			if field.got != field.want {
				return fmt.Errorf("%s%s is %v, and %v in the baseline", path, field.name, field.got, field.want)
			}
		}
		if err := same(path+"resource", got[i].resource, want[i].resource); err != nil {
			return err
		}
		if err := same(path+"attributes", g.Attributes(), w.Attributes()); err != nil {
			return err
		}
		if err := same(path+"body", g.Body().Map(), w.Body().Map()); err != nil {
			return err
		}
	}
	return nil
}

func uidOf(lr plog.LogRecord) string {
	v, ok := lr.Attributes().Get(uidKey)
	if !ok {
		return ""
	}
	return v.Str()
}

// sameMap compares maps with the order of their keys.
func sameMap(path string, got, want pcommon.Map) error {
	if got.Len() != want.Len() {
		return fmt.Errorf("%s has %d keys, and %d in the baseline", path, got.Len(), want.Len())
	}
	var keys []string
	for key := range want.All() {
		keys = append(keys, key)
	}
	i := 0
	for key, v := range got.All() {
		if key != keys[i] {
			return fmt.Errorf("%s has the key %q where the baseline has %q", path, key, keys[i])
		}
		i++
		w, _ := want.Get(key)
		if err := sameValue(path+"."+key, key, v, w, sameMap); err != nil {
			return err
		}
	}
	return nil
}

// sameMembers compares maps whatever the order of their keys.
func sameMembers(path string, got, want pcommon.Map) error {
	if got.Len() != want.Len() {
		return fmt.Errorf("%s has %d keys, and %d in the baseline", path, got.Len(), want.Len())
	}
	for key, v := range got.All() {
		w, ok := want.Get(key)
		if !ok {
			return fmt.Errorf("%s has the key %q, which the baseline does not have", path, key)
		}
		if err := sameValue(path+"."+key, key, v, w, sameMembers); err != nil {
			return err
		}
	}
	return nil
}

func sameValue(path, key string, got, want pcommon.Value, same func(string, pcommon.Map, pcommon.Map) error) error {
	switch {
	case got.Type() != want.Type():
		return fmt.Errorf("%s is a %s, and a %s in the baseline", path, got.Type(), want.Type())
	case got.Type() == pcommon.ValueTypeMap:
		return same(path, got.Map(), want.Map())
	case got.Type() == pcommon.ValueTypeSlice:
		if got.Slice().Len() != want.Slice().Len() {
			return fmt.Errorf("%s has %d entries, and %d in the baseline", path, got.Slice().Len(), want.Slice().Len())
		}
		for i := range got.Slice().Len() {
			if err := sameValue(fmt.Sprintf("%s[%d]", path, i), key, got.Slice().At(i), want.Slice().At(i), same); err != nil {
				return err
			}
		}
	case key != uidKey && !got.Equal(want):
		return fmt.Errorf("%s is %.100q, and %.100q in the baseline", path, got.AsString(), want.AsString())
	}
	return nil
}
