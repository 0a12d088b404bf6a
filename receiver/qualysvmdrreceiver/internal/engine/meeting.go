// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// meeting tells what of a page was delivered when it was read before, and, where the cursor moves with the page only, which
// of that did not stand in the page now: the next ones will bring it. It is safe for concurrent use.
type meeting struct {
	ordered  bool
	inflight *inflight

	mu  sync.Mutex // guards everything below
	met map[delivered]struct{}
}

func newMeeting(ordered bool, f *inflight) *meeting {
	return &meeting{ordered: ordered, inflight: f, met: map[delivered]struct{}{}}
}

// delivered reports whether an item was delivered when the page was read before.
func (m *meeting) delivered(item *records.Item) bool {
	if !m.inflight.has(item) {
		return false
	}
	if !m.ordered {
		m.mu.Lock()
		m.met[delivered{unit: item.Unit, fingerprint: fingerprintOf(item)}] = struct{}{}
		m.mu.Unlock()
	}
	return true
}

// keeps reports whether a record stays in flight behind a page, where the list goes on at next.
func (m *meeting) keeps(one delivered, next Cursor) bool {
	if m.ordered {
		return next.ID != 0 && one.unit >= next.ID
	}
	_, met := m.met[one]
	return !met && m.inflight.had(one)
}
