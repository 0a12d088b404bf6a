// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v7"
	"go.opentelemetry.io/collector/config/configretry"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// ambiguousWaits are the distances between the tries after which an ambiguous response counts as one that only a new
// configuration can change: three tries over more than ten minutes, as maintenance and proxies pass by then.
var ambiguousWaits = []time.Duration{4 * time.Minute, 7 * time.Minute}

const (
	// ambiguousAgain is how often a dataset that has worked tries again where one that never did has stopped.
	ambiguousAgain = time.Hour
	// rejectedAgain is how often it is looked whether rejected credentials may be tried again.
	rejectedAgain = time.Minute
)

// StoppedError is an error that stops a dataset until the configuration changes or the collector restarts.
type StoppedError struct {
	Type health.ErrorType
	Err  error
}

// Error tells what stopped the dataset.
func (e *StoppedError) Error() string { return e.Err.Error() }

// Unwrap returns what stopped the dataset.
func (e *StoppedError) Unwrap() error { return e.Err }

// Gate is passed by every request of a dataset. A failure that is nobody's own closes it for all: until the back-off has
// ended nothing is sent, then one request tries. It also keeps the dataset's health: it is in Error while the gate is
// closed, or while anybody has said so. It is safe for concurrent use.
type Gate struct {
	health *health.Dataset
	log    *zap.Logger
	retry  configretry.BackOffConfig
	// retried is told of each failure that is followed by another try.
	retried func()
	// worked reports whether the dataset has worked with these credentials.
	worked func() bool

	mu        sync.Mutex // guards everything below
	backOff   *backoff.ExponentialBackOff
	ambiguous int
	// failures counts what closed the gate: a request that was sent before the last of them tells nothing new.
	failures int
	closed   bool
	trying   bool
	stopped  error // a *StoppedError: nothing is sent any more
	until    time.Time
	changed  chan struct{} // closed when any of this changes
	failing  int           // shards that fail on their own
}

// NewGate returns an open gate. Worked may be nil: it never has.
func NewGate(state *health.Dataset, log *zap.Logger, retry configretry.BackOffConfig, retried func(), worked func() bool) *Gate {
	if worked == nil {
		worked = func() bool { return false }
	}
	return &Gate{health: state, log: log, retry: retry, retried: retried, worked: worked, backOff: newBackOff(retry), changed: make(chan struct{})}
}

// GatePass is what Enter lets through; it is given back by one of Open and Fail, or by Leave.
type GatePass struct {
	failures int
	trial    bool
}

// Enter waits until a request may be sent, or returns the context's error, or the *StoppedError that ended everything.
func (g *Gate) Enter(ctx context.Context) (GatePass, error) {
	for {
		g.mu.Lock()
		now := time.Now()
		wait := g.until.Sub(now)
		switch {
		case g.stopped != nil:
			defer g.mu.Unlock()
			return GatePass{}, g.stopped
		case !g.closed:
			p := GatePass{failures: g.failures}
			g.mu.Unlock()
			return p, ctx.Err()
		case wait <= 0 && !g.trying:
			g.trying = true
			p := GatePass{failures: g.failures, trial: true}
			g.mu.Unlock()
			return p, nil
		}
		changed := g.changed
		g.mu.Unlock()
		if wait <= 0 {
			wait = time.Hour // somebody else is trying, and will say how it went
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
			timer.Stop()
			return GatePass{}, ctx.Err()
		}
		timer.Stop()
	}
}

// Wait waits until the gate is open, for requests that tell nothing of the others. It returns what Enter does.
func (g *Gate) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		stopped, closed, changed := g.stopped, g.closed, g.changed
		g.mu.Unlock()
		if stopped != nil || !closed {
			return errors.Join(stopped, ctx.Err())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Leave gives a pass back of a request that was not sent, or that the context has ended.
func (g *Gate) Leave(p GatePass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.trial {
		g.trying = false
		g.tell()
	}
}

// Open takes note of a request that was answered: the gate is open.
func (g *Gate) Open(p GatePass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.trial {
		g.trying = false
	} else if p.failures != g.failures {
		return // sent before the failure that closed the gate
	}
	g.ambiguous = 0
	g.backOff.Reset()
	g.closed = false
	g.tell()
}

// Fail takes note of a request that failed, and closes the gate until it may be tried again. A request that was sent before
// the gate was closed changes nothing. It returns a *StoppedError when there is nothing to try, else nil.
func (g *Gate) Fail(p GatePass, v Verdict, err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.tell()
	if p.trial {
		g.trying = false
	} else if p.failures != g.failures {
		if v.Class == Config && v.RetryAt.IsZero() {
			return g.stop(err)
		}
		return nil
	}
	kind := health.ThirdPartyGeneric
	var wait time.Duration
	switch v.Class {
	case Config:
		if v.RetryAt.IsZero() {
			return g.stop(err)
		}
		kind, wait = health.ThirdPartyConfig, max(time.Second, min(time.Until(v.RetryAt), rejectedAgain))
	case Ambiguous:
		switch {
		case g.ambiguous < len(ambiguousWaits):
			wait = ambiguousWaits[g.ambiguous]
			g.log.Warn("ambiguous response (maintenance, proxy, wrong endpoint or missing permission); retrying before giving up",
				zap.Error(err), zap.Int("try", g.ambiguous+1), zap.Int("tries", len(ambiguousWaits)+1), zap.Duration("next_in", wait))
		case g.worked() && !v.Credentials:
			wait = ambiguousAgain
		default:
			return g.stop(err)
		}
		g.ambiguous++
	default:
		g.ambiguous = 0
		wait = g.backOff.NextBackOff()
	}
	g.failures++
	g.closed, g.until = true, time.Now().Add(wait)
	g.health.Fail(kind, err)
	g.retried()
	return nil
}

// stop lets nothing through any more. The caller holds mu.
func (g *Gate) stop(err error) error {
	g.stopped = &StoppedError{Type: health.ThirdPartyConfig, Err: err}
	return g.stopped
}

// tell wakes those who wait. The caller holds mu.
func (g *Gate) tell() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// failed takes note that somebody fails on their own account, until recovered is called.
func (g *Gate) failed(kind health.ErrorType, err error) (recovered func()) {
	g.mu.Lock()
	g.failing++
	g.mu.Unlock()
	g.health.Fail(kind, err)
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.failing--
		g.mu.Unlock()
	})
}

// Collecting takes note that data comes in and is delivered: an error is over, unless something else still fails.
func (g *Gate) Collecting() {
	g.mu.Lock()
	well := g.failing == 0 && !g.closed
	g.mu.Unlock()
	if well {
		g.health.Reach(health.Collecting)
	}
}

// Try calls fn, which sends a request, through the gate until it succeeds, stops the dataset, or the context ends.
func (g *Gate) Try(ctx context.Context, judge func(error) Verdict, fn func(context.Context) error) error {
	for {
		p, err := g.Enter(ctx)
		if err != nil {
			return err
		}
		err = fn(ctx)
		switch {
		case err == nil:
			g.Open(p)
			return nil
		case ctx.Err() != nil:
			g.Leave(p)
			return ctx.Err()
		}
		if stopped := g.Fail(p, judge(err), err); stopped != nil {
			return stopped
		}
	}
}

// IsStopped returns the error that stops a dataset, if err is one.
func IsStopped(err error) (*StoppedError, bool) {
	var stopped *StoppedError
	return stopped, errors.As(err, &stopped)
}
