// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestParseInt(t *testing.T) {
	good := map[string]int64{
		"0": 0, "38170": 38170, "-1": -1, "007": 7,
		"9223372036854775807":  9223372036854775807,
		"-9223372036854775808": -9223372036854775808,
	}
	for text, want := range good {
		got, ok := parseInt([]byte(text))
		assert.True(t, ok, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "-", "+1", "1.0", "0x10", "1 2", "１", "9223372036854775808", "-9223372036854775809", "99999999999999999999999"} {
		_, ok := parseInt([]byte(text))
		assert.False(t, ok, text)
	}
}

func TestParseDouble(t *testing.T) {
	for text, want := range map[string]float64{"5": 5, "7.75": 7.75, "-0.5": -0.5, "1e3": 1000} {
		got, ok := parseDouble([]byte(text))
		assert.True(t, ok, text)
		assert.InDelta(t, want, got, 0, text)
	}
	for _, text := range []string{"", "-", "NaN", "Inf", "0x1p2", "1_0", "1e999", "5,0"} {
		_, ok := parseDouble([]byte(text))
		assert.False(t, ok, text)
	}
}

func TestParseTime(t *testing.T) {
	good := map[string]time.Time{
		"2022-10-21T01:55:25Z":      time.Date(2022, 10, 21, 1, 55, 25, 0, time.UTC),
		"2022-10-21T01:55:25.999Z":  time.Date(2022, 10, 21, 1, 55, 25, 0, time.UTC),
		"2022-10-21T01:55:25+02:00": time.Date(2022, 10, 20, 23, 55, 25, 0, time.UTC),
		"2022-10-21":                time.Date(2022, 10, 21, 0, 0, 0, 0, time.UTC),
	}
	for text, want := range good {
		got, ok := parseTime([]byte(text))
		assert.True(t, ok, text)
		assert.Equal(t, want.Unix(), got, text)
	}
	for _, text := range []string{"", "N/A", "2022-02-30T00:00:00Z", "2022-10-21 01:55:25", "0000-01-01", "9999-01-01T00:00:00Z", "1970-01-01T00:00:00Z"} {
		_, ok := parseTime([]byte(text))
		assert.False(t, ok, text)
	}
}
