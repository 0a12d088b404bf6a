// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"errors"
	"time"
)

// Observer is told what a client does, for metrics and messages. Its methods are called from several goroutines and must not
// block.
type Observer interface {
	// Responded is called once for every request that was sent, when its response has ended; outcome is one of the Outcome
	// constants. took is the time spent waiting for the server, from sending on; time in which the reader was busy elsewhere
	// is not in it.
	Responded(api API, outcome string, took time.Duration)
	// Received is called with the bytes that came over the network, before inflating: every now and then, and at the end of
	// a response.
	Received(api API, bytes int64)
	// Limit is called with the calls that remain in the window, whenever Qualys says.
	Limit(api API, remaining int64)
	// Slots is called with how many requests of an API are under way, and how many may be, whenever one of them has changed. It
	// must not call the client.
	Slots(api API, inUse, allowed int)
	// NoRoom is called once for an API whose requests cannot run side by side, as one of the few that Qualys allows is left to
	// others: allowed is how many Qualys allows at once, possible how many could run with a concurrency_reserve of 0.
	NoRoom(api API, allowed, possible int)
	// Misread is called once for each header of a limit whose value is not understood: one that names more than two days. The
	// default is taken.
	Misread(api API, header, value string)
	// Waiting is called before the client waits for a limit; reason is one of the Wait constants. Of several requests of an API
	// that wait for it, one is reported.
	Waiting(api API, reason string, d time.Duration)
	// Waited is called after each such wait with the time it took: less than announced if the context has ended.
	Waited(api API, reason string, d time.Duration)
}

// How a request ended.
const (
	OutcomeOK         = "ok"         // the response was read to its end
	OutcomeLimited    = "limited"    // Qualys asks to wait: 1960, 1965, HTTP 409 or 429 without a code
	OutcomeNewToken   = "new_token"  // the token had expired; the call is repeated with a new one
	OutcomeConfig     = "config"     // an error of class Config
	OutcomeAmbiguous  = "ambiguous"  // an error of class Ambiguous
	OutcomeFailed     = "failed"     // any other error
	OutcomeIncomplete = "incomplete" // closed before the response was read to its end
	OutcomeCancelled  = "cancelled"  // the context of the request has ended
)

// Why the client waits.
const (
	WaitRateLimit   = "rate_limit"         // Qualys names the time: X-RateLimit-ToWait-Sec, 1965, Retry-After
	WaitReserve     = "rate_limit_reserve" // fewer calls remain than are left to others
	WaitConcurrency = "concurrency_limit"  // another call is running: 1960
)

// noObserver is for those who do not want to know.
type noObserver struct{}

// Responded does nothing.
func (noObserver) Responded(API, string, time.Duration) {}

// Received does nothing.
func (noObserver) Received(API, int64) {}

// Limit does nothing.
func (noObserver) Limit(API, int64) {}

// Slots does nothing.
func (noObserver) Slots(API, int, int) {}

// NoRoom does nothing.
func (noObserver) NoRoom(API, int, int) {}

// Misread does nothing.
func (noObserver) Misread(API, string, string) {}

// Waiting does nothing.
func (noObserver) Waiting(API, string, time.Duration) {}

// Waited does nothing.
func (noObserver) Waited(API, string, time.Duration) {}

// outcomeOf is the outcome of a request with the context ctx that ended with err.
func outcomeOf(ctx context.Context, err error) string {
	var e *Error
	var timeout *TimeoutError
	switch {
	case errors.As(err, &timeout):
		return OutcomeFailed
	case ctx.Err() != nil:
		return OutcomeCancelled
	case errors.Is(err, errTokenRejected):
		return OutcomeNewToken
	case !errors.As(err, &e):
		return OutcomeFailed
	case e.limit != noLimit:
		return OutcomeLimited
	case e.Class == Config:
		return OutcomeConfig
	case e.Class == Ambiguous:
		return OutcomeAmbiguous
	}
	return OutcomeFailed
}
