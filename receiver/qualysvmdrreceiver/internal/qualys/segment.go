// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

// Segment is a piece of a page: the raw XML of HOST elements, one after the other. Its zero value is ready for
// [DetectionPage.Next]; filled, it may be read by any one goroutine.
type Segment struct {
	// Data holds whole HOST elements. It can begin with the rest of a host whose beginning was in the segment before.
	Data []byte
	// More is true if the last host is not finished: it goes on in the next segment, or the response broke in it.
	More bool

	marks []mark
}

// mark says which byte of the response a byte of Data, or of several segments in a row, was. Between the marks both go on
// equally.
type mark struct{ data, response int64 }

func (s *Segment) reset() {
	s.Data = s.Data[:0]
	s.marks = s.marks[:0]
	s.More = false
}
