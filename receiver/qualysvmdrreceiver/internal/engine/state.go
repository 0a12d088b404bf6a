// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
)

const (
	// stateVersion is the version of what is stored.
	stateVersion = 2
	// storageGrace limits a write to the storage that ends a stopping collection.
	storageGrace = 5 * time.Second
)

// State is how far a dataset has come. It is stored under <dataset>/state.
type State struct {
	// Fingerprint is of what is asked for. When that changes, a first collection begins.
	Fingerprint string `json:"fingerprint"`
	// Started is when the last collection began, FullStarted when the last full one did, by the local clock.
	Started     time.Time `json:"started,omitzero"`
	FullStarted time.Time `json:"full_started,omitzero"`
	// Watermark is the server's clock at the start of the last finished collection.
	Watermark time.Time `json:"watermark,omitzero"`
	// Epoch counts finished windows; fingerprints are kept by it.
	Epoch uint64 `json:"epoch"`
	// Sequence is the number of the last run; what is stored of a run is named by it.
	Sequence uint64 `json:"sequence"`
	// Full and Window are the runs that are not finished. Only one moves at a time: a window interrupts a full collection.
	Full   *Run `json:"full,omitempty"`
	Window *Run `json:"window,omitempty"`
	// Quarantine are the units that cannot be read.
	Quarantine []Quarantined `json:"quarantine,omitempty"`
	// Paged is whether the last full collection had more than one page.
	Paged bool `json:"paged,omitempty"`
	// Cuts are where the first of its ranges began, behind the one that begins at 0, and Each is how many listed IDs made one; none
	// and 0: the next one's first page tells.
	Cuts []uint64 `json:"cuts,omitempty"`
	Each uint64   `json:"each,omitempty"`
	// CutFor is the page size that they were made for: with another one they are made anew.
	CutFor int `json:"cut_for,omitempty"`
}

// Run is a collection that is not finished.
type Run struct {
	// ID tells collections apart, for readers.
	ID string `json:"id"`
	// Sequence tells runs apart in the storage.
	Sequence uint64 `json:"sequence"`
	// Began is when it began by the local clock, and Previous when the one before did; zero: there was none. Start is the
	// server's clock at its first response, zero before.
	Began    time.Time `json:"began"`
	Previous time.Time `json:"previous,omitzero"`
	Start    time.Time `json:"start,omitzero"`
	Full     bool      `json:"full,omitempty"`
	// Passes are the lists that it asks for, and Pass is the index of the one that it is in.
	Passes []Pass `json:"passes,omitempty"`
	Pass   int    `json:"pass"`
	// Slots is how many shards have run at once in the pass, at most: so many slots may be stored.
	Slots int `json:"slots"`
	// Counts are those of the passes that are done.
	Counts Counts `json:"counts"`
	// Incomplete is why the collection does not bring everything, "": it does.
	Incomplete string `json:"incomplete,omitempty"`
	// Removed is how many records have told of what is gone, and Withheld how much is gone that none has told of, as it is too
	// much at once.
	Removed  int64 `json:"removed,omitempty"`
	Withheld int64 `json:"withheld,omitempty"`

	// work is the pass that it is in, nil: it was not begun since the start.
	work *pass
}

// Window is what the run asks for, for people.
func (r *Run) Window() string {
	text := ""
	for i, p := range r.Passes {
		if i > 0 {
			text += "; "
		}
		text += p.String()
		if n := len(p.Units); n > 0 {
			text += fmt.Sprintf(" (%d quarantined)", n)
		}
	}
	return text
}

// slot is a running shard of a pass. It is stored under <dataset>/<sequence>.<pass>/slot/<number>.
type slot struct {
	// Range is the index of its range.
	Range  int    `json:"range"`
	Cursor Cursor `json:"cursor"`
	// Counts are those of all ranges that ran in this slot.
	Counts Counts `json:"counts"`
	Done   bool   `json:"done,omitempty"`
}

// Quarantined is a unit that cannot be read. What was delivered of it is stored under <dataset>/quarantine/<unit>.
type Quarantined struct {
	Unit uint64 `json:"unit"`
	// Query selects what it has missed.
	Query Query `json:"query"`
	// Since is when it was first left out, Tried when it was last tried, by the local clock.
	Since time.Time `json:"since"`
	Tried time.Time `json:"tried"`

	delivered fingerprints
	journal   *checkpoint.Journal
}

// misses has the unit miss what a query selects, too. Again reports whether that is everything, which it had not missed yet or is
// asked for anew: then what was delivered of the unit before is forgotten, for it would have been delivered again.
func (q *Quarantined) misses(query Query, anew bool) (again bool) {
	if again = query.Filter == "" && (anew || q.Query.Filter != ""); again {
		q.delivered = nil
	}
	q.Query = q.Query.widen(query)
	return again
}

// state keeps the State of a dataset and what belongs to it. It is the only user of the storage. It is safe for concurrent
// use.
type state struct {
	store *checkpoint.Store
	name  string
	log   *zap.Logger
	dedup *dedup

	// committing is held while something is changed and written, so that what is written later was changed later.
	committing sync.Mutex
	mu         sync.Mutex // guards everything below
	stored     State
}

// Fingerprint is a hash of what selects the items of a dataset.
func Fingerprint(values ...any) (string, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// loadState reads what is stored. When something else is asked for, or what is stored makes no sense, it says so and
// begins anew. Errors are those of the storage.
func loadState(ctx context.Context, store *checkpoint.Store, name, wanted string, log *zap.Logger) (*state, error) {
	s := &state{store: store, name: name, log: log}
	_, err := store.Load(ctx, name+"/state", stateVersion, &s.stored)
	fresh := false
	switch {
	case unreadable(err):
		log.Error("stored state cannot be read; starting a first collection", zap.Error(err))
		s.stored.Full, s.stored.Window, s.stored.Quarantine = nil, nil, nil // they make no sense either
		fresh = true
	case err != nil:
		return nil, fmt.Errorf("reading the state: %w", err)
	case s.stored.Fingerprint != "" && s.stored.Fingerprint != wanted:
		log.Warn("starting a full collection: query configuration changed")
		fresh = true
	}
	var forget func(tx *checkpoint.Tx)
	if fresh {
		if forget, err = s.abandon(ctx); err != nil {
			return nil, err
		}
		// The numbers go on, so that nothing of before is taken for something of now.
		s.stored = State{Epoch: s.stored.Epoch + 2, Sequence: s.stored.Sequence + 1}
	}
	s.stored.Fingerprint = wanted
	if s.dedup, err = openDedup(ctx, store, name, s.stored.Epoch, log); err != nil {
		return nil, err
	}
	for i := range s.stored.Quarantine {
		q := &s.stored.Quarantine[i]
		var data []byte
		q.journal, data, err = store.OpenJournal(ctx, s.quarantineName(q.Unit), fingerprintSize)
		switch {
		case unreadable(err):
			log.Error("what was delivered of a quarantined unit cannot be read; it may be delivered again", zap.Uint64("unit", q.Unit), zap.Error(err))
		case err != nil:
			return nil, fmt.Errorf("reading the quarantine: %w", err)
		}
		q.delivered = sorted(decodeFingerprints(data))
	}
	if fresh {
		s.save(ctx, nil, forget)
	}
	return s, nil
}

// abandon returns what deletes all that is stored of the state but itself: nothing of it is of use any more. Errors are those
// of the storage.
func (s *state) abandon(ctx context.Context) (forget func(tx *checkpoint.Tx), err error) {
	journals := map[string]int{seenName(s.name, s.stored.Epoch): fingerprintSize}
	if s.stored.Epoch > 0 {
		journals[seenName(s.name, s.stored.Epoch-1)] = fingerprintSize
	}
	for i := range s.stored.Quarantine {
		journals[s.quarantineName(s.stored.Quarantine[i].Unit)] = fingerprintSize
	}
	var deletes []func(tx *checkpoint.Tx)
	for _, run := range []*Run{s.stored.Full, s.stored.Window} {
		if run == nil {
			continue
		}
		prefix := s.prefix(run)
		journals[prefix+"ranges"] = boundarySize
		for k := range run.Slots {
			journals[prefix+"inflight/"+strconv.Itoa(k)] = inflightSize
		}
		deletes = append(deletes, s.clearPass(run))
	}
	for name, entrySize := range journals {
		// It has to be read, for that says what there is to delete.
		journal, err := s.store.ReadJournal(ctx, name, entrySize, func([]byte) error { return nil })
		if err != nil && !unreadable(err) {
			return nil, fmt.Errorf("reading what is not needed any more: %w", err)
		}
		deletes = append(deletes, func(tx *checkpoint.Tx) { tx.Clear(journal) })
	}
	return func(tx *checkpoint.Tx) {
		for _, remove := range deletes {
			remove(tx)
		}
	}, nil
}

func (s *state) quarantineName(unit uint64) string {
	return s.name + "/quarantine/" + strconv.FormatUint(unit, 10)
}

// prefix is how the keys of a pass begin.
func (s *state) prefix(r *Run) string {
	return fmt.Sprintf("%s/%d.%d/", s.name, r.Sequence, r.Pass)
}

// commit changes the state and writes what belongs together: one write to the storage. Change and write may be nil. Nothing
// else changes the state meanwhile, and write may read it. When the write fails, the collection goes on: what could not be
// written is written with the next commit.
func (s *state) commit(ctx context.Context, change func(), write func(tx *checkpoint.Tx)) {
	s.committing.Lock()
	defer s.committing.Unlock()
	if change != nil {
		s.mu.Lock()
		change()
		s.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageGrace)
	defer cancel()
	err := s.store.Update(ctx, func(tx *checkpoint.Tx) {
		if write != nil {
			write(tx)
		}
	})
	if err != nil {
		s.log.Error("state could not be stored; a restart would deliver records again", zap.Error(err))
	}
}

// save commits a change of the State itself.
func (s *state) save(ctx context.Context, change func(), more ...func(tx *checkpoint.Tx)) {
	s.commit(ctx, change, func(tx *checkpoint.Tx) {
		for _, write := range more {
			write(tx)
		}
		tx.Put(s.name+"/state", stateVersion, &s.stored)
	})
}

// note changes the state, to be written with the next change of it.
func (s *state) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// read calls fn while nothing changes the state.
func (s *state) read(fn func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.stored)
}

// begin makes a run of passes the running full or window collection. Quarantined units are tried at its end, with what they miss
// of it.
func (s *state) begin(ctx context.Context, now time.Time, full bool, passes []Pass) *Run {
	run := &Run{ID: uuid.NewString(), Began: now, Full: full}
	var again []*checkpoint.Journal
	s.save(ctx, func() {
		s.stored.Sequence++
		run.Sequence = s.stored.Sequence
		run.Previous, s.stored.Started = s.stored.Started, now
		if full {
			s.stored.FullStarted = now
			s.stored.Full = run
		} else {
			s.stored.Window = run
		}
		for i := range s.stored.Quarantine {
			q := &s.stored.Quarantine[i]
			for _, p := range passes {
				if q.misses(p.Query, full) {
					again = append(again, q.journal)
				}
			}
		}
		run.Passes = slices.Concat(passes, probes(s.stored.Quarantine, now))
	}, func(tx *checkpoint.Tx) {
		for _, journal := range again {
			tx.Clear(journal)
		}
	})
	return run
}

// missed takes note that the units of a range that are in quarantine are left out of a pass.
func (s *state) missed(ctx context.Context, query Query, first, last uint64) {
	widened := func(q *Quarantined) (Query, bool) {
		all := q.Query.widen(query)
		return all, q.Unit >= first && (last == 0 || q.Unit <= last) && !all.equal(q.Query)
	}
	news := false
	s.read(func(*State) {
		for i := range s.stored.Quarantine {
			_, more := widened(&s.stored.Quarantine[i])
			news = news || more
		}
	})
	if !news {
		return
	}
	var again []*checkpoint.Journal
	s.save(ctx, func() {
		for i := range s.stored.Quarantine {
			q := &s.stored.Quarantine[i]
			if _, more := widened(q); more && q.misses(query, false) {
				again = append(again, q.journal)
			}
		}
	}, func(tx *checkpoint.Tx) {
		for _, journal := range again {
			tx.Clear(journal)
		}
	})
}

// finish makes a run the last finished one.
func (s *state) finish(ctx context.Context, run *Run, counts Counts) {
	var forget func(tx *checkpoint.Tx)
	cleared := s.clearPass(run)
	s.save(ctx, func() {
		if run.Start.After(s.stored.Watermark) || !run.Full || s.stored.Watermark.IsZero() {
			// A full collection that windows interrupted ends no epoch: they did.
			s.stored.Watermark = run.Start
			s.stored.Epoch++
			forget = s.dedup.next()
		}
		if run.Full {
			s.stored.Full = nil
			s.stored.Paged = counts.Pages > int64(len(run.Passes))
		} else {
			s.stored.Window = nil
		}
	}, cleared, func(tx *checkpoint.Tx) {
		if forget != nil {
			forget(tx)
		}
	})
}

// nextPass goes on to the next pass of a run.
func (s *state) nextPass(ctx context.Context, run *Run, counts Counts) {
	var cuts []uint64
	leads := run.work != nil && run.work.leads()
	if leads {
		cuts = run.work.cuts(counts)
	}
	forgetPass := s.clearPass(run)
	s.save(ctx, func() {
		if leads {
			s.stored.Cuts = cuts
		}
		run.Pass++
		run.Slots = 0
		run.Counts = counts
	}, forgetPass)
}

// clearPass returns what deletes what is stored of the shards of the pass that a run is in.
func (s *state) clearPass(run *Run) func(tx *checkpoint.Tx) {
	prefix, slots, work := s.prefix(run), run.Slots, run.work
	run.work = nil
	return func(tx *checkpoint.Tx) {
		if work != nil {
			tx.Clear(work.ranges)
		}
		for k := range slots {
			tx.Delete(prefix + "slot/" + strconv.Itoa(k))
		}
	}
}

// quarantined returns the units that are left out, in order.
func (s *state) quarantined() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	units := make([]uint64, len(s.stored.Quarantine))
	for i := range s.stored.Quarantine {
		units[i] = s.stored.Quarantine[i].Unit
	}
	return units
}

// quarantine leaves units out from now on. What was delivered of them is kept.
func (s *state) quarantine(ctx context.Context, query Query, units []uint64, delivered func(unit uint64) []fingerprint) {
	now := time.Now()
	var added []Quarantined
	before := s.dedup.of
	if query.Filter == "" {
		before = func(uint64) []fingerprint { return nil } // it brings that again
	}
	s.save(ctx, func() {
		for _, unit := range units {
			if slices.ContainsFunc(s.stored.Quarantine, func(q Quarantined) bool { return q.Unit == unit }) {
				continue
			}
			added = append(added, Quarantined{
				Unit: unit, Query: query, Since: now, Tried: now,
				delivered: sorted(append(delivered(unit), before(unit)...)),
				journal:   s.store.NewJournal(s.quarantineName(unit), fingerprintSize),
			})
		}
		s.stored.Quarantine = append(s.stored.Quarantine, added...)
		slices.SortFunc(s.stored.Quarantine, func(a, b Quarantined) int { return cmp.Compare(a.Unit, b.Unit) })
	}, func(tx *checkpoint.Tx) {
		for _, q := range added {
			tx.Append(q.journal, encodeFingerprints(q.delivered))
		}
	})
}

// release leaves units out no more: they could be read, or are gone. What was delivered of them can come again.
func (s *state) release(ctx context.Context, units []uint64) {
	var journals []*checkpoint.Journal
	var delivered []fingerprint
	s.save(ctx, func() {
		s.stored.Quarantine = slices.DeleteFunc(s.stored.Quarantine, func(q Quarantined) bool {
			gone := slices.Contains(units, q.Unit)
			if gone {
				journals = append(journals, q.journal)
				delivered = append(delivered, q.delivered...)
			}
			return gone
		})
		s.dedup.add(delivered)
	}, func(tx *checkpoint.Tx) {
		s.dedup.write(tx, delivered)
		for _, journal := range journals {
			tx.Clear(journal)
		}
	})
}

// tried notes that units were tried and still cannot be read.
func (s *state) tried(ctx context.Context, units []uint64) {
	now := time.Now()
	s.save(ctx, func() {
		for i := range s.stored.Quarantine {
			if slices.Contains(units, s.stored.Quarantine[i].Unit) {
				s.stored.Quarantine[i].Tried = now
			}
		}
	})
}

// deliveredOf returns what was delivered of quarantined units.
func (s *state) deliveredOf(units []uint64) fingerprints {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []fingerprint
	for i := range s.stored.Quarantine {
		if slices.Contains(units, s.stored.Quarantine[i].Unit) {
			all = append(all, s.stored.Quarantine[i].delivered...)
		}
	}
	return sorted(all)
}

// noteQuarantined takes note of what was delivered of quarantined units, by unit. It returns what writes it.
func (s *state) noteQuarantined(delivered map[uint64][]fingerprint) (change func(), write func(tx *checkpoint.Tx)) {
	var journals []func(tx *checkpoint.Tx)
	change = func() {
		for i := range s.stored.Quarantine {
			q := &s.stored.Quarantine[i]
			fresh := delivered[q.Unit]
			if len(fresh) == 0 {
				continue
			}
			superseded := make(map[uint64]bool, len(fresh))
			for _, f := range fresh {
				superseded[f.key] = true
			}
			kept := slices.DeleteFunc(slices.Clone(q.delivered), func(f fingerprint) bool { return superseded[f.key] })
			if len(kept)+len(fresh) > len(q.delivered)+len(fresh)/2 {
				journals = append(journals, func(tx *checkpoint.Tx) { tx.Append(q.journal, encodeFingerprints(fresh)) })
			} else {
				// Most of it replaces what was known: it would grow with every change.
				journals = append(journals, func(tx *checkpoint.Tx) {
					tx.Clear(q.journal)
					tx.Append(q.journal, encodeFingerprints(q.delivered))
				})
			}
			q.delivered = sorted(append(kept, fresh...))
		}
	}
	return change, func(tx *checkpoint.Tx) {
		for _, write := range journals {
			write(tx)
		}
	}
}
