// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"io"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// items is a list of which each item is read by the caller.
type items struct {
	list   *list
	paging paging
	last   uint64 // the ID that was noted last, 0: none
	next   *Continuation
	err    error
}

// read goes to the start of the next item; what is left of the last one is skipped.
func (i *items) read() (*xmlstream.Reader, error) {
	if i.err != nil {
		return nil, i.err
	}
	err := i.list.next()
	if err == nil {
		return i.list.xml, nil
	}
	if err == io.EOF {
		if i.next, err = i.paging.next(i.list.warning, i.last); err == nil {
			i.list.response.end(OutcomeOK)
			i.err = io.EOF
			return nil, i.err
		}
	}
	i.err = i.list.response.fail(err)
	return nil, i.err
}

// note takes note of the ID of the item that was read last.
func (i *items) note(id uint64) {
	if id != 0 {
		i.last = id
	}
}

// rest returns where the list goes on, false: it is complete, or was not read to its end.
func (i *items) rest() (Continuation, bool) {
	if i.err != io.EOF || i.next == nil {
		return Continuation{}, false
	}
	return *i.next, true
}
