// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
)

const (
	// boundarySize is the size of a stored boundary between ranges in bytes.
	boundarySize = 8
	// listTries is how often the IDs of a pass are asked for.
	listTries = 3
)

// pass is one list of a collection at work: its ranges, and the shards that read them. It is kept while it gives way to a window.
type pass struct {
	collector *Collector
	run       *Run
	pass      *Pass
	lister    Lister // nil: the pass is not cut into ranges
	ranges    *checkpoint.Journal
	shards    sync.WaitGroup
	listings  sync.WaitGroup
	cancel    context.CancelFunc

	mu sync.Mutex // guards everything below
	// starts are the beginnings of the ranges behind the first one, which begins at 0. Each ends before the next one; the last
	// one has no end.
	starts []uint64
	next   int // the next range to be taken
	slots  []slot
	// running tells which slots have a shard at work.
	running []bool
	// inflights are what the shards of the slots have in flight, nil: it was not read yet.
	inflights []*inflight

	active   int
	givenWay bool
	failed   error
	// listing is whether the IDs have been asked for; listed are those that came, until the pass is cut.
	listing bool
	listed  []Range
	// from and to are what the first page spanned, to 0: there was none yet. The ranges become as large.
	from, to uint64
}

// countsOf returns what a run has done so far. Errors are those of the storage.
func (c *Collector) countsOf(ctx context.Context, run *Run) (Counts, error) {
	counts := run.Counts
	if run.Pass == len(run.Passes) || run.Passes[run.Pass].Units != nil {
		return counts, nil
	}
	p, err := c.passOf(ctx, run)
	if err != nil {
		return Counts{}, err
	}
	for _, s := range p.slots {
		counts = counts.plus(s.Counts)
	}
	return counts, nil
}

// passOf returns the pass that a run is in. After a start it stands where it is stored to; later it is kept, also where there is
// no storage. Errors are those of the storage.
func (c *Collector) passOf(ctx context.Context, run *Run) (*pass, error) {
	if run.work != nil {
		return run.work, nil
	}
	p := &pass{collector: c, run: run, pass: &run.Passes[run.Pass]}
	p.lister, _ = c.source.(Lister)
	if err := p.load(ctx); err != nil {
		return nil, err
	}
	run.work = p
	return p, nil
}

// loadSlots reads the shards of the pass that a run is in. None are returned when one of them is lost: which range it was in is
// not known, so that the pass begins again. Errors are those of the storage.
func (c *Collector) loadSlots(ctx context.Context, run *Run) ([]slot, error) {
	slots := make([]slot, run.Slots)
	for k := range slots {
		found, err := c.state.store.Load(ctx, c.state.prefix(run)+"slot/"+strconv.Itoa(k), stateVersion, &slots[k])
		switch {
		case unreadable(err) || err == nil && !found:
			c.dataset.Log.Error("a stored cursor cannot be read; the pass begins again", zap.Error(err))
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("reading a cursor: %w", err)
		}
	}
	return slots, nil
}

// pass runs a pass. Finished is false when it has given way to a window; counts are those of the run.
func (c *Collector) pass(ctx context.Context, run *Run, counts *Counts) (finished bool, err error) {
	one := &run.Passes[run.Pass]
	if one.Units != nil {
		finished, err = c.probe(ctx, run, one)
		*counts = run.Counts
		return finished, err
	}
	p, err := c.passOf(ctx, run)
	if err != nil {
		return false, err
	}
	p.failed, p.givenWay = nil, false
	p.listing = len(p.starts) > 0 && !slices.Equal(p.starts, p.foreseen())
	ctx, p.cancel = context.WithCancel(ctx)
	defer p.listings.Wait()
	defer p.cancel()
	p.startMore(ctx)
	p.shards.Wait()
	if p.failed != nil {
		return false, p.failed
	}
	p.mu.Lock() // a list of IDs may still come
	defer p.mu.Unlock()
	*counts = run.Counts
	for _, s := range p.slots {
		*counts = counts.plus(s.Counts)
	}
	return p.finished(), nil
}

// finished reports whether all ranges were read to their ends. The caller holds mu.
func (p *pass) finished() bool {
	return p.next > len(p.starts) && !slices.ContainsFunc(p.slots, func(s slot) bool { return !s.Done })
}

// paged reports whether the last full collection had more than one page.
func (s *state) paged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored.Paged
}

// load reads where the pass stands. Errors are those of the storage.
func (p *pass) load(ctx context.Context) error {
	c := p.collector
	journal, data, err := c.state.store.OpenJournal(ctx, c.state.prefix(p.run)+"ranges", boundarySize)
	switch {
	case unreadable(err):
		c.dataset.Log.Error("stored ranges cannot be read; the pass begins again", zap.Error(err))
		p.run.Slots = 0
	case err != nil:
		return fmt.Errorf("reading ranges: %w", err)
	}
	p.ranges = journal
	for ; len(data) >= boundarySize; data = data[boundarySize:] {
		p.starts = append(p.starts, binary.LittleEndian.Uint64(data))
	}
	if p.slots, err = c.loadSlots(ctx, p.run); err != nil {
		return err
	}
	for _, s := range p.slots {
		p.next = max(p.next, s.Range+1)
	}
	p.running = make([]bool, len(p.slots))
	p.inflights = make([]*inflight, len(p.slots))
	return nil
}

// slotsNow is how many shards may run at once now.
func (p *pass) slotsNow() int {
	if p.lister == nil {
		return 1
	}
	return min(p.collector.options.MaxShards, max(1, p.lister.Slots()))
}

// grow starts shards: those that were interrupted, then more as long as there are ranges and Qualys allows more requests. The
// caller holds mu.
func (p *pass) grow(ctx context.Context) {
	if p.failed != nil || p.givenWay || ctx.Err() != nil {
		return
	}
	most := p.slotsNow()
	if !p.collector.started(p.run) {
		most = 1 // the first response tells since when changes may be missed, and has to be the first one
	}
	for k := range p.slots {
		if !p.slots[k].Done && !p.running[k] && p.active < most {
			p.start(ctx, k)
		}
	}
	for p.active < most && p.next <= len(p.starts) {
		k := 0
		for k < len(p.slots) && (!p.slots[k].Done || p.running[k]) {
			k++ // a slot whose range has just ended takes the next one by itself
		}
		if k == len(p.slots) {
			p.slots = append(p.slots, slot{Done: true})
			p.running = append(p.running, false)
			p.inflights = append(p.inflights, nil)
		}
		p.take(ctx, k)
		p.start(ctx, k)
	}
}

// take gives the next range to a slot. The caller holds mu.
func (p *pass) take(ctx context.Context, k int) {
	s := &p.slots[k]
	s.Range, s.Done, s.Cursor = p.next, false, Cursor{ID: p.start0(p.next)}
	p.next++
	state := p.collector.state
	if len(p.slots) == p.run.Slots {
		state.commit(ctx, nil, p.write(k))
		return
	}
	state.save(ctx, func() { p.run.Slots = len(p.slots) }, p.write(k))
}

// start0 is where a range begins.
func (p *pass) start0(r int) uint64 {
	if r == 0 {
		return 0
	}
	return p.starts[r-1]
}

// end is the last unit of a range, 0: it has no end. The caller holds mu.
func (p *pass) end(r int) uint64 {
	if r < len(p.starts) {
		return p.starts[r] - 1
	}
	return 0
}

// write returns what writes a slot as it is now.
func (p *pass) write(k int) func(tx *checkpoint.Tx) {
	key, s := p.collector.state.prefix(p.run)+"slot/"+strconv.Itoa(k), p.slots[k]
	return func(tx *checkpoint.Tx) { tx.Put(key, stateVersion, &s) }
}

// start starts the shard of a slot. The caller holds mu.
func (p *pass) start(ctx context.Context, k int) {
	p.active++
	p.running[k] = true
	p.shards.Go(func() { p.work(ctx, k) })
}

// work reads the range of a slot to its end, and then has others started: each range that was interrupted, or not begun, needs
// a shard, and how many run at once may have changed.
func (p *pass) work(ctx context.Context, k int) {
	err := p.shard(ctx, k)
	p.yields()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && p.failed == nil {
		p.failed = err
		p.cancel()
	}
	p.active--
	p.running[k] = false
	p.grow(ctx)
}

// startMore starts more shards where a response has told that there is room for more requests. Where the last full collection had
// several pages, this one will: its IDs are asked for beside its first page, and it begins with the ranges of that one.
func (p *pass) startMore(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leads() && p.collector.state.paged() {
		p.list(ctx)
		if starts := p.foreseen(); len(starts) > 0 && len(p.slots) == 0 {
			p.starts = starts
			p.collector.state.commit(ctx, nil, p.writeRanges())
		}
	}
	p.grow(ctx)
}

// leads reports whether this is the pass of a full collection that decides what ranges the next one begins with.
func (p *pass) leads() bool { return p.run.Full && p.run.Pass == 0 }

// foreseen are the beginnings of ranges that are known before the IDs are listed: those of the last full collection.
func (p *pass) foreseen() (starts []uint64) {
	if p.leads() && p.lister != nil {
		p.collector.state.read(func(s *State) {
			if s.CutFor == p.collector.options.PageSize {
				starts = slices.Clone(s.Cuts)
			}
		})
	}
	return starts
}

// cuts are the beginnings of ranges for the next full collection. There are none if the ranges were so small that many pages were
// not full: then its first page tells anew how large they may be.
func (p *pass) cuts(counts Counts) []uint64 {
	if size := int64(p.collector.options.PageSize); 5*counts.Units < 4*size*(counts.Pages-1) {
		return nil
	}
	return slices.Clone(p.starts[:min(len(p.starts), p.collector.options.MaxShards)])
}

// inflight returns what the shard of a slot has in flight. Errors are those of the storage.
func (p *pass) inflight(ctx context.Context, k int) (*inflight, error) {
	p.mu.Lock()
	known := p.inflights[k]
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	c := p.collector
	read, err := openInflight(ctx, c.state.store, c.state.prefix(p.run)+"inflight/"+strconv.Itoa(k), c.dataset.Log)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.inflights[k] = read
	p.mu.Unlock()
	return read, nil
}

// together reports whether several shards run.
func (p *pass) together() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active > 1
}

// list asks for the IDs of the pass while it goes on. The caller holds mu.
func (p *pass) list(ctx context.Context) {
	c := p.collector
	if p.listing || p.lister == nil || c.unlisted || p.slotsNow() == 1 {
		return
	}
	p.listing = true
	p.listings.Go(func() {
		tries := newBackOff(c.dataset.Settings.Retry)
		for try := 1; ; try++ {
			if c.dataset.Gate.Wait(ctx) != nil {
				return
			}
			listed, err := p.lister.List(ctx, p.pass)
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				p.mu.Lock()
				p.listed = listed
				p.recut(ctx)
				p.mu.Unlock()
				return
			case errors.Is(err, ErrNoList):
				c.dataset.Log.Warn("the IDs of a pass cannot be listed; it is collected with one request at a time", zap.Error(err))
				p.mu.Lock()
				c.unlisted = true
				p.mu.Unlock()
				return
			case try == listTries:
				c.dataset.Log.Warn("the IDs of a pass could not be listed; it goes on with one request at a time", zap.Error(err))
				return
			}
			if sleep(ctx, tries.NextBackOff()) != nil {
				return
			}
		}
	})
}

// cut cuts the rest of the pass into ranges, if that is what the shard of a slot reads from cursor on. It returns the boundaries;
// nil: it is not cut. The caller holds mu.
func (p *pass) cut(k int, cursor uint64) []uint64 {
	if p.listed == nil || p.slots[k].Range != len(p.starts) {
		return nil
	}
	starts := boundaries(p.listed, cursor, p.each())
	p.listed = nil
	if len(starts) < 2 {
		return nil
	}
	return starts
}

// recut makes ranges of listed IDs of what nobody has begun to read: those of the last full collection may have become smaller, and
// all that is new is in the last one. The caller holds mu.
func (p *pass) recut(ctx context.Context) {
	if p.next == 0 || p.next > len(p.starts) {
		return
	}
	starts := boundaries(p.listed, p.start0(p.next), p.each())
	if len(starts) == 0 {
		return
	}
	p.listed = nil
	p.starts = append(slices.Clone(p.starts[:p.next-1]), starts...)
	p.collector.state.commit(ctx, nil, p.writeRanges())
	p.tell()
}

// each is how many listed IDs are to make a range: as many as the first page spanned. Where that is not known yet, it is what it was
// in the last full collection. The caller holds mu.
func (p *pass) each() (n uint64) {
	if p.to != 0 {
		return countBetween(p.listed, p.from, p.to)
	}
	if p.leads() {
		p.collector.state.read(func(s *State) { n = s.Each })
	}
	return n
}

// writeRanges returns what writes where the ranges begin. The caller holds mu until it was called.
func (p *pass) writeRanges() func(tx *checkpoint.Tx) {
	data := make([]byte, 0, len(p.starts)*boundarySize)
	for _, start := range p.starts {
		data = binary.LittleEndian.AppendUint64(data, start)
	}
	return func(tx *checkpoint.Tx) {
		tx.Clear(p.ranges)
		tx.Append(p.ranges, data)
	}
}

// tell says that there are ranges. The caller holds mu.
func (p *pass) tell() {
	p.collector.dataset.Log.Info("collecting ranges of IDs side by side", zap.Int("ranges", len(p.starts)+1), zap.Int("slots", p.slotsNow()))
}

// countBetween is how many of listed IDs lie between from and to, that one not included.
func countBetween(listed []Range, from, to uint64) uint64 {
	n := uint64(0)
	for _, r := range listed {
		first, last := max(r.First, from), min(r.Last, to-1)
		if first <= last {
			n += last - first + 1
		}
	}
	return n
}

// boundaries returns the beginnings of ranges from cursor on of so many listed IDs each.
func boundaries(listed []Range, cursor, each uint64) []uint64 {
	if each == 0 {
		return nil
	}
	var starts []uint64
	room := uint64(0) // in the range that was begun last
	for _, r := range listed {
		first := max(r.First, cursor)
		for first <= r.Last {
			if room == 0 {
				start := first
				if len(starts) == 0 {
					start = cursor
				}
				starts = append(starts, start)
				room = each
			}
			n := min(room, r.Last-first+1)
			room -= n
			first += n
			if first == 0 {
				break // it was the greatest ID there is
			}
		}
	}
	return starts
}
