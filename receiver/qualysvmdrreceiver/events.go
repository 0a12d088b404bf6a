// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"bytes"
	"context"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
)

// eventSettings say what becomes of health events: they go the way of the records, but never in their way.
func (r *vmdrReceiver) eventSettings() health.EventSettings {
	settings := health.EventSettings{
		Logger: r.settings.Logger,
		Consume: func(ctx context.Context, logs plog.Logs) error {
			count := logs.LogRecordCount()
			ctx = r.obs.StartLogsOp(ctx)
			err := r.next.ConsumeLogs(ctx, logs)
			r.obs.EndLogsOp(ctx, metadata.Type.String(), count, err)
			return err
		},
		Describe: func(resource pcommon.Resource, scope pcommon.InstrumentationScope) {
			builder := metadata.NewResourceBuilder(r.config.ResourceAttributes)
			builder.SetQualysReceiver(r.settings.ID.String())
			builder.Emit().MoveTo(resource)
			scope.SetName(metadata.ScopeName)
			scope.SetVersion(version)
		},
		Dropped: func(events int) {
			r.telemetry.QualysvmdrHealthEventsDropped.Add(context.Background(), int64(events), metric.WithAttributes(attribute.String("receiver", r.settings.ID.String())))
		},
	}
	if r.config.BodyFormat == BodyJSON {
		settings.Encode = func(body pcommon.Map) string {
			text, err := encode(body)
			if err != nil {
				r.settings.Logger.Error("a health event has no JSON", zap.Error(err))
			}
			return text
		}
	}
	return settings
}

// countError counts an error or a warning of a dataset's health.
func (r *vmdrReceiver) countError(dataset string, errorType health.ErrorType) {
	r.telemetry.QualysvmdrHealthErrors.Add(context.Background(), 1, metric.WithAttributes(
		attribute.String("dataset", dataset), attribute.String("error.type", string(errorType)), attribute.String("receiver", r.settings.ID.String())))
}

// encode writes a map of strings and maps as compact JSON, its keys in their order.
func encode(body pcommon.Map) (string, error) {
	var text bytes.Buffer
	err := encodeMap(jsontext.NewEncoder(&text, jsontext.AllowInvalidUTF8(true)), body)
	return strings.TrimSpace(text.String()), err
}

func encodeMap(encoder *jsontext.Encoder, m pcommon.Map) error {
	if err := encoder.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for key, value := range m.All() {
		if err := encoder.WriteToken(jsontext.String(key)); err != nil {
			return err
		}
		var err error
		if value.Type() == pcommon.ValueTypeMap {
			err = encodeMap(encoder, value.Map())
		} else {
			err = encoder.WriteToken(jsontext.String(value.AsString()))
		}
		if err != nil {
			return err
		}
	}
	return encoder.WriteToken(jsontext.EndObject)
}
