// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"time"

	"go.uber.org/zap"
)

// repeatAfter is how often at most another message of the same type of error counts as a change. Messages of one and the
// same trouble differ from try to try (ports, request ids, durations), and the tries never end.
const repeatAfter = time.Minute

// Dataset reports how the collection of one dataset fares.
type Dataset struct {
	reporter *Reporter
	name     string

	// The rest is guarded by the reporter's mutex.
	state   State
	reached State // the furthest of Pending to Collecting since it was last in Standby

	stopped   bool // for good
	errorType ErrorType
	err       error
	since     time.Time // it is in Error
	told      time.Time // of the last change in Error
}

// Reach reports that the dataset has come to Started, Initialized, Authenticated, Collecting or Stopping. A state that
// lies behind the present one changes nothing, so that every collection may report its steps again.
//
// Error is left for a state beyond the one in which it was met, or for Collecting: a dataset that can log in but not list
// anything stays in Error, instead of recovering with each try.
func (d *Dataset) Reach(state State) {
	r := d.reporter
	r.mu.Lock()
	defer r.mu.Unlock()
	if !d.leadsTo(state) {
		return
	}

	if state == Stopping {
		r.closed = true
	}
	d.enter(state)
}

// standBy makes the dataset as it was when it was created, but for its state.
func (d *Dataset) standBy() {
	d.reporter.mu.Lock()
	defer d.reporter.mu.Unlock()
	if d.state == Standby || d.state == Stopping {
		return
	}
	d.stopped = false
	d.enter(Standby)
}

// enter makes a state that is no error the present one, and tells it.
func (d *Dataset) enter(state State) {
	r := d.reporter
	now := time.Now()
	incident := now
	if state != Stopping {
		if d.state == Error {
			incident = d.since
			d.errorType, d.err = "", nil
		}
		d.reached = state
	}
	d.state = state
	r.settings.Logger.Info("dataset is "+state.String(), zap.String("dataset", d.name), zap.Stringer("state", state))
	d.tell(event{time: now, incident: incident, name: state.String(), severity: info, description: d.name + " is " + state.String()})
}

func (d *Dataset) leadsTo(state State) bool {
	switch {
	case d.state == Stopping:
		return false
	case state == Stopping:
		return true
	case d.stopped || state > Collecting:
		return false
	default:
		return state > d.reached || (state == Collecting && d.state == Error)
	}
}

// Fail reports an error, not nil, after which the dataset tries again. It is in Error until Reach leads out of it. The
// same error again is no change, nor is another message of the same type within a minute of the last change.
func (d *Dataset) Fail(errorType ErrorType, err error) {
	r := d.reporter
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.stopped || d.state == Stopping {
		return
	}
	now := time.Now()
	if d.state == Error && d.errorType == errorType && (d.err.Error() == err.Error() || now.Sub(d.told) < repeatAfter) {
		return
	}
	d.enterError(now, errorType, err)
	r.settings.Logger.Warn("dataset fails and tries again", d.errorFields()...)
	d.tell(d.errorEvent(now, warning))
}

// Stop reports an error, not nil, after which the dataset does not try again: it is in Error for good.
func (d *Dataset) Stop(errorType ErrorType, err error) {
	r := d.reporter
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.stopped || d.state == Stopping {
		return
	}
	now := time.Now()
	d.stopped = true
	d.enterError(now, errorType, err)
	r.settings.Logger.Error("dataset has stopped until the configuration changes or the collector restarts", d.errorFields()...)
	d.tell(d.errorEvent(now, failure))
}

func (d *Dataset) enterError(now time.Time, errorType ErrorType, err error) {
	if d.state != Error {
		d.state, d.since = Error, now
	}
	d.told, d.errorType, d.err = now, errorType, err
}

func (d *Dataset) errorFields() []zap.Field {
	return []zap.Field{
		zap.String("dataset", d.name),
		zap.Stringer("state", d.state),
		zap.String("error.type", string(d.errorType)),
		zap.String("error.name", d.errorType.Name()),
		zap.Error(d.err),
	}
}

func (d *Dataset) errorEvent(now time.Time, severity severity) event {
	return event{
		time:        now,
		incident:    d.since,
		name:        d.errorType.Name(),
		severity:    severity,
		errorType:   d.errorType,
		description: d.name + ": " + d.err.Error(),
	}
}

// tell reports a change that is already made and logged. It may release the reporter's mutex for a while.
func (d *Dataset) tell(e event) {
	r := d.reporter
	if r.settings.Events != nil {
		e.source, e.dataset, e.state = r.settings.Source, d.name, d.state
		r.settings.Events.push(&e)
	}
	if r.settings.Failed != nil && e.errorType != "" {
		r.settings.Failed(d.name, e.errorType)
	}
	r.changed = d
	r.report()
}
