// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"errors"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// Judge says what can be done about an error of the client. One that is not of Qualys can pass.
func Judge(err error) engine.Verdict {
	var e *qualys.Error
	if !errors.As(err, &e) {
		return engine.Verdict{}
	}
	v := engine.Verdict{Credentials: e.Login, RetryAt: e.RetryAt, NotAccepted: e.Unsupported("ids") != ""}
	switch e.Class {
	case qualys.Config:
		v.Class = engine.Config
	case qualys.Ambiguous:
		v.Class = engine.Ambiguous
	default:
		v.Response = responseOf(e)
	}
	return v
}

// responseOf says whether it can be the fault of what was asked for that no response came.
func responseOf(e *qualys.Error) engine.Response {
	switch {
	case e.API == qualys.Auth, e.Unsent:
		return engine.NotAtFault // nothing was asked for
	case e.PageTooLarge():
		return engine.TooSlow
	case e.Code != 0, e.Limited():
		return engine.NotAtFault
	case e.Status >= 500:
		return engine.Failed
	case e.Status == 0 && e.Err != nil:
		return engine.Failed // the connection ended before the first byte of a response
	}
	return engine.NotAtFault
}

// unsupported are the parameters that the receiver adds by itself and the server does not take. It is safe for concurrent
// use.
type unsupported struct {
	log *zap.Logger
	// own are the names of those that may be left out.
	own []string

	mu    sync.Mutex // guards everything below
	names map[string]bool
}

// omit are the parameters to leave out. It is not to be changed.
func (u *unsupported) omit() map[string]bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.names
}

// learn leaves out what an error names from now on, and reports whether it named something that had been sent: what was not to
// be sent is in omit. Of several requests that were under way with it, all may be sent again.
func (u *unsupported) learn(err error, omit map[string]bool) bool {
	var e *qualys.Error
	if !errors.As(err, &e) {
		return false
	}
	sent := slices.DeleteFunc(slices.Clone(u.own), func(name string) bool { return omit[name] })
	name := e.Unsupported(sent...)
	if name == "" {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.names[name] {
		return true
	}
	names := map[string]bool{name: true}
	for known := range u.names {
		names[known] = true
	}
	u.names = names
	u.log.Warn("qualys rejected a default parameter; omitting it from now on", zap.String("parameter", name), zap.Error(err))
	return true
}
