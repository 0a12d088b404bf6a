// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// progressInterval is how often a long collection says how far it is.
const progressInterval = 30 * time.Second

// Counts are what a collection has done. They are stored with the cursors, so that a restart does not lose them.
type Counts struct {
	Pages      int64 `json:"pages,omitempty"`
	Units      int64 `json:"units,omitempty"`
	Records    int64 `json:"records,omitempty"`
	Bytes      int64 `json:"bytes,omitempty"`
	Duplicates int64 `json:"duplicates,omitempty"`
	Retries    int64 `json:"retries,omitempty"`
	Rejected   int64 `json:"rejected,omitempty"`
	Received   int64 `json:"received,omitempty"`
	// Waited is how long limits were waited for.
	Waited time.Duration `json:"waited,omitempty"`
}

// plus returns the sum of two counts.
func (c Counts) plus(other Counts) Counts {
	return Counts{
		Pages: c.Pages + other.Pages, Units: c.Units + other.Units, Records: c.Records + other.Records,
		Bytes: c.Bytes + other.Bytes, Duplicates: c.Duplicates + other.Duplicates, Retries: c.Retries + other.Retries,
		Rejected: c.Rejected + other.Rejected, Received: c.Received + other.Received, Waited: c.Waited + other.Waited,
	}
}

// progress counts what a collection does, for its progress and summary lines. A collection that is interrupted and goes
// on is counted as one. It is safe for concurrent use.
type progress struct {
	log     *zap.Logger
	waits   *Waits
	dataset string

	pages, units, records, bytes, duplicates atomic.Int64
	retries, rejected, received              atomic.Int64

	mu           sync.Mutex // guards everything below
	running      string     // the collection that has begun, "": none
	began        time.Time
	waitedBefore time.Duration
	// told is what of it that belongs to no batch was returned to be committed, with all waits since the start.
	told Counts
	// stop ends the progress lines of the collection that has begun.
	stop func()
}

func newProgress(log *zap.Logger, waits *Waits, dataset string) *progress {
	return &progress{log: log, waits: waits, dataset: dataset, stop: func() {}}
}

// begin starts counting a collection that began at a time from what it had done before, unless it goes on, and logging its
// progress until finish or end.
func (p *progress) begin(id, window string, began time.Time, before Counts) {
	if p.begun(id) {
		return
	}
	p.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = id
	p.began = began
	p.told = Counts{Retries: before.Retries, Rejected: before.Rejected, Received: before.Received, Waited: p.waits.of(p.dataset)}
	p.waitedBefore = p.told.Waited - before.Waited
	p.pages.Store(before.Pages)
	p.units.Store(before.Units)
	p.records.Store(before.Records)
	p.bytes.Store(before.Bytes)
	p.duplicates.Store(before.Duplicates)
	p.retries.Store(before.Retries)
	p.rejected.Store(before.Rejected)
	p.received.Store(before.Received)
	p.log.Info("collection started", zap.String("window", window), zap.String("collection", id))
	p.stop = p.report()
}

// begun reports whether a collection has begun and not been finished.
func (p *progress) begun(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running == id
}

// end ends the progress lines, and waits until none is being written.
func (p *progress) end() {
	p.mu.Lock()
	stop := p.stop
	p.mu.Unlock()
	stop()
}

// deliver counts an accepted batch.
func (p *progress) deliver(b *Batch) {
	p.units.Add(int64(b.Units))
	p.records.Add(int64(len(b.Items)))
	p.bytes.Add(int64(b.Bytes))
	p.duplicates.Add(int64(len(b.Duplicates)))
}

// spent returns what belongs to no batch since it was called before, to be committed: retries, rejections, what was received, and
// waits.
func (p *progress) spent() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := Counts{Retries: p.retries.Load(), Rejected: p.rejected.Load(), Received: p.received.Load(), Waited: p.waits.of(p.dataset)}
	before := p.told
	p.told = now
	return Counts{
		Retries: now.Retries - before.Retries, Rejected: now.Rejected - before.Rejected, Received: now.Received - before.Received,
		Waited: now.Waited - before.Waited,
	}
}

// report logs the progress every 30 seconds until the function that it returns is called, which waits for it to end. It
// goes on while the collection waits for its next try: that is when people look.
func (p *progress) report() (stop func()) {
	done := make(chan struct{})
	var reporting sync.WaitGroup
	reporting.Go(func() {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				fields, seconds := p.fields()
				p.log.Info("collecting", append(fields,
					zap.Float64("records_per_second", float64(p.records.Load())/seconds),
					zap.Float64("received_bytes_per_second", float64(p.received.Load())/seconds))...)
			case <-done:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		reporting.Wait()
	})
}

// finish logs the summary of a completed collection and returns how long it took.
func (p *progress) finish(window string) time.Duration {
	p.end()
	fields, _ := p.fields()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.Info("collection finished", append([]zap.Field{zap.String("window", window), zap.String("collection", p.running)}, fields...)...)
	p.running = ""
	return max(0, time.Since(p.began))
}

// fields are what is told of a collection, and for how many seconds it has run, one at least.
func (p *progress) fields() ([]zap.Field, float64) {
	p.mu.Lock()
	waited, took := p.waits.of(p.dataset)-p.waitedBefore, max(0, time.Since(p.began))
	p.mu.Unlock()
	return []zap.Field{
		zap.Int64("pages", p.pages.Load()),
		zap.Int64("units", p.units.Load()),
		zap.Int64("records", p.records.Load()),
		zap.Int64("bytes", p.bytes.Load()),
		zap.Int64("received_bytes", p.received.Load()),
		zap.Int64("duplicates", p.duplicates.Load()),
		zap.Int64("retries", p.retries.Load()),
		zap.Int64("rejected", p.rejected.Load()),
		zap.Duration("waited", waited),
		zap.Duration("duration", took),
	}, max(1, took.Seconds())
}
