// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/xpdata"
)

// sharedMap is a map that many records say: what is known of their host, of their entry, or of their collection. Copying its
// values takes as long as all else that is done for a record, so that the records share them: each has the keys, and they have
// the values in common. Nobody notices, as records are marked read-only before they are offered: whoever changes them later has
// copied them first.
type sharedMap struct {
	values  pcommon.Map
	builder *xpdata.MapBuilder // holds the same values, nil: each record gets copies
}

// newSharedMap returns a map that holds values, which go over to it. Share is what sharesValues reports.
func newSharedMap(values pcommon.Map, share bool) sharedMap {
	s := sharedMap{values: values}
	if share {
		s.builder = new(xpdata.MapBuilder)
		s.builder.EnsureCapacity(values.Len()) // and no more: see put
		for key, v := range values.All() {
			v.CopyTo(s.builder.AppendEmpty(key))
		}
	}
	return s
}

// put fills a map that is empty, with room for extra more keys. Those it may get, but the values may not be changed, other than
// by taking the place of one in m, if extra is not 0.
func (s *sharedMap) put(m pcommon.Map, extra int) {
	if s.builder == nil {
		m.EnsureCapacity(s.values.Len() + extra)
		s.values.CopyTo(m)
		return
	}
	builder := cloned(s.builder)
	builder.EnsureCapacity(s.values.Len() + extra) // has the keys copied, if it is more
	builder.UnsafeIntoMap(m)
}

// cloned returns a copy of a builder, which holds the same values. The state that is copied with it counts references to data
// in a pipeline, of which a builder has none.
func cloned[T any](builder *T) T { return *builder }

// sharesValues reports whether records may have values in common. They may not where the memory of those that are no longer
// used is given to others: it would be given away more than once.
func sharesValues() bool {
	known, pooled := false, false
	featuregate.GlobalRegistry().VisitAll(func(gate *featuregate.Gate) {
		if gate.ID() == "pdata.useProtoPooling" {
			known, pooled = true, gate.IsEnabled()
		}
	})
	return known && !pooled
}
