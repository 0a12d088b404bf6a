// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

// Status is the status of a detection as the API spells it.
type Status string

// The statuses of a detection.
const (
	StatusNew      Status = "New"
	StatusActive   Status = "Active"
	StatusFixed    Status = "Fixed"
	StatusReopened Status = "Re-Opened"
)

// state is where a detection stands in its course. Times are Unix seconds, 0 if it never happened; the status of a
// detection that does not exist (yet) is empty.
type state struct {
	status        Status
	firstFound    int64
	lastFound     int64
	lastTest      int64
	lastUpdate    int64
	lastFixed     int64
	firstReopened int64
	lastReopened  int64
	processed     int64
	timesFound    int64
	timesReopened int64
}

// updated is the time that detection_updated_since compares: the last change, or the last detection without one.
func (s *state) updated() int64 {
	if s.lastUpdate != 0 {
		return s.lastUpdate
	}
	return s.lastFound
}

// The course of a detection is found, found again twice, then for ever: fixed, found again (reopened), found twice.
const (
	firstFixedStep  = 3
	firstReopenStep = 4
	cycle           = 4
)

func stepStatus(step int64) Status {
	switch {
	case step < 0:
		return ""
	case step == 0:
		return StatusNew
	case step < firstFixedStep:
		return StatusActive
	}
	switch (step - firstFixedStep) % cycle {
	case 0:
		return StatusFixed
	case 1:
		return StatusReopened
	default:
		return StatusActive
	}
}

// initialSteps are the steps at which detections stand at the start, as often as they occur.
var initialSteps = []int64{
	0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, firstFixedStep, firstFixedStep, firstReopenStep, 5, 5, 6, 6,
}

// detectionState is where the course of a detection stands at m. d is the detection's own dice. A host that was born after
// the start has no history: all its detections are found when it appears.
func (t *timeline) detectionState(d dice, m moment, born int64) state {
	l := t.newLife(&d)
	initial := pick(&d, initialSteps)
	if unborn := d.oneIn(32); unborn && t.every > 0 {
		initial = -1
	}
	neverUpdated := d.oneIn(6)

	var before int64
	if born > 0 {
		initial, neverUpdated, before = 0, false, l.changes(moment{tick: born})
	}
	step := initial + l.changes(m) - before
	if step < 0 {
		return state{}
	}
	at := func(step int64) int64 {
		if born > 0 && step == 0 {
			return t.unix(born)
		}
		return t.changeTime(l, before+step-initial)
	}

	current := at(step)
	s := state{
		status:     stepStatus(step),
		firstFound: at(0),
		lastFound:  current,
		lastTest:   current,
		lastUpdate: current,
		processed:  t.processed(current),
		timesFound: step + 1,
	}
	if step == 0 && neverUpdated {
		s.lastUpdate = 0
	}
	if step >= firstFixedStep {
		past := (step - firstFixedStep) % cycle
		s.lastFixed = at(step - past)
		s.timesFound -= (step-firstFixedStep)/cycle + 1
		if past == 0 {
			s.lastFound = at(step - 1)
		}
	}
	if step >= firstReopenStep {
		s.firstReopened = at(firstReopenStep)
		s.lastReopened = at(step - (step-firstReopenStep)%cycle)
		s.timesReopened = (step-firstReopenStep)/cycle + 1
	}
	return s
}

// become is s after somebody moved the detection to a status now.
func (s state) become(status Status, now int64) state {
	if status == "" {
		return state{}
	}
	if s.status == "" {
		s = state{firstFound: now}
	}
	s.status, s.lastUpdate, s.lastTest, s.processed = status, now, now, now
	switch status {
	case StatusFixed:
		s.lastFixed = now
		if s.lastFound == 0 {
			s.lastFound = now
		}
		return s
	case StatusReopened:
		s.lastReopened = now
		s.timesReopened++
		if s.firstReopened == 0 {
			s.firstReopened = now
		}
	}
	s.lastFound = now
	s.timesFound++
	return s
}
