// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// storageGrace limits a write to the storage that ends a stopping collection.
const storageGrace = 5 * time.Second

// work is what a dataset does. Its methods are called by one goroutine.
type work interface {
	// load reads the position. Where what is stored makes no sense it says so, and begins afresh. After an error of the
	// storage itself, load is called again: what is stored may be whole.
	load(ctx context.Context) error
	// next is when there is something to do.
	next() time.Time
	// collect does it, from the position on, until it is complete. After an error, collect is called again.
	collect(ctx context.Context) error
}

// dataset runs the work of one dataset, and holds what every work needs.
type dataset struct {
	Settings
	name     string
	log      *zap.Logger
	health   *health.Dataset
	attrs    metric.MeasurementOption
	progress *progress
	// wake ends the wait for next before its time.
	wake chan struct{}
	// stopped is called with the error that stopped this dataset for good.
	stopped func(health.ErrorType, error)
}

func newDataset(settings Settings, name string, state *health.Dataset) *dataset {
	d := &dataset{
		Settings: settings,
		name:     name,
		log:      settings.Logger.With(zap.String("dataset", name)),
		health:   state,
		attrs:    labels(settings.Receiver, attribute.String("dataset", name)),
		wake:     make(chan struct{}, 1),
		stopped:  func(health.ErrorType, error) {},
	}
	d.progress = newProgress(d.log, settings.Waits, name)
	return d
}

// run does the work until the context ends or an error stops it for good.
func (d *dataset) run(ctx context.Context, w work) {
	if !d.loaded(ctx, w) {
		return
	}
	defer d.progress.end()
	d.health.Reach(health.Initialized)
	first := time.Now().Add(d.InitialDelay)
	failures := newFailures(d.Retry)
	for {
		due := w.next()
		if due.Before(first) {
			due = first
		}
		if d.waitUntil(ctx, due) != nil {
			return
		}
		if due.After(time.Now()) {
			continue // woken: next tells whether there is something to do now
		}
		delivered := d.progress.delivered.Load()
		err := d.Pipeline.Ready(ctx)
		if err == nil {
			err = w.collect(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failures.reset()
			continue
		}
		if d.progress.delivered.Load() != delivered {
			failures.reset()
		}
		kind, wait, again := failures.next(err)
		if !again {
			d.noteRefusal(ctx, err)
			d.health.Stop(kind, err)
			d.stopped(kind, err)
			return
		}
		if failures.ambiguous > 0 {
			d.log.Warn("The answer can mean maintenance, a proxy, or a wrong address or permission: it is tried again a few times before the dataset stops.",
				zap.Error(err), zap.Int("try", failures.ambiguous), zap.Int("tries", len(ambiguousWaits)+1), zap.Duration("next_in", wait))
		}
		d.health.Fail(kind, err)
		d.progress.retries.Add(1)
		if sleep(ctx, wait) != nil {
			return
		}
	}
}

// loaded reads the position, again and again until the storage can be read. It returns false when the context has ended.
func (d *dataset) loaded(ctx context.Context, w work) bool {
	tries := newBackOff(d.Retry)
	for {
		err := w.load(ctx)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			return true
		}
		d.health.Fail(health.FirstPartyGeneric, err)
		if sleep(ctx, tries.NextBackOff()) != nil {
			return false
		}
	}
}

// noteRefusal tells when it was the account that was refused.
func (d *dataset) noteRefusal(ctx context.Context, err error) {
	var answer *qualys.Error
	if errors.As(err, &answer) && answer.Login && answer.Class == qualys.Config {
		ctx, cancel := storing(ctx)
		defer cancel()
		d.Refused(ctx, answer.API.Endpoint(), err)
	}
}

// waitUntil returns at a time, when the dataset is woken, or with the context's error.
func (d *dataset) waitUntil(ctx context.Context, due time.Time) error {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-d.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rouse wakes the dataset, now or when it next waits.
func (d *dataset) rouse() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Done is the number of hosts, entries or assets done in the running collection, or in the last one.
func (d *dataset) Done() int64 {
	return d.progress.hosts.Load()
}

// answered reports that an answer was good as far as its head. An error that was met while collecting is left only when
// the answer was read whole, or something of it was delivered.
func (d *dataset) answered() {
	d.health.Reach(health.Authenticated)
}

// readWhole reports that an answer was read to its end.
func (d *dataset) readWhole() {
	d.progress.pages.Add(1)
	d.health.Reach(health.Collecting)
}

// offer delivers a batch and counts what became of it.
func (d *dataset) offer(ctx context.Context, b *batch) error {
	dropped := 0
	err := d.Pipeline.Deliver(ctx, b.logs, refusals{
		refused: func(err error) {
			d.health.Fail(health.FirstPartyGeneric, err)
			d.progress.refused.Add(1)
		},
		dropped: func(record plog.LogRecord, cause error) {
			dropped++
			d.log.Error("A record was dropped: the pipeline refuses it for good.", zap.Error(cause), zap.Any("record", record.Attributes().AsRaw()))
		},
	})
	if err != nil {
		return err
	}
	if len(b.items) > 0 {
		d.health.Reach(health.Collecting)
	}
	d.Telemetry.QualysvmdrRecords.Add(ctx, int64(len(b.items)-dropped), d.attrs)
	if dropped > 0 {
		d.Telemetry.QualysvmdrRecordsDropped.Add(ctx, int64(dropped), labels(d.Receiver, attribute.String("dataset", d.name), attribute.String("reason", "refused")))
	}
	if len(b.suppressed) > 0 {
		d.Telemetry.QualysvmdrDuplicatesSuppressed.Add(ctx, int64(len(b.suppressed)), d.attrs)
	}
	d.progress.deliver(b)
	return nil
}

// count adds what the records' making had to repair.
func (d *dataset) count(ctx context.Context, out *output) {
	if out.Repaired > 0 {
		d.Telemetry.QualysvmdrStringsRepaired.Add(ctx, out.Repaired, d.attrs)
	}
	if out.Truncated > 0 {
		d.Telemetry.QualysvmdrValuesTruncated.Add(ctx, int64(out.Truncated), d.attrs)
	}
}

// save reports a failed write. The collection goes on: what could not be written is written with the next position.
func (d *dataset) save(err error) {
	if err != nil {
		d.log.Error("The position could not be stored; after a restart, records would be collected again.", zap.Error(err))
	}
}

// storing is the context of writes to the storage: they outlive a collection that is told to stop, but not for long.
func storing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), storageGrace)
}

// finish counts a completed collection.
func (d *dataset) finish(ctx context.Context, window string) {
	took := d.progress.finish(window)
	d.Telemetry.QualysvmdrCollectionDuration.Record(ctx, took.Seconds(), d.attrs)
}

// due is when something that was last started then is to be started again; at once, when never.
func due(last time.Time, interval time.Duration) time.Time {
	if last.IsZero() {
		return time.Time{}
	}
	if last.After(time.Now()) {
		// The clock was set back: the stored start would hold up everything until the clock has come there again.
		return time.Time{}
	}
	return last.Add(interval)
}

// loadPosition reads the stored position of what is asked for, which is given in parts. Where it makes no sense, and when
// something else was asked for, everything is collected afresh. Errors are those of the storage.
func (d *dataset) loadPosition(ctx context.Context, asked ...any) (position, error) {
	wanted, err := fingerprint(asked...)
	if err != nil {
		return position{}, err
	}
	var stored position
	_, err = d.Store.Load(ctx, d.name, positionVersion, &stored)
	switch {
	case senseless(err):
		d.log.Error("The stored position cannot be read: everything is collected afresh.", zap.Error(err))
		stored = position{}
	case err != nil:
		return position{}, fmt.Errorf("reading the position: %w", err)
	case stored.Fingerprint != "" && stored.Fingerprint != wanted:
		d.log.Warn("What is asked for has changed: everything is collected afresh.")
		stored = position{}
	}
	stored.Fingerprint = wanted
	return stored, nil
}

// senseless tells whether what is stored could be read, but makes no sense.
func senseless(err error) bool {
	return errors.Is(err, checkpoint.ErrUnreadable) || errors.Is(err, checkpoint.ErrVersion)
}
