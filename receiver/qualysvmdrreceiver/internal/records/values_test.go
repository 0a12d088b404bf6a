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
		"2022-10-21T01:55:25Z":                time.Date(2022, 10, 21, 1, 55, 25, 0, time.UTC),
		"2022-10-21T01:55:25.999Z":            time.Date(2022, 10, 21, 1, 55, 25, 0, time.UTC),
		"2022-10-21T01:55:25+02:00":           time.Date(2022, 10, 20, 23, 55, 25, 0, time.UTC),
		"2022-10-21T01:55:25+0000":            time.Date(2022, 10, 21, 1, 55, 25, 0, time.UTC),
		"2022-10-21T01:55:25-0230":            time.Date(2022, 10, 21, 4, 25, 25, 0, time.UTC),
		"2022-10-21T01:55:25":                 time.Date(2022, 10, 21, 1, 55, 25, 0, time.UTC),
		"2022-10-21T01:55:25.5":               time.Date(2022, 10, 21, 1, 55, 25, 0, time.UTC),
		"2022-10-21T01:55:25.123456789+01:00": time.Date(2022, 10, 21, 0, 55, 25, 0, time.UTC),
		"2022-10-21":                          time.Date(2022, 10, 21, 0, 0, 0, 0, time.UTC),
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

func TestParseTimeKnowsEveryDay(t *testing.T) {
	for day := time.Date(1969, 12, 30, 23, 59, 58, 0, time.UTC); day.Year() < 2102; day = day.AddDate(0, 0, 1) {
		got, ok := parseTime([]byte(day.Format(time.RFC3339)))
		assert.Equal(t, day.Unix() > 0, ok, day)
		assert.Equal(t, day.Unix(), got, day)
	}
}

func TestParseTimeIsStrict(t *testing.T) {
	const good = "2026-11-09T12:34:56Z"
	for i := range good {
		for _, c := range []byte{'/', ':', 'x', ' ', 0xFF} {
			bad := []byte(good)
			bad[i] = c
			want, err := time.Parse(time.RFC3339, string(bad))
			got, ok := parseTime(bad)
			assert.Equal(t, err == nil, ok, "%q", bad)
			if ok {
				assert.Equal(t, want.Unix(), got, "%q", bad)
			}
		}
	}
	for _, bad := range []string{"2026-00-09T12:34:56Z", "2026-13-09T12:34:56Z", "2026-11-00T12:34:56Z", "2026-11-09T24:00:00Z", "2026-11-09T12:60:00Z", "2026-11-09T12:00:60Z"} {
		_, ok := parseTime([]byte(bad))
		assert.False(t, ok, bad)
	}
}
