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

const (
	// recoverAfter is how many responses in a row allow one more request at once after a 1960, recoverIn the time without one.
	recoverAfter = 5
	recoverIn    = 10 * time.Minute
)

// collisions are the waits after 1960 in a row; the last one stays.
var collisions = []time.Duration{5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}

// limiter keeps the requests of one API within its limits: no more at once than Qualys allows, and none before Qualys wants it.
// It learns from the responses, because other users of the subscription draw on the same limits. It is safe for concurrent use.
type limiter struct {
	api        API
	most       int   // slots at most
	othersAt   int   // requests at once that are left to others
	reserve    int64 // calls in a window that are left to others
	reserveSet bool  // the reserve is kept as it is, however small the limit
	observer   Observer

	// mu guards everything below.
	mu       sync.Mutex
	changed  chan struct{} // is closed when something changes that a request may wait for
	sent     uint64        // the number of the request that was sent last
	inUse    int           // slots
	awaiting int           // requests sent whose headers have not come

	limit     int64 // calls in a window; -1: unknown
	window    time.Duration
	remaining int64     // calls left, as told last; -1: never told
	known     bool      // it is known how many calls are left
	unknownAt uint64    // requests up to this one tell nothing of what is known next
	probing   bool      // a request is under way to find out
	free      int64     // calls left, less those under way; -1: Qualys does not say
	freeAt    uint64    // requests up to this one were sent before that was learnt
	expires   time.Time // until when that holds

	blocked   time.Time // no call before
	reason    string    // why
	limitedAt uint64    // requests up to this one were sent before the last 1965 was read
	announced bool      // a request waits for a limit, and has told the observer

	concurrent int       // requests at once that Qualys allows; 0: unknown
	ceiling    int       // slots after a 1960; 0: as many as there are
	collided   int       // 1960 in a row
	collidedAt uint64    // requests up to this one were sent before the last 1960 was read
	good       int       // responses in a row since
	since      time.Time // when the ceiling was changed last

	strange map[string]bool // headers that were reported as not understood
	noRoom  bool            // it was said that others' calls leave no room
}

// permit is the passage of one request through a limiter.
type permit struct {
	number  uint64
	probe   bool // the one that finds out how many calls are left
	waiting bool // for its headers
}

func newLimiter(api API, s Settings) *limiter {
	l := &limiter{
		api:        api,
		most:       max(s.MaxConcurrent, 1),
		othersAt:   max(s.ConcurrencyReserve, 0),
		reserve:    int64(max(s.Reserve, 0)),
		reserveSet: s.ReserveSet,
		observer:   s.Observer,
		changed:    make(chan struct{}),
		limit:      -1,
		window:     defaultWindow,
		remaining:  -1,
		free:       -1,
		strange:    map[string]bool{},
	}
	if api.Endpoint() == Gateway {
		l.most = 1 // its limits are the platform's
	}
	return l
}

// acquire waits until a request may be sent. The permit must be released.
func (l *limiter) acquire(ctx context.Context) (*permit, error) {
	var told pause // what this request has told the observer that it waits for
	var began time.Time
	for {
		ended := ctx.Err() != nil
		now := time.Now()
		p, w, changed, tells := l.next(now, ended, told)
		if told.reason != "" && w != told {
			l.observer.Waited(l.api, told.reason, now.Sub(began))
			told = pause{}
		}
		if tells {
			told, began = w, now
			l.observer.Waiting(l.api, w.reason, w.until.Sub(now))
		}
		switch {
		case ended:
			return nil, context.Cause(ctx)
		case p != nil:
			return p, nil
		}
		w.over(ctx, now, changed)
	}
}

// pause is what a request waits for, if not for a change alone.
type pause struct {
	until  time.Time // zero: only a change helps
	reason string    // "": not to be told
}

// over returns when the pause is over, something has changed, or ctx ends.
func (w pause) over(ctx context.Context, now time.Time, changed <-chan struct{}) {
	var over <-chan time.Time
	if !w.until.IsZero() {
		timer := time.NewTimer(w.until.Sub(now))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
	case <-changed:
	case <-ctx.Done():
	}
}

// next returns a permit, or what is to be waited for besides a change, and whether the observer is to be told of it: of all
// requests that wait for a limit, one tells. told is what this one has told before.
func (l *limiter) next(now time.Time, ended bool, told pause) (p *permit, w pause, changed <-chan struct{}, tells bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !ended {
		p, w = l.try(now)
	}
	if told.reason != "" && w != told {
		l.announced = false
		l.notify()
	}
	tells = w.reason != "" && !l.announced
	l.announced = l.announced || tells
	return p, w, l.changed, tells
}

// try returns a permit, or what is to be waited for.
func (l *limiter) try(now time.Time) (*permit, pause) {
	l.recover(now)
	if l.inUse >= l.allowed() {
		if l.ceiling > 0 {
			return nil, pause{until: l.since.Add(recoverIn)}
		}
		return nil, pause{}
	}
	if l.blocked.After(now) {
		return nil, pause{until: l.blocked, reason: l.reason}
	}
	if l.known && l.free >= 0 && (!now.Before(l.expires) || l.free == 0 && l.reserved() == 0) {
		l.forget() // the window is over, or no call is left and none is to be left: one finds out for how long
	}
	switch {
	case !l.known && l.probing:
		return nil, pause{}
	case l.known && l.free >= 0 && l.free < l.reserved():
		return nil, pause{until: l.expires, reason: WaitReserve}
	}
	p := &permit{probe: !l.known}
	l.probing = l.probing || p.probe
	l.inUse++
	l.send(p)
	l.slots()
	return p, pause{}
}

// send counts a call.
func (l *limiter) send(p *permit) {
	l.sent++
	p.number = l.sent
	p.waiting = true
	l.awaiting++
	if l.known && l.free > 0 {
		l.free--
	}
}

// resend counts another call under the same permit.
func (l *limiter) resend(p *permit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.receive(p)
	l.send(p)
}

// receive notes that a request does not wait for its headers any more.
func (l *limiter) receive(p *permit) {
	if p.waiting {
		p.waiting = false
		l.awaiting--
	}
}

// forget makes unknown how many calls are left: one request will find out.
func (l *limiter) forget() {
	l.known, l.free, l.unknownAt = false, -1, l.sent
}

// reserved is how many calls are left to other users. Unless it was set, the reserve is a tenth of the limit at most.
func (l *limiter) reserved() int64 {
	if l.reserveSet || l.limit < 0 {
		return l.reserve
	}
	return min(l.reserve, l.limit/10)
}

// room is how many requests may run at once without a 1960.
func (l *limiter) room() int {
	if l.concurrent == 0 {
		return 1
	}
	return max(min(l.most, l.concurrent-l.othersAt), 1)
}

// allowed is how many requests may run at once now.
func (l *limiter) allowed() int {
	if l.ceiling > 0 {
		return min(l.room(), l.ceiling)
	}
	return l.room()
}

// concurrency returns how many requests may run at once now.
func (l *limiter) concurrency() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recover(time.Now())
	return l.allowed()
}

// allowance returns what was told last.
func (l *limiter) allowance() Allowance {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Allowance{Calls: l.limit, Remaining: l.remaining, Window: l.window, Concurrent: l.concurrent}
}

// recover allows one more request at once for each while without a 1960.
func (l *limiter) recover(now time.Time) {
	for l.ceiling > 0 && now.Sub(l.since) >= recoverIn {
		l.raise(l.since.Add(recoverIn))
	}
}

func (l *limiter) raise(at time.Time) {
	l.ceiling++
	l.good, l.since = 0, at
	if l.ceiling >= l.room() {
		l.ceiling = 0
	}
	l.slots()
}

// slots tells the observer of the slots, and whoever waits for one.
func (l *limiter) slots() {
	l.observer.Slots(l.api, l.inUse, l.allowed())
	l.notify()
}

// notify wakes those who wait for a change.
func (l *limiter) notify() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// release ends a request: its response was read, or there was none.
func (l *limiter) release(p *permit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.receive(p)
	if p.probe {
		p.probe, l.probing = false, false
	}
	l.inUse--
	l.slots()
}

// learn takes note of what the headers of a response tell.
func (l *limiter) learn(p *permit, status int, h limits) {
	for _, header := range h.strange {
		l.misread(header)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.receive(p)
	if p.probe {
		p.probe, l.probing = false, false
	}
	now := time.Now()
	if h.limit >= 0 {
		l.limit, l.window = h.limit, h.window
	}
	if h.remaining >= 0 {
		l.remaining = h.remaining
	}
	l.learnFree(p, now, status, h)
	l.learnConcurrency(h.concurrent)
	if wait := h.pause(status); wait > 0 && now.Add(wait).After(l.blocked) {
		l.blocked, l.reason = now.Add(wait), WaitRateLimit
	}
	l.slots()
}

// learnFree takes note of how many calls remain. Responses can overtake each other: one that tells of more than is known tells of
// a time before, unless its request was sent later and it tells of so many more that the window must be another.
func (l *limiter) learnFree(p *permit, now time.Time, status int, h limits) {
	if p.number <= l.unknownAt {
		return // it was sent before all that was known was void
	}
	if h.remaining < 0 {
		// Where Qualys does not say how many calls remain, or does not any more, there is nothing to wait for.
		if !l.known && status/100 == 2 {
			l.known = true
		}
		return
	}
	l.observer.Limit(l.api, h.remaining)
	free := max(h.remaining-int64(l.awaiting), 0)
	switch {
	case !l.known, l.free < 0, p.number > l.freeAt && free > l.free+int64(l.most):
		l.known, l.free, l.freeAt = true, free, l.sent
		l.expires = now.Add(h.window)
	case free < l.free:
		l.free, l.freeAt = free, l.sent
	}
}

// learnConcurrency takes note of how many requests Qualys allows at once, 0: it does not say.
func (l *limiter) learnConcurrency(concurrent int) {
	if concurrent == 0 || concurrent == l.concurrent {
		return
	}
	l.concurrent = concurrent
	if most := min(l.most, concurrent); most > 1 && l.room() == 1 && !l.noRoom {
		l.noRoom = true
		l.observer.NoRoom(l.api, concurrent, most)
	}
	if l.ceiling >= l.room() {
		l.ceiling = 0
	}
}

// misread reports, once, a header of a limit that is not understood.
func (l *limiter) misread(h header) {
	l.mu.Lock()
	said := l.strange[h.name]
	l.strange[h.name] = true
	l.mu.Unlock()
	if !said {
		l.observer.Misread(l.api, h.name, h.value)
	}
}

// postponed takes note of a request that ended with err, and reports whether it is only to be sent later.
func (l *limiter) postponed(p *permit, err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.limit == noLimit || e.API != l.api {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if e.limit == callLimit {
		l.collide(p, now)
		return true
	}
	// It replaces what was known: the call after the wait is sent whatever remained, and tells anew. What was sent before the
	// first such response was read can only make the wait longer.
	if until := now.Add(e.wait); p.number > l.limitedAt || until.After(l.blocked) {
		l.blocked, l.reason = until, WaitRateLimit
	}
	if p.number > l.limitedAt {
		l.limitedAt = l.sent
	}
	l.forget()
	l.notify()
	return true
}

// collide takes note of a 1960: half as many requests at once, after a while. Those that were sent before count as one.
func (l *limiter) collide(p *permit, now time.Time) {
	if p.number <= l.collidedAt {
		return
	}
	l.collidedAt = l.sent
	l.ceiling = max(l.allowed()/2, 1)
	l.good, l.since = 0, now
	until := now.Add(collisions[min(l.collided, len(collisions)-1)])
	l.collided++
	if until.After(l.blocked) {
		l.blocked, l.reason = until, WaitConcurrency
	}
	l.slots()
}

// succeeded takes note of a request whose response is what was asked for.
func (l *limiter) succeeded(p *permit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.number <= l.collidedAt {
		return
	}
	l.collided = 0
	if l.ceiling == 0 {
		return
	}
	if l.good++; l.good == recoverAfter {
		l.raise(time.Now())
	}
}

// pause is how long a response asks to wait before the next call, whatever became of this one.
func (h limits) pause(status int) time.Duration {
	if status == http.StatusServiceUnavailable {
		return max(h.wait, h.retryAfter)
	}
	return h.wait
}
