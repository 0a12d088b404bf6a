// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// waiting is an observer of the client that counts how long it has waited, and nothing else.
type waiting struct{ waits *engine.Waits }

var _ qualys.Observer = waiting{}

// Waited counts the time.
func (w waiting) Waited(api qualys.API, _ string, d time.Duration) { w.waits.Add(dataset.Of[api], d) }

// Responded does nothing.
func (waiting) Responded(qualys.API, string, time.Duration) {}

// Received does nothing.
func (waiting) Received(qualys.API, int64) {}

// Limit does nothing.
func (waiting) Limit(qualys.API, int64) {}

// Slots does nothing.
func (waiting) Slots(qualys.API, int, int) {}

// NoRoom does nothing.
func (waiting) NoRoom(qualys.API, int, int) {}

// Misread does nothing.
func (waiting) Misread(qualys.API, string, string) {}

// Waiting does nothing.
func (waiting) Waiting(qualys.API, string, time.Duration) {}
