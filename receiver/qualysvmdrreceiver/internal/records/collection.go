// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"time"

	"github.com/cespare/xxhash/v2"
)

// CollectionEvent says what became of a collection that has finished.
type CollectionEvent struct {
	// ID is the collection's, which its records carry.
	ID string
	// Dataset is what was collected, Window what of it was asked for.
	Dataset, Window string
	// Full reports whether everything was asked for, and not only changes.
	Full bool
	// Started and Finished are when it began and ended, by the server's clock.
	Started, Finished time.Time
	// Pages, Hosts and Records are how many were read and delivered; Duplicates is how many records an overlap brought again.
	Pages, Hosts, Records, Duplicates int64
	// Quarantined is how many hosts cannot be read, Retries how many requests were sent again.
	Quarantined, Retries int64
	// Waited is how long limits were waited for, Duration how long all took.
	Waited, Duration time.Duration
	// Removed is how many hosts or detections were told to be gone, RemovalsWithheld how many were not told, as they are too
	// many.
	Removed, RemovalsWithheld int64
	// Complete is false if hosts are in quarantine, a filter was refused, or fewer came than Qualys counts.
	Complete bool
}

// CollectionEventChunk returns the record of a collection that has finished, alone in a Chunk.
func CollectionEventChunk(settings Settings, event *CollectionEvent) Chunk {
	b, t := newBuilder(settings), newTape(newInterner(nil))
	b.begin(event.Finished, event.ID, nil)
	t.beginBody(&collectionEvents)
	text := func(key, s string) { t.pushText(t.interner.key(key), s) }
	text("id", event.ID)
	text("dataset", event.Dataset)
	text("window", event.Window)
	t.pushBool("full", event.Full)
	t.pushTime("started", event.Started)
	t.pushTime("finished", event.Finished)
	t.pushNumber("pages", event.Pages)
	t.pushNumber("hosts", event.Hosts)
	t.pushNumber("records", event.Records)
	t.pushNumber("duplicates", event.Duplicates)
	t.pushNumber("quarantined", event.Quarantined)
	t.pushNumber("retries", event.Retries)
	t.pushDouble("waitedSeconds", event.Waited.Seconds())
	t.pushDouble("durationSeconds", event.Duration.Seconds())
	t.pushNumber("removed", event.Removed)
	t.pushNumber("removalsWithheld", event.RemovalsWithheld)
	t.pushBool("complete", event.Complete)
	t.closeMap(0)

	content, size := b.hasher.content(t.nodes, t.text)
	b.item = Item{Key: xxhash.Sum64String(event.ID), Content: content, Bytes: int32(size)}
	b.write(t.nodes, t.text)
	b.describe(b.resource(), &machine{})
	lr := b.record(&collectionEvents, content, 1)
	lr.Attributes().PutStr(attrDataset, event.Dataset)
	b.body(lr, t.nodes, t.text)
	b.current.UnitsDone++
	return b.take()
}
