// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"io"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// Builder makes records of one element after the other.
type Builder interface {
	// Full says when to call Take, which returns what was made.
	Full() bool
	Take() records.Chunk
}

// Gather has read make records of a response, each time of one element, and emits them together with the duplicates that were
// met meanwhile. It ends with nil when read returns io.EOF, and with every other error after all that was read before it was
// emitted.
func Gather(made Builder, duplicates *[]records.Item, emit func(Chunk) error, read func() error) error {
	for {
		err := read()
		if err == nil && !made.Full() && len(*duplicates) < DuplicatesAtOnce {
			continue
		}
		chunk := Chunk{Chunk: made.Take(), Duplicates: *duplicates}
		*duplicates = nil
		if failed := emit(chunk); failed != nil {
			return failed
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		default:
			return err
		}
	}
}
