// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parameterError is a refused parameter: an answer 400 with one of Qualys' codes.
type parameterError struct {
	code int
	text string
}

func (e *parameterError) Error() string { return e.text }

// Codes of refused parameters.
const (
	codeUnrecognized = 1901
	codeMissing      = 1903
	codeInvalid      = 1905
)

func invalid(name, value, why string) *parameterError {
	return &parameterError{codeInvalid, "parameter " + name + " has invalid value: " + value + " (" + why + ")"}
}

// check says what is wrong with the value of a parameter, or nothing.
type check func(value string) string

// checkParameters refuses what an endpoint does not know, then what has a wrong value, always in the same order.
func checkParameters(form url.Values, known map[string]check) error {
	names := make([]string, 0, len(form))
	var unknown []string
	for name := range form {
		names = append(names, name)
		if _, ok := known[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return &parameterError{codeUnrecognized, "unrecognized parameter(s): " + strings.Join(unknown, ", ")}
	}
	if form.Get("action") == "" {
		return &parameterError{codeMissing, "missing required parameter(s): action"}
	}
	slices.Sort(names)
	for _, name := range names {
		if len(form[name]) > 1 {
			return invalid(name, strings.Join(form[name], ","), "given more than once")
		}
		value := form.Get(name)
		if why := known[name](value); why != "" {
			return invalid(name, value, why)
		}
	}
	return nil
}

func anything(string) string { return "" }

func oneOf(allowed ...string) check {
	return func(value string) string {
		if slices.Contains(allowed, value) {
			return ""
		}
		return "must be one of: " + strings.Join(allowed, ", ")
	}
}

func listOf(allowed ...string) check {
	each := oneOf(allowed...)
	return func(value string) string {
		for item := range strings.SplitSeq(value, ",") {
			if why := each(item); why != "" {
				return why
			}
		}
		return ""
	}
}

var yesOrNo = oneOf("0", "1")

func isNumber(value string) string {
	if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < 0 {
		return "not a positive integer"
	}
	return ""
}

func isRanges(value string) string {
	_, err := parseRanges(value)
	return err
}

func isTime(value string) string {
	if _, ok := parseTime(value); !ok {
		return "not a UTC date: YYYY-MM-DD[THH:MM:SSZ]"
	}
	return ""
}

func parseTime(value string) (unix int64, ok bool) {
	layout := "2006-01-02T15:04:05Z"
	if !strings.Contains(value, "T") {
		layout = time.DateOnly
	}
	t, err := time.Parse(layout, value)
	// Parse takes fractions of seconds after a layout without them; Qualys does not document any.
	return t.Unix(), err == nil && !strings.Contains(value, ".")
}

// timeOf is a time parameter in Unix seconds, -1 if it is not given.
func timeOf(form url.Values, name string) int64 {
	unix, ok := parseTime(form.Get(name))
	if !ok {
		return -1
	}
	return unix
}

func numberOf(form url.Values, name string, byDefault int64) int64 {
	if n, err := strconv.ParseInt(form.Get(name), 10, 64); err == nil {
		return n
	}
	return byDefault
}

// rangesOf is a parameter of numbers and ranges; every number if it is not given.
func rangesOf(form url.Values, name string) numbers {
	if form.Get(name) == "" {
		return nil
	}
	r, _ := parseRanges(form.Get(name))
	return r
}

// numbers are sorted ranges of numbers that do not overlap; nil holds every number.
type numbers [][2]int64

// parseRanges reads "1,5-7"; why says what is wrong with it.
func parseRanges(value string) (ranges numbers, why string) {
	for item := range strings.SplitSeq(value, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(item), "-")
		if !isRange {
			high = low
		}
		from, errFrom := strconv.ParseInt(low, 10, 64)
		to, errTo := strconv.ParseInt(high, 10, 64)
		if errFrom != nil || errTo != nil || from < 1 || to < from {
			return nil, "neither a positive integer nor a range: " + item
		}
		ranges = append(ranges, [2]int64{from, to})
	}
	slices.SortFunc(ranges, func(a, b [2]int64) int { return int(min(1, max(-1, a[0]-b[0]))) })
	merged := ranges[:1]
	for _, r := range ranges[1:] {
		if last := &merged[len(merged)-1]; r[0] <= last[1]+1 {
			last[1] = max(last[1], r[1])
		} else {
			merged = append(merged, r)
		}
	}
	return merged, ""
}

// with adds a number that is larger than all others.
func (n numbers) with(number int64) numbers {
	if last := len(n) - 1; last >= 0 && n[last][1]+1 == number {
		n[last][1] = number
		return n
	}
	return append(n, [2]int64{number, number})
}

// from returns the first of the numbers that is not below number.
func (n numbers) from(number int64) (first int64, found bool) {
	if n == nil {
		return number, true
	}
	for _, r := range n {
		if r[1] >= number {
			return max(number, r[0]), true
		}
	}
	return 0, false
}

func (n numbers) contains(number int64) bool {
	if n == nil {
		return true
	}
	_, found := slices.BinarySearchFunc(n, number, func(r [2]int64, number int64) int {
		switch {
		case r[1] < number:
			return -1
		case r[0] > number:
			return 1
		}
		return 0
	})
	return found
}

// count is how many numbers there are, nil being none.
func (n numbers) count() int64 {
	var total int64
	for _, r := range n {
		total += r[1] - r[0] + 1
	}
	return total
}
