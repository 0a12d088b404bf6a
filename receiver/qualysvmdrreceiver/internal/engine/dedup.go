// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// fingerprintSize is the size of a stored fingerprint in bytes.
const fingerprintSize = 16

// fingerprint is a record that was delivered: what it is about, and a hash of what it says.
type fingerprint struct {
	// key has the unit in its upper 24 bits, and the identity of the item in the others: so what was delivered of a unit can
	// be found again. Two items are taken for one only if their content is the same, too.
	key, content uint64
}

const (
	unitBits = 24
	keyBits  = 64 - unitBits
)

func fingerprintOf(item *records.Item) fingerprint {
	return fingerprint{key: tagOf(item.Unit) | mix(item.Key)>>unitBits, content: item.Content}
}

// tagOf is the part of a key that tells the unit.
func tagOf(unit uint64) uint64 { return mix(unit) >> keyBits << keyBits }

// of reports whether a fingerprint can be of a unit.
func (f fingerprint) of(unit uint64) bool { return f.key>>keyBits<<keyBits == tagOf(unit) }

// mix spreads the bits of a number over all of it (the finalizer of splitmix64, which is a bijection).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func compareFingerprints(a, b fingerprint) int {
	return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.content, b.content))
}

// fingerprints are sorted.
type fingerprints []fingerprint

// sorted returns entries, which it sorts in place, each once.
func sorted(entries []fingerprint) fingerprints {
	slices.SortFunc(entries, compareFingerprints)
	return slices.Compact(entries)
}

func (s fingerprints) contains(one fingerprint) bool {
	if len(s) == 0 {
		return false
	}
	_, found := slices.BinarySearchFunc(s, one, compareFingerprints)
	return found
}

// has reports whether there is one of a key.
func (s fingerprints) has(key uint64) bool {
	i, _ := slices.BinarySearchFunc(s, key, func(one fingerprint, key uint64) int { return cmp.Compare(one.key, key) })
	return i < len(s) && s[i].key == key
}

func encodeFingerprints(entries []fingerprint) []byte {
	out := make([]byte, 0, len(entries)*fingerprintSize)
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint64(out, e.key)
		out = binary.LittleEndian.AppendUint64(out, e.content)
	}
	return out
}

func decodeFingerprints(data []byte) []fingerprint {
	out := make([]fingerprint, 0, len(data)/fingerprintSize)
	for ; len(data) >= fingerprintSize; data = data[fingerprintSize:] {
		out = append(out, fingerprint{binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])})
	}
	return out
}

// dedup knows what was delivered and can come again: what the previous window brought, and what was delivered since. The
// windows are counted in epochs; each has a journal. It is safe for concurrent use.
type dedup struct {
	store *checkpoint.Store
	name  string
	log   *zap.Logger

	mu       sync.RWMutex // guards everything below
	epoch    uint64
	previous fingerprints
	// current[:sorted] is sorted: what was delivered before the running window began, by a full collection that it interrupts.
	current  []fingerprint
	sorted   int
	journals map[uint64]*checkpoint.Journal
}

// openDedup reads what is stored of an epoch. Errors are those of the storage.
func openDedup(ctx context.Context, store *checkpoint.Store, name string, epoch uint64, log *zap.Logger) (*dedup, error) {
	d := &dedup{store: store, name: name, log: log, epoch: epoch, journals: map[uint64]*checkpoint.Journal{}}
	current, err := d.open(ctx, epoch)
	if err != nil {
		return nil, err
	}
	d.current = current
	if epoch > 0 {
		previous, err := d.open(ctx, epoch-1)
		if err != nil {
			return nil, err
		}
		d.previous = sorted(previous)
	}
	return d, nil
}

// open opens the journal of an epoch.
func (d *dedup) open(ctx context.Context, epoch uint64) ([]fingerprint, error) {
	journal, data, err := d.store.OpenJournal(ctx, seenName(d.name, epoch), fingerprintSize)
	switch {
	case unreadable(err):
		d.log.Error("stored fingerprints cannot be read; some records may be delivered again", zap.Error(err))
	case err != nil:
		return nil, fmt.Errorf("reading fingerprints: %w", err)
	}
	d.journals[epoch] = journal
	return decodeFingerprints(data), nil
}

// begin makes a window see what was delivered before it in the running epoch.
func (d *dedup) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current = sorted(d.current)
	d.sorted = len(d.current)
}

// contains reports whether a record was delivered before the running window.
func (d *dedup) contains(one fingerprint) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.previous.contains(one) || fingerprints(d.current[:d.sorted]).contains(one)
}

// of returns what is known to have been delivered of a unit.
func (d *dedup) of(unit uint64) []fingerprint {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var found []fingerprint
	for _, all := range [][]fingerprint{d.previous, d.current} {
		for _, one := range all {
			if one.of(unit) {
				found = append(found, one)
			}
		}
	}
	return found
}

// add takes note of what was delivered and can come again.
func (d *dedup) add(delivered []fingerprint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current = append(d.current, delivered...)
}

// write adds to a transaction what was delivered.
func (d *dedup) write(tx *checkpoint.Tx, delivered []fingerprint) {
	if len(delivered) > 0 {
		tx.Append(d.journal(), encodeFingerprints(delivered))
	}
}

func (d *dedup) journal() *checkpoint.Journal {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.journals[d.epoch]
}

// next ends the epoch, and returns what deletes the journal of the one before.
func (d *dedup) next() (forget func(tx *checkpoint.Tx)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.journals[d.epoch-1]
	delete(d.journals, d.epoch-1)
	d.epoch++
	d.previous, d.current, d.sorted = sorted(d.current), nil, 0
	d.journals[d.epoch] = d.store.NewJournal(seenName(d.name, d.epoch), fingerprintSize)
	return func(tx *checkpoint.Tx) {
		if old != nil {
			tx.Clear(old)
		}
	}
}

// seenName is the name of the journal of the fingerprints of an epoch of a dataset.
func seenName(dataset string, epoch uint64) string {
	return dataset + "/seen/" + strconv.FormatUint(epoch, 10)
}

// unreadable reports whether what is stored could be read, but makes no sense.
func unreadable(err error) bool {
	return errors.Is(err, checkpoint.ErrUnreadable) || errors.Is(err, checkpoint.ErrVersion)
}
