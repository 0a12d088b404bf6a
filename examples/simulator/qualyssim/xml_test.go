// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestTimesAreThoseOfTheCalendar(t *testing.T) {
	for _, at := range []string{
		"1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2000-02-29T12:34:56Z", "2024-02-29T23:59:59Z",
		"2024-03-01T00:00:00Z", "2026-12-31T09:08:07Z", "2100-02-28T01:02:03Z", "2100-03-01T00:00:00Z",
	} {
		want, err := time.Parse(time.RFC3339, at)
		assert.NoError(t, err)
		assert.Equal(t, at, string(appendTime(nil, want.Unix())))
	}
}

func TestCDATACanHoldItsOwnEnd(t *testing.T) {
	assert.Equal(t, "<![CDATA[a]]]]><![CDATA[>b]]>", string(appendCDATA(nil, "a]]>b")))
}
