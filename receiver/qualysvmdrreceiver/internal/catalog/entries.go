// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
)

// status is what is known of the KnowledgeBase entry of a QID that was detected.
type status uint8

const (
	pending    status = iota + 1 // it is to be fetched for the first time
	delivered                    // it was delivered
	absent                       // Qualys has none
	recheck                      // it is to be fetched again, and delivered if it says something else
	redeliver                    // it is to be fetched and delivered again
	unreadable                   // it could not be had while others could: it is asked for again at the next refresh
)

// fetched reports whether an entry in this state is to be fetched.
func (s status) fetched() bool { return s == pending || s == recheck || s == redeliver }

// entry is what is known of one QID.
type entry struct {
	qid   uint32
	state status
	// stored reports whether the storage knows of the QID.
	stored bool
	// seen is when the QID was first detected, in hours since 1970.
	seen uint32
	// content is the hash of the entry as it was last delivered, 0: it never was.
	content uint64
}

const (
	entrySize = 16
	// entrySlack is how many superseded entries the journal may hold besides as many as there are QIDs.
	entrySlack = 4096
	// youngHours is for how long a QID counts as new, and youngAgain how often an entry is looked for meanwhile: Qualys
	// publishes those of new vulnerabilities later than they are first detected.
	youngHours = 24
	youngAgain = time.Hour
)

// hoursOf is a time in hours since 1970.
func hoursOf(t time.Time) uint32 { return uint32(max(0, t.Unix()) / 3600) }

// append writes an entry as it is stored: the QID, its state, when it was first seen (three bytes), and the hash.
func (e entry) append(data []byte) []byte {
	data = binary.LittleEndian.AppendUint32(data, e.qid)
	data = binary.LittleEndian.AppendUint32(data, uint32(e.state)|e.seen<<8)
	return binary.LittleEndian.AppendUint64(data, e.content)
}

// decodeEntry reads what append has written. It returns false for what makes no sense.
func decodeEntry(data []byte) (entry, bool) {
	word := binary.LittleEndian.Uint32(data[4:])
	e := entry{
		qid: binary.LittleEndian.Uint32(data), state: status(word), seen: word >> 8, stored: true,
		content: binary.LittleEndian.Uint64(data[8:]),
	}
	return e, e.state >= pending && e.state <= unreadable
}

// entries are the QIDs that were detected, by what is known of their entries. They are safe for concurrent use.
type entries struct {
	mu     sync.Mutex // guards everything below
	byQID  map[uint32]entry
	counts [unreadable + 1]int
	// queue are those that are to be fetched and that nobody fetches yet.
	queue map[uint32]struct{}
	// wanted are those that detections wait for, by how many batches.
	wanted map[uint32]int
	// young are new QIDs without an entry, by when it was last asked for.
	young map[uint32]time.Time

	journal *checkpoint.Journal
	written int // entries in the journal
}

func newEntries() *entries {
	return &entries{byQID: map[uint32]entry{}, queue: map[uint32]struct{}{}, wanted: map[uint32]int{}, young: map[uint32]time.Time{}}
}

// restore takes over what was stored.
func (s *entries) restore(journal *checkpoint.Journal, data []byte, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = journal
	for ; len(data) >= entrySize; data = data[entrySize:] {
		if e, ok := decodeEntry(data); ok {
			s.set(e, now)
		}
		s.written++
	}
}

// set makes an entry the state of its QID. The caller holds mu.
func (s *entries) set(e entry, now time.Time) {
	if old, ok := s.byQID[e.qid]; ok {
		s.counts[old.state]--
		e.stored = e.stored || old.stored
	}
	e.seen = min(e.seen, hoursOf(now)) // the clock was ahead: a QID must not be a new one until it has come there
	s.byQID[e.qid] = e
	s.counts[e.state]++
	delete(s.queue, e.qid)
	delete(s.young, e.qid)
	switch {
	case e.state.fetched():
		s.queue[e.qid] = struct{}{}
	case e.state == absent && hoursOf(now) < e.seen+youngHours:
		s.young[e.qid] = now
	}
}

// see notes detected QIDs, and returns those that the storage does not know of.
func (s *entries) see(qids []uint32, now time.Time) (unstored []uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, qid := range qids {
		e, ok := s.byQID[qid]
		if !ok {
			e = entry{qid: qid, state: pending, seen: hoursOf(now)}
			s.set(e, now)
		}
		if !e.stored {
			unstored = append(unstored, qid)
		}
	}
	return unstored
}

// get returns what is known of a QID; its state is 0 if nothing is.
func (s *entries) get(qid uint32) entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byQID[qid]
}

// update changes what is known of QIDs.
func (s *entries) update(qids []uint32, now time.Time, change func(*entry)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, qid := range qids {
		e, ok := s.byQID[qid]
		before := e
		if change(&e); ok && e != before {
			s.set(e, now)
		}
	}
}

// turn makes every QID that has one of these states wait for being fetched, and returns them.
func (s *entries) turn(to status, now time.Time, from ...status) (turned []uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for qid, e := range s.byQID {
		if slices.Contains(from, e.state) {
			e.state = to
			s.set(e, now)
			turned = append(turned, qid)
		}
	}
	return turned
}

// between calls found for each QID from first to last that was delivered.
func (s *entries) between(first, last uint32, found func(qid uint32)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if uint64(last)-uint64(first) < uint64(len(s.byQID)) {
		for qid := uint64(first); qid <= uint64(last); qid++ {
			if s.byQID[uint32(qid)].state == delivered {
				found(uint32(qid))
			}
		}
		return
	}
	for qid, e := range s.byQID {
		if e.state == delivered && qid >= first && qid <= last {
			found(qid)
		}
	}
}

// anyDelivered returns one of the QIDs whose entry was delivered, another one each time.
func (s *entries) anyDelivered() (uint32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for qid, e := range s.byQID {
		if e.state == delivered {
			return qid, true
		}
	}
	return 0, false
}

// take takes up to n QIDs off the queue, in order: those that detections wait for first. They have all been delivered before,
// or none of them has: first says so.
func (s *entries) take(n int) (qids []uint32, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	type candidate struct {
		qid    uint32
		wanted bool
		first  bool
	}
	found := make([]candidate, 0, len(s.queue))
	for qid := range s.queue {
		found = append(found, candidate{qid, s.wanted[qid] > 0, s.byQID[qid].content == 0})
	}
	slices.SortFunc(found, func(a, b candidate) int {
		switch {
		case a.wanted != b.wanted:
			return before(a.wanted)
		case a.first != b.first:
			return before(a.first)
		}
		return cmp.Compare(a.qid, b.qid)
	})
	for _, one := range found {
		if len(qids) == n {
			break
		}
		if len(qids) == 0 {
			first = one.first
		}
		if one.first == first {
			qids = append(qids, one.qid)
			delete(s.queue, one.qid)
		}
	}
	slices.Sort(qids)
	return qids, first
}

// before is what a comparison returns if the first of two comes first.
func before(first bool) int {
	if first {
		return -1
	}
	return 1
}

// queued is how many QIDs are to be fetched that nobody fetches yet.
func (s *entries) queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// want notes that detections wait for QIDs, or (-1) that they wait no longer.
func (s *entries) want(qids []uint32, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, qid := range qids {
		if s.wanted[qid] += more; s.wanted[qid] <= 0 {
			delete(s.wanted, qid)
		}
	}
}

// lookAgain has all new QIDs without an entry asked for again, in as few requests as can be, when one of them was last asked
// for an hour ago, and reports whether that is so. If not, next is when it will be, zero: there are none.
func (s *entries) lookAgain(now time.Time) (turned bool, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for qid, asked := range s.young {
		due := asked.Add(youngAgain)
		switch {
		case hoursOf(now) >= s.byQID[qid].seen+youngHours:
			delete(s.young, qid)
		case next.IsZero() || due.Before(next):
			next = due
		}
	}
	if next.IsZero() || now.Before(next) {
		return false, next
	}
	for qid := range s.young {
		e := s.byQID[qid]
		e.state = recheck
		s.set(e, now)
	}
	return true, time.Time{}
}

// count returns how many QIDs were delivered, are to be fetched, and have no entry that can be had.
func (s *entries) count() (known, toFetch, without int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[delivered], s.counts[pending] + s.counts[recheck] + s.counts[redeliver], s.counts[absent] + s.counts[unreadable]
}

// write adds what is now known of QIDs to a transaction, which holds the lock of the store: of two changes, the later one is
// written last, or twice. The journal is written anew when most of it is superseded.
func (s *entries) write(tx *checkpoint.Tx, qids []uint32) {
	if len(qids) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data := make([]byte, 0, len(qids)*entrySize)
	add := func(e entry) {
		data = e.append(data)
		e.stored = true
		s.byQID[e.qid] = e
	}
	s.written += len(qids)
	if s.written > 2*len(s.byQID)+entrySlack {
		tx.Clear(s.journal)
		s.written = len(s.byQID)
		for _, e := range s.byQID {
			add(e)
		}
	} else {
		for _, qid := range qids {
			add(s.byQID[qid])
		}
	}
	tx.Append(s.journal, data)
}

// all returns the QIDs that are known.
func (s *entries) all() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.byQID))
}
