// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"errors"
	"math"
	"strconv"
	"time"
)

var errNoTime = errors.New("no time")

// safeDigits is how many digits a number has at most that cannot be beyond 64 bits.
const safeDigits = 18

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
	for i, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := uint64(c - '0')
		if i >= safeDigits && n > (limit-d)/10 {
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

// parseTime reads a time as Qualys writes it, with or without a time of day, a fraction or a zone, and returns the seconds
// since 1970.
func parseTime(p []byte) (int64, bool) {
	if s, ok := parseUTC(p); ok {
		return s, true
	}
	var buf [32]byte
	switch {
	case len(p) == len(time.DateOnly):
		p = append(append(buf[:0], p...), "T00:00:00Z"...)
	case len(p) < len(time.DateOnly):
		return 0, false
	}
	var t time.Time
	if t.UnmarshalText(p) != nil {
		var err error
		if t, err = parseZone(p); err != nil {
			return 0, false
		}
	}
	s := t.Unix()
	// What does not fit into a time stamp of nanoseconds is no time.
	return s, s > 0 && s < math.MaxInt64/int64(time.Second)
}

// parseZone reads a time with a zone that RFC 3339 has no colon for, or without one, which is UTC.
func parseZone(p []byte) (time.Time, error) {
	if len(p) > len("2006-01-02T15:04:05.000000000-07:00") {
		return time.Time{}, errNoTime // nothing is copied of what can be megabytes
	}
	t, err := time.Parse("2006-01-02T15:04:05Z0700", string(p))
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", string(p))
	}
	return t, err
}

// parseUTC reads a time as Qualys writes nearly all of them, 2006-01-02T15:04:05Z, in a year from 1970 to 2099. Others it
// leaves to parseTime.
func parseUTC(p []byte) (int64, bool) {
	if len(p) != len("2006-01-02T15:04:05Z") || p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':' || p[19] != 'Z' {
		return 0, false
	}
	var bad uint64 // 1: one of them is no digit
	two := func(i int) int {
		tens, ones := uint64(p[i]-'0'), uint64(p[i+1]-'0')
		bad |= (9-tens)>>63 | (9-ones)>>63
		return int(tens*10 + ones)
	}
	year, month, day := two(0)*100+two(2), two(5), two(8)
	hour, minute, second := two(11), two(14), two(17)
	if bad != 0 || year < 1970 || year > 2099 || month < 1 || month > 12 || day < 1 || day > 28 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	// Of the years from 1970 to 2099 every fourth is a leap year, 1972 the first.
	days := (year-1970)*365 + (year-1969)/4 + daysBefore[month-1] + day - 1
	if month > 2 && year%4 == 0 {
		days++
	}
	s := int64(days)*24*60*60 + int64(hour*60*60+minute*60+second)
	return s, s > 0
}

// daysBefore are the days of a year before each month of it.
var daysBefore = [...]int{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334}
