// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// harm is what a unit does to each page that it is in.
type harm uint8

const (
	breaks  harm = iota + 1 // the response ends in its bytes
	unnamed                 // the response ends behind the units before it, and does not tell where
	fails                   // there is no response: an error of the server
	slows                   // there is no response: a time-out
)

// server answers the requests that an isolator asks for.
type server struct {
	units []uint64
	bad   map[uint64]harm
	// down is how many requests fail from the first one on, and how.
	down int
	with harm
}

// outcome is what came of a range.
type outcome struct {
	delivered   []uint64
	quarantined []uint64
	requests    int
	ended       bool
}

// collect reads a range as a shard does, with so many requests at most. Last 0: the range has no end.
func (s *server) collect(i *isolator, last uint64, most int) outcome {
	var o outcome
	cursor := uint64(0)
	deliver := func(page []uint64) {
		for _, unit := range page {
			o.delivered = append(o.delivered, unit)
			cursor = unit + 1
		}
		i.passed(cursor)
	}
	for ; o.requests < most; o.requests++ {
		o.quarantined = append(o.quarantined, i.quarantine()...)
		at := i.next(cursor, last)
		harmed := harm(0)
		if o.requests < s.down {
			harmed = s.with
		}
		var page []uint64
		var broken uint64
		more := false
		for _, unit := range s.units {
			if unit < at.min || at.max != 0 && unit > at.max || slices.Contains(o.quarantined, unit) {
				continue
			}
			if len(page) == at.limit {
				more = true
				break
			}
			if h := s.bad[unit]; h != 0 && harmed == 0 {
				harmed, broken = h, unit
				break
			}
			page = append(page, unit)
		}
		if harmed == breaks || harmed == unnamed {
			if !at.peek && broken != 0 {
				deliver(page)
			}
		}
		switch harmed {
		case breaks:
			i.broke(at, broken)
			continue
		case unnamed:
			i.broke(at, 0)
			continue
		case fails, slows:
			i.unanswered(at, harmed == slows)
			continue
		}
		if at.peek {
			i.readWhole(at, 0)
			continue
		}
		deliver(page)
		i.readWhole(at, len(page))
		switch {
		case more:
		case at.max == last:
			o.requests++
			o.ended = true
			return o
		default:
			cursor = at.max + 1
		}
	}
	return o
}

func TestUnitsThatBreakTheirPagesAreFound(t *testing.T) {
	ten := []uint64{10, 20, 30, 40, 50, 60, 70, 80, 90, 100}
	apart := []uint64{10, 20, 3_000_000_000, 3_000_000_010, 6_000_000_000_000}
	for _, test := range []struct {
		name  string
		units []uint64
		bad   []uint64
		last  uint64
		// named and blind are how many requests it takes at most where the response tells the unit, and where it does not.
		named, blind int
	}{
		{"the first", ten, []uint64{10}, 0, 15, 80},
		{"one in the middle", ten, []uint64{50}, 0, 20, 80},
		{"two side by side", ten, []uint64{50, 60}, 0, 30, 150},
		{"four side by side", ten, []uint64{50, 60, 70, 80}, 0, 40, 300},
		{"the last one", ten, []uint64{100}, 0, 20, 80},
		{"the last two", ten, []uint64{90, 100}, 0, 30, 150},
		{"the last one of a range", ten, []uint64{100}, 100, 20, 80},
		{"the last two of a range", ten, []uint64{90, 100}, 104, 30, 150},
		{"the only one", []uint64{10}, []uint64{10}, 0, 15, 80},
		{"one before a gap of billions", apart, []uint64{20}, 0, 20, 120},
		{"one behind a gap of billions", apart, []uint64{3_000_000_000}, 0, 20, 200},
		{"both sides of a gap of billions", apart, []uint64{20, 3_000_000_000}, 0, 60, 300},
		{"one behind a gap of trillions", apart, []uint64{6_000_000_000_000}, 0, 20, 300},
	} {
		for how, h := range map[string]harm{"that tell it": breaks, "that end somewhere": unnamed, "of errors": fails, "of time-outs": slows} {
			t.Run(fmt.Sprintf("%s by responses %s", test.name, how), func(t *testing.T) {
				s := &server{units: test.units, bad: map[uint64]harm{}}
				var readable []uint64
				for _, unit := range test.units {
					if slices.Contains(test.bad, unit) {
						s.bad[unit] = h
					} else {
						readable = append(readable, unit)
					}
				}
				most := test.blind
				switch h {
				case breaks:
					most = test.named
				case fails:
					most *= 3 // a failure counts when the same page fails three times
				}
				o := s.collect(newIsolator(newPageSize(8)), test.last, 5000)
				assert.True(t, o.ended, "it stands still")
				assert.ElementsMatch(t, test.bad, o.quarantined)
				assert.Equal(t, readable, o.delivered)
				assert.LessOrEqual(t, o.requests, most)
			})
		}
	}
}

func TestOutageOfAnyLengthQuarantinesNobody(t *testing.T) {
	for name, units := range map[string][]uint64{
		"several units": {10, 20, 30, 40, 50}, "one unit": {10}, "an empty window": nil, "units far apart": {10, 6_000_000_000_000},
	} {
		for how, h := range map[string]harm{"responses that end somewhere": unnamed, "errors": fails, "time-outs": slows} {
			for _, length := range []int{1, 2, 3, 4, 5, 7, 10, 30, 100, 1000, 10_000} {
				for _, last := range []uint64{0, 60} {
					if last == 60 && name == "units far apart" {
						continue
					}
					t.Run(fmt.Sprintf("%s, %d times %s, to %d", name, length, how, last), func(t *testing.T) {
						s := &server{units: units, down: length, with: h}
						o := s.collect(newIsolator(newPageSize(8)), last, length+200)
						assert.True(t, o.ended, "it stands still after the outage")
						assert.Empty(t, o.quarantined)
						assert.Equal(t, units, o.delivered)
					})
				}
			}
		}
	}
}

func TestOutageWithABadUnitQuarantinesThatOne(t *testing.T) {
	for _, length := range []int{1, 5, 50, 5000} {
		for how, h := range map[string]harm{"responses that end somewhere": unnamed, "errors": fails, "time-outs": slows} {
			t.Run(fmt.Sprintf("%d times %s", length, how), func(t *testing.T) {
				s := &server{units: []uint64{10, 20, 30, 40, 50}, bad: map[uint64]harm{30: h}, down: length, with: h}
				o := s.collect(newIsolator(newPageSize(8)), 0, length+1000)
				assert.True(t, o.ended)
				assert.Equal(t, []uint64{30}, o.quarantined)
				assert.Equal(t, []uint64{10, 20, 40, 50}, o.delivered)
			})
		}
	}
}

func TestUnitIsQuarantinedOnlyWhenAnotherOneCouldBeReadSince(t *testing.T) {
	alone := step{min: 10, limit: 1}
	peek := step{min: 11, limit: 1, peek: true}
	for _, test := range []struct {
		name string
		what func(i *isolator, size *pageSize)
		next step
		want []uint64
	}{
		{"it broke twice", func(i *isolator, size *pageSize) {
			i.broke(alone, 10)
			i.broke(alone, 10)
			size.readWhole(1)
		}, step{min: 10, limit: 1}, nil},
		{"it broke three times", func(i *isolator, _ *pageSize) {
			for range 3 {
				i.broke(alone, 10)
			}
		}, peek, nil},
		{"it broke three times, and another shard read a page before", func(i *isolator, size *pageSize) {
			size.readWhole(1)
			for range 3 {
				i.broke(alone, 10)
			}
		}, peek, nil},
		{"it broke three times, and another shard read a page since", func(i *isolator, size *pageSize) {
			for range 3 {
				i.broke(alone, 10)
			}
			size.readWhole(1)
		}, step{min: 10, limit: 1}, []uint64{10}},
		{"it broke three times, and a probe behind it worked", func(i *isolator, _ *pageSize) {
			for range 3 {
				i.broke(alone, 10)
			}
			i.readWhole(peek, 0)
		}, step{min: 10, limit: 1}, []uint64{10}},
		{"it broke three times, and so did the probe", func(i *isolator, _ *pageSize) {
			for range 3 {
				i.broke(alone, 10)
			}
			i.broke(peek, 0)
		}, step{min: 12, limit: 1, peek: true}, nil},
		{"it broke three times with others", func(i *isolator, size *pageSize) {
			for range 3 {
				i.broke(step{min: 10, limit: 8}, 10)
			}
			size.readWhole(1)
		}, step{min: 10, limit: 4}, nil},
		{"it could be read in between", func(i *isolator, size *pageSize) {
			i.broke(alone, 10)
			i.broke(alone, 10)
			i.readWhole(alone, 1)
			i.broke(alone, 10)
			size.readWhole(1)
		}, step{min: 10, limit: 1}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			size := newPageSize(1)
			if test.name == "it broke three times with others" {
				size = newPageSize(8)
			}
			i := newIsolator(size)
			test.what(i, size)
			assert.Equal(t, test.next, i.next(10, 0))
			assert.Equal(t, test.want, i.quarantine())
			assert.Empty(t, i.quarantine(), "once")
		})
	}
}

func TestPageSizeShrinksAfterTwoBreaksAndGrowsBack(t *testing.T) {
	size := newPageSize(8)
	i, other := newIsolator(size), newIsolator(size)
	limits := func() []int { return []int{i.next(10, 0).limit, other.next(10, 0).limit} }
	at := func() step { return i.next(10, 0) }
	i.broke(at(), 50)
	assert.Equal(t, []int{8, 8}, limits(), "a cut can be an accident")
	i.broke(at(), 50)
	assert.Equal(t, []int{4, 8}, limits(), "a break within the bytes is this shard's")
	i.readWhole(at(), 4)
	assert.Equal(t, []int{8, 8}, limits())

	i.unanswered(at(), true)
	i.unanswered(at(), true)
	assert.Equal(t, []int{4, 4}, limits(), "a time-out is everybody's")
	for range 3 {
		i.readWhole(at(), 4)
	}
	assert.Equal(t, []int{8, 8}, limits())

	for n := 1; n <= 6; n++ {
		i.unanswered(at(), false)
	}
	assert.Equal(t, 4, i.next(10, 0).limit, "an error counts when the same page fails three times")
}
