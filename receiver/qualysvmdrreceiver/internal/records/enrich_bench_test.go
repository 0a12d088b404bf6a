// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkEnriched compares the way from a page to records that carry their entries with that to plain ones.
func BenchmarkEnriched(b *testing.B) {
	answer := page(benchHosts, benchDetections)
	fields, err := ParseEntryFields(typicalFields(b))
	require.NoError(b, err)
	for _, format := range []string{"structured", "json"} {
		for _, enriched := range []bool{false, true} {
			b.Run(format+map[bool]string{true: " enriched", false: " plain"}[enriched], func(b *testing.B) {
				settings := testSettings()
				settings.JSON = format == "json"
				if enriched {
					settings.EnrichFields = enrichFields
				}
				d := NewDetections(settings)
				b.SetBytes(int64(len(answer)))
				b.ReportAllocs()
				take := func() {
					out := d.Take()
					if !enriched {
						return
					}
					for i, lr := range recordsOf(out) {
						Enrich(lr, &out.Items[i], EntryFound, fields, settings.JSON)
					}
				}
				for b.Loop() {
					d.Begin(collected, "", nil)
					err := readHosts(d, strings.NewReader(answer), func() {
						if d.Full() {
							take()
						}
					})
					require.NoError(b, err)
					take()
				}
			})
		}
	}
}
