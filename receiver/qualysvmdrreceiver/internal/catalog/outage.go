// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"sync"
	"time"
)

// outage tells since when entries cannot be had: since the first request was sent that was not answered, be it that it failed
// or that it waits for a limit. It is safe for concurrent use.
type outage struct {
	mu sync.Mutex // guards everything below
	// waiting is how many requests wait for something of Qualys.
	waiting int
	since   time.Time // zero: entries can be had
}

// begin takes note that a request waits for Qualys.
func (o *outage) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting++
	if o.since.IsZero() {
		o.since = time.Now()
	}
}

// end takes note that a request waits no longer, and of whether it was answered.
func (o *outage) end(answered bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting--
	if answered {
		o.over()
	}
}

// progress takes note that something has come, or that what could not be had is not asked for any more.
func (o *outage) progress() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over()
}

// over begins anew with the requests that wait. The caller holds mu.
func (o *outage) over() {
	o.since = time.Time{}
	if o.waiting > 0 {
		o.since = time.Now()
	}
}

// began is since when entries cannot be had, zero: they can.
func (o *outage) began() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since
}
