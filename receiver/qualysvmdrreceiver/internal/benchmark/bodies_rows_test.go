// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// measureBodies measures what other bodies than plain maps take: JSON, and those with an entry in them.
func (t *table) measureBodies(ctx context.Context) error {
	fields, err := typicalFields()
	if err != nil {
		return err
	}
	for _, pretty := range []bool{true, false} {
		page := pageOf(pageSize, pretty)
		asJSON := t.row(row{name: "page to JSON bodies, against encoding/xml and encoding/json, " + form(pretty), required: 8, aim: 12})
		enriched := t.row(row{name: "enriched detections, against plain ones, " + form(pretty), unit: ratio, atMost: true, required: 1.25, aim: 1.12})
		enrichedJSON := t.row(row{name: "the same as JSON bodies, " + form(pretty), unit: ratio, atMost: true, required: 1.5, aim: 1.25})
		read := func(json bool, fields []*records.EntryFields) func() error {
			settings := recordSettings(serverName)
			settings.JSON = json
			if fields != nil {
				settings.EnrichFields = enrichFields
			}
			reader, client := newDetectionReader(settings), clientOf(page)
			return func() error {
				return reader.read(ctx, client, func(chunk records.Chunk) { enrich(chunk, fields, json) })
			}
		}
		plain, plainJSON, rich, richJSON := read(false, nil), read(true, nil), read(false, fields), read(true, fields)
		for range *rounds {
			theirs, ours, err := against(func() (time.Duration, error) {
				return timed(func() error { return readJSONBodies(page, func(plog.Logs) {}) })
			}, plainJSON)
			if err != nil {
				return err
			}
			asJSON.measured = append(asJSON.measured, theirs.Seconds()/ours.Seconds())
			t.note("page to JSON bodies", len(page), ours)
			for _, pair := range []struct {
				row         *row
				plain, rich func() error
			}{{enriched, plain, rich}, {enrichedJSON, plainJSON, richJSON}} {
				without, with, err := against(func() (time.Duration, error) {
					took, err := timed(func() error {
						for range passes {
							if err := pair.plain(); err != nil {
								return err
							}
						}
						return nil
					})
					return took / passes, err
				}, pair.rich)
				if err != nil {
					return err
				}
				pair.row.measured = append(pair.row.measured, with.Seconds()/without.Seconds())
			}
		}
	}
	return nil
}
