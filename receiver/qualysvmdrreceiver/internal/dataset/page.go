// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"fmt"
	"io"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
)

// broken makes an error in the bytes of a response one of the unit that it broke in, 0: unknown. The end is no error.
func broken(unit uint64, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &engine.UnitError{Unit: unit, Err: err}
}

// located is an error with where in a list it happened, such as "from host" and an ID, 0: at its beginning. The end is no error.
func located(where string, id uint64, err error) error {
	if id == 0 || err == nil || err == io.EOF {
		return err
	}
	return fmt.Errorf("%s %d: %w", where, id, err)
}

// orNow is a server's time, or the local one where it does not say.
func orNow(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}
