// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// TimeoutError says that a response was given up, and by which setting.
type TimeoutError struct {
	Setting string        // "read_idle_timeout" or "page_timeout"
	After   time.Duration // its value
}

// Error names the setting.
func (e *TimeoutError) Error() string {
	if e.Setting == pageTimeout {
		return fmt.Sprintf("no host, entry, asset or row completed while waiting for %s (%s)", e.After, e.Setting)
	}
	return fmt.Sprintf("nothing received for %s (%s)", e.After, e.Setting)
}

// Timeout is true: it makes the error a timeout for those who ask.
func (e *TimeoutError) Timeout() bool { return true }

const (
	readIdleTimeout = "read_idle_timeout"
	pageTimeout     = "page_timeout"
)

// stallTimer ends the context of a request that keeps us waiting: at once after too long a silence, or after too long a time
// altogether without progress. Only the time between wait and received counts: a pipeline that blocks the reader is not the
// server's fault.
type stallTimer struct {
	idle, page time.Duration
	giveUp     context.CancelCauseFunc

	mu        sync.Mutex
	timer     *time.Timer
	waiting   bool
	since     time.Time
	fruitless time.Duration // waited since the last progress
	total     time.Duration
}

func newStallTimer(idle, page time.Duration, giveUp context.CancelCauseFunc) *stallTimer {
	return &stallTimer{idle: idle, page: page, giveUp: giveUp}
}

// wait begins to wait for bytes.
func (p *stallTimer) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = true
	p.since = time.Now()
	remaining := p.remaining()
	switch {
	case remaining == 0:
	case p.timer == nil:
		p.timer = time.AfterFunc(remaining, p.expire)
	default:
		p.timer.Reset(remaining)
	}
}

// remaining is the time until one of the limits is reached, 0 if there is none.
func (p *stallTimer) remaining() time.Duration {
	remaining := p.idle
	if p.page > 0 {
		if page := max(p.page-p.fruitless, time.Nanosecond); remaining <= 0 || page < remaining {
			remaining = page
		}
	}
	return max(remaining, 0)
}

// expire runs when one of the limits is reached.
func (p *stallTimer) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.waiting {
		return // bytes came in the same moment
	}
	waited := time.Since(p.since)
	switch {
	case p.page > 0 && p.fruitless+waited >= p.page:
		p.giveUp(&TimeoutError{Setting: pageTimeout, After: p.page})
	case p.idle > 0 && waited >= p.idle:
		p.giveUp(&TimeoutError{Setting: readIdleTimeout, After: p.idle})
	}
}

// received ends a wait: with bytes, or with an error.
func (p *stallTimer) received() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.waiting = false
	waited := time.Since(p.since)
	p.fruitless += waited
	p.total += waited
}

// progress notes that something was completed.
func (p *stallTimer) progress() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fruitless = 0
}

// waited is the time spent waiting altogether.
func (p *stallTimer) waited() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}
