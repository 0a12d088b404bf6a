// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// Options say how a source is collected.
type Options struct {
	// Selection is what selects the items: when it changes, a first collection begins.
	Selection []any
	// Interval is the time from start to start, Full that between full collections (0: never).
	Interval, Full time.Duration
	// FullAfter, if not zero, asks for a full collection when the last one began before.
	FullAfter time.Time
	// Overlap is how far a collection reaches back behind the start of the previous one.
	Overlap time.Duration
	// PageSize is the number of units asked for at once, at most.
	PageSize int
	// Ordered is whether units come in ascending order and cursors are their IDs: then a cursor moves with every unit.
	// Otherwise it moves from page to page.
	Ordered bool
	// GivesWay is whether a full collection is interrupted by windows when they are due.
	GivesWay bool
	// MaxShards is how many shards run at once, at most.
	MaxShards int
	// Stages are gone through by each batch before it is delivered.
	Stages []Stage
	// Delivered, if not nil, is told of each batch that was accepted. What it returns is written with the cursor.
	Delivered func(b *Batch) func(tx *checkpoint.Tx)
	// Started, if not nil, is told of the first response of a collection, and its start by the server's clock.
	Started func(start time.Time)
	// Finished, if not nil, is told of each finished collection before that is committed, and of what it has done.
	Finished func(ctx context.Context, run *Run, counts Counts) error
	// Events, if not nil, is the shape of a record that tells of each finished collection.
	Events *records.Settings
	// NeedsFull, if not nil, reports whether the next collection must be a full one. It is asked before each one that is not a
	// window of a full one. FullBegun, if not nil, is told of each full collection that has begun, once that is stored.
	NeedsFull func() bool
	FullBegun func()
	// LoadFirst, if not nil, reads what others keep and this dataset adds to. Errors are those of the storage.
	LoadFirst func(context.Context) error
	// Ended, if not nil, is told of the error that stopped the dataset for good.
	Ended func(health.ErrorType, error)
}

// Collector collects a source, again and again. Run is for one goroutine, everything else is safe for concurrent use.
type Collector struct {
	dataset *Dataset
	source  Source
	options Options
	size    *pageSize

	state *state
	// known is the state once it was loaded, for metrics.
	known atomic.Pointer[state]
	// noRanges is whether Qualys does not accept ranges of IDs to leave quarantined units out by.
	noRanges atomic.Bool
	// windowLast is whether a window was what moved last: then a full collection gets its turn, though the next window is due.
	windowLast bool
	// unlisted is whether the list of IDs cannot be had, until the next full collection begins.
	unlisted bool
	// trouble, if not nil, is reported while nothing else is, and recovered ends that.
	trouble   error
	recovered func()
}

// NewCollector returns a collector of a source.
func NewCollector(settings Settings, name string, status *health.Dataset, source Source, options Options) *Collector {
	c := &Collector{source: source, options: options, size: newPageSize(options.PageSize)}
	c.dataset = NewDataset(settings, name, status, c.worked)
	c.options.MaxShards = max(1, options.MaxShards)
	return c
}

// worked reports whether the dataset has worked with what is configured.
func (c *Collector) worked() bool {
	worked := false
	c.state.read(func(s *State) {
		worked = !s.Watermark.IsZero() || s.Full != nil && !s.Full.Start.IsZero()
	})
	return worked
}

// Run collects until the context ends, or an error stops the dataset for good.
func (c *Collector) Run(ctx context.Context) {
	if stopped, ok := IsStopped(c.dataset.Run(ctx, c)); ok && c.options.Ended != nil {
		c.options.Ended(stopped.Type, stopped.Err)
	}
}

// Done is the number of units done in the running collection, or in the last one.
func (c *Collector) Done() int64 { return c.dataset.Done() }

// Lag is the time since the start of the last finished collection by the server's clock; there is none before the first.
// Everything that had changed by then was delivered.
func (c *Collector) Lag() (time.Duration, bool) {
	watermark := time.Time{}
	if s := c.known.Load(); s != nil {
		s.read(func(s *State) { watermark = s.Watermark })
	}
	if watermark.IsZero() {
		return 0, false
	}
	return max(0, time.Since(watermark)), true
}

// Quarantined is the number of units in quarantine.
func (c *Collector) Quarantined() int {
	if s := c.known.Load(); s != nil {
		return len(s.quarantined())
	}
	return 0
}

// Load implements [Work].
func (c *Collector) Load(ctx context.Context) error {
	if c.options.LoadFirst != nil {
		if err := c.options.LoadFirst(ctx); err != nil {
			return err
		}
	}
	wanted, err := Fingerprint(c.options.Selection...)
	if err != nil {
		return err
	}
	c.state, err = loadState(ctx, c.dataset.Settings.Store, c.dataset.Name, wanted, c.dataset.Log)
	if err != nil {
		return err
	}
	c.known.Store(c.state)
	return nil
}

// Next implements [Work].
func (c *Collector) Next() time.Time {
	if c.trouble != nil {
		c.dataset.Health.Fail(health.ThirdPartyGeneric, c.trouble) // the steps of a start lead out of it
	}
	var next time.Time
	c.state.read(func(s *State) {
		if s.Full == nil && s.Window == nil {
			next = Due(s.Started, c.options.Interval)
			if after := c.options.FullAfter; s.FullStarted.Before(after) && after.Before(next) {
				next = after
			}
		}
	})
	return next
}

// Collect implements [Work]: it goes on with the collection that is not finished, or begins the next one.
func (c *Collector) Collect(ctx context.Context) error {
	run := c.choose(ctx, time.Now())
	counts, err := c.countsOf(ctx, run)
	if err != nil {
		return err
	}
	window := run.Window()
	c.dataset.progress.begin(run.ID, window, run.Began, counts)
	for run.Pass < len(run.Passes) {
		c.shorten(ctx, run)
		finished, err := c.pass(ctx, run, &counts)
		if err != nil {
			return err
		}
		if !finished { // it gives way to a window
			spent := c.dataset.progress.spent()
			c.state.save(ctx, func() { run.Counts = run.Counts.plus(spent) })
			return nil
		}
		if run.Incomplete == "" {
			run.Incomplete = c.limited(run)
		}
		c.state.nextPass(ctx, run, counts)
	}
	if finisher, ok := c.source.(Finisher); ok {
		if err := finisher.Finish(ctx, run); err != nil {
			return err
		}
	}
	c.begun(ctx, run, nil) // where nothing was asked for, or nothing answered
	if c.options.Finished != nil {
		known := run.Incomplete
		if err := c.options.Finished(ctx, run, counts); err != nil {
			return err
		}
		if run.Incomplete != known {
			c.state.save(ctx, nil) // a source does not know it any more after a restart
		}
	}
	if c.options.Events != nil {
		if err := c.tell(ctx, run, counts.plus(c.dataset.progress.spent())); err != nil {
			return err
		}
	}
	c.state.finish(ctx, run, counts)
	c.dataset.Gate.Collecting() // what could not be finished at first may have brought nothing that could tell
	took := c.dataset.progress.finish(window)
	c.dataset.Settings.Telemetry.QualysvmdrCollectionDuration.Record(ctx, took.Seconds(), c.dataset.attrs)
	return nil
}

// choose returns the run to go on with. A window that is not finished comes first, then one that is due while a full
// collection runs, then that.
func (c *Collector) choose(ctx context.Context, now time.Time) *Run {
	var full, window *Run
	var watermark, fullStarted time.Time
	c.state.read(func(s *State) { full, window, watermark, fullStarted = s.Full, s.Window, s.Watermark, s.FullStarted })
	switch {
	case window != nil:
		c.windowLast = true
		c.state.dedup.begin()
		return window
	case full != nil && (c.windowLast || !c.mustGiveWay(full, now)):
		c.windowLast = false
		return full
	case full != nil:
		if watermark.IsZero() {
			watermark = full.Start
		}
		return c.begin(ctx, Window{Now: now, Watermark: watermark})
	}
	all := watermark.IsZero() || c.options.NeedsFull != nil && c.options.NeedsFull() ||
		c.options.Full > 0 && !now.Before(Due(fullStarted, c.options.Full)) ||
		fullStarted.Before(c.options.FullAfter) && !now.Before(c.options.FullAfter)
	return c.begin(ctx, Window{Now: now, Watermark: watermark, Full: all})
}

// begin begins a collection.
func (c *Collector) begin(ctx context.Context, w Window) *Run {
	c.windowLast = !w.Full
	if w.Full {
		c.unlisted = false
	}
	c.state.dedup.begin()
	run := c.state.begin(ctx, w.Now, w.Full, c.source.Plan(w))
	if w.Full && c.options.FullBegun != nil {
		c.options.FullBegun()
	}
	return run
}

// mustGiveWay reports whether a window is due that a full collection gives way to.
func (c *Collector) mustGiveWay(run *Run, now time.Time) bool {
	if !c.options.GivesWay || !run.Full {
		return false
	}
	due := false
	c.state.read(func(s *State) {
		since := !run.Start.IsZero() || !s.Watermark.IsZero() // it is known since when changes are missed
		due = since && !now.Before(Due(s.Started, c.options.Interval))
	})
	return due
}

// shorten has a pass of a full collection leave out what the windows have brought that it has given way to: it asks for what has
// changed since the last of them began, also where it goes on. It is not left out: what was fixed since then may be what the passes
// before it missed.
func (c *Collector) shorten(ctx context.Context, run *Run) {
	p := &run.Passes[run.Pass]
	if !run.Full || !p.Deduplicate || p.Units != nil || p.Filter == "" {
		return
	}
	since := p.Since
	c.state.read(func(s *State) {
		if brought := s.Watermark.Add(-c.options.Overlap); brought.After(since) {
			since = brought
		}
	})
	if !since.Equal(p.Since) {
		c.state.save(ctx, func() { p.Since = since })
	}
}

// begun takes the server's clock of a collection's first response as its start.
func (c *Collector) begun(ctx context.Context, run *Run, told []time.Time) {
	var start time.Time
	var doubt string
	if c.started(run) {
		return
	}
	local := time.Now()
	if len(told) == 0 {
		local = run.Began // what changed since may not have come
	}
	c.state.save(ctx, func() {
		if run.Start.IsZero() {
			start, doubt = StartOf(told, local, c.state.stored.Watermark, run.Previous, c.options.Overlap)
			run.Start = start
		}
	})
	if start.IsZero() {
		return
	}
	if doubt != "" {
		c.dataset.Log.Warn("the server's clock cannot be trusted: "+doubt, zap.Times("server_times", told), zap.Time("start", start))
	}
	if c.options.Started != nil {
		c.options.Started(start)
	}
}

// started reports whether the start of a collection is known.
func (c *Collector) started(run *Run) (known bool) {
	c.state.read(func(*State) { known = !run.Start.IsZero() })
	return known
}

// repeating returns the fingerprints of the items that a later window can bring again.
func (c *Collector) repeating(run *Run, lists ...[]records.Item) []fingerprint {
	var since time.Time
	c.state.read(func(s *State) {
		since = run.Start
		if run.Full && c.options.GivesWay && !s.Watermark.IsZero() {
			since = s.Watermark // the next window reaches back to the one before, also if it interrupts this collection
		}
	})
	since = since.Add(-c.options.Overlap)
	var found []fingerprint
	for _, items := range lists {
		for i := range items {
			if c.source.Repeats(&items[i], since) {
				found = append(found, fingerprintOf(&items[i]))
			}
		}
	}
	return found
}

// takesRanges reports whether several ranges of IDs can be asked for at once.
func (c *Collector) takesRanges() bool { return !c.noRanges.Load() }

// refuseRanges takes note that they cannot.
func (c *Collector) refuseRanges(err error) {
	if !c.noRanges.Swap(true) {
		c.dataset.Log.Warn("qualys does not accept ranges of IDs; quarantined hosts are left out with one request more each", zap.Error(err))
	}
}

// fullSequence is the sequence number of the full collection that is not finished, 0: there is none.
func (c *Collector) fullSequence() uint64 {
	n := uint64(0)
	c.state.read(func(s *State) {
		if s.Full != nil {
			n = s.Full.Sequence
		}
	})
	return n
}
