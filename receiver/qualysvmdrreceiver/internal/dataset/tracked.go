// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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
	trackedVersion   = 1
	trackedEntrySize = 16
	trackedIDSize    = 8
	// sweptAtOnce is how many hosts are written in one step.
	sweptAtOnce = 500
)

// tracked knows, for each host, which detections were last delivered as open, and what they said: in the storage, under the
// host's ID. In memory it keeps the IDs of the hosts. It is safe for concurrent use, as one host is read by one shard at a time.
type tracked struct {
	store   *checkpoint.Store
	log     *zap.Logger
	share   float64
	records records.Settings // without limits: a batch is made of atOnce records
	atOnce  int
	// collector delivers what is gone.
	collector *engine.Collector

	mu       sync.Mutex // guards everything below
	document trackedDocument
	ids      []uint64 // in no order, each once but for what a crash repeats
	journal  *checkpoint.Journal
}

// trackedDocument says which list the tracked detections are of. It is stored under vulnerabilities/tracked.
type trackedDocument struct {
	// Account is a hash of the account, the endpoint and what selects the detections.
	Account string `json:"account"`
	// Complete is whether a full collection of it has ever been complete: what a later one that is complete lacks is gone.
	Complete bool `json:"complete"`
}

// trackedHost are the tracked detections of a host. It is stored under vulnerabilities/known/<host>.
type trackedHost struct {
	// Run is the sequence number of the last full collection that has brought the host, and Listed its start.
	Run    uint64    `json:"run"`
	Listed time.Time `json:"listed"`
	// Asset is the host's asset ID, 0: unknown.
	Asset uint64 `json:"asset,omitempty"`
	// Open are the detections last delivered as open, and Gone those of them that the last full collection did not bring.
	Open trackedEntries `json:"open,omitempty"`
	Gone trackedEntries `json:"gone,omitempty"`
}

// trackedEntry is a detection: its key, its QID with a bit that says whether the key is its UNIQUE_VULN_ID, and half of a hash
// of what it says, without what changes with every scan.
type trackedEntry struct {
	key   uint64
	qid   uint32
	hash  uint32
	valid bool
}

// notSelected is the decision of a detection that is not of the pass: it says nothing of what is there.
const notSelected engine.Decision = 255

// uniqueBit marks a key that is Qualys' own ID. QIDs are far smaller.
const uniqueBit = 1 << 31

// trackedEntries are stored as 16 bytes each.
type trackedEntries []byte

func (e trackedEntries) len() int { return len(e) / trackedEntrySize }

func (e trackedEntries) at(i int) trackedEntry {
	raw := e[i*trackedEntrySize:]
	return trackedEntry{
		key: binary.LittleEndian.Uint64(raw), qid: binary.LittleEndian.Uint32(raw[8:]), hash: binary.LittleEndian.Uint32(raw[12:]),
		valid: true,
	}
}

func (e trackedEntries) add(one trackedEntry) trackedEntries {
	e = binary.LittleEndian.AppendUint64(e, one.key)
	e = binary.LittleEndian.AppendUint32(e, one.qid)
	return binary.LittleEndian.AppendUint32(e, one.hash)
}

// load reads which hosts are tracked. Errors are those of the storage.
func (t *tracked) load(ctx context.Context, account string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var stored trackedDocument
	_, err := t.store.Load(ctx, Vulnerabilities+"/tracked", trackedVersion, &stored)
	switch {
	case errors.Is(err, checkpoint.ErrUnreadable), errors.Is(err, checkpoint.ErrVersion):
		t.log.Error("tracked detections cannot be read; what is gone is told after the full collection after the next", zap.Error(err))
	case err != nil:
		return fmt.Errorf("reading tracked detections: %w", err)
	}
	if stored.Account != account {
		// Another account may see other hosts: what it does not see is not gone.
		stored = trackedDocument{Account: account}
	}
	journal, data, err := t.store.OpenJournal(ctx, Vulnerabilities+"/tracked", trackedIDSize)
	switch {
	case errors.Is(err, checkpoint.ErrUnreadable), errors.Is(err, checkpoint.ErrVersion):
		t.log.Error("the hosts of tracked detections cannot be read; some of what is gone may never be told", zap.Error(err))
	case err != nil:
		return fmt.Errorf("reading the hosts of tracked detections: %w", err)
	}
	t.document, t.journal, t.ids = stored, journal, nil
	for ; len(data) >= trackedIDSize; data = data[trackedIDSize:] {
		t.ids = append(t.ids, binary.LittleEndian.Uint64(data))
	}
	return nil
}

// forgetTracked forgets whose detections are tracked: while they are not, what is fixed is not taken note of, and is not to be
// told as gone should they be tracked again.
func forgetTracked(ctx context.Context, store *checkpoint.Store) error {
	return store.Update(ctx, func(tx *checkpoint.Tx) { tx.Delete(Vulnerabilities + "/tracked") })
}

func trackedKey(host uint64) string {
	return Vulnerabilities + "/known/" + strconv.FormatUint(host, 10)
}

// read returns what is tracked of a host.
func (t *tracked) read(ctx context.Context, host uint64) (stored trackedHost, found bool, err error) {
	found, err = t.store.Load(ctx, trackedKey(host), trackedVersion, &stored)
	if errors.Is(err, checkpoint.ErrUnreadable) || errors.Is(err, checkpoint.ErrVersion) {
		return trackedHost{}, false, nil
	}
	return stored, found, err
}

// tracking follows the detections of one host while they are read. Its methods are for one goroutine.
type tracking struct {
	tracked *tracked
	host    uint64
	page    trackedPage
	stored  trackedHost
	found   bool
	err     error
	known   map[uint64]trackedEntry
	open    trackedEntries
	seen    map[uint64]bool
	asset   uint64
}

// trackedPage is what is known of the page that a host is read in.
type trackedPage struct {
	// run is the sequence number of the collection, and full that of the full collection that it interrupts or is, 0: none.
	run, full uint64
	at        time.Time
	// whole is whether everything open of a host is asked for; otherwise only some of it.
	whole bool
	// leaveOut is whether detections that differ in nothing but what changes with every scan are left out.
	leaveOut bool
}

// begin begins to follow a host.
func (t *tracked) begin(ctx context.Context, host uint64, page trackedPage) *tracking {
	f := &tracking{tracked: t, host: host, page: page, seen: map[uint64]bool{}}
	f.stored, f.found, f.err = t.read(ctx, host)
	f.known = make(map[uint64]trackedEntry, f.stored.Open.len())
	for _, all := range []trackedEntries{f.stored.Gone, f.stored.Open} {
		for i := range all.len() {
			one := all.at(i)
			f.known[one.key] = one
		}
	}
	return f
}

// meets takes note of a detection, and reports whether it was delivered before and differs in nothing but what changes with every
// scan.
func (f *tracking) meets(item *records.Item) (unchanged bool) {
	one := trackedEntry{key: item.Key, qid: item.QID, hash: uint32(item.Stable)}
	if item.Unique {
		one.qid |= uniqueBit
	}
	f.asset = item.AssetID
	if !f.seen[item.Key] {
		f.seen[item.Key] = true
		if item.Open {
			f.open = f.open.add(one)
		}
	}
	known := f.known[item.Key]
	return item.Open && known.valid && known.hash == one.hash
}

// end returns what writes the host as it is now, nil: there is nothing to write.
func (f *tracking) end() func(tx *checkpoint.Tx) {
	if f.err != nil {
		return nil // what is gone of it is told later, or never; what is there is delivered
	}
	now := trackedHost{Run: f.stored.Run, Listed: f.stored.Listed, Asset: f.asset, Open: f.open}
	rest := func(from trackedEntries, to *trackedEntries) {
		for i := range from.len() {
			if one := from.at(i); !f.seen[one.key] {
				*to = to.add(one)
			}
		}
	}
	switch {
	case f.page.whole:
		now.Run, now.Listed = f.page.run, f.page.at
		rest(f.stored.Open, &now.Gone)
	case f.page.full != 0 && f.stored.Run != f.page.full:
		// A full collection runs that has not read the host, and may find nothing of it any more: what it brought is there, what
		// it did not bring is gone unless the full collection brings it.
		now.Run, now.Listed = f.page.full, f.page.at
		rest(f.stored.Open, &now.Gone)
	default:
		rest(f.stored.Open, &now.Open)
	}
	rest(f.stored.Gone, &now.Gone)
	if now.Open.len() == 0 && now.Gone.len() == 0 && !f.found {
		return nil
	}
	t := f.tracked
	if !f.found {
		t.mu.Lock()
		t.ids = append(t.ids, f.host)
		t.mu.Unlock()
	}
	return func(tx *checkpoint.Tx) {
		if !f.found {
			tx.Append(t.journal, binary.LittleEndian.AppendUint64(nil, f.host))
		}
		tx.Put(trackedKey(f.host), trackedVersion, now)
	}
}

// finish tells of the detections that are gone after a full collection that was complete, if one before was complete, too.
func (t *tracked) finish(ctx context.Context, run *engine.Run, limited string) error {
	if !run.Full {
		return nil
	}
	t.mu.Lock()
	slices.Sort(t.ids)
	t.ids = slices.Compact(t.ids)
	ids, before := slices.Clone(t.ids), t.document.Complete
	t.mu.Unlock()
	tell := before && limited == ""
	gone, all := 0, 0
	if tell {
		for _, id := range ids {
			stored, found, err := t.read(ctx, id)
			if err != nil {
				return fmt.Errorf("reading tracked detections: %w", err)
			}
			if found {
				lost := stored.gone(run.Sequence).len()
				gone, all = gone+lost, all+lost+stored.left(run.Sequence).len()
			}
		}
		if tooMany(gone, all, t.share) {
			run.Withheld, tell = int64(gone), false
			t.log.Warn("many detections are no longer listed: removed, or outside of the account's scope; none is told to be gone",
				zap.Int("gone", gone), zap.Int("known", all), zap.Float64("max_removed_share", t.share))
		}
	}
	if err := t.sweep(ctx, run, ids, tell); err != nil {
		return err
	}
	t.mu.Lock()
	t.document.Complete = t.document.Complete || limited == ""
	document, kept := t.document, encodeIDs(t.ids)
	t.mu.Unlock()
	t.collector.Commit(ctx, func(tx *checkpoint.Tx) {
		tx.Clear(t.journal)
		tx.Append(t.journal, kept)
		tx.Put(Vulnerabilities+"/tracked", trackedVersion, document)
	})
	return nil
}

// gone are the detections of a host that the full collection of a sequence number, and all windows since, did not bring.
func (h *trackedHost) gone(run uint64) trackedEntries {
	if h.Run == run {
		return h.Gone
	}
	return slices.Concat(h.Gone, h.Open)
}

// left are those that were brought.
func (h *trackedHost) left(run uint64) trackedEntries {
	if h.Run == run {
		return h.Open
	}
	return nil
}

// sweep goes through all hosts, tells of what is gone if it is to be told, and forgets it. Where no collection of the account has
// been complete before, what is gone is forgotten without a word.
func (t *tracked) sweep(ctx context.Context, run *engine.Run, ids []uint64, tell bool) error {
	t.mu.Lock()
	known := t.document.Complete
	t.mu.Unlock()
	if known && !tell {
		return nil // it may come back, or be told when the share is raised
	}
	w := &sweeping{tracked: t, run: run, builder: records.NewRemovals(t.records)}
	w.builder.Begin(run.Start, run.ID)
	for _, id := range ids {
		stored, found, err := t.read(ctx, id)
		if err != nil {
			return fmt.Errorf("reading tracked detections: %w", err)
		}
		lost := stored.gone(run.Sequence)
		if !found || lost.len() == 0 && stored.left(run.Sequence).len() > 0 {
			continue
		}
		for i := range lost.len() {
			if !tell {
				break
			}
			if err := w.tell(ctx, id, &stored, lost.at(i)); err != nil {
				return err
			}
		}
		w.writes = append(w.writes, t.forget(id, stored, run.Sequence))
		if len(w.writes) >= sweptAtOnce {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
	return w.flush(ctx)
}

// sweeping gathers the records of what is gone, and what is to be written when they were delivered.
type sweeping struct {
	tracked *tracked
	run     *engine.Run
	builder *records.Removals
	told    int
	// writes are those of hosts of which everything was told.
	writes []func(tx *checkpoint.Tx)
}

// tell makes a record of a detection that is gone.
func (w *sweeping) tell(ctx context.Context, host uint64, stored *trackedHost, gone trackedEntry) error {
	removed := records.RemovedDetection{
		Unit: host, AssetID: stored.Asset, Key: gone.key, QID: gone.qid &^ uniqueBit, Reason: records.ReasonNotListed, LastListed: stored.Listed,
	}
	if gone.qid&uniqueBit != 0 {
		removed.UniqueVulnID = gone.key
	}
	w.builder.Detection(&removed)
	if w.told++; w.told >= w.tracked.atOnce {
		return w.flush(ctx)
	}
	return nil
}

// flush delivers the records, and writes what belongs to them.
func (w *sweeping) flush(ctx context.Context) error {
	writes, told := w.writes, w.told
	w.writes, w.told = nil, 0
	write := func(tx *checkpoint.Tx) {
		for _, one := range writes {
			one(tx)
		}
	}
	if told == 0 {
		if len(writes) > 0 {
			w.tracked.collector.Commit(ctx, write)
		}
		return nil
	}
	chunk := engine.Chunk{Chunk: w.builder.Take()}
	if err := w.tracked.collector.Deliver(ctx, w.run, chunk, func() func(tx *checkpoint.Tx) { return write }); err != nil {
		return err
	}
	w.run.Removed += int64(told)
	return nil
}

// forget returns what writes a host without what is gone of it, or deletes it if nothing is left.
func (t *tracked) forget(id uint64, stored trackedHost, run uint64) func(tx *checkpoint.Tx) {
	left := stored.left(run)
	if left.len() == 0 {
		t.mu.Lock()
		if i, found := slices.BinarySearch(t.ids, id); found {
			t.ids = slices.Delete(t.ids, i, i+1)
		}
		t.mu.Unlock()
		return func(tx *checkpoint.Tx) { tx.Delete(trackedKey(id)) }
	}
	stored.Open, stored.Gone = left, nil
	return func(tx *checkpoint.Tx) { tx.Put(trackedKey(id), trackedVersion, stored) }
}
