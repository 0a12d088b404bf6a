// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// traceSink is a backend for traces: the real OTLP receiver, which keeps every span.
type traceSink struct {
	url string

	mu    sync.Mutex // guards spans
	spans []ptrace.Span
}

func newTraceSink(t *testing.T) *traceSink {
	t.Helper()
	address := freeAddress(t)
	s := &traceSink{url: "http://" + address + "/v1/traces"}
	next, err := consumer.NewTraces(s.consume)
	require.NoError(t, err)
	receive(t, map[string]any{"http": map[string]any{"endpoint": address}}, func(factory receiver.Factory, config component.Config) (component.Component, error) {
		return factory.CreateTraces(t.Context(), receivertest.NewNopSettings(factory.Type()), config, next)
	})
	return s
}

func (s *traceSink) consume(_ context.Context, traces ptrace.Traces) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ofResource := range traces.ResourceSpans().All() {
		for _, ofScope := range ofResource.ScopeSpans().All() {
			for _, span := range ofScope.Spans().All() {
				s.spans = append(s.spans, span)
			}
		}
	}
	return nil
}

// pages are the spans of a dataset's pages, by their begin.
func (s *traceSink) pages(dataset string) (pages []ptrace.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.spans {
		if of, _ := span.Attributes().Get("qualys.dataset"); span.Name() == "qualysvmdr/page" && of.Str() == dataset {
			pages = append(pages, span)
		}
	}
	slices.SortFunc(pages, func(a, b ptrace.Span) int { return a.StartTimestamp().AsTime().Compare(b.StartTimestamp().AsTime()) })
	return pages
}

// children are the names of the spans right below one.
func (s *traceSink) children(of ptrace.Span) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.spans {
		if span.TraceID() == of.TraceID() && span.ParentSpanID() == of.SpanID() {
			names = append(names, span.Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// atOnce is how many of the spans last at the same moment, at most.
func atOnce(spans []ptrace.Span) (most int) {
	for _, at := range spans {
		underWay := 0
		for _, span := range spans {
			if span.StartTimestamp() <= at.StartTimestamp() && at.StartTimestamp() < span.EndTimestamp() {
				underWay++
			}
		}
		most = max(most, underWay)
	}
	return most
}

// picture draws spans over time, one a line.
func picture(spans []ptrace.Span) string {
	const width = 72
	begin, end := spans[0].StartTimestamp(), spans[0].EndTimestamp()
	for _, span := range spans {
		end = max(end, span.EndTimestamp())
	}
	column := func(at int64) int { return int(at * (width - 1) / int64(end-begin)) }
	var text strings.Builder
	for _, span := range spans {
		from, to := column(int64(span.StartTimestamp()-begin)), column(int64(span.EndTimestamp()-begin))
		ofRange, _ := span.Attributes().Get("qualys.range")
		items, _ := span.Attributes().Get("qualys.page.items")
		fmt.Fprintf(&text, "range %3d, %3d hosts  %s%s%s  %s\n", ofRange.Int(), items.Int(), strings.Repeat(" ", from), strings.Repeat("=", to-from+1),
			strings.Repeat(" ", width-1-to), span.EndTimestamp().AsTime().Sub(span.StartTimestamp().AsTime()).Round(10*time.Millisecond))
	}
	return text.String()
}

func TestTracesShowPagesSideBySide(t *testing.T) {
	const pages = 40
	options := qualyssim.Options{Hosts: 20 * pages, MinDetections: 5, MaxDetections: 15, Faults: qualyssim.Faults{Delay: qualyssim.Duration(500 * time.Millisecond)}}
	require.True(t, qualyssim.Premium.Apply(&options))
	subscription := NewSubscription(t, options)
	traces, sink := newTraceSink(t), NewSink(t)
	collector := Start(t, subscription.Config(sink.Protobuf(), fmt.Sprintf(`
receivers:
  qualysvmdr:
    vulnerabilities: {page_size: 20}
service:
  telemetry:
    traces:
      processors:
        - batch:
            schedule_delay: 100
            exporter:
              otlp: {protocol: http/protobuf, endpoint: %q}
`, traces.url)))
	collector.AwaitOutput(t, "collection finished")
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))

	spans := traces.pages("vulnerabilities")
	require.Len(t, spans, pages)
	t.Logf("\n%s", picture(spans))
	assert.Equal(t, 9, atOnce(spans), "one of ten calls is left to others")
	hosts, records := int64(0), int64(0)
	for _, span := range spans {
		items, _ := span.Attributes().Get("qualys.page.items")
		made, _ := span.Attributes().Get("qualys.page.records")
		hosts, records = hosts+items.Int(), records+made.Int()
		assert.Contains(t, traces.children(span), "HTTP POST")
	}
	assert.Equal(t, int64(options.Hosts), hosts)
	assert.Equal(t, int64(sink.Count(vulnerabilityLogs)), records)
}
