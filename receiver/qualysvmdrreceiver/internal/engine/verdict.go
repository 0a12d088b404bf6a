// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"time"
)

// ErrNoList is in the error of a [Lister] whose list cannot be had: the permission is missing, or Qualys does not know it.
var ErrNoList = errors.New("the list of IDs cannot be had")

// Class says what can be done about an error.
type Class uint8

// The classes of errors.
const (
	// Generic errors can pass.
	Generic Class = iota
	// Config errors stay until somebody changes something.
	Config
	// Ambiguous errors can be either.
	Ambiguous
)

// Response says whether an error can be the fault of what was asked for.
type Response uint8

// How a request without a response failed.
const (
	// NotAtFault: the network, a limit, maintenance.
	NotAtFault Response = iota
	// TooSlow: a time-out of ours or of a gateway before the server.
	TooSlow
	// Failed: an error of the server that does not say why, or a connection that ended before the first byte.
	Failed
)

// Verdict says what can be done about an error.
type Verdict struct {
	Class Class
	// Credentials reports whether they were rejected, or may have been.
	Credentials bool
	// RetryAt, if not zero, is when rejected credentials may be tried again.
	RetryAt time.Time
	// Response says whether a smaller page may help.
	Response Response
	// NotAccepted reports whether Qualys does not accept the IDs that were asked for.
	NotAccepted bool
}
