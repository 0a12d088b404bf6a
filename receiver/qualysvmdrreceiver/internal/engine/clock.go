// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import "time"

// clockTolerance is how far the server's clock may be from ours to be believed.
const clockTolerance = 24 * time.Hour

// StartOf returns the start of a collection by the server's clock: the earliest of the times that a response tells and that
// can be believed. A clock that runs ahead would make the next collection miss what changes until then, and one that lags
// brings some of it again. Previous is the start of the collection before, which a start never lies before; unless that one
// lies so far ahead of the local clock that it was wrong itself. Then this collection has not asked for what changed since the
// one before really began, which was at began by the local clock (zero: unknown): the start lets the next one ask for it. Doubt
// is what to warn of, "": nothing.
func StartOf(told []time.Time, local, previous, began time.Time, overlap time.Duration) (start time.Time, doubt string) {
	for _, t := range told {
		if d := t.Sub(local); d > clockTolerance || d < -clockTolerance {
			doubt = "the server's clock is more than a day off the local one"
			continue
		}
		if start.IsZero() || t.Before(start) {
			start = t
		}
	}
	if start.IsZero() {
		// Nothing can be believed, or nothing was told: the overlap covers a small difference between the clocks.
		start = local.Add(-overlap)
	}
	start = start.UTC().Truncate(time.Second)
	if start.Before(previous) {
		if previous.Sub(local) > overlap {
			if missed := began.Add(overlap).UTC().Truncate(time.Second); !began.IsZero() && missed.Before(start) {
				start = missed
			}
			return start, "the previous collection began in the future: the server's clock was wrong then"
		}
		return previous, "the server's clock lies before the start of the previous collection"
	}
	return start, doubt
}
