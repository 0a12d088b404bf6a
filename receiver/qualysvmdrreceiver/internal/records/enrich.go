// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// knowledgeBaseKey is the key under which a detection carries its entry's fields, and statusKey the first one in there.
const (
	knowledgeBaseKey = "KnowledgeBase"
	statusKey        = "Status"
)

// EntryStatus says what is known of the KnowledgeBase entry of a detection.
type EntryStatus uint8

// The states of an entry.
const (
	// EntryFound: Qualys has sent the entry.
	EntryFound EntryStatus = iota + 1
	// EntryNotFound: Qualys has no such entry, or none that the account may see.
	EntryNotFound
	// EntryUnavailable: the entry could not be had in time, or not be read.
	EntryUnavailable
)

// String returns how records spell the status, "" for none of the states.
func (s EntryStatus) String() string {
	switch s {
	case EntryFound:
		return "found"
	case EntryNotFound:
		return "not_found"
	case EntryUnavailable:
		return "unavailable"
	default:
		return ""
	}
}

// EntryFields are the fields of an entry that detections carry. They are safe for concurrent use.
type EntryFields struct {
	members string // of the JSON object that was parsed, with a comma before them; "": it has none
	hash    uint64
	values  func() *entryValues
}

// entryValues are the fields as a body that is a map has them, with the status before them.
type entryValues struct {
	sharedMap
	bytes int // of keys and strings, as Item.Bytes has them
}

// ParseEntryFields parses what [KnowledgeBase.Begin] has handed out. It keeps nothing of stored. An error says that it is
// something else.
func ParseEntryFields(stored []byte) (*EntryFields, error) {
	if len(stored) == 0 || stored[0] != '{' || stored[len(stored)-1] != '}' || !jsontext.Value(stored).IsValid() {
		return nil, errors.New("stored fields of an entry: not a JSON object")
	}
	f := &EntryFields{hash: xxhash.Sum64(stored)}
	if members := stored[1 : len(stored)-1]; len(members) > 0 {
		f.members = "," + string(members)
	}
	// Bodies that are JSON need no values.
	f.values = sync.OnceValue(func() *entryValues { return valuesOf(f.members) })
	return f, nil
}

// valuesOf makes values of the members of a valid JSON object, which have a comma before them.
func valuesOf(members string) *entryValues {
	values := pcommon.NewMap()
	values.PutStr(statusKey, EntryFound.String())
	d := fieldDecoder{Decoder: jsontext.NewDecoder(strings.NewReader("{" + strings.TrimPrefix(members, ",") + "}"))}
	d.object(values)
	return &entryValues{sharedMap: newSharedMap(values, sharesValues()), bytes: len(statusKey) + len(EntryFound.String()) + d.bytes}
}

// fieldDecoder reads what this package has written, and has checked to be JSON: there are no errors left.
type fieldDecoder struct {
	*jsontext.Decoder
	bytes int
}

func (d *fieldDecoder) object(m pcommon.Map) {
	d.token()
	for d.PeekKind() == '"' {
		key := d.token().String()
		d.bytes += len(key)
		d.value(key, m.PutEmpty(key))
	}
	d.token()
}

func (d *fieldDecoder) value(key string, v pcommon.Value) {
	switch d.PeekKind() {
	case '{':
		d.object(v.SetEmptyMap())
	case '[':
		d.token()
		for s := v.SetEmptySlice(); d.PeekKind() != ']' && d.PeekKind() != 0; {
			d.bytes += len(key)
			d.value(key, s.AppendEmpty())
		}
		d.token()
	case '"':
		text := d.token().String()
		d.bytes += len(text)
		v.SetStr(text)
	case '0':
		raw := []byte(d.token().String())
		if i, ok := parseInt(raw); ok {
			v.SetInt(i)
		} else if f, ok := parseDouble(raw); ok {
			v.SetDouble(f)
		}
	default:
		d.token()
	}
}

func (d *fieldDecoder) token() jsontext.Token {
	token, err := d.ReadToken()
	if err != nil {
		return jsontext.Null
	}
	return token
}

// Enrich adds what is known of a detection's entry to its record, as the last key of the body; json says that the body is
// JSON. It renews log.record.uid, which covers the entry too, and item.Bytes. A record may be enriched once. Fields is nil
// unless the status is EntryFound. Records share the values of fields: what is under KnowledgeBase may not be changed, so that
// the records have to be marked read-only before others get them.
func Enrich(lr plog.LogRecord, item *Item, status EntryStatus, fields *EntryFields, json bool) {
	var hash uint64
	if fields != nil {
		hash = fields.hash
	}
	if json {
		body := enrichedText(lr.Body().Str(), status, fields)
		item.Bytes = clampBytes(len(body))
		lr.Body().SetStr(body)
	} else {
		item.Bytes = clampBytes(int(item.Bytes) + enrichMap(lr.Body().Map(), status, fields))
	}
	if uid, ok := lr.Attributes().Get(attrUID); ok {
		uid.SetStr(enrichedUID(uid.Str(), status, hash))
	}
}

// clampBytes returns the size of a text as items have it.
func clampBytes(size int) int32 { return int32(min(size, math.MaxInt32)) }

// enrichMap adds the entry to a body that is a map, and returns the size of what it has added.
func enrichMap(body pcommon.Map, status EntryStatus, fields *EntryFields) int {
	body.EnsureCapacity(body.Len() + 1)
	entry := body.PutEmptyMap(knowledgeBaseKey)
	if fields == nil {
		entry.PutStr(statusKey, status.String())
		return len(knowledgeBaseKey) + len(statusKey) + len(status.String())
	}
	values := fields.values()
	values.put(entry, 0)
	return len(knowledgeBaseKey) + values.bytes
}

// enrichedText returns a body that is JSON with the entry in it.
func enrichedText(body string, status EntryStatus, fields *EntryFields) string {
	const begin, middle, end = `,"` + knowledgeBaseKey + `":{"` + statusKey + `":"`, `"`, `}}`
	members := ""
	if fields != nil {
		members = fields.members
	}
	var text strings.Builder
	text.Grow(len(body) + len(begin) + len(status.String()) + len(middle) + len(members) + len(end))
	text.WriteString(body[:len(body)-len("}")])
	text.WriteString(begin)
	text.WriteString(status.String())
	text.WriteString(middle)
	text.WriteString(members)
	text.WriteString(end)
	return text.String()
}

// enrichedUID returns the UID of a record that had that one before it was enriched.
func enrichedUID(uid string, status EntryStatus, fields uint64) string {
	const half = 16
	if len(uid) != 2*half {
		return uid
	}
	var said [half + 1 + 8]byte
	copy(said[:], uid[half:])
	said[half] = byte(status)
	binary.BigEndian.PutUint64(said[half+1:], fields)
	var sum [8]byte
	binary.BigEndian.PutUint64(sum[:], xxhash.Sum64(said[:]))
	var text [2 * half]byte
	copy(text[:], uid[:half])
	hex.Encode(text[half:], sum[:])
	return string(text[:])
}

// appendFields appends the JSON object of those children of the map that nodes are whose keys are in wanted.
func appendFields(dst []byte, nodes []node, text []byte, wanted map[string]bool) []byte {
	dst = append(dst, '{')
	first := true
	for i := 1; i < len(nodes); i += int(nodes[i].size) {
		if !wanted[nodes[i].key.text] {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, nodes[i].key.quoted...)
		dst = appendValue(dst, nodes[i:i+int(nodes[i].size)], text)
	}
	return append(dst, '}')
}
