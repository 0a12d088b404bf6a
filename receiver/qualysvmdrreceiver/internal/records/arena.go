// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import "strings"

const (
	blockSize = 64 << 10
	// maxShared is the longest text that shares a block with others: a longer one would leave too much of it unused.
	maxShared = blockSize / 4
)

// arena turns bytes into strings that share memory: one allocation for 64 KiB of them. A block lives as long as any
// string in it.
type arena struct {
	block strings.Builder
}

// keep returns a string of p's bytes.
func (a *arena) keep(p []byte) string {
	if len(p) > maxShared {
		return string(p)
	}
	if a.block.Cap()-a.block.Len() < len(p) {
		a.block.Reset()
		a.block.Grow(blockSize)
	}
	from := a.block.Len()
	a.block.Write(p)
	return a.block.String()[from:]
}
