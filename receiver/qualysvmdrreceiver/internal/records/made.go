// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"math"
	"time"
)

// What follows writes bodies that were not read anywhere onto a tape.

// beginBody begins a body on an empty tape.
func (t *tape) beginBody(dataset *dataset) {
	t.reset(maxRecord)
	t.push(t.interner.empty, object)
	t.pushText(t.interner.logType, dataset.logType)
}

// closeMap makes the values from index at+1 on, whose keys are different ones, the members of the map at.
func (t *tape) closeMap(at int) {
	t.closeList(at) // which counts them
}

func (t *tape) pushNumber(key string, n int64) {
	t.nodes[t.push(t.interner.key(key), integer)].num = n
}

// pushKnown adds a number unless it is 0, which says that it is unknown.
func (t *tape) pushKnown(key string, n uint64) {
	if n != 0 {
		t.pushNumber(key, int64(n))
	}
}

func (t *tape) pushDouble(key string, f float64) {
	t.nodes[t.push(t.interner.key(key), double)].num = int64(math.Float64bits(f))
}

func (t *tape) pushBool(key string, is bool) {
	at := t.push(t.interner.key(key), boolean)
	if is {
		t.nodes[at].num = 1
	}
}

// pushTime adds a time as Qualys writes it, unless it is zero.
func (t *tape) pushTime(key string, at time.Time) {
	if !at.IsZero() {
		t.pushText(t.interner.key(key), at.UTC().Format(time.RFC3339))
	}
}
