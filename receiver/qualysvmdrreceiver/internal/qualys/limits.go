// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxWait       = 48 * time.Hour // what exceeds it in a header is not understood; a day is not unusual
	defaultWait   = time.Minute    // after a limit that names no time
	defaultWindow = time.Hour      // of Qualys' rate limits
)

// limits is what the headers of a response tell about the limits of an API.
type limits struct {
	limit      int64 // calls in a window; -1: unknown
	remaining  int64 // calls left; -1: unknown
	window     time.Duration
	wait       time.Duration // until the next call, by X-RateLimit-ToWait-Sec; 0: none
	retryAfter time.Duration // by Retry-After; 0: none
	concurrent int           // calls at once; 0: unknown
	strange    []header      // those that are not understood
}

// header is a header of a response, or what stands for one in its body.
type header struct{ name, value string }

// readLimits reads the headers of limits. Each of them may be missing or make no sense. Qualys' documents spell them in two ways.
func readLimits(h http.Header) limits {
	l := limits{limit: -1, remaining: -1, window: defaultWindow}
	l.wait = l.seconds(firstOf(h, "X-RateLimit-ToWait-Sec", "X-Rate-Limit-ToWait-Sec"))
	if n, ok := count(firstOf(h, "X-RateLimit-Limit", "X-Rate-Limit-Limit").value); ok {
		l.limit = n
	}
	if n, ok := count(firstOf(h, "X-RateLimit-Remaining", "X-Rate-Limit-Remaining").value); ok {
		l.remaining = n
	}
	if d := l.seconds(firstOf(h, "X-RateLimit-Window-Sec", "X-Rate-Limit-Window-Sec")); d > 0 {
		l.window = d
	}
	if n, ok := count(firstOf(h, "X-Concurrency-Limit-Limit", "X-ConcurrencyLimit-Limit").value); ok {
		l.concurrent = int(min(n, math.MaxInt32))
	}
	l.retryAfter = l.readRetryAfter(h)
	return l
}

// firstOf returns the first of the headers that is there.
func firstOf(h http.Header, names ...string) header {
	for _, name := range names {
		if value := h.Get(name); value != "" {
			return header{name, value}
		}
	}
	return header{name: names[0]}
}

// readRetryAfter reads Retry-After, which is in seconds or a date.
func (l *limits) readRetryAfter(h http.Header) time.Duration {
	after := firstOf(h, "Retry-After")
	at, err := http.ParseTime(after.value)
	if err != nil {
		return l.seconds(after)
	}
	d := at.Sub(clock(h))
	if d > maxWait {
		l.strange = append(l.strange, after)
		return 0
	}
	return max(d, 0)
}

// seconds reads a number of seconds: 0 if it is negative, none, or not understood.
func (l *limits) seconds(h header) time.Duration {
	d, understood := seconds(h.value)
	if !understood {
		l.strange = append(l.strange, h)
	}
	return d
}

// waitNamed is the wait that a 1965 asks for: its header, else its body, else a minute.
func (l *limits) waitNamed(body time.Duration) time.Duration {
	switch {
	case l.wait > 0:
		return l.wait
	case body > 0:
		return body
	}
	return defaultWait
}

// longest is the wait after a limit without a code: the longest that is named, else a minute.
func (l *limits) longest(body time.Duration) time.Duration {
	if d := max(l.wait, l.retryAfter, body); d > 0 {
		return d
	}
	return defaultWait
}

// clock is the server's time as its response tells, else ours.
func clock(h http.Header) time.Time {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t
	}
	return time.Now()
}

// seconds reads a number of seconds: 0 if it is negative or none. More than two days are not understood, and 0 too: a time that
// is written in another unit must not stop a collection for weeks.
func seconds(text string) (d time.Duration, understood bool) {
	n, _ := count(text)
	if n > int64(maxWait/time.Second) {
		return 0, false
	}
	return time.Duration(n) * time.Second, true
}

// count reads a number that is not negative. A number beyond int64 is the greatest one.
func count(text string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if errors.Is(err, strconv.ErrRange) && n > 0 {
		return math.MaxInt64, true
	}
	if err != nil || n < 0 {
		return 0, false
	}
	return n, true
}
