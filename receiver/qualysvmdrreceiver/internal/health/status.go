// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package health

import "go.opentelemetry.io/collector/component/componentstatus"

// status is the aggregate of all datasets: its code, and the dataset that stands for it.
type status struct {
	code      componentstatus.Status
	dataset   string
	state     State
	errorType ErrorType
	err       error
}

// same reports whether there is nothing to report in s after other: OK is reported once, and again when a standby begins or
// ends; an error again when it is another.
func (s status) same(other status) bool {
	if s.code != other.code || s.err == nil {
		return s.code == other.code && (s.state == Standby) == (other.state == Standby)
	}
	return s.dataset == other.dataset && s.errorType == other.errorType && s.err.Error() == other.err.Error()
}

func (s status) event() *componentstatus.Event {
	event := componentstatus.NewEvent(s.code, componentstatus.WithError(s.err))
	event.Attributes().PutStr("dataset", s.dataset)
	event.Attributes().PutStr("state", s.state.String())
	if s.err != nil {
		event.Attributes().PutStr("error.type", string(s.errorType))
		event.Attributes().PutStr("error.name", s.errorType.Name())
	}
	return event
}

// report reports the status if a change made it another. The reporter's mutex is held when it is called and when it
// returns, but not while the callback runs. When another goroutine is in the callback, that one reports this change
// too: statuses arrive one after the other, and the last one is true.
func (r *Reporter) report() {
	r.outdated = true
	if r.reporting || r.settings.Status == nil {
		return
	}
	r.reporting = true
	for r.outdated && !r.closed {
		r.outdated = false
		next := r.aggregate()
		if next.same(r.reported) {
			continue
		}
		r.reported = next
		event := next.event()
		r.mu.Unlock()
		r.settings.Status(event)
		r.mu.Lock()
	}
	r.reporting = false
	r.idle.Broadcast()
}

// aggregate returns the status of all datasets; an OK names the dataset that changed last.
//
// The collector allows nothing after a permanent error but Stopping, and nothing comes: datasets that have stopped leave
// Error only for Stopping, and from then on no status is reported. The first OK waits until every dataset
// is known to work, or stands by: a collector that does must count as ready. After an error one that is ready to is enough:
// knowledge_base may have nothing to fetch, so nothing to prove itself with, for a day, and a dataset whose checkpoint could be
// read at last has nothing to ask for before its time.
func (r *Reporter) aggregate() status {
	var worst *Dataset
	stopped, ready, working := 0, 0, 0
	for _, d := range r.datasets {
		switch {
		case d.state == Error:
			if worst == nil || d.worseThan(worst) {
				worst = d
			}
			if d.stopped {
				stopped++
			}
		case d.state >= Authenticated, d.state == Standby:
			working++
			ready++
		case d.state >= Initialized:
			ready++
		}
	}
	switch {
	case stopped == len(r.datasets):
		return worst.status(componentstatus.StatusPermanentError)
	case worst != nil:
		return worst.status(componentstatus.StatusRecoverableError)
	case working == len(r.datasets), ready > 0 && r.reported.code != componentstatus.StatusNone:
		return r.changed.status(componentstatus.StatusOK)
	default:
		return r.reported
	}
}

// worseThan orders datasets in Error: stopped ones before failing ones, then by type, then the oldest first.
func (d *Dataset) worseThan(other *Dataset) bool {
	switch {
	case d.stopped != other.stopped:
		return d.stopped
	case d.errorType.rank() != other.errorType.rank():
		return d.errorType.rank() > other.errorType.rank()
	default:
		return d.since.Before(other.since)
	}
}

func (d *Dataset) status(code componentstatus.Status) status {
	return status{code: code, dataset: d.name, state: d.state, errorType: d.errorType, err: d.err}
}
