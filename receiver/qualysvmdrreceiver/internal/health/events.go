// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
)

const (
	// queueSize events wait at most: a receiver that reports more while the pipeline takes none has a story that repeats.
	queueSize = 100

	firstRetry = time.Second
	lastRetry  = time.Minute
)

// EventSettings say what becomes of health events.
type EventSettings struct {
	Logger *zap.Logger
	// Consume takes one record at a time. It must end with its context.
	Consume func(context.Context, plog.Logs) error
	// Encode makes the text that is the record's body; nil: the body is the map.
	Encode func(pcommon.Map) string
	// Describe fills the resource and the scope of a record; nil: they stay empty.
	Describe func(pcommon.Resource, pcommon.InstrumentationScope)
	// Dropped counts events that were not delivered; nil: nobody does. It is called under locks and may not call back.
	Dropped func(events int)
}

// Events delivers changes of health as log records, one after the other, by a goroutine of its own. Whoever reports a
// change never waits for it.
//
// An event that is refused is offered again with growing distance until it is taken, refused for good, or pushed out of the
// queue by newer ones: the event that a pipeline takes nothing is one that arrives only when it works again.
type Events struct {
	settings EventSettings

	mu     sync.Mutex
	queue  []*event // oldest first, without the one that is on its way
	closed bool

	wake    chan struct{} // has one element when there may be something new
	closing chan struct{}
	done    chan struct{}
	cancel  context.CancelFunc
}

// NewEvents returns Events that deliver from now on. The caller closes them.
func NewEvents(settings EventSettings) *Events {
	e := &Events{
		settings: settings,
		wake:     make(chan struct{}, 1),
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	go e.deliver(ctx)
	return e
}

// push adds an event, at the cost of the oldest one if the queue is full.
func (e *Events) push(next *event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		e.drop(1, "shutdown", nil)
		return
	}
	if len(e.queue) == queueSize {
		e.queue = e.queue[1:]
		e.drop(1, "queue is full", nil)
	}
	e.queue = append(e.queue, next)
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Events) deliver(ctx context.Context) {
	defer close(e.done)
	retry := firstRetry
	for {
		next := e.take()
		if next == nil {
			select {
			case <-e.wake:
			case <-e.closing:
				if e.empty() {
					return
				}
			}
			continue
		}
		err := e.settings.Consume(ctx, e.logs(next))
		if err == nil || consumererror.IsPermanent(err) {
			if err != nil {
				e.drop(1, "refused for good", err)
			}
			retry = firstRetry
			continue
		}
		e.putBack(next, err)
		select {
		case <-time.After(retry):
			retry = min(2*retry, lastRetry)
		case <-e.closing:
			return
		}
	}
}

func (e *Events) take() *event {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 {
		return nil
	}
	oldest := e.queue[0]
	e.queue = e.queue[1:]
	return oldest
}

func (e *Events) putBack(oldest *event, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == queueSize {
		e.drop(1, "queue is full", err)
		return
	}
	e.queue = slices.Insert(e.queue, 0, oldest)
}

func (e *Events) empty() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.queue) == 0
}

func (e *Events) drop(events int, reason string, err error) {
	e.settings.Logger.Warn("health events were dropped", zap.Int("events", events), zap.String("reason", reason), zap.Error(err))
	if e.settings.Dropped != nil {
		e.settings.Dropped(events)
	}
}

// logs returns new data for each try: what was offered once may not be touched again.
func (e *Events) logs(next *event) plog.Logs {
	logs := plog.NewLogs()
	resource := logs.ResourceLogs().AppendEmpty()
	scope := resource.ScopeLogs().AppendEmpty()
	if e.settings.Describe != nil {
		e.settings.Describe(resource.Resource(), scope.Scope())
	}
	next.put(scope.LogRecords().AppendEmpty(), e.settings.Encode)
	return logs
}

// Close delivers what waits, as long as it is taken and the context lasts, and ends the delivery. What is left is dropped.
func (e *Events) Close(ctx context.Context) {
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	e.mu.Unlock()
	if !first {
		return
	}

	close(e.closing)
	defer context.AfterFunc(ctx, e.cancel)()
	<-e.done
	e.cancel()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) > 0 {
		e.drop(len(e.queue), "shutdown", nil)
	}
}
