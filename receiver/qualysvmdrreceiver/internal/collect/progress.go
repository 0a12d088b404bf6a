// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// progressInterval is how often a long collection says how far it is.
const progressInterval = 30 * time.Second

// progress counts what a collection does, for its progress and summary lines. A collection that is interrupted and goes
// on is counted as one. It is safe for concurrent use.
type progress struct {
	log     *zap.Logger
	waits   *Waits
	dataset string

	began                                    time.Time
	waitedBefore                             time.Duration
	pages, hosts, records, bytes, duplicates atomic.Int64
	retries, refused, received               atomic.Int64
	// delivered counts batches over all collections.
	delivered atomic.Int64
	mu        sync.Mutex
	// stop ends the progress lines of the collection that has begun.
	stop func()
}

func newProgress(log *zap.Logger, waits *Waits, dataset string) *progress {
	return &progress{log: log, waits: waits, dataset: dataset, stop: func() {}}
}

// begin starts counting a collection, unless it goes on, and logging its progress until finish or end.
func (p *progress) begin(window string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.began.IsZero() {
		return
	}
	p.began = time.Now()
	p.waitedBefore = p.waits.of(p.dataset)
	for _, n := range []*atomic.Int64{&p.pages, &p.hosts, &p.records, &p.bytes, &p.duplicates, &p.retries, &p.refused, &p.received} {
		n.Store(0)
	}
	p.log.Info("Collection started.", zap.String("window", window))
	p.stop = p.report()
}

// begun tells whether a collection has begun and not been finished.
func (p *progress) begun() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.began.IsZero()
}

// end ends the progress lines, and waits until none is being written.
func (p *progress) end() { p.stop() }

// deliver counts an accepted batch.
func (p *progress) deliver(b *batch) {
	p.hosts.Add(int64(b.hosts))
	p.records.Add(int64(len(b.items)))
	p.bytes.Add(int64(b.bytes))
	p.duplicates.Add(int64(len(b.suppressed)))
	if len(b.items) > 0 || b.hosts > 0 {
		p.delivered.Add(1)
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
				seconds := p.since().Seconds()
				p.log.Info("Collecting.", append(p.fields(),
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
	took := p.since()
	p.log.Info("Collection finished.", append([]zap.Field{zap.String("window", window)}, p.fields()...)...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began = time.Time{}
	return took
}

func (p *progress) since() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.began)
}

func (p *progress) fields() []zap.Field {
	p.mu.Lock()
	waited := p.waits.of(p.dataset) - p.waitedBefore
	p.mu.Unlock()
	return []zap.Field{
		zap.Int64("pages", p.pages.Load()),
		zap.Int64("hosts", p.hosts.Load()),
		zap.Int64("records", p.records.Load()),
		zap.Int64("bytes", p.bytes.Load()),
		zap.Int64("received_bytes", p.received.Load()),
		zap.Int64("duplicates", p.duplicates.Load()),
		zap.Int64("retries", p.retries.Load()),
		zap.Int64("refused", p.refused.Load()),
		zap.Duration("waited", waited),
		zap.Duration("duration", p.since()),
	}
}
