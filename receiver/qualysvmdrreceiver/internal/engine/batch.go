// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

const (
	// stalled is for how long a batch may hold up the reading of a response before it counts as the reason for a cut: servers
	// close connections from which nobody reads.
	stalled = 5 * time.Second
	// DuplicatesAtOnce is how many duplicates are gathered before they leave with a batch: what an overlap brings again may be
	// much more than what is new, and takes memory too.
	DuplicatesAtOnce = 4096
	// leastBudget and mostBudget bound how much text all shards together may have gathered and not delivered, which is two
	// batches otherwise. As records it takes about six times as much memory.
	leastBudget = 4 << 20
	mostBudget  = 16 << 20
)

// Batch is what is offered at once, and what is committed when it was accepted. It belongs to one shard.
type Batch struct {
	// Collection is the ID of the collection that it is of.
	Collection string
	Logs       plog.Logs
	// Items describe the records of Logs, in their order.
	Items      []records.Item
	Duplicates []records.Item
	// Summaries are what is to be known of hosts of the host list when they are gone, one of each of Items.
	Summaries []records.HostSummary
	Bytes     int
	Units     int
	// UnitDone is the last unit that ended in this batch, 0: none.
	UnitDone uint64
	// Writes are what is to be written when it was accepted, besides what the engine keeps.
	Writes []func(tx *checkpoint.Tx)
}

// Stage is what is done with a batch before it is delivered. It ends with its context.
type Stage func(ctx context.Context, b *Batch) error

// Batches gathers chunks into batches of at most so many records and bytes, and delivers each while the next one is
// gathered, or at once where several shards run. The methods are for one goroutine.
type Batches struct {
	maxRecords, maxBytes int
	collection           string
	// deliver offers a batch until it is accepted and commits it. It is called for one batch after the other.
	deliver func(context.Context, *Batch) error
	budget  *Budget
	// together reports whether other shards run: then this one reads, delivers, reads.
	together func() bool

	current  *Batch
	inFlight chan error // nil: nothing is being delivered
	failed   error      // of a delivery: what was gathered behind it is not delivered
	held     int        // bytes of the budget, of the current batch and of the one in flight
	// blocked is how long reading has stood still because a batch was not accepted yet.
	blocked time.Duration
	// rejected is how many batches of the dataset were rejected, nil: nobody counts; before is how many that had been.
	rejected *atomic.Int64
	before   int64
}

// Add puts a chunk, which goes over to b, into the current batch, and sends that on its way first when both do not fit
// into one.
func (b *Batches) Add(ctx context.Context, c Chunk) error {
	n := len(c.Items)
	if now := b.current; now != nil && n > 0 && len(now.Items) > 0 &&
		(len(now.Items)+n > b.maxRecords || now.Bytes+c.Bytes > b.maxBytes) {
		if err := b.send(ctx); err != nil {
			return err
		}
	}
	if err := b.reserve(ctx, c.Bytes); err != nil {
		return err
	}
	if b.current == nil {
		b.current = &Batch{Collection: b.collection, Logs: plog.NewLogs()}
	}
	now := b.current
	now.append(c)
	if len(now.Duplicates) >= DuplicatesAtOnce || len(now.Items) >= b.maxRecords && b.together() {
		return b.send(ctx)
	}
	return nil
}

// reserve takes bytes of the budget. Where others hold it, what was gathered is delivered first: nobody waits who holds some.
func (b *Batches) reserve(ctx context.Context, bytes int) error {
	if !b.budget.try(bytes) {
		if err := b.Flush(ctx); err != nil {
			return err
		}
		began := time.Now()
		if err := b.budget.take(ctx, bytes); err != nil {
			return err
		}
		b.blocked += time.Since(began)
	}
	b.held += bytes
	return nil
}

// append moves a chunk into the batch. A unit that goes on in it keeps one resource.
func (b *Batch) append(c Chunk) {
	target, source := b.Logs.ResourceLogs(), c.Logs.ResourceLogs()
	if len(b.Items) > 0 && len(c.Items) > 0 && target.Len() > 0 && source.Len() > 0 &&
		c.Items[0].Unit != 0 && b.Items[len(b.Items)-1].Unit == c.Items[0].Unit {
		from, to := source.At(0).ScopeLogs(), target.At(target.Len()-1).ScopeLogs()
		from.At(0).LogRecords().MoveAndAppendTo(to.At(to.Len() - 1).LogRecords())
		for i := range source.Len() - 1 {
			source.At(i + 1).MoveTo(target.AppendEmpty())
		}
	} else {
		source.MoveAndAppendTo(target)
	}
	b.Items = append(b.Items, c.Items...)
	b.Duplicates = append(b.Duplicates, c.Duplicates...)
	b.Summaries = append(b.Summaries, c.Summaries...)
	b.Writes = append(b.Writes, c.Writes...)
	b.Bytes += c.Bytes
	b.Units += c.UnitsDone
	if c.UnitDone != 0 {
		b.UnitDone = c.UnitDone
	}
}

// send starts the delivery of the current batch, after that of the one before has ended. None is started when ctx has
// ended.
func (b *Batches) send(ctx context.Context) error {
	if err := b.wait(); err != nil {
		return err
	}
	if b.current == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c := b.current
	b.current = nil
	done := make(chan error, 1)
	b.inFlight = done
	held := b.held
	b.held = 0
	go func() {
		err := b.deliver(ctx, c)
		b.budget.give(held)
		done <- err
	}()
	if b.together() {
		return b.wait()
	}
	return nil
}

// wait returns the outcome of the delivery in flight. Deliveries end with their context.
func (b *Batches) wait() error {
	if b.inFlight == nil {
		return b.failed
	}
	began := time.Now()
	err := <-b.inFlight
	b.blocked += time.Since(began)
	b.inFlight = nil
	b.failed = err
	return err
}

// Flush delivers what was gathered and waits for it.
func (b *Batches) Flush(ctx context.Context) error {
	if err := b.send(ctx); err != nil {
		return err
	}
	return b.wait()
}

// End waits for the delivery in flight, and gives up what was gathered since.
func (b *Batches) End() error {
	err := b.wait()
	b.budget.give(b.held)
	b.held, b.current = 0, nil
	return err
}

// HeldUp reports whether it can be the pipeline's fault, or that of a stage, that a response broke while it was read.
func (b *Batches) HeldUp() bool {
	return b.blocked > stalled || b.rejected != nil && b.rejected.Load() != b.before
}

// Budget bounds how much text all shards together have gathered. One may always go on, and those who wait come in turn. It is
// safe for concurrent use.
type Budget struct {
	bytes int

	mu      sync.Mutex // guards everything below
	taken   int
	waiting []*claim // in the order in which they came
}

// claim is somebody who waits for bytes of a budget.
type claim struct {
	bytes   int
	granted chan struct{} // closed when they are taken
}

// NewBudget returns a budget that nobody has taken of, for batches of so many bytes of text.
func NewBudget(maxBytes int) *Budget {
	return &Budget{bytes: max(leastBudget, 2*min(maxBytes, mostBudget/2))}
}

// fits reports whether so many bytes may be taken: there are so many, or nobody holds any. The caller holds mu.
func (b *Budget) fits(bytes int) bool { return b.taken == 0 || b.taken+bytes <= b.bytes }

// try takes bytes if they may be taken now and nobody waits for some.
func (b *Budget) try(bytes int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) > 0 || !b.fits(bytes) {
		return false
	}
	b.taken += bytes
	return true
}

// take waits until bytes may be taken, or returns the context's error. The caller holds none.
func (b *Budget) take(ctx context.Context, bytes int) error {
	c := &claim{bytes: bytes, granted: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, c)
	b.grant()
	b.mu.Unlock()
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, c); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	} else {
		b.taken -= bytes // it was granted meanwhile
	}
	b.grant()
	return ctx.Err()
}

// give gives bytes back.
func (b *Budget) give(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken -= bytes
	b.grant()
}

// grant gives to those who wait, one after the other, what may be taken. The caller holds mu.
func (b *Budget) grant() {
	for len(b.waiting) > 0 && b.fits(b.waiting[0].bytes) {
		b.taken += b.waiting[0].bytes
		close(b.waiting[0].granted)
		b.waiting = b.waiting[1:]
	}
}
