// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package health follows the states of the datasets and tells their changes: each as a log line and, if wanted, as a log
// record, and all of them together as the status of the component.
package health

import (
	"sync"

	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"
)

// Settings say where a Reporter tells what changed.
type Settings struct {
	Logger *zap.Logger
	// Source names the receiver in events: its component id.
	Source string
	// Status takes the aggregated status, one event after the other; nil: nobody does. No lock of the Reporter is held
	// while it runs.
	Status func(*componentstatus.Event)
	// Events takes every change as a record; nil: nobody does. Who made it closes it, after the Reporter.
	Events *Events
	// Failed counts the changes that are errors or warnings, also where they are no records; nil: nobody does. It is called
	// under locks and may not call back.
	Failed func(dataset string, errorType ErrorType)
}

// Reporter knows the states of the datasets of one receiver. It and its datasets are safe for concurrent use.
type Reporter struct {
	settings Settings
	datasets []*Dataset

	mu        sync.Mutex
	changed   *Dataset  // the last one that did
	closed    bool      // the shutdown has begun
	reported  status    // the last one
	outdated  bool      // something changed since reported was computed
	reporting bool      // some goroutine is at it
	idle      sync.Cond // no goroutine is any more
}

// New returns a Reporter of these datasets, all of which are Pending.
func New(settings Settings, datasets ...string) *Reporter {
	r := &Reporter{settings: settings}
	r.idle.L = &r.mu
	for _, name := range datasets {
		r.datasets = append(r.datasets, &Dataset{reporter: r, name: name})
	}
	return r
}

// Dataset returns the dataset of that name, nil if New was not given it.
func (r *Reporter) Dataset(name string) *Dataset {
	for _, d := range r.datasets {
		if d.name == name {
			return d
		}
	}
	return nil
}

// Snapshot returns the present state of each dataset by its name.
func (r *Reporter) Snapshot() map[string]State {
	r.mu.Lock()
	defer r.mu.Unlock()
	states := make(map[string]State, len(r.datasets))
	for _, d := range r.datasets {
		states[d.name] = d.state
	}
	return states
}

// StandBy reports that another collector collects: every dataset is in Standby, whatever was before, until it reaches Started.
// Where every dataset has stopped for good nothing changes, as the status cannot.
func (r *Reporter) StandBy() {
	if r.Stopped() {
		return
	}
	for _, d := range r.datasets {
		d.standBy()
	}
}

// Fail reports an error that every dataset meets.
func (r *Reporter) Fail(errorType ErrorType, err error) {
	for _, d := range r.datasets {
		d.Fail(errorType, err)
	}
}

// Reach reports that every dataset has come to a state.
func (r *Reporter) Reach(state State) {
	for _, d := range r.datasets {
		d.Reach(state)
	}
}

// Stopped reports whether every dataset has stopped for good.
func (r *Reporter) Stopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.datasets {
		if !d.stopped {
			return false
		}
	}
	return true
}

// Close is called when the shutdown begins. It lets every dataset reach Stopping, waits for a status that is being
// reported, and no status is reported after it. It may not be called from within Settings.Status.
func (r *Reporter) Close() {
	r.Reach(Stopping)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for r.reporting {
		r.idle.Wait()
	}
}
