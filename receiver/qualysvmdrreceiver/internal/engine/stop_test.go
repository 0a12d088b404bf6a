// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
)

// A batch that goes out in parts would otherwise hold up a stop for the grace of each of them.
func TestNothingIsOfferedAfterAStop(t *testing.T) {
	settings := receivertest.NewNopSettings(component.MustNewType("qualysvmdr"))
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: settings.ID, ReceiverCreateSettings: settings})
	require.NoError(t, err)
	sink := &consumertest.LogsSink{}
	d := engine.NewDeliverer(t.Context(), sink, obs, configretry.NewDefaultBackOffConfig())
	ctx, stop := context.WithCancel(t.Context())
	stop()
	logs := plog.NewLogs()
	logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	require.ErrorIs(t, d.Deliver(ctx, logs, engine.Rejections{}), context.Canceled)
	assert.Zero(t, sink.LogRecordCount())
}

// responding is a source whose response to a try of quarantined units comes as the collector is stopped.
type responding struct {
	engine.Source
	engine.Page

	stop   context.CancelFunc
	closed bool
}

func (*responding) Plan(engine.Window) []engine.Pass { return nil }

func (r *responding) Fetch(context.Context, engine.Request) (engine.Page, error) {
	r.stop()
	return r, nil
}

func (r *responding) Close() { r.closed = true }

// A page holds a slot of the client, which outlives a term: what is left open is missing in all the later ones.
func TestAResponseThatComesWithAStopIsClosed(t *testing.T) {
	settings := receivertest.NewNopSettings(component.MustNewType("qualysvmdr"))
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: settings.ID, ReceiverCreateSettings: settings})
	require.NoError(t, err)
	telemetry, err := metadata.NewTelemetryBuilder(settings.TelemetrySettings)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	store := checkpoint.New(harness.NewStorage())
	require.NoError(t, store.Update(ctx, func(tx *checkpoint.Tx) {
		tx.Put("hosts/state", 2, &engine.State{Quarantine: []engine.Quarantined{{Unit: 7}}})
	}))
	source := &responding{stop: stop}
	status := health.New(health.Settings{Logger: zap.NewNop()}, "hosts").Dataset("hosts")
	retry := configretry.NewDefaultBackOffConfig()
	engine.NewCollector(engine.Settings{
		Logger: zap.NewNop(), Store: store, Telemetry: telemetry, Waits: &engine.Waits{}, Retry: retry,
		Deliverer: engine.NewDeliverer(ctx, &consumertest.LogsSink{}, obs, retry),
	}, "hosts", status, source, engine.Options{Interval: time.Hour}).Run(ctx)
	assert.True(t, source.closed)
}
