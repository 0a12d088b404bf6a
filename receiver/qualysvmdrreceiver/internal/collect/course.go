// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"sync"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// course is how far a dataset has come whose collections follow each other, each with a window: its position, and what
// was delivered and can come again.
type course struct {
	*dataset

	// mu guards the position, which deliveries change and metrics read. Between deliveries the loop reads it without.
	mu        sync.Mutex
	position  position
	delivered *delivered
}

func newCourse(d *dataset) *course {
	return &course{dataset: d}
}

// Lag is the time since the start of the last finished collection by the server's clock; there is none before the first.
// Everything that had changed by then was delivered.
func (c *course) Lag() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.position.Previous.IsZero() {
		return 0, false
	}
	return max(0, time.Since(c.position.Previous)), true
}

// open reads what is stored. What is asked for is given in parts: when it has changed, everything is collected afresh.
// Errors are those of the storage.
func (c *course) open(ctx context.Context, asked ...any) error {
	stored, err := c.loadPosition(ctx, asked...)
	if err != nil {
		return err
	}
	if c.delivered, err = openDelivered(ctx, c.Store, c.name, stored.Generation, c.log); err != nil {
		return err
	}
	c.mu.Lock()
	c.position = stored
	c.mu.Unlock()
	if stored.Started.IsZero() {
		c.store(ctx, change{forget: true})
	}
	return nil
}

// nextAfter is when there is something to do, with collections in this interval from start to start.
func (c *course) nextAfter(interval time.Duration) time.Time {
	if c.position.Running != nil {
		return time.Time{}
	}
	return due(c.position.Started, interval)
}

// begin makes the collection that plan returns the running one.
func (c *course) begin(ctx context.Context, plan func(p *position, now time.Time) *collection) {
	now := time.Now()
	c.mu.Lock()
	c.position.Running = plan(&c.position, now)
	c.position.Started = now
	c.mu.Unlock()
	c.store(ctx, change{restart: true})
}

// start takes the server's clock of a collection's first answer as its start, and tells whether this was the first.
func (c *course) start(server time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	running := c.position.Running
	if !running.Start.IsZero() {
		return false
	}
	running.Start = orNow(server).UTC().Truncate(time.Second)
	return true
}

// complete makes the running collection the previous one.
func (c *course) complete(ctx context.Context) {
	c.mu.Lock()
	c.position.Previous = c.position.Running.Start
	c.position.Running = nil
	c.position.Generation++
	c.mu.Unlock()
	c.store(ctx, change{restart: true, finish: true})
}

// store moves the position, together with what was delivered and what else belongs to it.
func (c *course) store(ctx context.Context, moved change, more ...func(*checkpoint.Tx)) {
	c.delivered.apply(moved)
	ctx, cancel := storing(ctx)
	defer cancel()
	c.save(c.Store.Update(ctx, func(tx *checkpoint.Tx) {
		c.delivered.write(tx, moved)
		for _, write := range more {
			write(tx)
		}
		tx.Put(c.name, positionVersion, c.position)
	}))
}

// note stores that the records of a batch were delivered. Those that changed within the overlap before the start of the
// collection, or of which that is unknown, can come again in the next one.
func (c *course) note(ctx context.Context, b *batch, overlap time.Duration) {
	var moved change
	threshold := c.position.Running.Start.Add(-overlap).Unix()
	for i := range b.items {
		moved.part = append(moved.part, seenOf(&b.items[i]))
	}
	for _, items := range [][]records.Item{b.items, b.suppressed} {
		for i := range items {
			if items[i].Updated == 0 || items[i].Updated >= threshold {
				moved.coming = append(moved.coming, seenOf(&items[i]))
			}
		}
	}
	c.store(ctx, moved)
}

// orNow is the server's clock, or ours if the server tells no time.
func orNow(server time.Time) time.Time {
	if server.IsZero() {
		return time.Now()
	}
	return server
}
