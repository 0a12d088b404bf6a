// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// hashOf is a hash of the names of fields.
func hashOf(names []string) string {
	hash, err := engine.Fingerprint(names)
	if err != nil {
		return "?" // names can always be encoded
	}
	return hash
}

// unknown is the status of an entry that detections wait for.
const unknown records.EntryStatus = 0

var _ engine.Stage = (*Catalog)(nil).Enrich

// Enrich puts the fields of their entries on the detections of a batch, if detections are enriched. It waits for entries that
// are not known, unless the catalog has stopped or they cannot be had for so long already. It implements [engine.Stage].
func (c *Catalog) Enrich(ctx context.Context, b *engine.Batch) error {
	if !c.fields.enabled() || len(b.Items) == 0 {
		return nil
	}
	c.detects(b.Collection)
	known, err := c.await(ctx, qidsOf(b.Items))
	if err != nil {
		return err
	}
	i := 0
	for _, rl := range b.Logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				item := &b.Items[i]
				status, fields := c.entryOf(ctx, item.QID, known)
				b.Bytes -= int(item.Bytes)
				records.Enrich(record, item, status, fields, c.settings.Records.JSON)
				b.Bytes += int(item.Bytes)
				i++
			}
		}
	}
	return nil
}

// entryOf returns what a detection carries of its entry. The fields are looked up anew for each of them: those of a whole batch
// may be more than is to be kept in memory.
func (c *Catalog) entryOf(ctx context.Context, qid uint32, known map[uint32]records.EntryStatus) (records.EntryStatus, *records.EntryFields) {
	status, ok := known[qid]
	switch {
	case !ok:
		return records.EntryNotFound, nil // the detection has no QID
	case status != records.EntryFound:
		return status, nil
	}
	_, fields, err := c.stored(ctx, qid)
	if err != nil || fields == nil {
		return records.EntryUnavailable, nil
	}
	return records.EntryFound, fields
}

// await returns what is known of the entries of QIDs when all of it is known, or they cannot be waited for.
func (c *Catalog) await(ctx context.Context, qids []uint32) (map[uint32]records.EntryStatus, error) {
	known := make(map[uint32]records.EntryStatus, len(qids))
	again := map[uint32]bool{} // entries that are fetched once more for their fields
	waiting := qids
	wanted := false
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		var err error
		if waiting, err = c.look(ctx, waiting, known, again); err != nil || len(waiting) == 0 {
			return known, err
		}
		if !wanted {
			wanted = true
			all := waiting
			c.entries.want(all, 1)
			defer c.entries.want(all, -1)
		}
		now := time.Now()
		until, limited := c.until()
		if c.ended.Load() || limited && !now.Before(until) {
			c.goWithout(until)
			for _, qid := range waiting {
				known[qid] = records.EntryUnavailable
			}
			return known, nil
		}
		c.entries.see(waiting, now)
		c.mu.Lock()
		c.draining = true
		c.mu.Unlock()
		c.rouse()
		if err := wait(ctx, changed, until, limited); err != nil {
			return nil, err
		}
	}
}

// goWithout says once for each outage that detections do not wait any more. That the dataset has stopped is said elsewhere.
func (c *Catalog) goWithout(until time.Time) {
	c.mu.Lock()
	said := until.Equal(c.warned) || c.ended.Load()
	c.warned = until
	c.mu.Unlock()
	if !said {
		c.dataset.Log.Warn("detections are delivered without fields of their knowledge base entries: these cannot be had", zap.Time("since", until.Add(-c.settings.EnrichTimeout)))
	}
}

// until is for how long detections wait for entries that cannot be had now, if there are such.
func (c *Catalog) until() (until time.Time, limited bool) {
	for _, began := range []time.Time{c.fetching.began(), c.listing.began()} {
		if began.IsZero() {
			continue
		}
		if end := began.Add(c.settings.EnrichTimeout); !limited || end.Before(until) {
			until, limited = end, true
		}
	}
	return until, limited
}

// wait waits until something has changed, a time, or the end of the context, whose error it returns.
func wait(ctx context.Context, changed <-chan struct{}, until time.Time, limited bool) error {
	var over <-chan time.Time
	if limited {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-changed:
	case <-over:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// look adds what is known of the entries of QIDs, and returns those of which nothing is. Again are those whose fields were lost.
func (c *Catalog) look(ctx context.Context, qids []uint32, known map[uint32]records.EntryStatus, again map[uint32]bool) (waiting []uint32, err error) {
	failed := 0
	var cause error
	for _, qid := range qids {
		status, err := c.statusOf(ctx, qid, again)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			failed, cause = failed+1, err
		}
		if status == unknown {
			waiting = append(waiting, qid)
			continue
		}
		known[qid] = status
	}
	if cause != nil {
		c.dataset.Log.Error("fields of knowledge base entries could not be read", zap.Int("qids", failed), zap.Error(cause))
	}
	return waiting, nil
}

// statusOf returns what is known of an entry, unknown: it is to be waited for. The error is the storage's.
func (c *Catalog) statusOf(ctx context.Context, qid uint32, again map[uint32]bool) (records.EntryStatus, error) {
	e, fields, err := c.stored(ctx, qid)
	switch {
	case e.state == absent:
		return records.EntryNotFound, nil
	case e.content == 0 && e.state == unreadable:
		return records.EntryUnavailable, nil
	case e.content == 0:
		return unknown, nil
	case err == nil && fields != nil:
		return records.EntryFound, nil
	case err == nil || e.state == unreadable:
		return records.EntryUnavailable, nil
	case !errors.Is(err, errMissing):
		return records.EntryUnavailable, err
	}
	if e.state != delivered {
		return unknown, nil
	}
	// They were damaged, or gave way to others in memory: they are fetched once more, and only once.
	if again[qid] {
		return records.EntryUnavailable, nil
	}
	again[qid] = true
	c.entries.update([]uint32{qid}, time.Now(), func(e *entry) {
		if e.state == delivered {
			e.state = recheck
		}
	})
	return unknown, nil
}

// stored returns what is known of an entry, and its fields where it was delivered, nil: they are too large. It does so while
// nothing is being written, as both belong together. The error is errMissing, or the storage's.
func (c *Catalog) stored(ctx context.Context, qid uint32) (e entry, fields *records.EntryFields, err error) {
	c.committing.Lock()
	defer c.committing.Unlock()
	if e = c.entries.get(qid); e.content != 0 {
		fields, err = c.fields.of(ctx, qid, e.content)
	}
	return e, fields, err
}
