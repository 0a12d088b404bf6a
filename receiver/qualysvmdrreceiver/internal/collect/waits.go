// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// Waits observes the client: it makes metrics of what it tells, and remembers how long each dataset has waited for
// limits. It is safe for concurrent use.
type Waits struct {
	receiver  string
	log       *zap.Logger
	telemetry *metadata.TelemetryBuilder

	mu     sync.Mutex
	waited map[string]time.Duration
}

var _ qualys.Observer = (*Waits)(nil)

// NewWaits returns an observer for the receiver with this component ID.
func NewWaits(receiver string, log *zap.Logger, telemetry *metadata.TelemetryBuilder) *Waits {
	return &Waits{receiver: receiver, log: log, telemetry: telemetry, waited: map[string]time.Duration{}}
}

// of is how long a dataset has waited for limits.
func (w *Waits) of(dataset string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waited[dataset]
}

// Responded implements [qualys.Observer].
func (w *Waits) Responded(api qualys.API, outcome string, took time.Duration) {
	attrs := labels(w.receiver, attribute.String("api", string(api)), attribute.String("outcome", outcome))
	w.telemetry.QualysvmdrRequests.Add(context.Background(), 1, attrs)
	w.telemetry.QualysvmdrRequestDuration.Record(context.Background(), took.Seconds(), attrs)
}

// Received implements [qualys.Observer].
func (w *Waits) Received(api qualys.API, bytes int64) {
	w.telemetry.QualysvmdrBytesReceived.Add(context.Background(), bytes, labels(w.receiver, attribute.String("api", string(api))))
}

// Limit implements [qualys.Observer].
func (w *Waits) Limit(api qualys.API, remaining int64) {
	w.telemetry.QualysvmdrLimitRemaining.Record(context.Background(), remaining, labels(w.receiver, attribute.String("api", string(api))))
}

// Slots implements [qualys.Observer].
func (*Waits) Slots(qualys.API, int, int) {}

// NoRoom implements [qualys.Observer].
func (w *Waits) NoRoom(api qualys.API, allowed, possible int) {
	w.log.Info("qualys allows few requests at once, and concurrency_reserve leaves one of them to others; requests run one at a time",
		zap.String("api", string(api)), zap.Int("allowed", allowed), zap.Int("with_concurrency_reserve_0", possible))
}

// Misread implements [qualys.Observer].
func (w *Waits) Misread(api qualys.API, header, value string) {
	w.log.Warn("a limit that qualys announced is not understood; assuming the default", zap.String("api", string(api)), zap.String("header", header), zap.String("value", value))
}

// Waiting implements [qualys.Observer].
func (w *Waits) Waiting(api qualys.API, reason string, d time.Duration) {
	w.log.Info("Waiting for a limit of Qualys.", zap.String("dataset", datasetOf[api]), zap.String("api", string(api)), zap.String("reason", reason), zap.Duration("for", d))
}

// Waited implements [qualys.Observer].
func (w *Waits) Waited(api qualys.API, reason string, d time.Duration) {
	w.telemetry.QualysvmdrLimitWait.Add(context.Background(), d.Seconds(), labels(w.receiver, attribute.String("api", string(api)), attribute.String("reason", reason)))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waited[datasetOf[api]] += d
}
