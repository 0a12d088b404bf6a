// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync"
	"time"
)

// Waits remembers how long each dataset has waited for limits of Qualys. Its zero value is ready for use, and it is safe
// for concurrent use.
type Waits struct {
	mu     sync.Mutex // guards everything below
	waited map[string]time.Duration
}

// Add adds to the time that a dataset has waited.
func (w *Waits) Add(dataset string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waited == nil {
		w.waited = map[string]time.Duration{}
	}
	w.waited[dataset] += d
}

// of is how long a dataset has waited.
func (w *Waits) of(dataset string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waited[dataset]
}
