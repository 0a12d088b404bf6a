// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"errors"
	"fmt"
	"math"
)

// Generated hosts have places, by index. With Options.HostTurnover new places are added at the end, as new hosts get higher
// IDs, and as many hosts vanish in the long run. A host that vanished never comes back.

// births is how many hosts an interval adds.
func (s *subscription) births() float64 { return s.options.HostTurnover * float64(s.options.Hosts) }

// places is how many hosts there have ever been.
func (s *subscription) places(m moment) int {
	return s.options.Hosts + int(s.births()*float64(m.tick))
}

// born is the interval in which a host appears, 0 for those of the start.
func (s *subscription) born(index int) int64 {
	late := index - s.options.Hosts + 1
	if late <= 0 || s.births() <= 0 {
		return 0
	}
	tick := int64(float64(late) / s.births())
	for int(s.births()*float64(tick)) < late {
		tick++
	}
	return tick
}

// dies is the interval in which a host vanishes by itself.
func (s *subscription) dies(index int) int64 {
	if s.options.HostTurnover <= 0 {
		return math.MaxInt64
	}
	d := newDice(s.options.Seed, purposeHostLife, uint64(index), 0)
	return s.born(index) + 1 + int64(d.below(max(1, int(2/s.options.HostTurnover))))
}

// gone reports whether a host has vanished, and the last moment at which it was there.
func (s *subscription) gone(index int, m moment) (last moment, gone bool) {
	s.mu.RLock()
	last, gone = s.purged[index]
	s.mu.RUnlock()
	if gone {
		return last, true
	}
	if dies := s.dies(index); dies <= m.tick {
		return moment{now: s.unix(dies - 1), tick: dies - 1}, true
	}
	return m, false
}

// placeOf is the index of a host that is there.
func (s *subscription) placeOf(id int64, m moment) (index int, err error) {
	if s.options.Script != nil {
		return 0, errScripted
	}
	index = s.hostFrom(id)
	if id < firstHostID || index >= s.places(m) || s.hostID(index) != id {
		return 0, fmt.Errorf("no host %d", id)
	}
	if _, gone := s.gone(index, m); gone {
		return 0, fmt.Errorf("no host %d any more", id)
	}
	return index, nil
}

// PurgeHost removes a host with its detections now.
func (s *Server) PurgeHost(id int64) error {
	m := s.moment()
	index, err := s.placeOf(id, m)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purged[index] = m
	return nil
}

// MergeHost removes a host now, as when two turn out to be one: the other one has its agent's ID (QG_HOSTID) from then on.
func (s *Server) MergeHost(id, into int64) error {
	m := s.moment()
	index, err := s.placeOf(id, m)
	if err != nil {
		return err
	}
	other, err := s.placeOf(into, m)
	if err != nil {
		return err
	}
	if index == other {
		return errors.New("a host cannot be merged into itself")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purged[index], s.merged[other] = m, index
	return nil
}

// IgnoreDetection makes a detection ignored or not. It tells no time: nobody has seen whether Qualys counts it as a change.
func (s *Server) IgnoreDetection(uniqueVulnID int64, ignored bool) error {
	if s.options.Script != nil {
		return errScripted
	}
	if !s.owns(uniqueVulnID, s.moment()) {
		return fmt.Errorf("no detection %d", uniqueVulnID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ignored[uniqueVulnID] = ignored
	return nil
}

// DisableQID disables a QID or enables it; its entry, if it has one, changes now.
func (s *Server) DisableQID(number int64, disabled bool) error {
	index, ok := s.qidIndex(number)
	if !ok {
		return fmt.Errorf("no QID %d", number)
	}
	m := s.moment()
	before := s.entryRevision(index, m)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disabled[number] = disabled
	s.touchedEntries[index] = revision{number: before.number + 1, changed: m.now}
	return nil
}

// RemoveEntry removes the entry of a QID; its detections stay. ChangeEntry brings it back.
func (s *Server) RemoveEntry(number int64) error {
	index, ok := s.qidIndex(number)
	if !ok || !s.qids[index].hasEntry {
		return fmt.Errorf("no entry for QID %d", number)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost[index] = true
	return nil
}
