// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
)

func TestEachPageHasASpan(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(12)
		require.NoError(t, h.Sim.SetFaults(qualyssim.Faults{Next: []qualyssim.NextFault{{Fault: qualyssim.ServerError}}}))
		recorder := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
		h.Shared = func(s *dataset.Settings) { s.Engine.Tracer = provider.Tracer("test") }
		run(h, harness.DetectionSettings())
		h.Advance(10 * time.Minute)
		spans := recorder.Ended()
		require.Len(t, spans, 3, "one that failed, and two pages")
		assert.Equal(t, codes.Error, spans[0].Status().Code)
		records := 0
		for _, span := range spans {
			assert.Equal(t, "qualysvmdr/page", span.Name())
			assert.Less(t, span.EndTime().Sub(span.StartTime()), time.Second, "no wait for a back-off is in it")
			for _, a := range span.Attributes() {
				if a.Key == attribute.Key("qualys.page.records") {
					records += int(a.Value.AsInt64())
				}
			}
		}
		assert.Equal(t, 12, records)
	})
}
