// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// hostReader makes records of the hosts of responses, several hosts at a time on as many processors as there are, and
// returns them in the order of the response.
//
//	page ──segments──▶ job ──▶ worker: Hosts ▶ Detections ──chunks──▶ job ──▶ read, job by job
//
// A job is one segment of whole hosts, or all segments of a host that is too large for one.
type hostReader struct {
	workers  []*worker
	segments sync.Pool
	// collection is the ID of the collection that the page is of, and most how many workers may read it.
	collection string
	most       int
	// follow, if not nil, begins to follow a host whose detections are tracked.
	follow func(ctx context.Context, host uint64) *tracking
}

// worker turns jobs into chunks. Its parts are reused from job to job.
type worker struct {
	hosts   qualys.Hosts
	records *records.Detections
}

// job is what one worker reads without a break, and what it makes of it.
type job struct {
	// collected is the time of collection, by the server's clock where that is known.
	collected  time.Time
	collection string
	first      *qualys.Segment
	// rest are the further segments of a large host, nil: there are none.
	rest chan *qualys.Segment
	// err is the error of the response behind the last segment, which is sent after it was set.
	err error
	// results are chunks in order; the last one can be an error.
	results chan result
}

type result struct {
	chunk engine.Chunk
	err   error
}

// notSelected is the decision of a detection that is not of the pass: it says nothing of what is there.
const notSelected engine.Decision = 255

func newHostReader(workers int, settings records.Settings) *hostReader {
	r := &hostReader{most: workers, segments: sync.Pool{New: func() any { return &qualys.Segment{} }}}
	for range workers {
		r.workers = append(r.workers, &worker{records: records.NewDetections(settings)})
	}
	return r
}

// read makes chunks of a page until its end or the first error, which it returns after all chunks before it. Decide is
// called by several goroutines at once. Emit takes the chunks in order; its error ends the reading. Stop ends the request
// of the page: it is called when nothing more is to be read, so that no wait for bytes outlasts that.
func (r *hostReader) read(ctx context.Context, page *qualys.DetectionPage, stop func(), decide engine.Decide, emit func(engine.Chunk) error) error {
	ctx, cancel := context.WithCancel(ctx)
	workers := r.workers[:min(r.most, len(r.workers))]
	ahead := len(workers)
	if ahead == 1 {
		ahead = 0 // other pages are read, too: what each of them had read ahead would add up
	}
	jobs := make(chan *job, ahead)
	order := make(chan *job, ahead)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	defer cancel()

	var pageErr error
	running.Go(func() {
		defer close(order)
		defer close(jobs)
		pageErr = r.produce(ctx, page, jobs, order)
	})
	for _, w := range workers {
		running.Go(func() {
			for j := range jobs {
				r.work(ctx, w, j, decide)
			}
		})
	}
	for j := range order {
		for res := range j.results {
			if err := emit(res.chunk); err != nil {
				return err
			}
			if res.err != nil {
				return res.err
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return pageErr
}

// produce reads the page into jobs, until its end or an error. The error is also that of the job whose bytes it cut.
func (r *hostReader) produce(ctx context.Context, page *qualys.DetectionPage, jobs, order chan<- *job) error {
	var open *job // of the host that goes on in the next segment
	for {
		segment := r.segments.Get().(*qualys.Segment)
		err := page.Next(segment)
		if err == io.EOF {
			return nil
		}
		more := segment.More && err == nil
		if open != nil {
			if !more {
				open.err = err
			}
			select {
			case open.rest <- segment:
				if !more {
					close(open.rest)
				}
			case <-ctx.Done():
				close(open.rest)
				return ctx.Err()
			}
		} else if len(segment.Data) > 0 {
			open = newJob(page, r.collection, segment)
			if more {
				open.rest = make(chan *qualys.Segment)
			} else {
				open.err = err
			}
			// In this order: nobody works at what is not waited for.
			select {
			case order <- open:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case jobs <- open:
			case <-ctx.Done():
				close(open.results)
				return ctx.Err()
			}
		}
		if err != nil {
			return &engine.UnitError{Err: err}
		}
		if !more {
			open = nil
		}
	}
}

func newJob(page *qualys.DetectionPage, collection string, first *qualys.Segment) *job {
	collected := page.ServerTime()
	if collected.IsZero() {
		collected = time.Now()
	}
	return &job{collected: collected, collection: collection, first: first, results: make(chan result, 1)}
}

// work makes chunks of one job.
func (r *hostReader) work(ctx context.Context, w *worker, j *job, decide engine.Decide) {
	defer close(j.results)
	var duplicates []records.Item
	var writes []func(tx *checkpoint.Tx)
	var host *tracking // of the host that is read, nil: its detections are not tracked
	w.records.Begin(j.collected, j.collection, func(item *records.Item) bool {
		d := decide(item)
		if r.follow != nil && d != notSelected {
			if host == nil || host.host != item.Unit {
				host = r.follow(ctx, item.Unit)
			}
			if host.meets(item) && d == engine.Take {
				d = engine.Duplicate
			}
		}
		if d == engine.Duplicate {
			duplicates = append(duplicates, *item)
		}
		return d == engine.Take
	})
	last := j.first
	w.hosts.Reset(j.first, func() (*qualys.Segment, error) {
		if j.rest == nil {
			return nil, j.err
		}
		r.segments.Put(last)
		last = nil
		select {
		case next, ok := <-j.rest:
			if !ok {
				return nil, j.err // the response broke in the segment before
			}
			last = next
			return last, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	for {
		ended, err := w.step()
		if err == nil && host != nil && host.err != nil {
			// The host is read again: taken for one that nothing is known of, all of it would be told to be gone later.
			res := result{chunk: engine.Chunk{Chunk: w.records.Take(), Duplicates: duplicates, Writes: writes}, err: host.err}
			select {
			case j.results <- res:
			case <-ctx.Done():
			}
			if last != nil {
				r.segments.Put(last)
			}
			return
		}
		if ended && host != nil {
			if write := host.end(); write != nil {
				writes = append(writes, write)
			}
			host = nil
		}
		if err == nil && !w.records.Full() && len(duplicates) < engine.DuplicatesAtOnce {
			continue
		}
		switch {
		case err == io.EOF && j.err != nil:
			err = &engine.UnitError{Err: j.err} // the response broke between two hosts
		case err == io.EOF:
		case err != nil:
			err = &engine.UnitError{Unit: w.records.Host(), Err: w.hosts.Locate(err)}
			if host != nil {
				if write := host.broke(); write != nil {
					writes = append(writes, write)
				}
			}
		}
		res := result{chunk: engine.Chunk{Chunk: w.records.Take(), Duplicates: duplicates, Writes: writes}}
		duplicates, writes = nil, nil
		if err != io.EOF {
			res.err = err
		}
		select {
		case j.results <- res:
		case <-ctx.Done():
			return
		}
		if err != nil {
			if last != nil {
				r.segments.Put(last)
			}
			return
		}
	}
}

// step reads one element of a host, a detection, or what is around them. Ended is whether that was the end of a host.
func (w *worker) step() (ended bool, err error) {
	event, err := w.hosts.Next()
	if err != nil {
		return false, err
	}
	switch event {
	case qualys.BeginHost:
		return false, w.records.BeginHost(w.hosts.XML())
	case qualys.HostElement:
		return false, w.records.HostElement(w.hosts.XML())
	case qualys.DetectionList:
		return false, w.records.DetectionList(w.hosts.XML())
	case qualys.Detection:
		return false, w.records.Detection(w.hosts.XML())
	case qualys.EndHost:
		return true, w.records.EndHost()
	}
	return false, nil
}
