// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
)

// leaderElection is what is needed of an extension that elects one of several collectors, such as k8s_leader_elector. It calls
// onStart when this collector is elected, with a context that ends with the election, and onStop when it is no more. It may
// call onStop without onStart before, onStart late, and both for as long as it lives.
type leaderElection interface {
	SetCallBackFuncs(onStart func(context.Context), onStop func())
}

// findLeaderElection returns the leader election extension of that name.
func findLeaderElection(host component.Host, id component.ID) (leaderElection, error) {
	found, ok := host.GetExtensions()[id]
	if !ok {
		return nil, fmt.Errorf("k8s_leader_elector: extension %q does not run: it must be configured and listed under service::extensions", id)
	}
	election, ok := found.(leaderElection)
	if !ok {
		return nil, fmt.Errorf("k8s_leader_elector: extension %q is not a leader election extension", id)
	}
	return election, nil
}

// leadership runs a term for each time that this collector is elected, one after the other. It is safe for concurrent use.
type leadership struct {
	running sync.WaitGroup

	// mu guards everything below.
	mu sync.Mutex
	// term collects until its context ends; nil: none begins any more.
	term func(context.Context)
	// end ends the last term that began, and ended is closed when it has ended.
	end   context.CancelFunc
	ended <-chan struct{}
}

// newLeadership returns a leadership without a term. The last term has returned when close returns.
func newLeadership(term func(context.Context)) *leadership {
	none := make(chan struct{})
	close(none)
	return &leadership{term: term, end: func() {}, ended: none}
}

// start begins a term, unless the context has ended, after the one before has ended. It returns at once.
func (l *leadership) start(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.term == nil || ctx.Err() != nil {
		return
	}
	l.end()
	ctx, cancel := context.WithCancel(ctx)
	term, before, ended := l.term, l.ended, make(chan struct{})
	l.end, l.ended = cancel, ended
	l.running.Go(func() {
		defer close(ended)
		defer cancel()
		<-before
		if ctx.Err() == nil {
			term(ctx)
		}
	})
}

// stop ends the term that runs, if there is one. It returns at once.
func (l *leadership) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
}

// close lets no further term begin, and returns when the last one has ended, which it does not cause.
func (l *leadership) close() {
	l.mu.Lock()
	l.term = nil // an extension keeps what it was given to call; it need not keep a receiver
	l.mu.Unlock()
	l.running.Wait()
}
