// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// limitError says that Qualys asks to wait, which nobody does here: it can take hours.
type limitError struct {
	api    qualys.API
	reason string
	wait   time.Duration
}

func (e *limitError) Error() string {
	return fmt.Sprintf("%s: Qualys asks to wait for %s (%s)", e.api, e.wait.Round(time.Second), e.reason)
}

// limits ends a check instead of waiting for a limit.
type limits struct {
	mu     sync.Mutex
	giveUp context.CancelCauseFunc
}

var _ qualys.Observer = (*limits)(nil)

// within does ask, until it ends, takes too long or would have to wait.
func (l *limits) within(ctx context.Context, timeout time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no response for %s", timeout))
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	l.mu.Lock()
	l.giveUp = giveUp
	l.mu.Unlock()
	return ask(ctx)
}

// Waiting implements [qualys.Observer].
func (l *limits) Waiting(api qualys.API, reason string, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveUp(&limitError{api, reason, wait})
}

// Responded implements [qualys.Observer].
func (*limits) Responded(qualys.API, string, time.Duration) {}

// Received implements [qualys.Observer].
func (*limits) Received(qualys.API, int64) {}

// Limit implements [qualys.Observer].
func (*limits) Limit(qualys.API, int64) {}

// Slots implements [qualys.Observer].
func (*limits) Slots(qualys.API, int, int) {}

// NoRoom implements [qualys.Observer].
func (*limits) NoRoom(qualys.API, int, int) {}

// Misread implements [qualys.Observer].
func (*limits) Misread(qualys.API, string, string) {}

// Waited implements [qualys.Observer].
func (*limits) Waited(qualys.API, string, time.Duration) {}
