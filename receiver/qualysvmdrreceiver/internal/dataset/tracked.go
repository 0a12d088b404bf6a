// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

const (
	trackedVersion  = 1
	trackedIDSize   = 8
	trackedName     = Vulnerabilities + "/tracked"
	trackedHostName = Vulnerabilities + "/known/"
)

// tracked knows, for each host, which detections were last delivered as open, and what they said: in the storage, under the
// host's ID. In memory it keeps the IDs of the hosts. It is safe for concurrent use, as one host is read by one shard at a time.
//
//	vulnerabilities/tracked        document: whose detections they are; and a journal of the IDs of the hosts
//	vulnerabilities/known/<host>   the tracked detections of a host
type tracked struct {
	store   *checkpoint.Store
	log     *zap.Logger
	share   float64
	records records.Settings // without limits: a batch is made of atOnce records
	atOnce  int
	// collector delivers what is gone.
	collector *engine.Collector
	// reported is whether it is reported that removals were withheld.
	reported bool

	mu       sync.Mutex // guards everything below
	document trackedDocument
	ids      hostIDs
	journal  *checkpoint.Journal
}

// trackedDocument says whose the tracked detections are. It is stored under vulnerabilities/tracked.
type trackedDocument struct {
	// Account is a hash of the account, the endpoint and what selects the detections.
	Account string `json:"account"`
	// Generation tells what is listed for that account from what was listed for another one, or before detections were not tracked
	// for a while. It is random, as the one before may not be known; 0: earlier versions had none.
	Generation uint32 `json:"generation,omitempty"`
	// Foreign is not zero where an earlier version has stored that some of it is of another account.
	Foreign time.Time `json:"foreign,omitzero"`
	// Told is how many removals a full collection has told of, and Run its sequence number.
	Run  uint64 `json:"run,omitempty"`
	Told int64  `json:"told,omitempty"`
	// Withheld is how many of Known detections are gone that nobody was told of.
	Withheld int64 `json:"withheld,omitempty"`
	Known    int   `json:"known,omitempty"`
}

// load reads which hosts are tracked. Errors are those of the storage.
func (t *tracked) load(ctx context.Context, account string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var stored trackedDocument
	_, err := t.store.Load(ctx, trackedName, trackedVersion, &stored)
	switch {
	case senseless(err):
		t.log.Error("tracked detections cannot be read; what is gone by now is not told", zap.Error(err))
		stored = trackedDocument{}
	case err != nil:
		return fmt.Errorf("reading tracked detections: %w", err)
	}
	journal, data, err := t.store.OpenJournal(ctx, trackedName, trackedIDSize)
	switch {
	case senseless(err):
		t.log.Error("the hosts of tracked detections cannot be read; what is gone of those that are not listed any more is not told", zap.Error(err))
	case err != nil:
		return fmt.Errorf("reading the hosts of tracked detections: %w", err)
	}
	t.journal, t.ids = journal, hostIDs{sorted: decodeIDs(data)}
	if stored.Account == account && stored.Foreign.IsZero() {
		t.document = stored
		if tooMany(int(stored.Withheld), stored.Known, t.share) {
			t.report(stored)
		}
		return nil
	}
	t.document = trackedDocument{Account: account, Generation: max(1, rand.Uint32())}
	document := t.document
	// At once: what the account is told of from now on must not be taken for what the one before was told of, should that return.
	if err := t.store.Update(ctx, func(tx *checkpoint.Tx) { tx.Put(trackedName, trackedVersion, document) }); err != nil {
		return fmt.Errorf("tracked detections: %w", err)
	}
	return nil
}

// generation is that of what is listed now.
func (t *tracked) generation() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.document.Generation
}

// forgetTracked deletes what is stored of detections that are not tracked any more: what changes from now on would not be known.
// Errors are those of the storage.
func forgetTracked(ctx context.Context, store *checkpoint.Store) error {
	var stored trackedDocument
	if found, err := store.Load(ctx, trackedName, trackedVersion, &stored); err != nil && !senseless(err) {
		return fmt.Errorf("reading tracked detections: %w", err)
	} else if !found && err == nil {
		return nil
	}
	journal, data, err := store.OpenJournal(ctx, trackedName, trackedIDSize)
	if err != nil && !senseless(err) {
		return fmt.Errorf("reading the hosts of tracked detections: %w", err)
	}
	remove := func(ids []uint64) error {
		return store.Update(ctx, func(tx *checkpoint.Tx) {
			for _, id := range ids {
				tx.Delete(trackedKey(id))
			}
		})
	}
	for ids := range slices.Chunk(decodeIDs(data), forgottenAtOnce) {
		if err := remove(ids); err != nil {
			return fmt.Errorf("tracked detections: %w", err)
		}
	}
	if err := store.Update(ctx, func(tx *checkpoint.Tx) {
		tx.Clear(journal)
		tx.Delete(trackedName)
	}); err != nil {
		return fmt.Errorf("tracked detections: %w", err)
	}
	return nil
}

func trackedKey(host uint64) string { return trackedHostName + strconv.FormatUint(host, 10) }

// tracking follows the detections of one host while they are read. Its methods are for one goroutine.
type tracking struct {
	tracked *tracked
	host    uint64
	page    trackedPage
	stored  trackedHost
	// err is the storage's: the host is to be read again.
	err error
	// brought are the detections that came.
	brought []trackedEntry
	asset   uint64
}

// trackedPage is what is known of the page that a host is read in.
type trackedPage struct {
	// run is the mark of the collection, and full that of the full collection that it interrupts or is, 0: none.
	run, full uint64
	at        time.Time
	// whole is whether everything open of a host is asked for; otherwise only some of it.
	whole bool
	// leaveOut is whether detections that differ in nothing but what changes with every scan are left out, and keepFixed whether
	// that is known of what is Fixed, too.
	leaveOut, keepFixed bool
	// brought is that of the request: a host that has missed a full collection is brought whole, but once.
	brought func(*records.Item) bool
}

// begin begins to follow a host.
func (t *tracked) begin(ctx context.Context, host uint64, page trackedPage) *tracking {
	f := &tracking{tracked: t, host: host, page: page, stored: trackedHost{Run: mark(generationOf(page.run), 0)}}
	values, err := t.store.LoadBytes(ctx, trackedKey(host))
	switch {
	case err != nil:
		f.err = fmt.Errorf("tracked detections: %w", err)
	case values[0] != nil:
		if stored, err := parseTrackedHost(values[0]); err == nil {
			f.stored = stored
		} else {
			t.log.Warn("tracked detections of a host cannot be read; what is gone of it by now is not told", zap.Uint64("host", host), zap.Error(err))
		}
	}
	return f
}

// meets takes note of a detection, and reports whether it is left out: it was delivered before, and differs in nothing but what
// changes with every scan.
func (f *tracking) meets(item *records.Item) (leftOut bool) {
	one := trackedEntry{key: item.Key, qid: item.QID, hash: uint32(item.Stable)}
	if item.Unique {
		one.qid |= uniqueBit
	}
	if !item.Open {
		one.qid |= fixedBit
	}
	if item.AssetID != 0 {
		f.asset = item.AssetID
	}
	f.brought = append(f.brought, one)
	for _, all := range []trackedEntries{f.stored.Open, f.stored.Gone} {
		if known, found := all.find(item.Key); found {
			return known == one && (f.page.leaveOut || f.page.brought != nil && f.page.brought(item))
		}
	}
	return false
}

// end returns what writes the host as it is now, nil: there is nothing to write.
func (f *tracking) end() func(tx *checkpoint.Tx) {
	brought := encodeTracked(f.brought)
	now := trackedHost{Run: f.stored.Run, Listed: f.stored.Listed, Asset: cmp.Or(f.asset, f.stored.Asset)}
	all := f.brought[:0]
	for i := range brought.len() {
		if one := brought.at(i); !one.fixed() || f.page.keepFixed {
			all = append(all, one)
		}
	}
	var gone []trackedEntry
	rest := func(from trackedEntries, to *[]trackedEntry) {
		for one := range from.without(brought) {
			switch {
			case !one.fixed():
				*to = append(*to, one)
			case !f.page.whole:
				all = append(all, one)
			}
		}
	}
	switch {
	case f.page.whole:
		now.Run, now.Listed = f.page.run, f.page.at.Unix()
		rest(f.stored.Open, &gone)
	case f.page.full != 0 && sequenceOf(f.stored.Run) != sequenceOf(f.page.full):
		// A full collection runs that has not read the host, and may find nothing of it any more: what this page has brought is
		// there, what it has not is gone unless the full collection brings it.
		now.Run, now.Listed = f.page.full, f.page.at.Unix()
		rest(f.stored.Open, &gone)
	default:
		rest(f.stored.Open, &all)
	}
	rest(f.stored.Gone, &gone)
	if generationOf(now.Run) != generationOf(f.stored.Run) {
		gone = nil // it was not listed for this account, or may have been fixed while nothing was tracked
	}
	now.Open, now.Gone = encodeTracked(all), encodeTracked(gone)
	if now.Open.len() == 0 && now.Gone.len() == 0 && f.stored.Open.len() == 0 && f.stored.Gone.len() == 0 {
		return nil
	}
	return f.write(now)
}

// broke returns what writes a host of which more was to come, nil: there is nothing to write. Only what was brought is noted: it is
// what was last delivered.
func (f *tracking) broke() func(tx *checkpoint.Tx) {
	if len(f.brought) == 0 {
		return nil
	}
	brought := encodeTracked(f.brought)
	now := trackedHost{Run: f.stored.Run, Listed: f.stored.Listed, Asset: cmp.Or(f.asset, f.stored.Asset)}
	now.Open = encodeTracked(slices.AppendSeq(f.brought, f.stored.Open.without(brought)))
	now.Gone = encodeTracked(slices.Collect(f.stored.Gone.without(brought)))
	return f.write(now)
}

// write returns what writes the host.
func (f *tracking) write(now trackedHost) func(tx *checkpoint.Tx) {
	return func(tx *checkpoint.Tx) {
		t := f.tracked
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.ids.add(f.host) {
			tx.Append(t.journal, binary.LittleEndian.AppendUint64(nil, f.host))
		}
		tx.PutBytes(trackedKey(f.host), now.append(nil))
	}
}
