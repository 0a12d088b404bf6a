// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
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

// orNow is a server's time, or the local one where it does not say.
func orNow(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}
