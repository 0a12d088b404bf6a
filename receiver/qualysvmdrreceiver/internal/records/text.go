// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import "strings"

const (
	blockSize = 64 << 10
	// maxShared is the longest text that shares a block with others: a longer one would leave too much of it unused.
	maxShared = blockSize / 4
)

// blocks turns bytes into strings that share memory: one allocation for 64 KiB of them. A block lives as long as any
// string cut from it.
type blocks struct {
	block strings.Builder
}

// cut returns a string of p's bytes.
func (b *blocks) cut(p []byte) string {
	if len(p) > maxShared {
		return string(p)
	}
	if b.block.Cap()-b.block.Len() < len(p) {
		b.block.Reset()
		b.block.Grow(blockSize)
	}
	from := b.block.Len()
	b.block.Write(p)
	return b.block.String()[from:]
}
