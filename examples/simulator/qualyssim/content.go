// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

// content is what exists at a moment, in the order of IDs. Lists ask for one thing after the other by ID, so that content
// may change while an answer is sent. Implementations are safe for concurrent use.
type content interface {
	// host makes h the first host whose ID is not below from, in the memory that h already has.
	host(h *host, from int64, m moment) bool
	// entry returns the first QID that is not below from.
	entry(from int64, m moment) (entry, bool)
	// asset returns the first asset whose ID is not below from.
	asset(from int64, m moment) (asset, bool)
	// activity returns the newest row of the activity log whose ID is not above upTo.
	activity(upTo int64, m moment) (activity, bool)
	// size is about how many hosts there are from an ID on, and how many bytes each takes in a list of detections.
	size(from int64, m moment) (hosts int, bytes int64)
	// entries is about how many QIDs there are.
	entries() int
}

var (
	_ content = (*subscription)(nil)
	_ content = (*Script)(nil)
)

// entry is a QID, and its entry in the KnowledgeBase if it has one.
type entry struct {
	index int // of the generated pool
	qid   *qid
	revision
	disabled bool

	script *ScriptedEntry // nil if the entry is generated
}

func (s *subscription) host(h *host, from int64, m moment) bool {
	for index := s.hostFrom(from); index < s.places(m); index++ {
		if _, gone := s.gone(index, m); !gone {
			s.load(h, index, m)
			return true
		}
	}
	return false
}

func (s *subscription) entry(from int64, m moment) (entry, bool) {
	index := int(max(0, (from-firstQID)/qidStride))
	if index < len(s.qids) && s.qids[index].number < from {
		index++
	}
	if index >= len(s.qids) {
		return entry{}, false
	}
	e := entry{index: index, qid: &s.qids[index], revision: s.entryRevision(index, m)}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e.disabled = s.isDisabled(e.qid); s.lost[index] {
		without := *e.qid
		without.hasEntry = false
		e.qid = &without
	}
	return e, true
}

func (s *subscription) asset(from int64, m moment) (asset, bool) {
	index := s.assetAfter(from - 1)
	if index >= s.options.Assets {
		return asset{}, false
	}
	return s.assetAt(index, m), true
}

func (s *subscription) activity(upTo int64, m moment) (activity, bool) {
	index := s.activityCount(m) - 1
	if upTo < firstActivityID+int64(index) {
		index = int(upTo - firstActivityID)
	}
	if index < 0 {
		return activity{}, false
	}
	return s.activityAt(index), true
}

func (s *subscription) size(from int64, m moment) (hosts int, bytes int64) {
	return max(0, s.places(m)-s.hostFrom(from)), s.hostBytes()
}

func (s *subscription) entries() int { return len(s.qids) }
