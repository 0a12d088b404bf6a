// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"slices"
	"strings"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// windows plans the passes of collections of detections.
type windows struct {
	// filter is the time filter of later collections, empty: none.
	filter   qualys.TimeFilter
	status   []string
	overlap  time.Duration
	lookback time.Duration
}

// isFixed reports whether a status is that of detections that are gone.
func isFixed(status string) bool { return strings.EqualFold(status, "Fixed") }

// filterOf is the time filter of the later collections.
func filterOf(collect string) qualys.TimeFilter {
	switch collect {
	case "processed":
		return qualys.ProcessedAfter
	case "scanned":
		return qualys.ScannedAfter
	case "all":
		return ""
	default:
		return qualys.UpdatedSince
	}
}

func passOf(status []string, filter qualys.TimeFilter, since time.Time) engine.Pass {
	return engine.Pass{Query: engine.Query{Status: status, Filter: string(filter), Since: since}}
}

// plan returns the passes of a collection.
func (w *windows) plan(now, watermark time.Time, full bool) []engine.Pass {
	later := passOf(w.status, w.filter, watermark.Add(-w.overlap))
	later.Deduplicate = true
	open := slices.DeleteFunc(slices.Clone(w.status), isFixed)
	switch {
	case !watermark.IsZero() && w.filter == "":
		return []engine.Pass{passOf(w.status, "", time.Time{})}
	case !watermark.IsZero() && !full:
		return []engine.Pass{later}
	case w.lookback > 0:
		first := passOf(w.status, qualys.UpdatedSince, now.Add(-w.lookback-w.overlap))
		switch {
		case watermark.IsZero():
			return []engine.Pass{first}
		case w.filter != qualys.UpdatedSince:
			later.UpdatedBefore = first.Since // the rest of it is what the first pass brings
			return []engine.Pass{first, later}
		case later.Since.Before(first.Since):
			// The previous collection was longer ago than the look-back reaches: nothing in between may be lost.
			first.Since = later.Since
		}
		return []engine.Pass{first}
	case len(open) == 0 && watermark.IsZero():
		return []engine.Pass{passOf(w.status, qualys.UpdatedSince, now)}
	case len(open) == 0:
		return []engine.Pass{later}
	case watermark.IsZero() || len(open) == len(w.status):
		return []engine.Pass{passOf(open, "", time.Time{})}
	default:
		// A full collection asks for what is open. What was fixed since the previous collection is asked for too, or it
		// would never be: the next collection looks back to the start of this one only.
		later.Status = []string{"Fixed"}
		return []engine.Pass{passOf(open, "", time.Time{}), later}
	}
}

// bringsFixed reports whether the passes of a full collection bring what was fixed since the one before, if that is asked for at
// all: then what is not brought is not fixed. A first collection does not.
func (w *windows) bringsFixed(passes []engine.Pass) bool {
	return w.filter == "" || !slices.ContainsFunc(w.status, isFixed) || slices.ContainsFunc(passes, func(p engine.Pass) bool {
		return p.Units == nil && slices.ContainsFunc(p.Status, isFixed)
	})
}
