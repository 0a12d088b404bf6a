// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import "time"

const day = 24 * 60 * 60

// moment is a point in time together with the number of change intervals that have passed. An answer is made of one.
type moment struct {
	now  int64 // Unix seconds
	tick int64
}

// timeline turns the intervals of the simulation into times.
type timeline struct {
	start time.Time
	every time.Duration
	delay time.Duration
	share float64
}

func (t *timeline) at(now time.Time) moment {
	m := moment{now: now.Unix()}
	if t.every > 0 {
		m.tick = max(0, int64(now.Add(-t.delay).Sub(t.start)/t.every))
	}
	return m
}

// unix is the time of an interval in whole seconds.
func (t *timeline) unix(tick int64) int64 {
	return t.start.Add(time.Duration(tick) * t.every).Unix()
}

// life is the course of one thing that changes: its changes come every period intervals, the first after
// period-phase; what happened before the start is history that lies gap seconds apart and ends age seconds before it.
type life struct {
	period, phase int64
	age, gap      int64
}

func (t *timeline) newLife(d *dice) life {
	mean := max(1, int64(1/t.share))
	period := mean/2 + int64(d.below(int(mean)+1))
	period = max(1, period)
	return life{
		period: period,
		phase:  int64(d.below(int(period))),
		age:    int64(d.between(60, 30*day)),
		gap:    int64(d.between(day, 20*day)),
	}
}

// changes is the number of changes since the start.
func (l life) changes(m moment) int64 { return (m.tick + l.phase) / l.period }

// changeTime is the time of the n-th change since the start in Unix seconds; n <= 0 lies in history.
func (t *timeline) changeTime(l life, n int64) int64 {
	if n > 0 {
		return t.unix(n*l.period - l.phase)
	}
	return t.start.Unix() - l.age + n*l.gap
}

// processed is when a change of the given time was processed, the moment it became visible.
func (t *timeline) processed(changed int64) int64 { return changed + int64(t.delay/time.Second) }
