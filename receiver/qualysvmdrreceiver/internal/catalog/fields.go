// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

const (
	// maxFields is how large the fields of one entry may be to be put on detections, in bytes of JSON: each of its detections
	// carries them. Entries with a thousand CVEs have 100 KiB.
	maxFields = 256 << 10
	// parsedBytes is how much JSON is kept parsed. Parsed it takes some five times as much.
	parsedBytes = 4 << 20
	// keptBytes is how much is kept compressed where there is no storage: 30,000 typical entries take 10 MiB.
	keptBytes = 24 << 20
)

// errMissing says that nothing usable is stored of an entry.
var errMissing = errors.New("the fields of the entry are not stored")

// fields are the fields of entries that detections carry. They are kept in the storage, or compressed in memory where there is
// none, and the ones that were used last parsed besides. They are safe for concurrent use.
type fields struct {
	store *checkpoint.Store
	// hash is that of what is kept of an entry, "": detections are not enriched.
	hash   string
	parsed *cache[parsedFields]
	kept   *cache[[]byte] // nil: they are in the storage
	packer *packer
}

// parsedFields are the fields of an entry that had this content.
type parsedFields struct {
	content uint64
	fields  *records.EntryFields // nil: they are too large
}

// storedFields is the document of an entry.
type storedFields struct {
	// Hash is that of the names of the fields. Documents with another one are of before.
	Hash string `json:"hash"`
	// Content is the hash of the entry that they are of.
	Content uint64 `json:"content"`
	// JSON is what [records.ParseEntryFields] takes, to the byte: records are told apart by a hash of it. "": it is too large.
	JSON string `json:"fields"`
}

func newFields(store *checkpoint.Store, hash string) *fields {
	f := &fields{store: store, hash: hash, parsed: newCache[parsedFields](parsedBytes)}
	if !store.Persistent() {
		f.kept, f.packer = newCache[[]byte](keptBytes), newPacker()
	}
	return f
}

// enabled reports whether detections are enriched.
func (f *fields) enabled() bool { return f.hash != "" }

// keep keeps the fields of an entry in memory, where there is no storage.
func (f *fields) keep(qid uint32, json []byte) {
	if f.kept != nil {
		packed := f.packer.pack(json)
		f.kept.put(qid, packed, len(packed))
	}
}

// write stores the fields of an entry that has this content.
func (f *fields) write(tx *checkpoint.Tx, qid uint32, content uint64, json []byte) {
	tx.Put(fieldsKey(qid), stateVersion, storedFields{Hash: f.hash, Content: content, JSON: string(json)})
}

// forget keeps nothing more of an entry.
func (f *fields) forget(qid uint32) {
	f.parsed.delete(qid)
	if f.kept != nil {
		f.kept.delete(qid)
	}
}

// of returns the fields of an entry that had this content when it was delivered; nil: they are too large. The error is
// errMissing, or the storage's.
func (f *fields) of(ctx context.Context, qid uint32, content uint64) (*records.EntryFields, error) {
	if known, ok := f.parsed.get(qid); ok && known.content == content {
		return known.fields, nil
	}
	json, err := f.load(ctx, qid, content)
	if err != nil {
		return nil, err
	}
	known := parsedFields{content: content}
	if len(json) > 0 {
		if known.fields, err = records.ParseEntryFields(json); err != nil {
			return nil, fmt.Errorf("%w: %w", errMissing, err)
		}
	}
	f.parsed.put(qid, known, len(json))
	return known.fields, nil
}

func (f *fields) load(ctx context.Context, qid uint32, content uint64) ([]byte, error) {
	if f.kept != nil {
		if packed, ok := f.kept.get(qid); ok {
			return f.packer.unpack(packed)
		}
		return nil, errMissing
	}
	var stored storedFields
	found, err := f.store.Load(ctx, fieldsKey(qid), stateVersion, &stored)
	switch {
	case damaged(err), err == nil && (!found || stored.Hash != f.hash || stored.Content != content):
		return nil, errMissing
	case err != nil:
		return nil, err
	}
	return []byte(stored.JSON), nil
}

func fieldsKey(qid uint32) string { return "kb/entry/" + strconv.FormatUint(uint64(qid), 10) }

// damaged reports whether what is stored could be read, but makes no sense.
func damaged(err error) bool {
	return errors.Is(err, checkpoint.ErrUnreadable) || errors.Is(err, checkpoint.ErrVersion)
}
