// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// window is what is asked for, for people.
const window = "entries of detected QIDs"

// work is what the catalog does for its dataset.
type work struct{ catalog *Catalog }

var _ engine.Work = work{}

// Load implements [engine.Work].
func (w work) Load(ctx context.Context) error { return w.catalog.Open(ctx) }

// Next implements [engine.Work].
func (w work) Next() time.Time {
	c := w.catalog
	now := time.Now()
	turned, again := c.entries.lookAgain(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = c.draining || turned
	if c.ready() || c.drained() {
		return time.Time{}
	}
	next := c.refreshDue()
	if full, ok := c.fullDue(); ok && full.Before(next) {
		next = full
	}
	if !again.IsZero() && again.Before(next) {
		next = again
	}
	if after, ok := c.retryDue(); ok && after.Before(next) {
		next = after
	}
	return next
}

// retryDue is when groups, or what else waits for a back-off, may be asked for, if there is such. The caller holds mu.
func (c *Catalog) retryDue() (due time.Time, waiting bool) {
	return c.after, len(c.groups) > 0 || time.Now().Before(c.after)
}

// ready reports whether there is something to fetch for which there is no time to wait: a page of QIDs, or the rest at the end
// of a collection, or what detections wait for. The caller holds mu.
func (c *Catalog) ready() bool {
	n := c.entries.queued()
	if n == 0 && len(c.groups) == 0 && len(c.suspects) == 0 && c.active.Load() == 0 {
		c.draining = false
	}
	if time.Now().Before(c.after) {
		return false
	}
	suspects := len(c.suspects) > 0 // the next request shows whether others can be read
	return n > 0 && (c.draining || n >= c.settings.PageSize || suspects) || suspects && len(c.groups) == 0
}

// drained reports whether the collection of entries that was begun is complete. The caller holds mu.
func (c *Catalog) drained() bool {
	return c.collecting && !c.detecting && c.entries.queued() == 0 && len(c.groups) == 0 && len(c.suspects) == 0 && c.active.Load() == 0
}

// refreshDue is when changed entries are to be looked for. The caller holds mu.
func (c *Catalog) refreshDue() time.Time {
	due := engine.Due(c.state.Refreshed, c.settings.Refresh)
	if c.refresh.after.After(due) {
		return c.refresh.after
	}
	return due
}

// fullDue is when all entries are to be delivered again, if they are. The caller holds mu.
func (c *Catalog) fullDue() (due time.Time, ever bool) {
	if c.settings.Full > 0 {
		due, ever = engine.Due(c.state.Full, c.settings.Full), true
	}
	if after := c.settings.FullAfter; c.state.Full.Before(after) && (!ever || after.Before(due)) {
		due, ever = after, true
	}
	return due, ever
}

// Collect implements [engine.Work]: it does what is to be done now, several requests at once. Entries do not wait for a refresh
// that fails and may work later.
func (w work) Collect(ctx context.Context) error {
	c := w.catalog
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	type result struct {
		refresh bool
		err     error
	}
	ended := make(chan result)
	start := func(refresh bool, do func(context.Context) error) {
		c.active.Add(1)
		running.Go(func() {
			err := do(ctx)
			c.active.Add(-1)
			select {
			case ended <- result{refresh, err}:
			case <-ctx.Done():
			}
		})
	}
	refreshing, fetching := false, 0
	for {
		now := time.Now()
		c.redeliver(ctx, now)
		c.mu.Lock()
		due := c.refreshDue()
		c.mu.Unlock()
		if !refreshing && !now.Before(due) {
			refreshing = true
			start(true, c.listChanges)
		}
		for slots := min(c.settings.MaxConcurrent, max(1, c.client.Concurrency(qualys.KnowledgeBase))); fetching < slots; fetching++ {
			g := c.next(ctx, now)
			if g == nil {
				break
			}
			start(false, func(ctx context.Context) error { return c.fetch(ctx, g) })
		}
		if !refreshing && fetching == 0 {
			break
		}
		c.mu.Lock()
		retry, waiting := c.retryDue()
		c.mu.Unlock()
		var again <-chan time.Time
		if waiting && retry.After(now) {
			again = time.After(retry.Sub(now))
		}
		select {
		case r := <-ended:
			if r.err != nil {
				return r.err
			}
			if r.refresh {
				refreshing = false
			} else {
				fetching--
			}
		case <-c.work:
		case <-again:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.mu.Lock()
	finished := c.drained()
	if finished {
		c.collecting = false
	}
	c.mu.Unlock()
	if finished {
		c.dataset.Finish(ctx, window)
	}
	return nil
}

// redeliver has all entries delivered again, if it is time.
func (c *Catalog) redeliver(ctx context.Context, now time.Time) {
	c.mu.Lock()
	due, ever := c.fullDue()
	c.mu.Unlock()
	if !ever || now.Before(due) {
		return
	}
	var turned []uint32
	c.commit(ctx, func() {
		turned = c.entries.turn(redeliver, now, delivered, recheck)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.state.Full, c.state.Refresh = now, uuid.NewString()
		c.draining = true
	}, func(tx *checkpoint.Tx) {
		c.entries.write(tx, turned)
		c.putState(tx)
	})
}
