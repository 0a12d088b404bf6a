// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"errors"
	"sync"
)

// login is the gate that all requests to an endpoint pass. Repeated bad logins lock a Qualys account: requests are sent one at
// a time until a response has shown that the login is good, and none at all after it was refused.
type login struct {
	turn chan struct{} // holds the one request that finds out

	mu       sync.Mutex
	verified bool
	refused  *Error
}

func newLogin() *login {
	return &login{turn: make(chan struct{}, 1)}
}

// enter lets a request through, or returns the refusal. alone tells that it is the one that finds out whether the login is
// good; leave wants to know.
func (l *login) enter(ctx context.Context) (alone bool, err error) {
	if known, err := l.outcome(); known {
		return false, err
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	if known, err := l.outcome(); known {
		<-l.turn
		return false, err
	}
	return true, nil
}

// outcome reports whether it is known how the login turns out, and the refusal if it is one.
func (l *login) outcome() (known bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused != nil {
		return true, l.refused
	}
	return l.verified, nil
}

// leave ends a request that enter let through and that ended with err. An error verifies the login if Qualys itself tells it
// and means something else.
func (l *login) leave(alone bool, err error) {
	var e *Error
	isError := errors.As(err, &e)
	l.mu.Lock()
	switch {
	case isError && e.Login && e.Class == Config:
		l.refused = e
	case err == nil, isError && e.Code != 0 && !outage(e.Code) && !e.Login:
		l.verified = true
	}
	l.mu.Unlock()
	if alone {
		<-l.turn
	}
}

// refuse closes the gate, or opens it again if err is nil.
func (l *login) refuse(err *Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = err
	l.verified = false
}

func (l *login) refusal() *Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}
