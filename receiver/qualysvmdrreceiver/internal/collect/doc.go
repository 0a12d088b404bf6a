// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package collect runs the collections of the datasets: when they start and what they ask for, how answers become
// batches, how batches are delivered, and what is remembered of it.
//
// A dataset is a loop (dataset.go) around work that goes on from its position until a collection is complete. The work
// reads answers into outputs, gathers outputs into batches (batches.go), offers them to the pipeline until they are
// accepted (pipeline.go) and then moves the position, in that order: what was not delivered is collected again, and
// what was is not.
package collect
