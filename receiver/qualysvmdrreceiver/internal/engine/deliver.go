// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v7"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/xpdata/pref"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
)

// deliveryGrace is how long a delivery in flight may go on after the receiver was told to stop.
const deliveryGrace = 5 * time.Second

// format is what the collector's own spans call the format of the records.
const format = "qualysvmdr"

// Deliverer offers batches to the next consumer until they are accepted. It is safe for concurrent use; one Deliverer serves all datasets of a receiver:
// while it rejects a batch of one of them, no dataset sends another request.
type Deliverer struct {
	hard  context.Context
	next  consumer.Logs
	obs   *receiverhelper.ObsReport
	retry configretry.BackOffConfig

	mu       sync.Mutex
	rejected int           // deliveries whose last offer was rejected
	accepted chan struct{} // closed when rejected is 0
}

// NewDeliverer returns a Deliverer to next. Deliveries in flight outlive the contexts they were begun with for at most
// five seconds, and end at once with hard.
func NewDeliverer(hard context.Context, next consumer.Logs, obs *receiverhelper.ObsReport, retry configretry.BackOffConfig) *Deliverer {
	accepted := make(chan struct{})
	close(accepted)
	return &Deliverer{hard: hard, next: next, obs: obs, retry: retry, accepted: accepted}
}

// Rejections is what a delivery tells of the records that were not accepted.
type Rejections struct {
	// Rejected is told of each batch that was rejected and will be offered again.
	Rejected func(error)
	// Dropped is told of each record that was rejected for good and why.
	Dropped func(plog.LogRecord, error)
}

// Ready returns when no batch is being rejected, or with the context's error.
func (d *Deliverer) Ready(ctx context.Context) error {
	for {
		d.mu.Lock()
		accepted, rejected := d.accepted, d.rejected
		d.mu.Unlock()
		if rejected == 0 {
			return ctx.Err()
		}
		select {
		case <-accepted:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Deliver offers logs until they are accepted. It returns nil when every record was delivered, or rejected for good and
// told to report.dropped, and the context's error when it ended before. Ownership of logs goes to the pipeline.
func (d *Deliverer) Deliver(ctx context.Context, logs plog.Logs, report Rejections) error {
	count := logs.LogRecordCount()
	if count == 0 {
		return nil
	}
	if ctx.Err() != nil {
		// What goes out in parts would have a grace for each of them.
		return fmt.Errorf("delivery given up: %w", ctx.Err())
	}
	// The batch must stay as it is until it is delivered: read-only makes the collector copy it for processors that
	// change records, and the reference keeps pooled memory from being reused between offers.
	pref.RefLogs(logs)
	logs.MarkReadOnly()
	defer func() { pref.UnrefLogs(logs) }()

	tries := newBackOff(d.retry)
	rejecting := false
	defer func() {
		if rejecting {
			d.setRejected(-1)
		}
	}()
	for {
		err := d.offer(ctx, logs, count)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("delivery given up: %w", ctx.Err())
		}
		if rest, ok := remaining(err); ok {
			pref.RefLogs(rest)
			rest.MarkReadOnly()
			pref.UnrefLogs(logs)
			logs, count = rest, rest.LogRecordCount()
		}
		if permanent(err) {
			if rejecting {
				d.setRejected(-1)
				rejecting = false
			}
			return d.divide(ctx, logs, count, report, err)
		}
		if !rejecting {
			d.setRejected(+1)
			rejecting = true
		}
		report.Rejected(err)
		if err := sleep(ctx, tries.NextBackOff()); err != nil {
			return fmt.Errorf("delivery given up: %w", err)
		}
	}
}

// offer offers logs once. The call may outlive ctx for a while, so that a batch that the backend is about to take is
// not collected again.
func (d *Deliverer) offer(ctx context.Context, logs plog.Logs, count int) error {
	call, cancel := context.WithCancel(d.hard)
	defer cancel()
	grace := make(chan *time.Timer, 1)
	stop := context.AfterFunc(ctx, func() { grace <- time.AfterFunc(deliveryGrace, cancel) })
	defer func() {
		if !stop() {
			(<-grace).Stop()
		}
	}()
	call = d.obs.StartLogsOp(call)
	err := d.next.ConsumeLogs(call, logs)
	d.obs.EndLogsOp(call, format, count, err)
	return err
}

// divide narrows a batch that was rejected for good down to the records that are the reason.
func (d *Deliverer) divide(ctx context.Context, logs plog.Logs, count int, report Rejections, cause error) error {
	if count == 1 {
		for _, rl := range logs.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, record := range sl.LogRecords().All() {
					report.Dropped(record, cause)
				}
			}
		}
		return nil
	}
	if err := d.Deliver(ctx, part(logs, 0, count/2), report); err != nil {
		return err
	}
	return d.Deliver(ctx, part(logs, count/2, count), report)
}

func (d *Deliverer) setRejected(delta int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.rejected
	d.rejected += delta
	switch {
	case before == 0:
		d.accepted = make(chan struct{})
	case d.rejected == 0:
		close(d.accepted)
	}
}

// part copies the records from index from up to, not including, index to.
func part(logs plog.Logs, from, to int) plog.Logs {
	out := plog.NewLogs()
	i := 0
	for _, rl := range logs.ResourceLogs().All() {
		var outRL plog.ResourceLogs
		inRL := false
		for _, sl := range rl.ScopeLogs().All() {
			var outSL plog.ScopeLogs
			inSL := false
			for _, record := range sl.LogRecords().All() {
				if i >= from && i < to {
					if !inRL {
						outRL = out.ResourceLogs().AppendEmpty()
						rl.Resource().CopyTo(outRL.Resource())
						outRL.SetSchemaUrl(rl.SchemaUrl())
						inRL = true
					}
					if !inSL {
						outSL = outRL.ScopeLogs().AppendEmpty()
						sl.Scope().CopyTo(outSL.Scope())
						outSL.SetSchemaUrl(sl.SchemaUrl())
						inSL = true
					}
					record.CopyTo(outSL.LogRecords().AppendEmpty())
				}
				i++
			}
		}
	}
	return out
}

// remaining returns a copy of the records that an error says were not accepted. An error that joins several speaks of
// several consumers, of which the others need all records.
func remaining(err error) (plog.Logs, bool) {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if joined, ok := e.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 1 {
			return plog.Logs{}, false
		}
	}
	var partial consumererror.Logs
	if !errors.As(err, &partial) || partial.Data().LogRecordCount() == 0 {
		return plog.Logs{}, false
	}
	rest := plog.NewLogs()
	partial.Data().CopyTo(rest)
	return rest, true
}

// permanentMark is the type that marks an error as permanent.
var permanentMark = reflect.TypeOf(consumererror.NewPermanent(nil))

// permanent reports whether an error is permanent: marked so as a whole, or every error that is joined in it.
// [consumererror.IsPermanent] says so already when one of them is, and the others' records would be lost.
func permanent(err error) bool {
	switch x := err.(type) { //nolint:errorlint // it walks the tree of errors itself
	case nil:
		return false
	case interface{ Unwrap() []error }:
		for _, one := range x.Unwrap() {
			if !permanent(one) {
				return false
			}
		}
		return len(x.Unwrap()) > 0
	case interface{ Unwrap() error }:
		return reflect.TypeOf(err) == permanentMark || permanent(x.Unwrap())
	default:
		return false
	}
}

// newBackOff returns the jittered back-off that the configuration asks for.
func newBackOff(config configretry.BackOffConfig) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = config.InitialInterval
	b.RandomizationFactor = config.RandomizationFactor
	b.Multiplier = config.Multiplier
	b.MaxInterval = config.MaxInterval
	b.Reset()
	return b
}

// sleep waits for d, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
