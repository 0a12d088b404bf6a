// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"slices"
	"sync"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
)

// finishedRuns are the collections that have finished. It is safe for concurrent use.
type finishedRuns struct {
	mu   sync.Mutex // guards everything below
	runs []engine.Run
}

// options are those of a collector whose finished collections are noted.
func (f *finishedRuns) options() engine.Options {
	return engine.Options{Finished: func(_ context.Context, run *engine.Run, _ engine.Counts) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.runs = append(f.runs, *run)
		return nil
	}}
}

func (f *finishedRuns) all() []engine.Run {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.runs)
}

// last is the one that finished last, an empty one if none has.
func (f *finishedRuns) last() engine.Run {
	all := f.all()
	if len(all) == 0 {
		return engine.Run{}
	}
	return all[len(all)-1]
}
