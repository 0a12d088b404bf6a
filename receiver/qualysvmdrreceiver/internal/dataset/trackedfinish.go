// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"fmt"
	"slices"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

const (
	// comparedAtOnce is how many hosts are read in one step, and forgottenAtOnce how many are written.
	comparedAtOnce  = 100
	forgottenAtOnce = 500
)

// completeness is what a collection that has asked for everything open can say of what it did not bring.
type completeness int

const (
	// incomplete says nothing: a later collection may bring it.
	incomplete completeness = iota
	// limited says nothing either, and neither will any later one: it is forgotten.
	limited
	// complete says that it is gone.
	complete
)

// finish tells of the detections that a collection which has asked for everything open did not bring, and forgets them. Errors are
// those of the storage and of the delivery; it is called again then.
func (t *tracked) finish(ctx context.Context, run *engine.Run, how completeness) error {
	t.mu.Lock()
	ids, document := t.ids.all(), t.document
	t.mu.Unlock()
	if how == incomplete {
		return nil
	}
	full := mark(document.Generation, run.Sequence)
	run.Removed, run.Withheld = 0, 0
	if document.Run == run.Sequence {
		run.Removed = document.Told
	}
	tell, known := how == complete, 0
	if tell {
		var err error
		if run.Withheld, known, err = t.withheld(ctx, full, ids); err != nil {
			return err
		}
	}
	t.mu.Lock()
	t.document.Withheld, t.document.Known = run.Withheld, known
	document = t.document
	t.mu.Unlock()
	t.report(document)
	if document.Withheld > 0 {
		// It may come back, or be told when the share is raised.
		t.collector.Commit(ctx, func(tx *checkpoint.Tx) { tx.Put(trackedName, trackedVersion, document) })
		return nil
	}
	s := &sweep{tracked: t, run: run, full: full, tell: tell, builder: records.NewRemovals(t.records)}
	s.builder.Begin(run.Start, run.ID)
	if err := t.each(ctx, ids, func(id uint64, host *trackedHost) error { return s.host(ctx, id, host) }); err != nil {
		return err
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	t.mu.Lock()
	document = t.document
	t.ids = hostIDs{sorted: s.kept}
	t.mu.Unlock()
	t.collector.Commit(ctx, func(tx *checkpoint.Tx) {
		if len(s.kept) != len(ids) {
			tx.Clear(t.journal)
			tx.Append(t.journal, encodeIDs(s.kept, 0))
		}
		tx.Put(trackedName, trackedVersion, document)
	})
	return nil
}

// each calls fn for the hosts in turn; of one of which nothing is stored, or nothing that can be read, host is nil.
func (t *tracked) each(ctx context.Context, ids []uint64, fn func(id uint64, host *trackedHost) error) error {
	keys := make([]string, 0, comparedAtOnce)
	for some := range slices.Chunk(ids, comparedAtOnce) {
		keys = keys[:0]
		for _, id := range some {
			keys = append(keys, trackedKey(id))
		}
		values, err := t.store.LoadBytes(ctx, keys...)
		if err != nil {
			return fmt.Errorf("reading tracked detections: %w", err)
		}
		for i, id := range some {
			var host *trackedHost
			if values[i] != nil {
				if stored, err := parseTrackedHost(values[i]); err == nil {
					host = &stored
				}
			}
			if err := fn(id, host); err != nil {
				return err
			}
		}
	}
	return nil
}

// withheld returns how many detections are gone that nobody is told of: they are too many of those known, or all of them, as of an
// account that sees less, or nothing any more.
func (t *tracked) withheld(ctx context.Context, full uint64, ids []uint64) (withheld int64, known int, err error) {
	gone, left := 0, 0
	err = t.each(ctx, ids, func(_ uint64, host *trackedHost) error {
		if host != nil && generationOf(host.Run) == generationOf(full) {
			gone, left = gone+host.gone(full).len(), left+host.left(full).open()
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	if tooMany(gone, gone+left, t.share) {
		return int64(gone), gone + left, nil
	}
	return 0, gone + left, nil
}

// report reports removals that were withheld, until they are not any more.
func (t *tracked) report(document trackedDocument) {
	switch {
	case document.Withheld > 0:
		t.collector.Trouble(fmt.Errorf("%d of %d detections are no longer listed: removed, or outside of the account's scope; "+
			"nothing is told of them unless hosts::max_removed_share is raised", document.Withheld, document.Known))
	case t.reported:
		t.collector.Trouble(nil)
	}
	t.reported = document.Withheld > 0
}

// sweep goes through all hosts after a full collection, gathers the records of what is gone, and what is to be written when they
// were delivered.
type sweep struct {
	tracked *tracked
	run     *engine.Run
	full    uint64 // its mark
	// tell is whether somebody is told of what is gone; otherwise it is forgotten without a word.
	tell    bool
	builder *records.Removals
	told    int
	writes  []func(tx *checkpoint.Tx)
	// kept are the hosts of which something is left.
	kept []uint64
}

// host tells of what is gone of a host.
func (s *sweep) host(ctx context.Context, id uint64, host *trackedHost) error {
	switch {
	case host == nil:
		s.forget(id)
		return nil
	case generationOf(host.Run) == generationOf(s.full):
	case sequenceOf(host.Run) == sequenceOf(s.full):
		// The collection has brought it before the generation changed: what it said is known, but not what is gone.
		s.kept = append(s.kept, id)
		return nil
	default:
		s.forget(id)
		return nil
	}
	gone, left := host.gone(s.full), host.left(s.full)
	if left.len() > 0 {
		s.kept = append(s.kept, id)
		if gone.len() == 0 {
			return nil
		}
	}
	now := trackedHost{Run: s.full, Listed: host.Listed, Asset: host.Asset, Open: left}
	for i := range gone.len() {
		if !s.tell {
			break
		}
		s.removed(id, host, gone.at(i))
		if s.told < s.tracked.atOnce || i+1 == gone.len() {
			continue
		}
		// Of a host with very many the rest is told later: a kill in between repeats a batch at most.
		rest := now
		rest.Gone = gone[(i+1)*trackedEntrySize:]
		s.keep(id, &rest)
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	if left.len() > 0 {
		s.keep(id, &now)
	} else {
		s.forget(id)
	}
	if s.told >= s.tracked.atOnce || len(s.writes) >= forgottenAtOnce {
		return s.flush(ctx)
	}
	return nil
}

// removed makes a record of a detection that is gone.
func (s *sweep) removed(id uint64, host *trackedHost, gone trackedEntry) {
	removed := records.RemovedDetection{
		Unit: id, AssetID: host.Asset, Key: gone.key, QID: gone.qid &^ (uniqueBit | fixedBit), Reason: records.ReasonNotListed, LastListed: timeOf(host.Listed),
	}
	if gone.qid&uniqueBit != 0 {
		removed.UniqueVulnID = gone.key
	}
	s.builder.Detection(&removed)
	s.told++
}

// keep has a host written as it is now.
func (s *sweep) keep(id uint64, host *trackedHost) {
	value := host.append(nil)
	s.writes = append(s.writes, func(tx *checkpoint.Tx) { tx.PutBytes(trackedKey(id), value) })
}

// forget has a host deleted of which nothing is left.
func (s *sweep) forget(id uint64) {
	s.writes = append(s.writes, func(tx *checkpoint.Tx) { tx.Delete(trackedKey(id)) })
}

// flush delivers the records, and writes what belongs to them.
func (s *sweep) flush(ctx context.Context) error {
	writes, told := s.writes, s.told
	s.writes, s.told = nil, 0
	write := func(tx *checkpoint.Tx) {
		for _, one := range writes {
			one(tx)
		}
	}
	t := s.tracked
	if told == 0 {
		if len(writes) > 0 {
			t.collector.Commit(ctx, write)
		}
		return nil
	}
	return t.collector.Deliver(ctx, s.run, engine.Chunk{Chunk: s.builder.Take()}, func() func(tx *checkpoint.Tx) {
		s.run.Removed += int64(told)
		t.mu.Lock()
		t.document.Run, t.document.Told = s.run.Sequence, s.run.Removed
		document := t.document
		t.mu.Unlock()
		return func(tx *checkpoint.Tx) {
			write(tx)
			tx.Put(trackedName, trackedVersion, document)
		}
	})
}
