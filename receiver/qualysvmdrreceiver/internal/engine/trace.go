// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// PageSpan is the span of one page, from its request to the delivery of its last record: the HTTP client's spans and those of
// the deliveries are its children. What lasts for hours has none.
type PageSpan struct{ span trace.Span }

// StartPage begins the span of a page of the dataset.
func (d *Dataset) StartPage(ctx context.Context, attributes ...attribute.KeyValue) (context.Context, PageSpan) {
	tracer := d.Settings.Tracer
	if tracer == nil {
		tracer = noop.NewTracerProvider().Tracer("")
	}
	ctx, span := tracer.Start(ctx, "qualysvmdr/page", trace.WithAttributes(append(attributes, attribute.String("qualys.dataset", d.Name))...))
	return ctx, PageSpan{span: span}
}

// Read adds how many units, and records, the page has brought.
func (s PageSpan) Read(units, records int) {
	s.span.SetAttributes(attribute.Int("qualys.page.items", units), attribute.Int("qualys.page.records", records))
}

// within returns a context whose spans are children of the page's.
func (s PageSpan) within(ctx context.Context) context.Context {
	return trace.ContextWithSpan(ctx, s.span)
}

// End ends the span, with the error that ended the page, nil: there was none. Ending it twice does nothing.
func (s PageSpan) End(err error) {
	if err != nil && s.span.IsRecording() {
		s.span.RecordError(err)
		s.span.SetStatus(codes.Error, err.Error())
		s.span.SetAttributes(attribute.String("error.type", fmt.Sprintf("%T", err)))
	}
	s.span.End()
}
