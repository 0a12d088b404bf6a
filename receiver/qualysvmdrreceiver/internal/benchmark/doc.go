// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package benchmark measures how fast and how small the receiver is, against what a straightforward program would be. It
// consists of tests only: `make bench` prints the table that docs/performance.md explains.
package benchmark
