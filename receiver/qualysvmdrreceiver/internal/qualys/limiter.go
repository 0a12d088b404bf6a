// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// governor keeps the requests of one API within its limits: one at a time, and none before Qualys wants it. It learns from
// the responses, because other users of the subscription draw on the same limits.
type governor struct {
	api      API
	reserve  int64
	observer Observer
	slot     chan struct{} // holds the one request under way

	mu        sync.Mutex
	limit     int64     // calls in a window; -1: unknown
	remaining int64     // calls left in this one; -1: unknown
	expires   time.Time // until when that holds
	blocked   time.Time // no call before
	reason    string    // why
	collided  int       // responses of 1960 in a row
}

func newGovernor(api API, reserve int, observer Observer) *governor {
	return &governor{
		api:       api,
		reserve:   int64(max(reserve, 0)),
		observer:  observer,
		slot:      make(chan struct{}, 1),
		limit:     -1,
		remaining: -1,
	}
}

// enter waits until no other request of the API is under way.
func (g *governor) enter(ctx context.Context) error {
	select {
	case g.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave lets the next request enter.
func (g *governor) leave() { <-g.slot }

// pause waits until a call may be sent.
func (g *governor) pause(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d, reason := g.delay()
		if d <= 0 {
			return nil
		}
		g.observer.Waiting(g.api, reason, d)
		began := time.Now()
		sleep(ctx, d)
		g.observer.Waited(g.api, reason, time.Since(began))
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// delay is the time until the next call may be sent.
func (g *governor) delay() (time.Duration, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if d := g.blocked.Sub(now); d > 0 {
		return d, g.reason
	}
	if g.remaining >= 0 && g.remaining < g.left() {
		return g.expires.Sub(now), WaitReserve
	}
	return 0, ""
}

// left is how many calls are left to other users: a tenth of the limit at most.
func (g *governor) left() int64 {
	if g.limit < 0 {
		return g.reserve
	}
	return min(g.reserve, g.limit/10)
}

// learn takes note of what the headers of a response tell.
func (g *governor) learn(h http.Header) {
	l := readLimits(h)
	if l.remaining >= 0 {
		g.observer.Limit(g.api, l.remaining)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if l.limit >= 0 {
		g.limit = l.limit
	}
	if l.remaining >= 0 {
		g.remaining = l.remaining
		g.expires = now.Add(l.window)
	}
	if l.wait > 0 {
		g.blocked = now.Add(l.wait)
		g.reason = WaitRateLimit
	}
}

// collisions are the waits after responses of 1960 in a row; the last one stays.
var collisions = []time.Duration{5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}

// postponed takes note of a request that ended with err, and reports whether it is only to be sent later.
func (g *governor) postponed(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	switch e.limit {
	case callLimit:
		until := now.Add(collisions[min(g.collided, len(collisions)-1)])
		g.collided++
		if until.After(g.blocked) {
			g.blocked = until
			g.reason = WaitConcurrency
		}
	case rateLimit:
		// It replaces what was known: the call after the wait is sent whatever remained, and tells anew.
		g.remaining = -1
		g.blocked = now.Add(e.wait)
		g.reason = WaitRateLimit
	default:
		return false
	}
	return true
}

// succeeded takes note of a request that was responded to.
func (g *governor) succeeded() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.collided = 0
}
