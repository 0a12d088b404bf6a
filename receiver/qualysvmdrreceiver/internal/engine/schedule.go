// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
)

// Settings are what all datasets of a receiver share.
type Settings struct {
	// Receiver is the receiver's component ID, by which metrics tell receivers apart.
	Receiver  string
	Logger    *zap.Logger
	Store     *checkpoint.Store
	Telemetry *metadata.TelemetryBuilder
	// Tracer makes the spans of pages; nil: there are none.
	Tracer    trace.Tracer
	Deliverer *Deliverer
	// Waits tells how long the client has waited for limits.
	Waits *Waits
	// Retry is the back-off between tries; tries never end.
	Retry configretry.BackOffConfig
	// InitialDelay is the time from the start to the first collections.
	InitialDelay time.Duration
	// MaxRecords and MaxBytes limit a batch.
	MaxRecords, MaxBytes int
	// Budget is shared by all shards; [NewBudget] makes one.
	Budget *Budget
}

// Work is what a dataset does. Its methods are called by one goroutine.
type Work interface {
	// Load reads what is stored. Where that makes no sense it says so, and begins anew. After an error, which is one of the
	// storage itself, Load is called again: what is stored may be whole.
	Load(ctx context.Context) error
	// Next is when there is something to do.
	Next() time.Time
	// Collect does it until it is complete. It returns the context's error, or a *StoppedError; after any other error it is
	// called again.
	Collect(ctx context.Context) error
}

// Dataset runs the work of one dataset, and holds what every work needs. It is safe for concurrent use.
type Dataset struct {
	Name     string
	Log      *zap.Logger
	Health   *health.Dataset
	Gate     *Gate
	Settings Settings

	attrs    metric.MeasurementOption
	progress *progress
	// wake ends the wait for the next collection before its time.
	wake chan struct{}
}

// NewDataset returns a dataset. Worked, which may be nil, reports whether it has worked with these credentials.
func NewDataset(settings Settings, name string, state *health.Dataset, worked func() bool) *Dataset {
	d := &Dataset{
		Name:     name,
		Log:      settings.Logger.With(zap.String("dataset", name)),
		Health:   state,
		Settings: settings,
		attrs:    labels(settings.Receiver, attribute.String("dataset", name)),
		wake:     make(chan struct{}, 1),
	}
	d.progress = newProgress(d.Log, settings.Waits, name)
	d.Gate = NewGate(state, d.Log, settings.Retry, func() { d.progress.retries.Add(1) }, worked)
	return d
}

// Run does the work until the context ends or an error stops it for good, which it returns.
func (d *Dataset) Run(ctx context.Context, w Work) error {
	if err := d.load(ctx, w); err != nil {
		return err
	}
	defer d.progress.end()
	d.Health.Reach(health.Initialized)
	first := time.Now().Add(d.Settings.InitialDelay)
	tries := newBackOff(d.Settings.Retry)
	for {
		due := w.Next()
		if due.Before(first) {
			due = first
		}
		if err := d.waitUntil(ctx, due); err != nil {
			return err
		}
		if due.After(time.Now()) {
			continue // woken: Next says whether there is something to do now
		}
		err := d.Settings.Deliverer.Ready(ctx)
		if err == nil {
			err = w.Collect(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if stopped, ok := IsStopped(err); ok {
			d.Health.Stop(stopped.Type, stopped.Err)
			return err
		}
		if err == nil {
			tries.Reset()
			continue
		}
		d.Gate.failed(health.FirstPartyGeneric, err)() // of the storage: those of Qualys go through the gate
		if err := sleep(ctx, tries.NextBackOff()); err != nil {
			return err
		}
	}
}

// load reads what is stored, again and again until the storage can be read.
func (d *Dataset) load(ctx context.Context, w Work) error {
	tries := newBackOff(d.Settings.Retry)
	for {
		err := w.Load(ctx)
		if ctx.Err() != nil || err == nil {
			return ctx.Err()
		}
		d.Health.Fail(health.FirstPartyGeneric, err)
		if err := sleep(ctx, tries.NextBackOff()); err != nil {
			return err
		}
	}
}

// waitUntil returns at a time, when the dataset is woken, or with the context's error.
func (d *Dataset) waitUntil(ctx context.Context, due time.Time) error {
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

// Wake makes the dataset look for work, now or when it next waits.
func (d *Dataset) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Done is the number of units done in the running collection, or in the last one.
func (d *Dataset) Done() int64 { return d.progress.units.Load() }

// NewBatches returns what gathers chunks of a collection and delivers them: deliver is [Dataset.Offer] and what is to be
// committed then.
func (d *Dataset) NewBatches(collection string, together func() bool, deliver func(context.Context, *Batch) error) *Batches {
	return &Batches{
		maxRecords: d.Settings.MaxRecords, maxBytes: d.Settings.MaxBytes, collection: collection,
		deliver: deliver, budget: d.Settings.Budget, together: together,
		rejected: &d.progress.rejected, before: d.progress.rejected.Load(),
	}
}

// Offer delivers a batch of a collection and counts what became of it.
func (d *Dataset) Offer(ctx context.Context, b *Batch) error {
	if err := d.offer(ctx, b); err != nil {
		return err
	}
	d.progress.deliver(b)
	return nil
}

// offer delivers a batch, which need not be one of what a collection brings.
func (d *Dataset) offer(ctx context.Context, b *Batch) error {
	dropped := 0
	began := time.Now()
	var recovered func()
	defer func() {
		if recovered != nil {
			recovered()
		}
	}()
	err := d.deliver(ctx, b, Rejections{
		Rejected: func(err error) {
			again := d.Gate.failed(health.FirstPartyGeneric, err)
			if recovered == nil {
				recovered = again
			} else {
				again()
			}
			d.progress.rejected.Add(1)
		},
		Dropped: func(record plog.LogRecord, cause error) {
			dropped++
			d.Log.Error("record dropped: permanent error from the pipeline", zap.Error(cause), zap.Any("record", record.Attributes().AsRaw()))
		},
	})
	if err != nil {
		return err
	}
	if recovered != nil {
		recovered()
		recovered = nil
	}
	if len(b.Items) > 0 {
		d.Gate.Collecting()
		d.Settings.Telemetry.QualysvmdrDeliveryDuration.Record(ctx, time.Since(began).Seconds(), d.attrs)
	}
	d.Settings.Telemetry.QualysvmdrRecords.Add(ctx, int64(len(b.Items)-dropped), d.attrs)
	if dropped > 0 {
		d.Settings.Telemetry.QualysvmdrRecordsDropped.Add(ctx, int64(dropped), labels(d.Settings.Receiver, attribute.String("dataset", d.Name), attribute.String("reason", "rejected")))
	}
	if len(b.Duplicates) > 0 {
		d.Settings.Telemetry.QualysvmdrDuplicatesSuppressed.Add(ctx, int64(len(b.Duplicates)), d.attrs)
	}
	return nil
}

// deliver offers a batch: in parts if a stage has made it larger than a batch may be, as receivers refuse larger ones.
func (d *Dataset) deliver(ctx context.Context, b *Batch, report Rejections) error {
	if b.Bytes <= d.Settings.MaxBytes || len(b.Items) == 1 {
		return d.Settings.Deliverer.Deliver(ctx, b.Logs, report)
	}
	for from := 0; from < len(b.Items); {
		to, bytes := from+1, int(b.Items[from].Bytes)
		for ; to < len(b.Items) && bytes+int(b.Items[to].Bytes) <= d.Settings.MaxBytes; to++ {
			bytes += int(b.Items[to].Bytes)
		}
		if err := d.Settings.Deliverer.Deliver(ctx, part(b.Logs, from, to), report); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// Repairs counts what the records' making had to repair.
func (d *Dataset) Repairs(ctx context.Context, c *Chunk) {
	if c.Repaired > 0 {
		d.Settings.Telemetry.QualysvmdrStringsRepaired.Add(ctx, c.Repaired, d.attrs)
	}
	if c.Truncated > 0 {
		d.Settings.Telemetry.QualysvmdrValuesTruncated.Add(ctx, int64(c.Truncated), d.attrs)
	}
}

// Due is when something that was last started then is to be started again; at once, when never.
func Due(last time.Time, interval time.Duration) time.Time {
	if last.IsZero() {
		return time.Time{}
	}
	if last.After(time.Now()) {
		// The clock was set back: the stored start would hold up everything until the clock has come there again.
		return time.Time{}
	}
	return last.Add(interval)
}

// labels are the attributes of a measurement: those given, and the receiver.
func labels(receiver string, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, attribute.String("receiver", receiver))...))
}
