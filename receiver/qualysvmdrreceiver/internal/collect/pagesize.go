// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"errors"
	"maps"
	"slices"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// pageSize is how many hosts, entries or assets are asked for in one request. Pages that break become smaller, down to one, and grow
// back as others are read whole.
type pageSize struct {
	most, now int
	cuts      int // pages broken in a row
	// alone counts, by host or entry, the answers that it alone broke since a page was read whole.
	alone map[uint64]int
}

// suspicion is after how many answers that it broke alone a host is set aside, if others can be read.
const suspicion = 3

func newPageSize(most int) pageSize {
	return pageSize{most: most, now: most, alone: map[uint64]int{}}
}

// broke takes note of a page that ended in the bytes of a host, 0: it is not known of which.
func (p *pageSize) broke(host uint64) {
	p.cuts++
	switch {
	case p.now > 1 && p.cuts >= 2:
		p.now /= 2
	case p.now == 1 && host != 0:
		p.alone[host]++
	}
}

// timedOut takes note of an error before an answer began, if it was a time-out: the server may need too long for so much.
func (p *pageSize) timedOut(err error) {
	var timeout *qualys.TimeoutError
	if errors.As(err, &timeout) {
		p.broke(0)
	}
}

// whole takes note of a page that was read whole.
func (p *pageSize) whole() {
	p.cuts = 0
	clear(p.alone)
	p.now = min(p.most, p.now*2)
}

// passed forgets the answers that were broken by hosts before this one: they were read, or set aside.
func (p *pageSize) passed(host uint64) {
	maps.DeleteFunc(p.alone, func(before uint64, _ int) bool { return before < host })
}

// guilty are the hosts, in order, that have broken their answers so often that they are set aside if others can be read.
func (p *pageSize) guilty() []uint64 {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(p.alone)), func(host uint64) bool { return p.alone[host] < suspicion })
}
