// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// sinceDatetime is the time filter of the activity log. Whether it includes the time itself is unverified: the overlap
// covers both.
const sinceDatetime = "since_datetime"

// ActivitySettings are what is asked for in the dataset activity_log.
type ActivitySettings struct {
	// Interval is the time from start to start.
	Interval time.Duration
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

// Activity collects the user activity log. Its answers begin with the newest row and go back in time page by page, so that
// what happens meanwhile comes before the first page, and with the next collection.
type Activity struct {
	*course
	settings ActivitySettings
	builder  *records.Activity
	pages    pageSize
	// unfiltered tells that the server refuses the time filter: rows before the window are left out here.
	unfiltered bool
}

// NewActivity returns the dataset activity_log.
func NewActivity(shared Settings, settings ActivitySettings, state *health.Dataset) *Activity {
	shared.Records.Server = shared.Server.Hostname()
	return &Activity{
		course:   newCourse(newDataset(shared, ActivityLogDataset, state)),
		settings: settings,
		builder:  records.NewActivity(shared.Records),
		pages:    newPageSize(settings.PageSize),
	}
}

// Run collects until the context ends, or an error stops the dataset for good.
func (a *Activity) Run(ctx context.Context) {
	a.run(ctx, a)
}

// load implements work.
func (a *Activity) load(ctx context.Context) error {
	return a.open(ctx, a.Server.Host, a.settings.Parameters)
}

// next implements work.
func (a *Activity) next() time.Time { return a.nextAfter(a.settings.Interval) }

// collect implements work.
func (a *Activity) collect(ctx context.Context) error {
	if a.position.Running == nil {
		a.begin(ctx, a.plan)
	}
	window := "all"
	if since := a.position.Running.Since; !since.IsZero() {
		window = "since " + since.Format(timeFormat)
	}
	a.progress.begin(window)
	for more := true; more; {
		var err error
		if more, err = a.page(ctx); err != nil {
			return err
		}
	}
	a.complete(ctx)
	a.finish(ctx, window)
	return nil
}

// plan plans the collection that starts now, by the local clock.
func (a *Activity) plan(p *position, now time.Time) *collection {
	switch {
	case !p.Previous.IsZero():
		return &collection{Since: p.Previous.Add(-a.settings.Overlap).UTC()}
	case a.settings.Lookback > 0:
		return &collection{Since: now.Add(-a.settings.Lookback - a.settings.Overlap).UTC().Truncate(time.Second)}
	default:
		return &collection{}
	}
}

// query makes the parameters of the next request.
func (a *Activity) query() url.Values {
	query := url.Values{"action": {"list"}, "truncation_limit": {strconv.Itoa(a.pages.now)}}
	for name, value := range a.settings.Parameters {
		query.Set(name, value)
	}
	running := a.position.Running
	if !running.Since.IsZero() && !a.unfiltered {
		query.Set(sinceDatetime, running.Since.Format(timeFormat))
	}
	if running.Resume > 0 {
		query.Set("id_max", strconv.FormatUint(running.Resume, 10))
	}
	return query
}

// page asks for one page and delivers it. More tells whether there are further pages.
func (a *Activity) page(ctx context.Context) (more bool, err error) {
	if err := a.Pipeline.Ready(ctx); err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	query := a.query()
	answer, err := a.Client.Activity(ctx, a.settings.Version, query)
	if err != nil {
		if a.refusedParameter(err, query, sinceDatetime) != "" {
			a.unfiltered = true
			return true, nil
		}
		a.pages.timedOut(err)
		return false, err
	}
	defer answer.Close()
	a.answered()
	a.start(answer.ServerTime())

	rows := newRows(a.delivered.part, a.position.Running.Carried)
	batches := a.newBatches(a.deliver)
	err = a.read(ctx, answer, rows, batches)
	a.progress.received.Add(answer.Bytes())
	if failed := batches.flush(ctx); failed != nil {
		return false, failed
	}
	if err != nil {
		if ctx.Err() == nil && !a.heldUp(batches) {
			a.pages.broke(0)
		}
		return false, err
	}
	a.pages.whole()
	a.readWhole()
	return a.turnPage(ctx, answer, rows), nil
}

// read makes records of the rows of an answer and gathers them into batches.
func (a *Activity) read(ctx context.Context, answer *qualys.ActivityPage, rows *rows, batches *batches) error {
	since := int64(0)
	if running := a.position.Running; !running.Since.IsZero() {
		since = running.Since.Unix()
	}
	var suppressed []records.Item
	a.builder.Begin(orNow(answer.ServerTime()), "", answer.Columns(), func(item *records.Item) bool {
		delivered := rows.meet(item)
		switch {
		case delivered:
			return false
		case item.Updated != 0 && item.Updated < since:
			return false // the server ignores or refuses the filter
		case a.delivered.before.contains(seenOf(item)):
			suppressed = append(suppressed, *item)
			return false
		}
		return true
	})
	return a.gather(ctx, a.builder, &suppressed, batches, func() error {
		fields, err := answer.Next()
		if err != nil {
			return err
		}
		return a.builder.Row(fields)
	})
}

// deliver offers a batch until it is accepted, and notes what was delivered of the page.
func (a *Activity) deliver(ctx context.Context, b *batch) error {
	b.hosts = len(b.items) + len(b.suppressed)
	if err := a.offer(ctx, b); err != nil {
		return err
	}
	a.note(ctx, b, a.settings.Overlap)
	return nil
}

// turnPage goes on behind a page that was read whole, and tells whether there is another. Where the server does not filter, the
// first page from before the window is the last.
func (a *Activity) turnPage(ctx context.Context, answer *qualys.ActivityPage, rows *rows) (more bool) {
	running := a.position.Running
	if a.unfiltered && rows.newest != 0 && rows.newest < running.Since.Unix() {
		return false
	}
	next, more := answer.NextPage()
	if warning := answer.Warning(); !more && warning != "" {
		a.log.Warn("Qualys warns.", zap.String("warning", warning))
	}
	if !more {
		return false
	}
	row, _ := strconv.ParseUint(next.Get("id_max"), 10, 64) // NextPage has read it
	last := rows.last()
	a.mu.Lock()
	running.Resume, running.Carried = row, len(last)
	a.mu.Unlock()
	a.store(ctx, change{restart: true, part: append(last, rows.unmet()...)})
	return true
}
