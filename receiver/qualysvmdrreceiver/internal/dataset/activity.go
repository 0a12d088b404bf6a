// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// untilDatetime is the parameter that a log is limited to older rows by. Whether it includes the time itself is unverified: a
// second more is asked for.
const untilDatetime = "until_datetime"

// ActivitySettings are what is asked for in the dataset activity_log.
type ActivitySettings struct {
	// Interval is the time from start to start.
	Interval time.Duration
	// FullAfter, if not zero, asks for all of the look-back when the last such collection began before.
	FullAfter time.Time
	// Lookback is how far the first collection looks back, 0: as far as the log goes.
	Lookback time.Duration
	// Overlap is how far a collection reaches back behind the start of the previous one.
	Overlap time.Duration
	// Version is the API's version, PageSize the number of rows asked for at once.
	Version  string
	PageSize int
	// Parameters are further parameters of the requests.
	Parameters map[string]string
}

// activity is the user activity log. Its responses begin with the newest row and go back in time page by page, so that what
// happens meanwhile comes before the first page, and with the next collection. Its cursor is the ID of the first row of the
// page, 0: the newest, and moves with the page.
type activity struct {
	client   *qualys.Client
	log      *zap.Logger
	settings ActivitySettings
	omitted  *unsupported
	builders sync.Pool // of *records.Activity

	mu sync.Mutex // guards everything below
	// unsaid is whether it was told that responses end without saying where the log goes on.
	unsaid bool
	// ended is whether the collection ends before the log does.
	ended bool
}

// NewActivity returns the collector of the dataset activity_log. Options are completed by what follows from the settings.
func NewActivity(shared Settings, settings ActivitySettings, state *health.Dataset, options engine.Options) *engine.Collector {
	shared.Records.Server = shared.Server.Hostname()
	a := &activity{
		client:   shared.Client,
		log:      shared.Engine.Logger.With(zap.String("dataset", ActivityLog)),
		settings: settings,
		builders: sync.Pool{New: func() any { return records.NewActivity(shared.Records) }},
	}
	a.omitted = &unsupported{log: a.log, own: []string{qualys.ActivitySince}}
	options.Events = shared.events()
	options.Selection = []any{shared.Server.Host, settings.Parameters}
	options.Interval, options.FullAfter = settings.Interval, settings.FullAfter
	options.Overlap, options.PageSize = settings.Overlap, settings.PageSize
	options.Finished = a.finished(options.Finished)
	return engine.NewCollector(shared.Engine, ActivityLog, state, a, options)
}

// Plan implements [engine.Source].
func (a *activity) Plan(w engine.Window) []engine.Pass {
	switch {
	case !w.Watermark.IsZero() && !w.Full:
		since := w.Watermark.Add(-a.settings.Overlap).UTC()
		return []engine.Pass{{Query: engine.Query{Filter: qualys.ActivitySince, Since: since}, Deduplicate: true}}
	case a.settings.Lookback > 0:
		since := w.Now.Add(-a.settings.Lookback - a.settings.Overlap).UTC().Truncate(time.Second)
		return []engine.Pass{{Query: engine.Query{Filter: qualys.ActivitySince, Since: since}}}
	}
	return []engine.Pass{{}}
}

// Repeats implements [engine.Source].
func (a *activity) Repeats(item *records.Item, since time.Time) bool {
	if item.Updated == 0 {
		return item.Modified != tooOld
	}
	return item.Updated >= since.Unix()
}

// Judge implements [engine.Source].
func (a *activity) Judge(err error) engine.Verdict { return Judge(err) }

// Fetch implements [engine.Source].
func (a *activity) Fetch(ctx context.Context, r engine.Request) (engine.Page, error) {
	rows := newRows(r.Cursor.Ties)
	for {
		omit := a.omitted.omit()
		query := a.query(r, rows, omit)
		page, err := a.client.Activity(ctx, query)
		if err == nil {
			return &activityPage{source: a, page: page, request: r, rows: rows}, nil
		}
		if !a.omitted.learn(err, omit) {
			return nil, located("from row", r.Cursor.ID, err)
		}
	}
}

func (a *activity) query(r engine.Request, rows *rows, omit map[string]bool) qualys.ActivityQuery {
	q := qualys.ActivityQuery{
		Version: a.settings.Version, Max: r.Cursor.ID, Limit: r.Limit,
		Parameters: a.settings.Parameters, Extra: r.Cursor.Extra,
	}
	if r.Pass.Filter != "" && !omit[qualys.ActivitySince] {
		q.Since = r.Pass.Since
	}
	if rows.until != 0 {
		q.Extra = map[string]string{untilDatetime: time.Unix(rows.until+1, 0).UTC().Format(time.RFC3339)}
	}
	return q
}

// finished returns what notes why a collection is not complete before it tells next of it.
func (a *activity) finished(next func(context.Context, *engine.Run, engine.Counts) error) func(context.Context, *engine.Run, engine.Counts) error {
	return func(ctx context.Context, run *engine.Run, counts engine.Counts) error {
		a.mu.Lock()
		if a.ended {
			run.Incomplete = "the activity log did not go on"
		}
		a.ended = false
		a.mu.Unlock()
		if next == nil {
			return nil
		}
		return next(ctx, run, counts)
	}
}

// truncated takes note of a response that ends without saying where the log goes on, and returns whether it does.
func (a *activity) truncated(r *rows) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	on := r.goBack()
	switch {
	case !on:
		a.ended = true
		a.log.Warn("the activity log is truncated, and it is not known where it goes on; the collection ends here")
	case !a.unsaid:
		a.unsaid = true
		a.log.Warn("the activity log is truncated without saying where it goes on; going on behind the last row")
	}
	return on
}

// activityPage is one response of the activity log.
type activityPage struct {
	source  *activity
	page    *qualys.ActivityPage
	request engine.Request
	rows    *rows
}

// ServerTimes implements [engine.Page].
func (p *activityPage) ServerTimes() []time.Time { return p.page.ServerTimes() }

// Read implements [engine.Page].
func (p *activityPage) Read(_ context.Context, decide engine.Decide, emit func(engine.Chunk) error) error {
	builder := p.source.builders.Get().(*records.Activity)
	defer p.source.builders.Put(builder)
	since := int64(0)
	if p.request.Pass.Filter != "" {
		since = p.request.Pass.Since.Unix()
	}
	date := dateColumn(p.page.Columns())
	var duplicates []records.Item
	when := ""
	builder.Begin(orNow(p.page.ServerTime()), p.request.Collection, p.page.Columns(), func(item *records.Item) bool {
		if p.rows.meet(item, when) || item.Updated != 0 && item.Updated < since {
			return false // it was delivered, or the server ignores the filter or does not support it
		}
		decision := decide(item)
		if decision == engine.Duplicate {
			duplicates = append(duplicates, *item)
		}
		return decision == engine.Take
	})
	return engine.Gather(builder, &duplicates, emit, func() error {
		fields, err := p.page.Next()
		if err == nil {
			when = ""
			if date >= 0 && date < len(fields) {
				when = fields[date]
			}
			err = builder.Row(fields)
		}
		return broken(0, located("from row", p.request.Cursor.ID, err))
	})
}

// Next implements [engine.Page]. The first page from before the window is the last one: the server does not filter.
func (p *activityPage) Next() (engine.Cursor, bool, error) {
	pass := p.request.Pass
	if pass.Filter != "" && p.rows.newest != 0 && p.rows.newest < pass.Since.Unix() {
		return engine.Cursor{}, false, nil
	}
	next, more := p.page.Continue()
	if warning := p.page.Warning(); !more && warning != "" && !p.page.Truncated() {
		p.source.log.Warn("qualys warns", zap.String("warning", warning))
	}
	if more {
		p.rows.until = 0
		return engine.Cursor{ID: next.ID, Ties: p.rows.ties(), Extra: next.Extra}, true, nil
	}
	if p.page.Truncated() && p.source.truncated(p.rows) {
		return engine.Cursor{ID: p.request.Cursor.ID, Ties: p.rows.ties()}, true, nil
	}
	return engine.Cursor{}, false, nil
}

// Bytes implements [engine.Page].
func (p *activityPage) Bytes() int64 { return p.page.Bytes() }

// Close implements [engine.Page].
func (p *activityPage) Close() { p.page.Close() }
