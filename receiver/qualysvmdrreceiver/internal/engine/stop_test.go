// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
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
