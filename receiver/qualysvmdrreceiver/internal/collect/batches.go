// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"io"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// output is a run of records with what was left out of it.
type output struct {
	records.Chunk
	// suppressed are the items that were read but not made into records, as they were delivered before.
	suppressed []records.Item
}

// batch is what is offered at once, and what is remembered when it was accepted.
type batch struct {
	logs       plog.Logs
	items      []records.Item
	suppressed []records.Item
	bytes      int
	hosts      int
	hostDone   uint64 // ID of the last host that ended in this batch, 0: none
}

// batches gathers outputs into batches of at most so many records and bytes, and delivers each while the next one is
// gathered. The methods are for one goroutine.
type batches struct {
	maxRecords, maxBytes int
	// deliver offers a batch until it is accepted and moves the position. It is called for one batch after the other.
	deliver func(context.Context, *batch) error

	current  *batch
	inFlight chan error // nil: nothing is being delivered
	// blocked is how long reading has stood still because a batch was not accepted yet.
	blocked time.Duration
	// refused is how many refusals there had been before.
	refused int64
}

const (
	// stalled is for how long a pipeline may hold up the reading of an answer before it counts as the reason for a cut.
	stalled = 5 * time.Second
	// suppressedAtOnce is how many suppressed records are gathered before they are handed on: what an overlap brings again
	// may be much more than what is new, and takes memory too.
	suppressedAtOnce = 4096
)

// newBatches returns what gathers outputs of the dataset, and delivers them by deliver.
func (d *dataset) newBatches(deliver func(context.Context, *batch) error) *batches {
	return &batches{
		maxRecords: d.Records.MaxRecords, maxBytes: d.Records.MaxBytes, deliver: deliver,
		refused: d.progress.refused.Load(),
	}
}

// heldUp tells whether it can be the pipeline's fault that an answer broke while it was read into batches: servers close
// connections from which nobody reads.
func (d *dataset) heldUp(b *batches) bool {
	return b.blocked > stalled || d.progress.refused.Load() != b.refused
}

// builder makes records of one element after the other.
type builder interface {
	// Full says when to call Take, which returns what was made.
	Full() bool
	Take() records.Chunk
}

// gather has read make records of an answer, each time of one element, and adds them to batches, together with what was
// suppressed meanwhile. It ends with nil when read returns io.EOF, and with every other error after all that was read
// before it was added.
func (d *dataset) gather(ctx context.Context, made builder, suppressed *[]records.Item, batches *batches, read func() error) error {
	for {
		err := read()
		if err == nil && !made.Full() && len(*suppressed) < suppressedAtOnce {
			continue
		}
		out := output{Chunk: made.Take(), suppressed: *suppressed}
		*suppressed = nil
		d.count(ctx, &out)
		if failed := batches.add(ctx, out); failed != nil {
			return failed
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		default:
			return err
		}
	}
}

// add puts an output, which goes over to b, into the current batch, and sends that on its way first when both do not
// fit into one.
func (b *batches) add(ctx context.Context, out output) error {
	n := len(out.Items)
	if c := b.current; c != nil && n > 0 && len(c.items) > 0 &&
		(len(c.items)+n > b.maxRecords || c.bytes+out.Bytes > b.maxBytes) {
		if err := b.send(ctx); err != nil {
			return err
		}
	}
	if b.current == nil {
		b.current = &batch{logs: plog.NewLogs()}
	}
	c := b.current
	appendLogs(c, out)
	c.items = append(c.items, out.Items...)
	c.suppressed = append(c.suppressed, out.suppressed...)
	c.bytes += out.Bytes
	c.hosts += out.UnitsDone
	if out.UnitDone != 0 {
		c.hostDone = out.UnitDone
	}
	if len(c.suppressed) >= suppressedAtOnce {
		return b.send(ctx)
	}
	return nil
}

// appendLogs moves the records of an output into a batch. A host that goes on in it keeps one resource.
func appendLogs(c *batch, out output) {
	target, source := c.logs.ResourceLogs(), out.Logs.ResourceLogs()
	if len(c.items) > 0 && len(out.Items) > 0 && target.Len() > 0 && source.Len() > 0 {
		last, first := c.items[len(c.items)-1], out.Items[0]
		if last.Unit != 0 && last.Unit == first.Unit {
			from, to := source.At(0).ScopeLogs(), target.At(target.Len()-1).ScopeLogs()
			from.At(0).LogRecords().MoveAndAppendTo(to.At(to.Len() - 1).LogRecords())
			for i := range source.Len() - 1 {
				source.At(i + 1).MoveTo(target.AppendEmpty())
			}
			return
		}
	}
	source.MoveAndAppendTo(target)
}

// send starts the delivery of the current batch, after that of the one before has ended. None is started when ctx has
// ended.
func (b *batches) send(ctx context.Context) error {
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
	go func() { done <- b.deliver(ctx, c) }()
	return nil
}

// wait returns the outcome of the delivery in flight. Deliveries end with their context.
func (b *batches) wait() error {
	if b.inFlight == nil {
		return nil
	}
	began := time.Now()
	err := <-b.inFlight
	b.blocked += time.Since(began)
	b.inFlight = nil
	return err
}

// flush delivers what was gathered and waits for it.
func (b *batches) flush(ctx context.Context) error {
	if err := b.send(ctx); err != nil {
		return err
	}
	return b.wait()
}
