// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

// hostIDs is a set of IDs of hosts, which takes 8 bytes for each. Its zero value is empty.
type hostIDs struct {
	sorted []uint64
	// recent are those that were added since they were sorted, a small share of all.
	recent map[uint64]struct{}
}

// fewRecent is how many IDs are added before they are sorted in, or a sixteenth of all if that is more.
const fewRecent = 1024

// add adds an ID, and reports whether it was not there.
func (s *hostIDs) add(id uint64) bool {
	if _, found := s.recent[id]; found || contains(s.sorted, id) {
		return false
	}
	if s.recent == nil {
		s.recent = map[uint64]struct{}{}
	}
	s.recent[id] = struct{}{}
	if len(s.recent) > max(fewRecent, len(s.sorted)/16) {
		s.all()
	}
	return true
}

// all returns the IDs in order. They are not to be changed.
func (s *hostIDs) all() []uint64 {
	if len(s.recent) > 0 {
		recent := make([]uint64, 0, len(s.recent))
		for id := range s.recent {
			recent = append(recent, id)
		}
		s.sorted, s.recent = union(s.sorted, sortedIDs(recent)), nil
	}
	return s.sorted
}
