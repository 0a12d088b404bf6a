// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v7"
	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// shard reads one range of a pass from its cursor to its end. It is owned by one goroutine; its deliveries, of which one at a
// time is under way, change the cursor while a page is read.
type shard struct {
	pass      *pass
	collector *Collector
	slot      int
	inflight  *inflight
	isolator  *isolator
	tries     *backoff.ExponentialBackOff
	// descended is whether IDs were seen to descend within the page: the cursor stays where the page began, also when it is asked
	// for again.
	descended atomic.Bool
	began     uint64 // the cursor when the page began
	last      uint64 // the last unit that was read of the page
	// whole are the units of the page that were delivered whole, open is the one that was delivered in part, 0: none.
	whole []uint64
	open  uint64
	// extra are parameters that the last response asked for the next request.
	extra map[string]string
	// recovered, if not nil, ends the dataset's state of error that a broken page of this shard has led to.
	recovered func()
	moved     bool // something was delivered since the last failure
	span      PageSpan
}

// shard runs the shard of a slot to the end of its range, or until it gives way to a window.
func (p *pass) shard(ctx context.Context, k int) error {
	c := p.collector
	s := &shard{pass: p, collector: c, slot: k, isolator: newIsolator(c.size), tries: newBackOff(c.dataset.Settings.Retry)}
	var err error
	if s.inflight, err = p.inflight(ctx, k); err != nil {
		return err
	}
	defer s.recover()
	if c.options.Ordered {
		cursor := s.cursor().ID
		c.state.commit(ctx, nil, s.inflight.keep(func(one delivered) bool { return one.unit >= cursor }))
		s.descended.Store(s.inflight.descended())
	}
	for {
		more, err := s.page(ctx)
		if err != nil || !more || p.yields() {
			return err
		}
	}
}

// yields reports whether the pass gives way to a window.
func (p *pass) yields() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.givenWay = p.givenWay || p.collector.mustGiveWay(p.run, time.Now())
	return p.givenWay
}

// recover ends the state of error that the shard is in.
func (s *shard) recover() {
	if s.recovered != nil {
		s.recovered()
		s.recovered = nil
	}
}

// cursor is where the shard stands.
func (s *shard) cursor() Cursor {
	s.pass.mu.Lock()
	defer s.pass.mu.Unlock()
	return s.pass.slots[s.slot].Cursor
}

// rangeIndex is the index of the shard's range.
func (s *shard) rangeIndex() int {
	s.pass.mu.Lock()
	defer s.pass.mu.Unlock()
	return s.pass.slots[s.slot].Range
}

// end is the last unit of the shard's range, 0: it has no end.
func (s *shard) end() uint64 {
	s.pass.mu.Lock()
	defer s.pass.mu.Unlock()
	return s.pass.end(s.pass.slots[s.slot].Range)
}

// commit moves the shard and writes its slot, together with what else belongs to it.
func (s *shard) commit(ctx context.Context, move func(*slot), write ...func(tx *checkpoint.Tx)) {
	spent := s.collector.dataset.progress.spent()
	s.pass.mu.Lock()
	move(&s.pass.slots[s.slot])
	s.pass.slots[s.slot].Counts = s.pass.slots[s.slot].Counts.plus(spent)
	own := s.pass.write(s.slot)
	s.pass.mu.Unlock()
	s.collector.state.commit(ctx, nil, func(tx *checkpoint.Tx) {
		for _, w := range write {
			w(tx)
		}
		own(tx)
	})
}

// page asks for one page and delivers it. More is whether the range goes on.
func (s *shard) page(ctx context.Context) (more bool, err error) {
	c := s.collector
	cursor, last := s.cursor(), s.end()
	if left := s.isolator.quarantine(); len(left) > 0 && c.options.Ordered {
		s.leaveOut(ctx, left)
		cursor = s.cursor()
	}
	if c.options.Ordered && last != 0 && cursor.ID > last {
		s.commit(ctx, func(own *slot) { own.Done = true }, s.inflight.keep(func(delivered) bool { return false }))
		return false, nil
	}
	at := s.isolator.next(cursor.ID, last)
	if !c.options.Ordered {
		at = step{limit: s.isolator.pageLimit()}
	}
	if c.options.Ordered && !at.peek {
		c.state.missed(ctx, s.pass.pass.Query, at.min, at.max)
	}
	request := s.request(cursor, at)
	if c.options.Ordered && request.Max != 0 && request.Cursor.ID > request.Max {
		s.commit(ctx, func(own *slot) { own.Cursor.ID = request.Cursor.ID }) // only quarantined units were left of it
		return true, nil
	}
	page, err := s.fetch(ctx, request, at)
	if page == nil {
		return true, err
	}
	defer s.endSpan(nil)
	defer page.Close()
	if at.peek {
		return true, s.peek(ctx, page, at)
	}
	return s.read(ctx, page, request, at)
}

// request is the next request. Quarantined units are left out of it: by naming the ranges between them, up to the last of
// them, and from then on as if there were none.
func (s *shard) request(cursor Cursor, at step) Request {
	cursor.Extra = s.extra
	r := Request{Pass: s.pass.pass, Collection: s.pass.run.ID, Sequence: s.pass.run.Sequence, Full: s.collector.fullSequence(), Cursor: cursor, Max: at.max, Limit: at.limit}
	if !s.collector.options.Ordered {
		return r
	}
	r.Cursor.ID = at.min
	first := r.Cursor.ID
	for _, unit := range s.collector.state.quarantined() {
		switch {
		case unit < first || at.max != 0 && unit > at.max:
		case unit == first && r.Ranges == nil:
			first++
			r.Cursor.ID = first
		default:
			if unit > first {
				r.Ranges = append(r.Ranges, Range{First: max(first, 1), Last: unit - 1})
			}
			first = unit + 1
		}
	}
	if r.Ranges == nil {
		return r
	}
	if at.max == 0 {
		r.Max = first - 1 // the last quarantined unit: what lies behind it has no end, and is asked for on its own
	} else if first <= at.max {
		r.Ranges = append(r.Ranges, Range{First: first, Last: at.max})
	}
	if !s.collector.takesRanges() {
		r.Max, r.Ranges = r.Ranges[0].Last, nil
	} else if len(r.Ranges) == 1 {
		r.Max, r.Ranges = r.Ranges[0].Last, nil
	}
	return r
}

// fetch sends a request, and begins the span of its page. It returns neither a page nor an error when the request failed and is
// to be sent again.
func (s *shard) fetch(ctx context.Context, r Request, at step) (Page, error) {
	c := s.collector
	if err := c.dataset.Settings.Deliverer.Ready(ctx); err != nil {
		return nil, err
	}
	gate := c.dataset.Gate
	through, err := gate.Enter(ctx)
	if err != nil {
		return nil, err
	}
	s.startSpan(ctx)
	page, err := c.source.Fetch(s.traced(ctx), r)
	if err == nil {
		gate.Open(through)
		s.pass.startMore(ctx)
		return page, nil
	}
	s.endSpan(err)
	if ctx.Err() != nil {
		gate.Leave(through)
		return nil, ctx.Err()
	}
	v := c.source.Judge(err)
	if r.Ranges != nil && v.NotAccepted {
		c.refuseRanges(err)
		gate.Leave(through)
		return nil, nil
	}
	if v.Response != NotAtFault {
		s.isolator.unanswered(at, v.Response == TooSlow)
	}
	return nil, gate.Fail(through, v, err)
}

// startSpan begins the span of a page.
func (s *shard) startSpan(ctx context.Context) {
	_, s.span = s.collector.dataset.StartPage(ctx, attribute.Int("qualys.pass", s.pass.run.Pass), attribute.Int("qualys.range", s.rangeIndex()))
}

// traced is a context whose spans are children of that of the page.
func (s *shard) traced(ctx context.Context) context.Context { return s.span.within(ctx) }

// endSpan ends the span of the page.
func (s *shard) endSpan(err error) { s.span.End(err) }

// peek looks whether a page can be read, and delivers nothing of it.
func (s *shard) peek(ctx context.Context, page Page, at step) error {
	err := page.Read(ctx, func(*records.Item) Decision { return Skip }, func(Chunk) error { return nil })
	if err != nil {
		return s.broken(ctx, at, err, false)
	}
	s.isolator.readWhole(at, 0)
	return nil
}

// read delivers a page, and turns it. More is whether the range goes on.
func (s *shard) read(ctx context.Context, page Page, r Request, at step) (more bool, err error) {
	c := s.collector
	s.inflight.begin()
	s.began = s.cursor().ID
	s.last, s.whole, s.open, s.moved = 0, s.whole[:0], 0, false
	batches := c.dataset.NewBatches(s.pass.run.ID, s.pass.together, func(ctx context.Context, b *Batch) error { return s.deliver(s.traced(ctx), b) })
	met := newMeeting(c.options.Ordered, s.inflight)
	units, made := 0, 0
	answered := false
	head := func() {
		if !answered {
			answered = true
			c.dataset.Health.Reach(health.Authenticated)
			c.begun(ctx, s.pass.run, page.ServerTimes())
			s.pass.startMore(ctx)
		}
	}
	err = page.Read(ctx, s.decide(met, r.Max), func(chunk Chunk) error {
		head()
		c.dataset.Repairs(ctx, &chunk)
		units, made = units+chunk.UnitsDone, made+len(chunk.Items)
		if chunk.UnitsDone > 0 {
			s.descends(&chunk)
		}
		return batches.Add(ctx, chunk)
	})
	if err == nil {
		head()
	}
	s.span.Read(units, made)
	c.dataset.progress.received.Add(page.Bytes())
	if ctx.Err() == nil {
		// What was read whole before an error is delivered before anything is asked for again.
		if failed := batches.Flush(ctx); failed != nil {
			return false, errors.Join(failed, batches.End())
		}
	} else if failed := batches.End(); failed != nil {
		return false, failed
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err == nil {
		return s.turn(ctx, page, r, at, units, met)
	}
	return true, s.broken(ctx, at, err, batches.HeldUp())
}

// decide says what becomes of an item of a page that was asked for up to a unit, 0: it has no end. What lies behind that comes
// where the server does not take the parameter that says so; another request brings it.
func (s *shard) decide(met *meeting, last uint64) Decide {
	state, deduplicate, ordered := s.collector.state, s.pass.pass.Deduplicate, s.collector.options.Ordered
	return func(item *records.Item) Decision {
		switch {
		case ordered && last != 0 && item.Unit > last:
			return Skip
		case met.delivered(item):
			return Skip
		case deduplicate && state.dedup.contains(fingerprintOf(item)):
			return Duplicate
		}
		return Take
	}
}

// broken takes note of a page that could not be read, and waits until it may be asked for again.
func (s *shard) broken(ctx context.Context, at step, err error, heldUp bool) error {
	var within *UnitError
	if !heldUp && errors.As(err, &within) {
		unit := within.Unit
		if unit < s.cursor().ID || !s.collector.options.Ordered {
			unit = 0 // it was read whole; the break came behind it
		}
		s.isolator.broke(at, unit)
	}
	s.endSpan(err)
	s.recover()
	s.recovered = s.collector.dataset.Gate.failed(health.ThirdPartyGeneric, err)
	s.collector.dataset.progress.retries.Add(1)
	if s.moved {
		s.tries.Reset()
	}
	return sleep(ctx, s.tries.NextBackOff())
}

// deliver offers a batch until it is accepted, and moves the cursor behind it.
func (s *shard) deliver(ctx context.Context, b *Batch) error {
	c := s.collector
	for _, stage := range c.options.Stages {
		if err := stage(ctx, b); err != nil {
			return err
		}
	}
	if err := c.dataset.Offer(ctx, b); err != nil {
		return err
	}
	s.moved = s.moved || len(b.Items) > 0 || b.Units > 0
	if s.moved {
		s.recover()
		c.dataset.Gate.Collecting()
	}
	repeating := c.repeating(s.pass.run, b.Items, b.Duplicates)
	c.state.dedup.add(repeating)
	writes := []func(tx *checkpoint.Tx){func(tx *checkpoint.Tx) { c.state.dedup.write(tx, repeating) }}
	writes = append(writes, b.Writes...)
	if c.options.Delivered != nil {
		writes = append(writes, c.options.Delivered(b))
	}
	cursor, descended := s.cursor().ID, s.descended.Load()
	switch {
	case descended && cursor > s.began:
		// It goes back to where the page began: smaller IDs may still come, and what was delivered is left out then.
		cursor = s.began
		writes = append(writes, s.inflight.add(s.wholeUnits()))
	case c.options.Ordered && b.UnitDone != 0 && !descended:
		cursor = max(cursor, b.UnitDone+1)
		s.isolator.passed(cursor)
		writes = append(writes, s.inflight.keep(func(one delivered) bool { return one.unit >= cursor }))
	}
	writes = append(writes, s.inflight.add(s.notPassed(b, cursor, descended)))
	s.ended(b)
	s.commit(ctx, func(own *slot) {
		own.Cursor.ID = cursor
		own.Counts.Units += int64(b.Units)
		own.Counts.Records += int64(len(b.Items))
		own.Counts.Bytes += int64(b.Bytes)
		own.Counts.Duplicates += int64(len(b.Duplicates))
	}, writes...)
	return nil
}

// ended takes note of the units that a batch has brought to their end.
func (s *shard) ended(b *Batch) {
	end := func() {
		if s.open != 0 {
			s.whole = append(s.whole, s.open)
			s.open = 0
		}
	}
	for i := range b.Items {
		if unit := b.Items[i].Unit; unit != s.open {
			end()
			s.open = unit
		}
	}
	if b.UnitDone == s.open {
		end()
	}
}

// notPassed are the records of a batch that the cursor does not pass with it.
func (s *shard) notPassed(b *Batch, cursor uint64, descended bool) []delivered {
	var fresh []delivered
	note := func(items []records.Item) {
		for i := range items {
			item := &items[i]
			if !s.collector.options.Ordered || item.Unit >= cursor || descended {
				fresh = append(fresh, delivered{unit: item.Unit, fingerprint: fingerprintOf(item)})
			}
		}
	}
	note(b.Items)
	if !s.collector.options.Ordered || descended {
		note(b.Duplicates)
	}
	return fresh
}

// descends takes note of the order of the units in a page. Where IDs descend, units behind the cursor may not have come yet.
func (s *shard) descends(chunk *Chunk) {
	if !s.collector.options.Ordered {
		return
	}
	for i := range chunk.Items {
		unit := chunk.Items[i].Unit
		if unit < s.last && !s.descended.Load() {
			s.descended.Store(true)
			s.collector.dataset.Log.Warn("hosts do not come in ascending order; a page that is cut is asked for again from its beginning", zap.Uint64("before", s.last), zap.Uint64("unit", unit))
		}
		s.last = unit
	}
}

// wholeUnits are the units of the page that were delivered whole.
func (s *shard) wholeUnits() []delivered {
	whole := make([]delivered, len(s.whole))
	for i, unit := range s.whole {
		whole[i] = delivered{unit: unit, fingerprint: wholeUnit}
	}
	return whole
}

// turn goes on behind a page that was read whole. More is whether the range goes on.
func (s *shard) turn(ctx context.Context, page Page, r Request, at step, units int, met *meeting) (more bool, err error) {
	c, p := s.collector, s.pass
	next, more, err := page.Next()
	if err != nil {
		return true, s.broken(ctx, at, fmt.Errorf("page: %w", err), false)
	}
	s.isolator.readWhole(at, units)
	s.descended.Store(false)
	s.tries.Reset()
	s.recover()
	c.dataset.progress.pages.Add(1)
	c.dataset.Gate.Collecting()
	end, full := s.end(), more
	s.extra = next.Extra
	switch {
	case more && r.Max != 0 && next.ID > r.Max && c.options.Ordered:
		more, s.extra = false, nil
	case !more:
		s.extra = nil
	}
	if !more && c.options.Ordered && r.Max != 0 && r.Max != end {
		more, next = true, Cursor{ID: r.Max + 1} // what was asked for was a part of the range
	}
	writes := []func(tx *checkpoint.Tx){s.inflight.keep(func(one delivered) bool { return met.keeps(one, next) })}
	if !more {
		s.commit(ctx, func(own *slot) {
			own.Counts.Pages++
			own.Done = true
		}, writes...)
		return false, nil
	}
	p.mu.Lock()
	if p.to == 0 && c.options.Ordered {
		p.from, p.to = r.Cursor.ID, next.ID
	}
	if full {
		p.list(ctx) // not where it goes on only behind a quarantined unit
	}
	each := p.each()
	starts := p.cut(s.slot, next.ID)
	p.mu.Unlock()
	if starts != nil {
		s.split(ctx, starts, each, writes)
		return false, nil
	}
	s.commit(ctx, func(own *slot) {
		own.Counts.Pages++
		own.Cursor = Cursor{ID: max(own.Cursor.ID, next.ID), Ties: next.Ties}
		if !c.options.Ordered {
			own.Cursor.ID = next.ID
		}
	}, writes...)
	p.startMore(ctx)
	return true, nil
}

// split ends the shard's range behind its page, and makes ranges of the rest, of so many listed IDs each.
func (s *shard) split(ctx context.Context, starts []uint64, each uint64, writes []func(tx *checkpoint.Tx)) {
	p := s.pass
	p.mu.Lock()
	p.starts = append(p.starts, starts...)
	ranges := p.writeRanges()
	p.tell()
	p.mu.Unlock()
	s.commit(ctx, func(own *slot) {
		own.Counts.Pages++
		own.Done = true
	}, append(writes, ranges)...)
	if p.leads() {
		stored := &s.collector.state.stored
		s.collector.state.save(ctx, func() { stored.Each, stored.CutFor = each, s.collector.options.PageSize })
	}
	p.startMore(ctx)
}

// leaveOut quarantines units that break their pages while others can be read.
func (s *shard) leaveOut(ctx context.Context, units []uint64) {
	c := s.collector
	c.state.quarantine(ctx, s.pass.pass.Query, units, s.inflight.of)
	c.dataset.Log.Error("hosts quarantined: their data cannot be parsed or had; trying them again in later collections", zap.Uint64s("units", units))
}
