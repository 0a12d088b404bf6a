// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
)

// observed are the parts of a receiver whose state is asked for when metrics are read.
type observed struct {
	receiver string // its component ID
	health   *health.Reporter
	// session is the one that runs; there is none while another collector collects.
	session *atomic.Pointer[session]
}

// counted is a dataset that counts what the running collection has done.
type counted interface{ Done() int64 }

// windowed is a dataset that knows up to when everything was delivered.
type windowed interface {
	Lag() (time.Duration, bool)
}

// states are those that the state metric tells, one for each that a dataset can be in.
var states = []health.State{
	health.Pending, health.Standby, health.Started, health.Initialized, health.Authenticated, health.Collecting, health.Error, health.Stopping,
}

// register makes metrics of what is observed. The telemetry builder's shutdown ends it.
func (o *observed) register(telemetry *metadata.TelemetryBuilder) error {
	return errors.Join(
		telemetry.RegisterQualysvmdrStateCallback(o.observeStates),
		telemetry.RegisterQualysvmdrCollectionLagCallback(o.observeLag),
		telemetry.RegisterQualysvmdrCollectionItemsCallback(o.observeItems),
		telemetry.RegisterQualysvmdrQuarantinedHostsCallback(o.observeQuarantine),
		telemetry.RegisterQualysvmdrKnowledgeBaseEntriesCallback(o.observeEntries),
		telemetry.RegisterQualysvmdrStoragePendingCallback(o.observePending),
	)
}

func (o *observed) observeStates(_ context.Context, observer metric.Int64Observer) error {
	for name, current := range o.health.Snapshot() {
		for _, state := range states {
			value := int64(0)
			if state == current {
				value = 1
			}
			observer.Observe(value, o.labels(attribute.String("dataset", name), attribute.String("state", state.String())))
		}
	}
	return nil
}

func (o *observed) observeLag(_ context.Context, observer metric.Float64Observer) error {
	for name, d := range o.datasets() {
		if w, ok := d.(windowed); ok {
			if lag, known := w.Lag(); known {
				observer.Observe(lag.Seconds(), o.labels(attribute.String("dataset", name)))
			}
		}
	}
	return nil
}

func (o *observed) observeItems(_ context.Context, observer metric.Int64Observer) error {
	for name, d := range o.datasets() {
		observer.Observe(d.Done(), o.labels(attribute.String("dataset", name)))
	}
	return nil
}

func (o *observed) observeQuarantine(_ context.Context, observer metric.Int64Observer) error {
	s := o.session.Load()
	if s == nil {
		return nil
	}
	hosts, known := 0, false
	for _, name := range []string{dataset.Vulnerabilities, dataset.Hosts} {
		if c, ok := s.datasets[name].(*engine.Collector); ok {
			hosts, known = hosts+c.Quarantined(), true
		}
	}
	if known {
		observer.Observe(int64(hosts), o.labels())
	}
	return nil
}

func (o *observed) observeEntries(_ context.Context, observer metric.Int64Observer) error {
	s := o.session.Load()
	if s == nil || s.catalog == nil {
		return nil
	}
	delivered, pending, absent := s.catalog.Entries()
	for state, n := range map[string]int{"delivered": delivered, "pending": pending, "absent": absent} {
		observer.Observe(int64(n), o.labels(attribute.String("state", state)))
	}
	return nil
}

func (o *observed) observePending(_ context.Context, observer metric.Int64Observer) error {
	if s := o.session.Load(); s != nil && s.store.Persistent() {
		observer.Observe(s.store.Pending(), o.labels())
	}
	return nil
}

// datasets are those of the session that runs.
func (o *observed) datasets() map[string]counted {
	if s := o.session.Load(); s != nil {
		return s.datasets
	}
	return nil
}

// labels are the attributes of an observation: those given, and the receiver.
func (o *observed) labels(more ...attribute.KeyValue) metric.ObserveOption {
	return metric.WithAttributes(append(more, attribute.String("receiver", o.receiver))...)
}
