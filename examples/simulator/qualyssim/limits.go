// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits that are told while none is enforced: far away, so that a client has no reason to slow down.
const (
	untoldRate        = 1_000_000
	untoldConcurrency = 1_000
)

// limits count the calls of each API of /api/.
type limits struct {
	options *Options

	mu    sync.Mutex
	usage map[API]*usage
}

// usage is what one API has of its budget.
type usage struct {
	calls     []time.Time // in the window, oldest first
	running   int
	lingering []time.Time // when calls whose clients are gone end
}

func newLimits(o *Options) *limits {
	return &limits{options: o, usage: map[API]*usage{Detections: {}, HostList: {}, KnowledgeBase: {}, ActivityLog: {}, NoAPI: {}}}
}

// refusal is a call over a limit: a code, and the seconds until the next call may come.
type refusal struct{ code, wait int }

// enter counts a call unless it is over a limit, and sets the headers that tell the budget. A call that entered has to
// leave.
func (l *limits) enter(api API, now time.Time, h http.Header) (refused refusal, entered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.usage[api]
	u.forget(now, l.options.RateWindow)

	o := l.options
	running := u.running + len(u.lingering)
	switch {
	case o.Concurrency > 0 && running >= o.Concurrency:
		refused.code = codeBusy
	case o.RateLimit > 0 && len(u.calls) >= o.RateLimit:
		free := u.calls[len(u.calls)-o.RateLimit].Add(o.RateWindow)
		refused = refusal{codeRateLimit, int((free.Sub(now) + time.Second - 1) / time.Second)}
	default:
		entered = true
		if o.RateLimit > 0 {
			u.calls = append(u.calls, now)
		}
		u.running++
	}

	rate, remaining := untoldRate, untoldRate
	if o.RateLimit > 0 {
		rate, remaining = o.RateLimit, o.RateLimit-len(u.calls)
	}
	concurrency := untoldConcurrency
	if o.Concurrency > 0 {
		concurrency = o.Concurrency
	}
	if o.RateHeaders == HeadersNone {
		return refused, entered
	}
	prefix := "X-Concurrency-Limit-"
	if o.RateHeaders == HeadersJoined {
		prefix = "X-ConcurrencyLimit-"
	}
	set := func(name string, value int) { h.Set(name, strconv.Itoa(value)) }
	set("X-RateLimit-Limit", rate)
	set("X-RateLimit-Window-Sec", int(o.RateWindow/time.Second))
	if refused.code != codeBusy {
		set("X-RateLimit-Remaining", remaining)
		set("X-RateLimit-ToWait-Sec", refused.wait)
	}
	set(prefix+"Limit", concurrency)
	set(prefix+"Running", running)
	return refused, entered
}

// leave ends a call. One that was aborted lingers: the server does not notice at once that nobody listens.
func (l *limits) leave(api API, now time.Time, aborted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.usage[api]
	u.running--
	if aborted && l.options.Linger > 0 {
		u.lingering = append(u.lingering, now.Add(l.options.Linger))
	}
}

// forget drops what no longer counts.
func (u *usage) forget(now time.Time, window time.Duration) {
	for len(u.calls) > 0 && !now.Before(u.calls[0].Add(window)) {
		u.calls = u.calls[1:]
	}
	for len(u.lingering) > 0 && !now.Before(u.lingering[0]) {
		u.lingering = u.lingering[1:]
	}
}
