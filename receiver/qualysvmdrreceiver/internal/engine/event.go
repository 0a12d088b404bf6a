// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// Limited is a Source that knows when a collection does not bring everything that it was asked for.
type Limited interface {
	// Limitation is why the run brings less, "": it does not.
	Limitation(run *Run) string
}

// Limitation is why a run does not bring everything, "": it does.
func (c *Collector) Limitation(run *Run) string {
	if run.Incomplete != "" {
		return run.Incomplete
	}
	if why := c.limited(run); why != "" {
		return why
	}
	if len(c.state.quarantined()) > 0 {
		return "hosts are in quarantine"
	}
	return ""
}

// limited is why the source brings less of a run, "": it does not, or does not know.
func (c *Collector) limited(run *Run) string {
	if limited, ok := c.source.(Limited); ok {
		return limited.Limitation(run)
	}
	return ""
}

// tell delivers the record of a collection that has done all it has to.
func (c *Collector) tell(ctx context.Context, run *Run, counts Counts) error {
	var began, start time.Time
	c.state.read(func(*State) { began, start = run.Began, run.Start })
	took := max(0, time.Since(began))
	event := records.CollectionEvent{
		ID: run.ID, Dataset: c.dataset.Name, Window: run.Window(), Full: run.Full,
		Started: start, Finished: start.Add(took),
		Pages: counts.Pages, Hosts: counts.Units, Records: counts.Records, Duplicates: counts.Duplicates,
		Quarantined: int64(len(c.state.quarantined())), Retries: counts.Retries, Waited: counts.Waited, Duration: took,
		Removed: run.Removed, RemovalsWithheld: run.Withheld, Complete: c.Limitation(run) == "",
	}
	chunk := records.CollectionEventChunk(*c.options.Events, &event)
	b := &Batch{Collection: run.ID, Logs: chunk.Logs, Items: chunk.Items, Bytes: chunk.Bytes}
	return c.dataset.offer(ctx, b)
}
