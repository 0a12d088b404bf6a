// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// clientObserver makes metrics and messages of what the client does. It is safe for concurrent use.
type clientObserver struct {
	receiver  string // its component ID
	log       *zap.Logger
	telemetry *metadata.TelemetryBuilder
	waits     *engine.Waits
}

var _ qualys.Observer = (*clientObserver)(nil)

// labels are the attributes of a measurement: those given, the API and the receiver.
func (o *clientObserver) labels(api qualys.API, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, attribute.String("api", string(api)), attribute.String("receiver", o.receiver))...))
}

// Responded implements [qualys.Observer].
func (o *clientObserver) Responded(api qualys.API, outcome string, took time.Duration) {
	labels := o.labels(api, attribute.String("outcome", outcome))
	o.telemetry.QualysvmdrRequests.Add(context.Background(), 1, labels)
	o.telemetry.QualysvmdrRequestDuration.Record(context.Background(), took.Seconds(), labels)
}

// Received implements [qualys.Observer].
func (o *clientObserver) Received(api qualys.API, bytes int64) {
	o.telemetry.QualysvmdrBytesReceived.Add(context.Background(), bytes, o.labels(api))
}

// Limit implements [qualys.Observer].
func (o *clientObserver) Limit(api qualys.API, remaining int64) {
	o.telemetry.QualysvmdrLimitRemaining.Record(context.Background(), remaining, o.labels(api))
}

// Slots implements [qualys.Observer].
func (o *clientObserver) Slots(api qualys.API, inUse, allowed int) {
	o.telemetry.QualysvmdrRequestSlots.Record(context.Background(), int64(inUse), o.labels(api, attribute.String("state", "used")))
	o.telemetry.QualysvmdrRequestSlots.Record(context.Background(), int64(allowed), o.labels(api, attribute.String("state", "allowed")))
}

// NoRoom implements [qualys.Observer].
func (o *clientObserver) NoRoom(api qualys.API, allowed, possible int) {
	o.log.Info("qualys allows few requests at once, and concurrency_reserve leaves some of them to others; requests run one at a time",
		zap.String("api", string(api)), zap.Int("allowed", allowed), zap.Int("with_concurrency_reserve_0", possible))
}

// Misread implements [qualys.Observer].
func (o *clientObserver) Misread(api qualys.API, header, value string) {
	o.log.Warn("a limit that qualys announced is not understood; assuming the default",
		zap.String("api", string(api)), zap.String("header", header), zap.String("value", value))
}

// Waiting implements [qualys.Observer].
func (o *clientObserver) Waiting(api qualys.API, reason string, d time.Duration) {
	o.log.Info("waiting for a Qualys rate limit",
		zap.String("dataset", dataset.Of[api]), zap.String("api", string(api)), zap.String("reason", reason), zap.Duration("for", d))
}

// Waited implements [qualys.Observer].
func (o *clientObserver) Waited(api qualys.API, reason string, d time.Duration) {
	o.telemetry.QualysvmdrLimitWait.Add(context.Background(), d.Seconds(), o.labels(api, attribute.String("reason", reason)))
	o.waits.Add(dataset.Of[api], d)
}
