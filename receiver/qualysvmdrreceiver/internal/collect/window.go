// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// fixed is the status of detections that are gone.
const fixed = "Fixed"

// timeFormat is how Qualys writes times, in UTC.
const timeFormat = "2006-01-02T15:04:05Z"

// The time filters of the detection API.
const (
	updatedSince   = string(qualys.UpdatedSince)
	processedAfter = string(qualys.ProcessedAfter)
	scannedAfter   = string(qualys.ScannedAfter)
)

// pass is one list that a collection asks for, over as many pages as it has.
type pass struct {
	// Status are the states of the detections.
	Status []string `json:"status"`
	// Filter is the name of the time filter, and Since its value; without a filter everything is asked for.
	Filter string    `json:"filter,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// Host is the only host that is asked for, 0: all.
	Host uint64 `json:"host,omitempty"`
	// Suppress leaves out what was delivered before with the same values.
	Suppress bool `json:"suppress,omitempty"`
}

// aside is a host whose own bytes could not be read, with the window for which its detections are missing.
type aside struct {
	Host   uint64    `json:"host"`
	Status []string  `json:"status"`
	Filter string    `json:"filter,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// Delivered are the records of the host that were delivered before and since it was set aside, each as it was last, as
	// encodeSeen writes them.
	Delivered []byte `json:"delivered,omitempty"`
}

// widen makes the window of a host that was set aside cover a pass too.
func (a *aside) widen(p pass) {
	for _, s := range p.Status {
		if !slices.Contains(a.Status, s) {
			a.Status = append(slices.Clone(a.Status), s)
		}
	}
	if p.Filter != a.Filter || a.Filter == "" { // no one filter covers two
		a.Filter, a.Since = "", time.Time{}
	} else if p.Since.Before(a.Since) {
		a.Since = p.Since
	}
}

// windows plans the passes of collections.
type windows struct {
	// filter is the time filter of later collections, empty: none.
	filter   string
	status   []string
	overlap  time.Duration
	lookback time.Duration
}

// plan returns the passes of the collection that starts now, by the local clock. Previous is the start of the previous
// collection by the server's clock, zero before the first; full asks for a collection like the first.
func (w *windows) plan(now, previous time.Time, full bool) []pass {
	later := pass{Status: w.status, Filter: w.filter, Since: previous.Add(-w.overlap), Suppress: true}
	open := slices.DeleteFunc(slices.Clone(w.status), func(s string) bool { return s == fixed })
	switch {
	case !previous.IsZero() && w.filter == "":
		return []pass{{Status: w.status}}
	case !previous.IsZero() && !full:
		return []pass{later}
	case w.lookback > 0:
		first := pass{Status: w.status, Filter: updatedSince, Since: now.Add(-w.lookback - w.overlap)}
		switch {
		case previous.IsZero():
			return []pass{first}
		case w.filter != updatedSince:
			return []pass{first, later}
		case later.Since.Before(first.Since):
			// The previous collection was longer ago than the look-back reaches: nothing in between may be lost.
			first.Since = later.Since
		}
		return []pass{first}
	case len(open) == 0 && previous.IsZero():
		return []pass{{Status: w.status, Filter: updatedSince, Since: now}}
	case len(open) == 0:
		return []pass{later}
	case previous.IsZero() || len(open) == len(w.status):
		return []pass{{Status: open}}
	default:
		// A full collection asks for what is open. What was fixed since the previous collection is asked for too, or it
		// would never be: the next collection looks back to the start of this one only.
		later.Status = []string{fixed}
		return []pass{{Status: open}, later}
	}
}

// query selects what a pass asks for.
func (p pass) query() qualys.DetectionQuery {
	q := qualys.DetectionQuery{Status: p.Status, Filter: qualys.TimeFilter(p.Filter), Since: p.Since}
	if p.Host != 0 {
		q.IDs = []qualys.IDRange{{First: p.Host, Last: p.Host}}
	}
	return q
}

// describe tells a pass to people.
func (p pass) describe() string {
	what := strings.Join(p.Status, ",")
	if p.Filter != "" {
		what += " " + p.Filter + "=" + p.Since.UTC().Format(timeFormat)
	}
	if p.Host != 0 {
		what += fmt.Sprintf(" host %d", p.Host)
	}
	return what
}

// describeAll tells the window of a collection to people.
func describeAll(passes []pass) string {
	all := make([]string, len(passes))
	for i, p := range passes {
		all[i] = p.describe()
	}
	return strings.Join(all, "; ")
}
