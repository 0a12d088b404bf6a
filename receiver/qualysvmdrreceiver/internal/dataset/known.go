// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
)

const (
	knownVersion = 1
	missedSize   = 16
	toldSize     = 8
	// storedHeader stands before the summary of a stored host: how it came there, and its ID.
	storedHeader = 1 + 8
	// mostStored is how much a stored host takes, at most: a summary has six texts of a KiB.
	mostStored = 16 << 10
)

// How a host came among those of a collection.
const (
	hostDelivered = iota // by the collection
	hostCarried          // from the collection before, as it was not delivered and is not gone
)

// knownHosts are the hosts that were delivered and are not gone: their IDs in memory while they are compared, and what a
// removal tells of them in the storage, by the collection that delivered them:
//
//	hosts/known                document: whose hosts they are, and of which collections
//	hosts/known/<collection>   journal of hosts, of the last finished collection and of the running one
//	hosts/missed               journal of the IDs that the last complete list lacked, with when they were listed last
//	hosts/told                 journal of the IDs that are told to be gone while a collection finishes: before they are, and
//	                           with toldBit when that was accepted
//
// Every collection delivers every host, so that the journal of one holds all of them, and that of the one before is deleted. It is
// safe for concurrent use while hosts are delivered.
type knownHosts struct {
	store *checkpoint.Store
	own   bool // the store is in memory
	log   *zap.Logger

	mu       sync.Mutex // guards everything below
	document knownDocument
	// delivered are the IDs of the running collection, in no order, carried those of the collection before that it has kept while
	// it finishes, and current is its journal.
	delivered []uint64
	carried   []uint64
	current   *checkpoint.Journal
	missed    []missedHost // in order
	// told are the IDs of which it was accepted that they are gone, in order when a collection finishes, and telling those of which
	// that was begun.
	told        []uint64
	telling     []uint64
	missing     *checkpoint.Journal
	toldJournal *checkpoint.Journal
}

// knownDocument says what is stored.
type knownDocument struct {
	// Fingerprint is of the endpoint, the account and what selects hosts: under another one hosts are no longer listed without
	// being gone.
	Fingerprint string `json:"fingerprint"`
	// Finished is the ID of the last finished collection, and Current that of the running one, "": none.
	Finished string `json:"finished,omitempty"`
	Current  string `json:"current,omitempty"`
	// Hosts is how many are known since that, Listed when the last complete list was made, by the server's clock.
	Hosts  int       `json:"hosts,omitempty"`
	Listed time.Time `json:"listed,omitzero"`
	// Withheld is how many of them are gone that nobody was told of, and Removed how many were told by that collection.
	Withheld int `json:"withheld,omitempty"`
	Removed  int `json:"removed,omitempty"`
	// Empty is whether the last list that could be had was empty.
	Empty bool `json:"empty,omitempty"`
}

// missedHost is a host that a complete list lacked.
type missedHost struct {
	id uint64
	// listed is when it was listed last, in Unix seconds, 0: unknown.
	listed int64
}

func newKnownHosts(store *checkpoint.Store, log *zap.Logger) *knownHosts {
	k := &knownHosts{store: store, log: log}
	if !store.Persistent() {
		k.store, k.own = checkpoint.New(newMemoryStorage()), true
	}
	return k
}

// senseless reports whether what is stored could be read, but makes no sense.
func senseless(err error) bool {
	return errors.Is(err, checkpoint.ErrUnreadable) || errors.Is(err, checkpoint.ErrVersion)
}

// load reads what is stored. Where that is of other hosts, or makes no sense, it says so and begins anew, without removals. Errors
// are those of the storage.
func (k *knownHosts) load(ctx context.Context, wanted string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.document, k.delivered, k.carried, k.current = knownDocument{}, nil, nil, nil
	_, err := k.store.Load(ctx, Hosts+"/known", knownVersion, &k.document)
	switch {
	case senseless(err):
		k.log.Error("known hosts cannot be read; those that are gone by now are not told", zap.Error(err))
		k.document = knownDocument{}
	case err != nil:
		return fmt.Errorf("reading the known hosts: %w", err)
	}
	var data []byte
	if k.missing, data, err = k.open(ctx, "missed", missedSize); err != nil {
		return err
	}
	k.missed = decodeMissed(data)
	if k.toldJournal, data, err = k.open(ctx, "told", toldSize); err != nil {
		return err
	}
	k.told, k.telling = decodeTold(data)
	if k.document.Fingerprint != wanted {
		return k.forget(ctx, wanted)
	}
	if k.document.Current == "" {
		return nil
	}
	k.current, err = k.scan(ctx, k.document.Current, func(how byte, id uint64, _ []byte) error {
		if how == hostDelivered {
			k.delivered = append(k.delivered, id)
		} else {
			k.carried = append(k.carried, id)
		}
		return nil
	})
	return err
}

// open opens a small journal.
func (k *knownHosts) open(ctx context.Context, name string, entrySize int) (*checkpoint.Journal, []byte, error) {
	journal, data, err := k.store.OpenJournal(ctx, Hosts+"/"+name, entrySize)
	switch {
	case senseless(err):
		k.log.Error("hosts that are gone cannot be read; they are told later, or again", zap.String("journal", name), zap.Error(err))
	case err != nil:
		return nil, nil, fmt.Errorf("reading the known hosts: %w", err)
	}
	return journal, data, nil
}

// forget begins a new list of known hosts.
func (k *knownHosts) forget(ctx context.Context, wanted string) error {
	old := []*checkpoint.Journal{k.missing, k.toldJournal}
	for _, collection := range []string{k.document.Finished, k.document.Current} {
		if collection == "" {
			continue
		}
		journal, err := k.scan(ctx, collection, func(byte, uint64, []byte) error { return nil })
		if err != nil {
			return err
		}
		old = append(old, journal)
	}
	if k.document.Hosts > 0 {
		k.log.Info("known hosts begin anew: another endpoint, account or selection", zap.Int("forgotten", k.document.Hosts))
	}
	k.document, k.missed, k.told, k.telling = knownDocument{Fingerprint: wanted}, nil, nil, nil
	document := k.document
	if err := k.store.Update(ctx, func(tx *checkpoint.Tx) {
		for _, journal := range old {
			tx.Clear(journal)
		}
		tx.Put(Hosts+"/known", knownVersion, document)
	}); err != nil {
		return fmt.Errorf("known hosts: %w", err)
	}
	return nil
}

func journalOf(collection string) string { return Hosts + "/known/" + collection }

// scan calls visit for the hosts that are stored of a collection, one after the other: how it came there, its ID and its summary,
// which is valid until visit returns. What is damaged is left out, and said. Errors are those of the storage and of visit.
func (k *knownHosts) scan(ctx context.Context, collection string, visit func(how byte, id uint64, summary []byte) error) (*checkpoint.Journal, error) {
	var rest []byte
	journal, err := k.store.ReadJournal(ctx, journalOf(collection), 1, func(data []byte) error {
		rest = append(rest, data...)
		at := 0
		for {
			size, n := binary.Uvarint(rest[at:])
			if n < 0 || n > 0 && (size < storedHeader || size > mostStored) {
				return checkpoint.ErrUnreadable
			}
			if n == 0 || uint64(len(rest)-at-n) < size {
				break
			}
			stored := rest[at+n : at+n+int(size)]
			at += n + int(size)
			if err := visit(stored[0], binary.LittleEndian.Uint64(stored[1:]), stored[storedHeader:]); err != nil {
				return err
			}
		}
		rest = append(rest[:0], rest[at:]...)
		return nil
	})
	if senseless(err) {
		k.log.Error("some known hosts cannot be read; should they be gone, that is not told", zap.Error(err))
		if journal == nil {
			journal = k.store.NewJournal(journalOf(collection), 1)
		}
		return journal, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the known hosts: %w", err)
	}
	return journal, nil
}

// appendStored appends a host as it is stored.
func appendStored(dst []byte, how byte, id uint64, summary []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(storedHeader+len(summary)))
	dst = append(dst, how)
	dst = binary.LittleEndian.AppendUint64(dst, id)
	return append(dst, summary...)
}

// write returns what writes to the storage with a commit of the engine. Where that keeps nothing, it is kept here.
func (k *knownHosts) write(fn func(tx *checkpoint.Tx)) func(tx *checkpoint.Tx) {
	if !k.own {
		return fn
	}
	if err := k.store.Update(context.Background(), fn); err != nil {
		k.log.Error("known hosts could not be kept", zap.Error(err))
	}
	return func(*checkpoint.Tx) {}
}

// deliver takes note of the hosts of a batch that was accepted.
func (k *knownHosts) deliver(b *engine.Batch) func(tx *checkpoint.Tx) {
	k.mu.Lock()
	defer k.mu.Unlock()
	begin := k.begin(b.Collection)
	var data, summary []byte
	for i := range b.Summaries {
		one := &b.Summaries[i]
		if one.ID == 0 {
			continue
		}
		summary = one.Append(summary[:0])
		data = appendStored(data, hostDelivered, one.ID, summary)
		k.delivered = append(k.delivered, one.ID)
	}
	current := k.current
	return k.write(func(tx *checkpoint.Tx) {
		begin(tx)
		tx.Append(current, data)
	})
}

// begin begins the journal of a collection, unless that was done, and returns what writes that. The caller holds mu.
func (k *knownHosts) begin(collection string) func(tx *checkpoint.Tx) {
	if k.document.Current == collection {
		return func(*checkpoint.Tx) {}
	}
	abandoned := k.current
	k.current, k.delivered, k.carried = k.store.NewJournal(journalOf(collection), 1), nil, nil
	k.document.Current = collection
	document := k.document
	return func(tx *checkpoint.Tx) {
		if abandoned != nil {
			tx.Clear(abandoned)
		}
		tx.Put(Hosts+"/known", knownVersion, document)
	}
}

// decodeMissed reads the journal of missed hosts.
func decodeMissed(data []byte) []missedHost {
	missed := make([]missedHost, 0, len(data)/missedSize)
	for ; len(data) >= missedSize; data = data[missedSize:] {
		missed = append(missed, missedHost{binary.LittleEndian.Uint64(data), int64(binary.LittleEndian.Uint64(data[8:]))})
	}
	sortMissed(missed)
	return missed
}

func encodeMissed(missed []missedHost) []byte {
	data := make([]byte, 0, len(missed)*missedSize)
	for _, one := range missed {
		data = binary.LittleEndian.AppendUint64(data, one.id)
		data = binary.LittleEndian.AppendUint64(data, uint64(one.listed))
	}
	return data
}

// toldBit marks the ID of a host of which it was accepted that it is gone. No ID has it.
const toldBit = 1 << 63

// decodeTold reads the journal of hosts that are told to be gone: those of which that was accepted, and those of which it was begun
// besides.
func decodeTold(data []byte) (told, telling []uint64) {
	all := decodeIDs(data)
	accepted, _ := slices.BinarySearch(all, toldBit)
	for _, id := range all[accepted:] {
		told = append(told, id&^toldBit)
	}
	telling = slices.DeleteFunc(all[:accepted], func(id uint64) bool { return contains(told, id) })
	return told, telling
}

// decodeIDs reads a journal of IDs, in order and each once.
func decodeIDs(data []byte) []uint64 {
	ids := make([]uint64, 0, len(data)/toldSize)
	for ; len(data) >= toldSize; data = data[toldSize:] {
		ids = append(ids, binary.LittleEndian.Uint64(data))
	}
	return sortedIDs(ids)
}

// sortedIDs returns IDs, which it sorts in place, each once.
func sortedIDs(ids []uint64) []uint64 {
	slices.Sort(ids)
	return slices.Compact(ids)
}

// encodeIDs encodes IDs, each with a mark.
func encodeIDs(ids []uint64, mark uint64) []byte {
	data := make([]byte, 0, len(ids)*toldSize)
	for _, id := range ids {
		data = binary.LittleEndian.AppendUint64(data, id|mark)
	}
	return data
}

// contains reports whether an ID is among sorted ones.
func contains(sorted []uint64, id uint64) bool {
	_, found := slices.BinarySearch(sorted, id)
	return found
}
