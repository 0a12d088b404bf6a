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
	maxWait       = 7 * 24 * time.Hour // longer waits are taken for mistakes; a day is not unusual
	defaultWait   = time.Minute        // after a limit that names no time
	defaultWindow = time.Hour          // of Qualys's rate limits
)

// limits is what the headers of a response tell about the rate limit of an API.
type limits struct {
	limit     int64 // calls in a window; -1: unknown
	remaining int64 // calls left; -1: unknown
	window    time.Duration
	wait      time.Duration // until the next call
}

// readLimits reads the X-RateLimit headers. Each of them may be missing or not make sense.
func readLimits(h http.Header) limits {
	l := limits{limit: -1, remaining: -1, window: defaultWindow, wait: seconds(rateHeader(h, "ToWait-Sec"))}
	if n, ok := count(rateHeader(h, "Limit")); ok {
		l.limit = n
	}
	if n, ok := count(rateHeader(h, "Remaining")); ok {
		l.remaining = n
	}
	if d := seconds(rateHeader(h, "Window-Sec")); d > 0 {
		l.window = d
	}
	return l
}

// rateHeader returns a header of the rate limit, which Qualys's documents spell in two ways.
func rateHeader(h http.Header, name string) string {
	if value := h.Get("X-RateLimit-" + name); value != "" {
		return value
	}
	return h.Get("X-Rate-Limit-" + name)
}

// waitNamed is the wait that a response of 1965 asks for: its header, else its body, else a minute.
func waitNamed(h http.Header, body time.Duration) time.Duration {
	if d := seconds(rateHeader(h, "ToWait-Sec")); d > 0 {
		return d
	}
	if body > 0 {
		return body
	}
	return defaultWait
}

// retryAfter is the wait that a response of 429 asks for: Retry-After in seconds or as a date, else the header of the rate
// limit, else a minute.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if d := seconds(text); d > 0 {
		return d
	}
	if at, err := http.ParseTime(text); err == nil {
		if d := at.Sub(clock(h)); d > 0 {
			return min(d, maxWait)
		}
	}
	return waitNamed(h, 0)
}

// clock is the server's time as its response tells, else ours.
func clock(h http.Header) time.Time {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t
	}
	return time.Now()
}

// seconds reads a number of seconds: 0 if it is negative or none, a week at most.
func seconds(text string) time.Duration {
	n, _ := count(text)
	return time.Duration(min(n, int64(maxWait/time.Second))) * time.Second
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
