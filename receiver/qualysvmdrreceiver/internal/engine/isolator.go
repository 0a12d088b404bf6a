// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"slices"
	"sync"
)

const (
	// triesAlone is after how many responses that a unit broke alone it is quarantined, if others can be read.
	triesAlone = 3
	// triesFailed is how often the same page must fail without a time-out before that counts against its size.
	triesFailed = 3
	// firstSpan is how many IDs the range has in which a unit is looked for that broke a page without being named.
	firstSpan = 1 << 20
	// mostSpan is how many IDs that range has at most, and widening how much larger it becomes where nothing lies in it.
	mostSpan = 1 << 60
	widening = 16
	// maxPeeks bounds how far behind a suspect a probe goes: 2 to that power.
	maxPeeks = 40
)

// pageSize is how many units are asked for in one request. What one shard finds out holds for all of the dataset. It is safe
// for concurrent use.
type pageSize struct {
	most int

	mu sync.Mutex // guards everything below
	n  int
	// whole counts pages read whole by any shard: a unit that breaks its pages is the reason only if others can be read.
	whole int
}

func newPageSize(most int) *pageSize { return &pageSize{most: most, n: most} }

func (p *pageSize) now() (n, whole int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n, p.whole
}

func (p *pageSize) halve(from int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n = max(1, min(p.n, from/2))
	return p.n
}

// readWhole takes note of a page of so many units: the size grows back if that is as much as is asked for now.
func (p *pageSize) readWhole(limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.whole++
	if limit >= p.n {
		p.n = min(p.most, p.n*2)
	}
}

// isolator finds the units of a shard that break its pages. It does no I/O: it is told how requests ended, and says what
// to ask for next. It is not safe for concurrent use.
//
// Pages that break become smaller, down to one unit. A unit that breaks the page that it is alone in three times is a
// suspect. It is quarantined when another one could be read since: by another shard, or by a probe behind it. Where a page
// broke before it told whose bytes it was in, the unit is looked for by halving the range of IDs.
type isolator struct {
	size *pageSize
	// limit is what this shard asks for, if that is less than the size of the dataset; 0: it is not.
	limit int
	cuts  int // pages broken in a row
	tries int // failures in a row of the same page that were no time-out
	blind int // pages of one unit that broke in a row without telling which it was
	// span is how many IDs the next page spans while a unit is looked for, 0: none is. Base is what the search began with.
	span, base uint64
	// peeks are probes behind the suspects that failed: each goes farther, as units can lie side by side that break pages.
	peeks int
	// alone are the units that broke pages alone.
	alone map[uint64]*suspect
}

// suspect is a unit that broke pages that it was alone in.
type suspect struct {
	broke int
	// whole is the number of pages that had been read when it became a suspect.
	whole int
	// unanswered is whether there were no bytes that name it: then it must fail once more after others could be read.
	unanswered bool
	proven     bool // others could be read since
	failed     bool // it broke its page again after that
}

// step is what a shard asks for next.
type step struct {
	min, max uint64 // max 0: no end
	limit    int
	// peek is whether the page is only to show that it can be read: nothing of it is delivered.
	peek bool
}

func newIsolator(size *pageSize) *isolator {
	return &isolator{size: size, alone: map[uint64]*suspect{}}
}

// next returns what to ask for, where the shard stands at cursor and ends with last (0: it has no end).
func (i *isolator) next(cursor, last uint64) step {
	s := step{min: cursor, max: last, limit: i.pageLimit()}
	_, whole := i.size.now()
	for _, unit := range i.suspects() {
		if one := i.alone[unit]; whole > one.whole {
			one.proven = true
		}
	}
	if behind := i.unproven(); behind != 0 {
		// Not only as far as the range goes: nothing may lie behind it there, and the shards of the others may have ended.
		return step{min: behind + 1<<min(i.peeks, maxPeeks), limit: 1, peek: true}
	}
	if i.span > 0 {
		s.limit = 1
		s.min = max(cursor, 1) // an end of 0 is none
		if end := s.min + i.span - 1; end >= s.min && (last == 0 || end < last) {
			s.max = end
		}
	}
	return s
}

// pageLimit is how many units are asked for.
func (i *isolator) pageLimit() int {
	n, _ := i.size.now()
	if i.limit > 0 {
		n = min(n, i.limit)
	}
	return n
}

// suspects are the units that broke their pages often enough, in order.
func (i *isolator) suspects() []uint64 {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(i.alone)), func(u uint64) bool { return i.alone[u].broke < triesAlone })
}

// unproven is the last suspect if it is not known that others can be read, 0: it is, or there is none.
func (i *isolator) unproven() uint64 {
	all := i.suspects()
	if len(all) == 0 || !slices.ContainsFunc(all, func(u uint64) bool { return !i.alone[u].proven }) {
		return 0
	}
	return all[len(all)-1]
}

// broke takes note of a page that ended in the bytes of a unit, 0: it is not known of which.
func (i *isolator) broke(s step, unit uint64) {
	i.tries = 0
	if unit == 0 {
		i.unknown(s)
		return
	}
	i.smaller(s)
	if s.limit == 1 {
		i.accuse(unit, false)
	}
}

// unanswered takes note of a request without a response that may be too large, or meet what the server cannot render.
func (i *isolator) unanswered(s step, tooSlow bool) {
	if i.tries++; !tooSlow && i.tries < triesFailed {
		return
	}
	i.tries = 0
	if tooSlow && i.cuts > 0 && s.limit > 1 {
		i.size.halve(s.limit)
	}
	i.unknown(s)
}

// unknown takes note of a page that broke without telling in which unit.
func (i *isolator) unknown(s step) {
	switch {
	case s.peek:
		i.peeks++
	case s.limit > 1:
		i.smaller(s)
	case i.span > 0 && s.min == s.max:
		i.accuse(s.min, true)
	case i.span > 0:
		i.span = max(1, (s.max-s.min+1)/2)
	default:
		if i.blind++; i.blind >= triesAlone {
			i.base = max(i.base, firstSpan)
			i.span = i.base
		}
	}
}

// smaller makes the pages of the shard smaller, from the second break in a row on.
func (i *isolator) smaller(s step) {
	if i.cuts++; i.cuts >= 2 && s.limit > 1 {
		i.limit = max(1, s.limit/2)
	}
}

// accuse takes note that a unit broke a page alone.
func (i *isolator) accuse(unit uint64, unanswered bool) {
	one := i.alone[unit]
	if one == nil {
		one = &suspect{}
		i.alone[unit] = one
	}
	one.unanswered = one.unanswered || unanswered
	if one.proven {
		one.failed = true
		return
	}
	one.broke++
	_, one.whole = i.size.now()
}

// readWhole takes note of a page that was read whole, and of how many units it had.
func (i *isolator) readWhole(s step, units int) {
	i.size.readWhole(s.limit)
	if s.peek {
		for _, unit := range i.suspects() {
			i.alone[unit].proven = true
		}
		return
	}
	i.cuts, i.tries, i.blind, i.peeks = 0, 0, 0, 0
	clear(i.alone)
	if i.limit > 0 {
		i.limit *= 2
		if n, _ := i.size.now(); i.limit >= n {
			i.limit = 0
		}
	}
	switch {
	case i.span == 0 || units > 0:
		i.span, i.base = 0, 0
	case i.span < i.base:
		i.span = min(i.base, i.span*widening) // nothing lies here: what breaks lies behind
	default:
		// Nor does anything lie where the search began: everything behind it is asked for once more, then more of it.
		i.span, i.base, i.blind = 0, min(i.base*2, mostSpan), triesAlone-1
	}
}

// passed takes note that the cursor stands at this unit: those before it were delivered.
func (i *isolator) passed(cursor uint64) {
	maps.DeleteFunc(i.alone, func(unit uint64, _ *suspect) bool { return unit < cursor })
}

// quarantine returns the units that are to be left out from now on, in order: they broke their pages alone, and others could
// be read.
func (i *isolator) quarantine() []uint64 {
	var found []uint64
	_, whole := i.size.now()
	for _, unit := range i.suspects() {
		one := i.alone[unit]
		if whole > one.whole {
			one.proven = true
		}
		if one.proven && (!one.unanswered || one.failed) {
			found = append(found, unit)
			delete(i.alone, unit)
		}
	}
	if len(found) > 0 {
		i.cuts, i.tries, i.blind, i.peeks, i.span, i.base = 0, 0, 0, 0, 0, 0
	}
	return found
}
