// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
)

// qidState is what is known of the KnowledgeBase entry of a QID that was detected.
type qidState uint8

const (
	waiting qidState = iota + 1 // it is to be fetched for the first time
	known                       // it was delivered
	missing                     // there is none; it is asked for again with the next refresh
	changed                     // it was delivered, and is to be fetched and delivered if it says something new
	again                       // it was delivered, and is to be fetched and delivered once more
)

// fetched tells whether an entry in this state is to be fetched.
func (s qidState) fetched() bool {
	return s == waiting || s == changed || s == again
}

// qidEntry is the state of one QID, and a hash of the entry's values as delivered.
type qidEntry struct {
	qid   uint32
	state qidState
	hash  uint64
}

const (
	qidEntrySize = 16
	// qidSlack is how many superseded entries the journal may hold besides as many as there are QIDs.
	qidSlack = 4096
)

// qids are the QIDs that were detected, by what is known of their entries. Detections add to them, and the KnowledgeBase
// takes from them; both store the changes with their own positions. They are safe for concurrent use.
type qids struct {
	mu      sync.Mutex
	entries map[uint32]qidEntry
	counts  [again + 1]int

	journal *checkpoint.Journal
	written int // entries in the journal

	opening sync.Mutex // its holder reads what is stored
}

func newQIDs() *qids { return &qids{entries: map[uint32]qidEntry{}} }

// open reads what is stored, unless that was done before. Where it makes no sense open says so, and entries are delivered
// once more. Errors are those of the storage.
func (q *qids) open(ctx context.Context, store *checkpoint.Store, log *zap.Logger) error {
	q.opening.Lock()
	defer q.opening.Unlock()
	if q.journal != nil {
		return nil
	}
	journal, data, err := store.OpenJournal(ctx, KnowledgeBaseDataset+"/qids", qidEntrySize)
	switch {
	case senseless(err):
		log.Error("The delivered QIDs cannot be read: their entries are delivered again when they are next detected.", zap.Error(err))
	case err != nil:
		return fmt.Errorf("reading the delivered QIDs: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.journal = journal
	for ; len(data) >= qidEntrySize; data = data[qidEntrySize:] {
		q.set(qidEntry{
			qid:   binary.LittleEndian.Uint32(data),
			state: qidState(data[4]),
			hash:  binary.LittleEndian.Uint64(data[8:]),
		})
		q.written++
	}
	return nil
}

// set makes an entry the state of its QID.
func (q *qids) set(e qidEntry) {
	if e.state < waiting || e.state > again {
		return
	}
	if old, ok := q.entries[e.qid]; ok {
		q.counts[old.state]--
	}
	q.entries[e.qid] = e
	q.counts[e.state]++
}

// add notes detected QIDs and returns the entries of those that are new, to be written.
func (q *qids) add(detected []uint32) []qidEntry {
	q.mu.Lock()
	defer q.mu.Unlock()
	var added []qidEntry
	for _, qid := range detected {
		if _, ok := q.entries[qid]; !ok {
			e := qidEntry{qid: qid, state: waiting}
			q.set(e)
			added = append(added, e)
		}
	}
	return added
}

// update makes entries the states of their QIDs.
func (q *qids) update(entries []qidEntry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		q.set(e)
	}
}

// get returns the entry of a QID.
func (q *qids) get(qid uint32) (qidEntry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, ok := q.entries[qid]
	return e, ok
}

// take returns up to n QIDs that are to be fetched, in order, but for those of except.
func (q *qids) take(n int, except []uint64) []uint32 {
	q.mu.Lock()
	defer q.mu.Unlock()
	var found []uint32
	for qid, e := range q.entries {
		if e.state.fetched() && !slices.Contains(except, uint64(qid)) {
			found = append(found, qid)
		}
	}
	slices.Sort(found)
	return found[:min(n, len(found))]
}

// turn returns the entries in a state between the QIDs first and last, with another state.
func (q *qids) turn(from, to qidState, first, last uint32) []qidEntry {
	q.mu.Lock()
	defer q.mu.Unlock()
	var turned []qidEntry
	if uint64(last)-uint64(first) < uint64(len(q.entries)) {
		for qid := uint64(first); qid <= uint64(last); qid++ {
			if e, ok := q.entries[uint32(qid)]; ok && e.state == from {
				e.state = to
				turned = append(turned, e)
			}
		}
		return turned
	}
	for qid, e := range q.entries {
		if e.state == from && qid >= first && qid <= last {
			e.state = to
			turned = append(turned, e)
		}
	}
	return turned
}

// count returns how many QIDs are known, waiting to be fetched, and without an entry.
func (q *qids) count() (delivered, toFetch, without int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counts[known], q.counts[waiting] + q.counts[changed] + q.counts[again], q.counts[missing]
}

// write adds what is now known of the QIDs of entries to a transaction, which holds the lock of the store: of two
// changes, the later one is written last, or twice. The journal is written anew when most of it is superseded.
func (q *qids) write(tx *checkpoint.Tx, entries []qidEntry) {
	if len(entries) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	data := make([]byte, 0, len(entries)*qidEntrySize)
	q.written += len(entries)
	if q.written > 2*len(q.entries)+qidSlack {
		tx.Clear(q.journal)
		q.written = len(q.entries)
		for _, e := range q.entries {
			data = e.append(data)
		}
	} else {
		for _, e := range entries {
			data = q.entries[e.qid].append(data)
		}
	}
	tx.Append(q.journal, data)
}

// append writes an entry as it is stored.
func (e qidEntry) append(data []byte) []byte {
	data = binary.LittleEndian.AppendUint32(data, e.qid)
	data = append(data, byte(e.state), 0, 0, 0)
	return binary.LittleEndian.AppendUint64(data, e.hash)
}
