// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// answerError is an error within an answer: a cut, silence, or bytes that cannot be read. What stood before it was
// delivered.
type answerError struct {
	// host is the ID of the host in whose bytes it came, 0 when that is not known.
	host uint64
	err  error
}

func (e *answerError) Error() string {
	if e.host == 0 {
		return fmt.Sprintf("page of detections: %v", e.err)
	}
	return fmt.Sprintf("page of detections: in host %d: %v", e.host, e.err)
}

func (e *answerError) Unwrap() error { return e.err }

// hostReader makes records of the hosts of answers, several hosts at a time on as many processors as there are, and
// hands them on in the order of the answer.
//
//	page ──segments──▶ job ──▶ worker: Hosts ▶ Detections ──outputs──▶ job ──▶ read, job by job
//
// A job is one segment of whole hosts, or all segments of a host that is too large for one.
type hostReader struct {
	workers  []*worker
	segments sync.Pool
}

// worker turns jobs into outputs. Its parts are reused from job to job.
type worker struct {
	hosts   qualys.Hosts
	records *records.Detections
}

// job is what one worker reads without a break, and what it makes of it.
type job struct {
	// collected is the time of collection, by the server's clock where that is known.
	collected time.Time
	first     *qualys.Segment
	// rest are the further segments of a large host, nil: there are none.
	rest chan *qualys.Segment
	// err is the error of the answer behind the last segment, which is sent after it was set.
	err error
	// results are outputs in order; the last one can be an error.
	results chan result
}

// verdict is what becomes of a record.
type verdict uint8

const (
	take     verdict = iota
	suppress         // it was delivered before, by the previous collection
	ignore           // it was delivered before, by this one, or was not asked for
)

type result struct {
	output output
	err    error
}

func newHostReader(workers int, settings records.Settings) *hostReader {
	r := &hostReader{segments: sync.Pool{New: func() any { return &qualys.Segment{} }}}
	for range workers {
		r.workers = append(r.workers, &worker{records: records.NewDetections(settings)})
	}
	return r
}

// read makes outputs of a page until its end or the first error, which it returns after all outputs before it. Judge is
// called by several goroutines at once. Emit takes the outputs in order; its error ends the reading. Stop ends the request
// of the page: it is called when nothing more is to be read, so that no wait for bytes outlasts that.
func (r *hostReader) read(ctx context.Context, page *qualys.DetectionPage, stop func(), judge func(*records.Item) verdict, emit func(output) error) error {
	ctx, cancel := context.WithCancel(ctx)
	jobs := make(chan *job, len(r.workers))
	order := make(chan *job, len(r.workers))
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
	for _, w := range r.workers {
		running.Go(func() {
			for j := range jobs {
				r.work(ctx, w, j, judge)
			}
		})
	}
	for j := range order {
		for res := range j.results {
			if err := emit(res.output); err != nil {
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
			open = newJob(page, segment)
			if more {
				open.rest = make(chan *qualys.Segment)
			} else {
				open.err = err
			}
			for _, to := range []chan<- *job{jobs, order} {
				select {
				case to <- open:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		if err != nil {
			return &answerError{err: err}
		}
		if !more {
			open = nil
		}
	}
}

func newJob(page *qualys.DetectionPage, first *qualys.Segment) *job {
	collected := page.ServerTime()
	if collected.IsZero() {
		collected = time.Now()
	}
	return &job{collected: collected, first: first, results: make(chan result, 1)}
}

// work makes outputs of one job.
func (r *hostReader) work(ctx context.Context, w *worker, j *job, judge func(*records.Item) verdict) {
	defer close(j.results)
	var suppressed []records.Item
	w.records.Begin(j.collected, "", func(item *records.Item) bool {
		v := judge(item)
		if v == suppress {
			suppressed = append(suppressed, *item)
		}
		return v == take
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
				return nil, j.err // the answer broke in the segment before
			}
			last = next
			return last, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	for {
		err := w.step()
		if err == nil && !w.records.Full() && len(suppressed) < suppressedAtOnce {
			continue
		}
		switch {
		case err == io.EOF && j.err != nil:
			err = &answerError{err: j.err} // the answer broke between two hosts
		case err == io.EOF:
		case err != nil:
			err = &answerError{host: w.records.Host(), err: w.hosts.Locate(err)}
		}
		res := result{output: output{Chunk: w.records.Take(), suppressed: suppressed}}
		suppressed = nil
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

// step reads one element of a host, a detection, or what is around them.
func (w *worker) step() error {
	event, err := w.hosts.Next()
	if err != nil {
		return err
	}
	switch event {
	case qualys.BeginHost:
		return w.records.BeginHost(w.hosts.XML())
	case qualys.HostElement:
		return w.records.HostElement(w.hosts.XML())
	case qualys.DetectionList:
		return w.records.DetectionList(w.hosts.XML())
	case qualys.Detection:
		return w.records.Detection(w.hosts.XML())
	case qualys.EndHost:
		return w.records.EndHost()
	}
	return nil
}
