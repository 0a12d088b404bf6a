// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"math"
	"strconv"
	"time"
)

// parseInt reads a decimal number as XML elements hold it. It takes nothing but digits with at most a minus before
// them.
func parseInt(p []byte) (int64, bool) {
	digits := p
	if len(p) > 0 && p[0] == '-' {
		digits = p[1:]
	}
	if len(digits) == 0 {
		return 0, false
	}
	limit := uint64(math.MaxInt64)
	if len(digits) < len(p) {
		limit++
	}
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := uint64(c - '0')
		if n > (limit-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	if len(digits) < len(p) {
		n = -n
	}
	return int64(n), true
}

// parseDouble reads a decimal fraction. Infinities, hexadecimal numbers and the like, which JSON does not know, are no
// numbers.
func parseDouble(p []byte) (float64, bool) {
	for _, c := range p {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(string(p), 64)
	return f, err == nil
}

// parseTime reads a time as Qualys writes it, with or without a time of day, and returns the seconds since 1970.
func parseTime(p []byte) (int64, bool) {
	var buf [32]byte
	switch {
	case len(p) == len(time.DateOnly):
		p = append(append(buf[:0], p...), "T00:00:00Z"...)
	case len(p) < len(time.DateOnly):
		return 0, false
	}
	var t time.Time
	if err := t.UnmarshalText(p); err != nil {
		return 0, false
	}
	s := t.Unix()
	// What does not fit into a time stamp of nanoseconds is no time.
	return s, s > 0 && s < math.MaxInt64/int64(time.Second)
}
