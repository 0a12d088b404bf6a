// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheArenaKeepsWhatItWasGiven(t *testing.T) {
	var b arena
	var got, want []string
	buf := make([]byte, 0, blockSize)
	for i := range 400 {
		buf = append(buf[:0], bytes.Repeat([]byte{'a' + byte(i%26)}, i*97%(maxShared+5))...)
		want = append(want, string(buf))
		got = append(got, b.keep(buf))
	}
	assert.Equal(t, want, got)
	assert.Empty(t, b.keep(nil))
}

func TestBlocksAreShared(t *testing.T) {
	var b arena
	text := []byte(strings.Repeat("x", 64))
	allocations := testing.AllocsPerRun(10, func() {
		for range blockSize / len(text) {
			b.keep(text)
		}
	})
	assert.InDelta(t, 1, allocations, 0)
}
