// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

// revision is how often an entry or an asset has changed, and when last (Unix seconds).
type revision struct {
	number  int64
	changed int64
}

func (s *subscription) entryRevision(index int, m moment) revision {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r, ok := s.touchedEntries[index]; ok {
		return r
	}
	return s.revision(newDice(s.options.Seed, purposeEntryLife, uint64(index), 0), m)
}

func (s *subscription) assetRevision(index int, m moment) revision {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r, ok := s.touchedAssets[index]; ok {
		return r
	}
	return s.revision(newDice(s.options.Seed, purposeAssetLife, uint64(index), 0), m)
}

func (t *timeline) revision(d dice, m moment) revision {
	l := t.newLife(&d)
	n := l.changes(m)
	return revision{number: n, changed: t.changeTime(l, n)}
}
