// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// builder is what the builders of all datasets do alike: it gathers records in Chunks.
type builder struct {
	settings  Settings
	arena     arena
	hasher    hasher
	collected pcommon.Timestamp
	share     bool // whether records have values in common
	// collection is the ID of the collection, which every record carries.
	collection string
	// common are the attributes that all records of a dataset and of a collection have, those of commonOf.
	common   sharedMap
	commonOf commonOf
	keep     func(*Item) bool

	item    Item // of the record in work
	json    []byte
	current Chunk
	ready   []Chunk // closed before they were taken
	records plog.LogRecordSlice
	open    bool // whether current has the resource of the next record
}

// commonOf says which records have attributes in common.
type commonOf struct {
	dataset    *dataset
	collection string
}

func newBuilder(settings Settings) builder {
	if settings.MaxRecords <= 0 {
		settings.MaxRecords = math.MaxInt
	}
	if settings.MaxBytes <= 0 {
		settings.MaxBytes = math.MaxInt
	}
	return builder{settings: settings, share: sharesValues(), current: Chunk{Logs: plog.NewLogs()}}
}

// begin sets what the following records have in common. What was made before and not taken is dropped: who gave up reading
// in between reads it again.
func (b *builder) begin(collected time.Time, collection string, keep func(*Item) bool) {
	b.collected = pcommon.NewTimestampFromTime(collected)
	b.collection = collection
	b.keep = keep
	b.current = Chunk{Logs: plog.NewLogs(), Items: b.current.Items[:0]}
	clear(b.ready)
	b.ready = b.ready[:0]
	b.records = plog.LogRecordSlice{}
	b.open = false
}

// wanted reports whether the record in work is to be made.
func (b *builder) wanted() bool { return b.keep == nil || b.keep(&b.item) }

// fits reports whether the record in work may join the current Chunk.
func (b *builder) fits() bool {
	n := len(b.current.Items)
	return n == 0 || n < b.settings.MaxRecords && b.current.Bytes+int(b.item.Bytes) <= b.settings.MaxBytes
}

// Full reports whether Take should be called before more is read. If that is obeyed after each call that reads, one Take
// is enough each time, and one more at the end.
func (b *builder) Full() bool {
	n := len(b.current.Items)
	return len(b.ready) > 0 || n > 0 && (n >= b.settings.MaxRecords || b.current.Bytes >= b.settings.MaxBytes)
}

// take returns the oldest Chunk.
func (b *builder) take() Chunk {
	if len(b.ready) == 0 {
		b.finish()
	}
	out := b.ready[0]
	b.ready = slices.Delete(b.ready, 0, 1)
	return out
}

// finish closes the current Chunk and begins a fresh one.
func (b *builder) finish() {
	b.ready = append(b.ready, b.current)
	b.current = Chunk{Logs: plog.NewLogs(), Items: make([]Item, 0, len(b.current.Items))}
	b.records = plog.LogRecordSlice{}
	b.open = false
}

// resource begins a resource for the next records and returns its attributes.
func (b *builder) resource() pcommon.Map {
	rl := b.current.Logs.ResourceLogs().AppendEmpty()
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(b.settings.ScopeName)
	sl.Scope().SetVersion(b.settings.ScopeVersion)
	b.records = sl.LogRecords()
	b.open = true
	return rl.Resource().Attributes()
}

// record adds a record for the item in work, with what all records have: a body is still missing. Says is a hash of what it
// says, the host included. Room is made for extra more attributes.
func (b *builder) record(dataset *dataset, says uint64, extra int) plog.LogRecord {
	lr := b.records.AppendEmpty()
	lr.SetObservedTimestamp(b.collected)
	lr.SetTimestamp(b.collected)
	lr.SetEventName(dataset.event)
	if of := (commonOf{dataset, b.collection}); b.commonOf != of {
		attrs := pcommon.NewMap()
		attrs.PutStr(attrLogType, dataset.logType)
		if b.collection != "" {
			attrs.PutStr(attrCollectionID, b.collection)
		}
		b.common, b.commonOf = newSharedMap(attrs, b.share), of
	}
	attrs := lr.Attributes()
	b.common.put(attrs, 1+extra)
	attrs.PutStr(attrUID, b.uid(says))
	b.current.Items = append(b.current.Items, b.item)
	b.current.Bytes += int(b.item.Bytes)
	return lr
}

// uid is the same for records that say the same of the same.
func (b *builder) uid(says uint64) string {
	var raw, text [32]byte
	binary.BigEndian.PutUint64(raw[:], b.item.Key)
	binary.BigEndian.PutUint64(raw[8:], says)
	hex.Encode(text[:], raw[:16])
	return b.arena.keep(text[:])
}

// body makes the map that is the first of nodes the body of a record. As JSON, write has made it.
func (b *builder) body(lr plog.LogRecord, nodes []node, text []byte) {
	if b.settings.JSON {
		lr.Body().SetStr(b.arena.keep(b.json))
		return
	}
	putMap(lr.Body().SetEmptyMap(), nodes, b.arena.keep(text))
}

// write makes the JSON of the record in work, if that is what bodies are, and notes its size.
func (b *builder) write(nodes []node, text []byte) {
	if b.settings.JSON {
		b.json = appendValue(b.buffer(), nodes, text)
		b.item.Bytes = int32(len(b.json))
	}
}

// buffer returns an empty buffer for JSON.
func (b *builder) buffer() []byte {
	if cap(b.json) > retained {
		return nil
	}
	return b.json[:0]
}

// nameTruncated names the values that were truncated in an attribute of the record.
func nameTruncated(lr plog.LogRecord, paths []string) {
	s := lr.Attributes().PutEmptySlice(attrTruncated)
	s.EnsureCapacity(len(paths))
	for _, path := range paths {
		s.AppendEmpty().SetStr(path)
	}
}

// truncatedPaths appends the paths of the values among siblings that were truncated, each path once. A path becomes a string
// only when it is needed: names can be long, and values many.
func truncatedPaths(paths []string, nodes []node, parent []byte) []string {
	for i := 0; i < len(nodes); i += int(nodes[i].size) {
		n := &nodes[i]
		within := nodes[i+1 : i+int(n.size)]
		if n.kind == list {
			paths = truncatedPaths(paths, within, parent) // the entries have the list's path
			continue
		}
		if !n.truncated && len(within) == 0 {
			continue
		}
		path := parent
		if len(parent) > 0 {
			path = append(path, '.')
		}
		path = append(path, n.key.text...)
		if n.truncated {
			paths = appendNew(paths, string(path))
		}
		paths = truncatedPaths(paths, within, path)
		parent = path[:len(parent)]
	}
	return paths
}

func appendNew(list []string, s string) []string {
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}
