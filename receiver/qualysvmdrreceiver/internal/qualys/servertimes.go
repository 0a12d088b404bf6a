// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"slices"
	"time"
)

// ServerTimes are what the response tells of the server's clock: RESPONSE/DATETIME and the header Date, as far as it has them.
func (p *DetectionPage) ServerTimes() []time.Time { return p.list.times() }

// ServerTimes are what the response tells of the server's clock: RESPONSE/DATETIME and the header Date, as far as it has them.
func (p *HostPage) ServerTimes() []time.Time { return p.items.list.times() }

// ServerTimes are what the response tells of the server's clock: the header Date, if it has one.
func (p *AssetPage) ServerTimes() []time.Time { return known(headerTime(p.response.header)) }

// ServerTimes are what the response tells of the server's clock: the header Date, if it has one.
func (p *ActivityPage) ServerTimes() []time.Time { return known(headerTime(p.response.header)) }

func (l *list) times() []time.Time { return known(l.serverTime, headerTime(l.response.header)) }

// known returns the times that are not zero.
func known(times ...time.Time) []time.Time { return slices.DeleteFunc(times, time.Time.IsZero) }

// Limited reports whether a limit was exceeded.
func (e *Error) Limited() bool { return e.limit != noLimit }
