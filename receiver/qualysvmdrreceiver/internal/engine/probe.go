// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// probeTries is how often quarantined units are asked for in one collection if there are only errors instead of a response.
// Then they wait for the next collection: they must not hold up what can be read.
const probeTries = 3

// probes returns the passes that try quarantined units again: in each collection on the first day, then daily, after a month
// weekly. Those that have missed the same are tried together.
func probes(quarantine []Quarantined, now time.Time) []Pass {
	var passes []Pass
	for i := range quarantine {
		q := &quarantine[i]
		every := time.Duration(0)
		switch age := now.Sub(q.Since); {
		case age >= 30*24*time.Hour:
			every = 7 * 24 * time.Hour
		case age >= 24*time.Hour:
			every = 24 * time.Hour
		}
		if ago := now.Sub(q.Tried); ago >= 0 && ago < every { // below 0: the clock was set back since
			continue
		}
		k := slices.IndexFunc(passes, func(p Pass) bool { return p.equal(q.Query) })
		if k < 0 {
			k = len(passes)
			passes = append(passes, Pass{Query: q.Query, Deduplicate: true})
		}
		passes[k].Units = append(passes[k].Units, q.Unit)
	}
	return passes
}

// probe tries quarantined units again, all at once, and halves of them where that breaks.
func (c *Collector) probe(ctx context.Context, run *Run, p *Pass) (finished bool, err error) {
	left := c.state.quarantined()
	units := slices.DeleteFunc(slices.Clone(p.Units), func(unit uint64) bool { return !slices.Contains(left, unit) })
	groups := [][]uint64{units}
	for len(groups) > 0 {
		group := groups[0]
		groups = groups[1:]
		if len(group) == 0 {
			continue
		}
		rest, err := c.probeGroup(ctx, run, p, group)
		if err != nil {
			return false, err
		}
		groups = append(rest, groups...)
	}
	return true, nil
}

// probeGroup tries some units in one request, and returns what is left to try.
func (c *Collector) probeGroup(ctx context.Context, run *Run, p *Pass, group []uint64) (rest [][]uint64, err error) {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	page, v, err := c.probePage(reading, run, p, group)
	if page != nil {
		defer page.Close()
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && v.NotAccepted && len(group) == 1:
		c.dataset.Log.Warn("quarantined host given up: qualys does not accept its ID any more", zap.Uint64("unit", group[0]), zap.Error(err))
		c.state.release(ctx, group)
		return nil, nil
	case err != nil && v.Class != Generic && !v.NotAccepted:
		return nil, err
	case err != nil && len(group) > 1 && (v.NotAccepted || v.Response != NotAtFault):
		return halves(group), nil
	case err != nil:
		c.dataset.Log.Warn("no response for quarantined hosts; retrying them in a later collection", zap.Uint64s("units", group), zap.Error(err))
		c.state.tried(ctx, group)
		return nil, nil
	}
	met := map[uint64]bool{}
	err = c.probeRead(ctx, run, p, page, group, met)
	c.dataset.progress.received.Add(page.Bytes())
	var within *UnitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &within) {
		return nil, err
	}
	if err == nil {
		next, more, _ := page.Next()
		read := slices.DeleteFunc(slices.Clone(group), func(unit uint64) bool { return more && unit >= next.ID })
		c.released(ctx, read)
		if len(read) < len(group) && len(read) > 0 {
			rest = append(rest, group[len(read):])
		}
		return rest, nil
	}
	k := slices.Index(group, within.Unit)
	switch {
	case k >= 0:
		// Those that came before it were read whole. Where units do not ascend, these are not those with smaller IDs.
		c.released(ctx, slices.DeleteFunc(slices.Clone(group), func(unit uint64) bool { return unit == within.Unit || !met[unit] }))
		c.dataset.Log.Warn("quarantined host still cannot be read", zap.Uint64("unit", within.Unit), zap.Error(err))
		c.state.tried(ctx, group[k:k+1])
		return [][]uint64{slices.DeleteFunc(slices.Clone(group), func(unit uint64) bool { return unit == within.Unit || met[unit] })}, nil
	case len(group) > 1:
		return halves(group), nil
	}
	c.dataset.Log.Warn("quarantined host still cannot be read", zap.Uint64("unit", group[0]), zap.Error(err))
	c.state.tried(ctx, group)
	return nil, nil
}

// released leaves units out no more that could be read.
func (c *Collector) released(ctx context.Context, units []uint64) {
	if len(units) > 0 {
		c.dataset.Log.Info("quarantined hosts could be read", zap.Uint64s("units", units))
		c.state.release(ctx, units)
	}
}

func halves(group []uint64) [][]uint64 {
	return [][]uint64{group[:len(group)/2], group[len(group)/2:]}
}

// probePage asks for quarantined units, some more times if no response comes.
func (c *Collector) probePage(ctx context.Context, run *Run, p *Pass, group []uint64) (Page, Verdict, error) {
	r := Request{Pass: p, Collection: run.ID, Sequence: run.Sequence, Full: c.fullSequence(), Limit: len(group), Max: group[len(group)-1]}
	for _, unit := range group {
		r.Ranges = append(r.Ranges, Range{First: unit, Last: unit})
	}
	if p.Filter == "" {
		known := c.state.deliveredOf(group)
		r.Brought = func(item *records.Item) bool { return known.has(fingerprintOf(item).key) }
	}
	tries := newBackOff(c.dataset.Settings.Retry)
	for try := 1; ; try++ {
		if err := c.dataset.Settings.Deliverer.Ready(ctx); err != nil {
			return nil, Verdict{}, err
		}
		through, err := c.dataset.Gate.Enter(ctx)
		if err != nil {
			return nil, Verdict{}, err
		}
		page, err := c.source.Fetch(ctx, r)
		if err == nil {
			c.dataset.Gate.Open(through)
			return page, Verdict{}, nil
		}
		v := c.source.Judge(err)
		if v.Class == Generic || v.NotAccepted || ctx.Err() != nil {
			c.dataset.Gate.Leave(through)
		} else if stopped := c.dataset.Gate.Fail(through, v, err); stopped != nil {
			return nil, v, stopped
		} else {
			continue
		}
		if try == probeTries || v.NotAccepted || v.Response != NotAtFault && len(group) > 1 {
			return nil, v, err
		}
		c.dataset.progress.retries.Add(1)
		if err := sleep(ctx, tries.NextBackOff()); err != nil {
			return nil, v, err
		}
	}
}

// probeRead delivers what a response brings of quarantined units, and notes in met which of them it has met.
func (c *Collector) probeRead(ctx context.Context, run *Run, p *Pass, page Page, group []uint64, met map[uint64]bool) error {
	known := c.state.deliveredOf(group)
	alone := func() bool { return false }
	batches := c.dataset.NewBatches(run.ID, alone, func(ctx context.Context, b *Batch) error { return c.probeDeliver(ctx, run, b) })
	decide := func(item *records.Item) Decision {
		one := fingerprintOf(item)
		switch {
		case !slices.Contains(group, item.Unit):
			return Skip
		case known.contains(one) || p.Filter != "" && c.state.dedup.contains(one):
			return Duplicate
		}
		return Take
	}
	err := page.Read(ctx, decide, func(chunk Chunk) error {
		c.dataset.Repairs(ctx, &chunk)
		for _, items := range [][]records.Item{chunk.Items, chunk.Duplicates} {
			for i := range items {
				met[items[i].Unit] = true
			}
		}
		return batches.Add(ctx, chunk)
	})
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), batches.End())
	}
	if failed := batches.Flush(ctx); failed != nil {
		return errors.Join(failed, batches.End())
	}
	if err == nil {
		c.begun(ctx, run, page.ServerTimes())
		c.dataset.progress.pages.Add(1)
		c.state.note(func() { run.Counts.Pages++ }) // written with what becomes of the units
		c.dataset.Gate.Collecting()
	}
	return err
}

// probeDeliver offers a batch of quarantined units until it is accepted, and keeps what was delivered with them: their window
// does not move on before they can be read.
func (c *Collector) probeDeliver(ctx context.Context, run *Run, b *Batch) error {
	for _, stage := range c.options.Stages {
		if err := stage(ctx, b); err != nil {
			return err
		}
	}
	if err := c.dataset.Offer(ctx, b); err != nil {
		return err
	}
	done := c.dataset.progress.spent()
	done.Units, done.Records, done.Bytes, done.Duplicates = int64(b.Units), int64(len(b.Items)), int64(b.Bytes), int64(len(b.Duplicates))
	byUnit := map[uint64][]fingerprint{}
	for _, items := range [][]records.Item{b.Items, b.Duplicates} {
		for i := range items {
			byUnit[items[i].Unit] = append(byUnit[items[i].Unit], fingerprintOf(&items[i]))
		}
	}
	change, write := c.state.noteQuarantined(byUnit)
	var more func(tx *checkpoint.Tx)
	if c.options.Delivered != nil {
		more = c.options.Delivered(b)
	}
	c.state.save(ctx, func() {
		change()
		run.Counts = run.Counts.plus(done)
	}, func(tx *checkpoint.Tx) {
		write(tx)
		for _, w := range b.Writes {
			w(tx)
		}
		if more != nil {
			more(tx)
		}
	})
	return nil
}
