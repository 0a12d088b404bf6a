// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"maps"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
)

// Backend is a consumer that keeps what its Decide function lets it. It is safe for concurrent use.
type Backend struct {
	consumertest.Consumer

	mu       sync.Mutex // guards everything below
	decide   func(ctx context.Context, offered plog.Logs) error
	offers   int
	accepted []string // the labels of the accepted records, in order
	records  []plog.LogRecord
}

// NewBackend returns a backend that accepts everything.
func NewBackend() *Backend {
	return &Backend{Consumer: consumertest.NewNop(), decide: func(context.Context, plog.Logs) error { return nil }}
}

// Decide makes a function say what becomes of each batch from now on: it is accepted if that returns nil.
func (b *Backend) Decide(decide func(ctx context.Context, offered plog.Logs) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.decide = decide
}

// ConsumeLogs implements consumer.Logs.
func (b *Backend) ConsumeLogs(ctx context.Context, offered plog.Logs) error {
	b.mu.Lock()
	b.offers++
	decide := b.decide
	b.mu.Unlock()
	if err := decide(ctx, offered); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := plog.NewLogs()
	offered.CopyTo(kept)
	for record := range recordsOf(kept) {
		b.accepted = append(b.accepted, Label(record))
		b.records = append(b.records, record)
	}
	return nil
}

// recordsOf walks the records of logs.
func recordsOf(logs plog.Logs) func(func(plog.LogRecord) bool) {
	return func(yield func(plog.LogRecord) bool) {
		for _, rl := range logs.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, record := range sl.LogRecords().All() {
					if !yield(record) {
						return
					}
				}
			}
		}
	}
}

// Labels returns the labels of the records that were accepted, in order.
func (b *Backend) Labels() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.accepted)
}

// Records returns the records that were accepted, in order.
func (b *Backend) Records() []plog.LogRecord {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.records)
}

// Offers is how many batches were offered.
func (b *Backend) Offers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.offers
}

// Counts returns how often each record was accepted.
func (b *Backend) Counts() map[string]int {
	counts := map[string]int{}
	for _, label := range b.Labels() {
		counts[label]++
	}
	return counts
}

// Label tells what a record is of: "detection 5 Active", "entry 7", "asset 9", "host 3", "activity x", or its text.
func Label(record plog.LogRecord) string {
	attribute := func(name string) string {
		if value, ok := record.Attributes().Get(name); ok {
			return value.AsString()
		}
		return ""
	}
	body := func(name string) string {
		value, _ := record.Body().Map().Get(name)
		return value.AsString()
	}
	switch attribute("LogType") {
	case "vulnerabilityLogs":
		return "detection " + attribute("qualys.detection.id") + " " + attribute("qualys.detection.status")
	case "knowledgeBaseLogs":
		return "entry " + attribute("qualys.qid")
	case "assetInventory":
		return "asset " + attribute("qualys.asset.id")
	case "hostLogs":
		return "host " + body("Id")
	case "removedHostLogs":
		return "removed host " + body("Id")
	case "removedDetectionLogs":
		return "removed detection " + attribute("qualys.detection.id")
	case "userActivityLogs":
		return "activity " + body("Details")
	case "collectionEvents":
		return "collection of " + attribute("qualys.dataset")
	}
	return record.Body().AsString()
}

// Times returns so many of each label.
func Times(n int, labels ...string) map[string]int {
	counts := map[string]int{}
	for _, label := range labels {
		counts[label] = n
	}
	return counts
}

// With returns counts with another number of some of them; 0 leaves a label out.
func With(counts map[string]int, label string, n int) map[string]int {
	changed := maps.Clone(counts)
	if changed[label] = n; n == 0 {
		delete(changed, label)
	}
	return changed
}

// Twice are counts of twice as many.
func Twice(counts map[string]int) map[string]int {
	twice := make(map[string]int, len(counts))
	for label, n := range counts {
		twice[label] = 2 * n
	}
	return twice
}
