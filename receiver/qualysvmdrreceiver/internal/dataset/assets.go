// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

const (
	// updatedSince is the filter of a pass that asks for changed assets. How that is spelled is qualys.AssetFilter.
	updatedSince = "updated_since"
	// stuckTries is how often a page is asked for that does not say where the list goes on.
	stuckTries = 3
	// fewer is the share of the assets that a collection may miss of the number that was told before it: assets come and go
	// meanwhile.
	fewer = 0.01
	// selectedOtherwise is the Found, which assets do not have, of one that the server has selected by another date than those
	// that it shows: the next window can bring it again.
	selectedOtherwise = 1
	// countAhead is how far in the future no asset was updated yet.
	countAhead = 24 * time.Hour
)

// AssetSettings are what is asked for in the dataset asset_inventory.
type AssetSettings struct {
	// Interval is the time from start to start, Full that between full collections (0: never).
	Interval, Full time.Duration
	// FullAfter, if not zero, asks for a full collection when the last one began before.
	FullAfter time.Time
	// Overlap is how far a collection reaches back behind the start of the previous one.
	Overlap time.Duration
	// PageSize is the number of assets asked for at once.
	PageSize int
	// IncludeFields and ExcludeFields select fields, Filter the assets.
	IncludeFields, ExcludeFields []string
	Filter                       []qualys.Filter
}

// assets is the asset inventory. Its cursor is the ID of the last asset that was seen, and moves with the page.
type assets struct {
	client   *qualys.Client
	log      *zap.Logger
	settings AssetSettings
	builders sync.Pool // of *records.Assets

	mu sync.Mutex // guards everything below
	// spelling is that of the filter for changes; filtered is whether the server takes one of them.
	spelling qualys.AssetFilter
	filtered bool
	// accepted is whether the server has answered to this spelling, heeded whether it is known to select by it.
	accepted, heeded bool
	// ignored is whether the server answers to the filter, and does not select by it.
	ignored bool
	// counted is the full pass whose assets were counted, and count how many there were, below 0: nobody says.
	counted *engine.Pass
	count   int64
	// stuck is how often the page behind stuckAt did not say where the list goes on, and ended is whether the list was ended
	// there.
	stuckAt uint64
	stuck   int
	ended   bool
	// unsaid is whether it was told that responses do not say whether there are more assets.
	unsaid bool
	// leftOut are the collections that have left an asset out, as no record can hold it, by their IDs.
	leftOut map[string]bool
}

// NewAssets returns the collector of the dataset asset_inventory. Options are completed by what follows from the settings.
func NewAssets(shared Settings, settings AssetSettings, state *health.Dataset, options engine.Options) *engine.Collector {
	shared.Records.Server = shared.Gateway.Hostname()
	a := &assets{
		client:   shared.Client,
		log:      shared.Engine.Logger.With(zap.String("dataset", AssetInventory)),
		settings: settings,
		builders: sync.Pool{New: func() any { return records.NewAssets(shared.Records) }},
		filtered: true,
		leftOut:  map[string]bool{},
	}
	options.Events = shared.events()
	options.Selection = []any{shared.Gateway.Host, settings.IncludeFields, settings.ExcludeFields, settings.Filter}
	options.Interval, options.Full, options.FullAfter = settings.Interval, settings.Full, settings.FullAfter
	options.Overlap, options.PageSize = settings.Overlap, settings.PageSize
	options.Finished = a.finished(options.Finished)
	return engine.NewCollector(shared.Engine, AssetInventory, state, a, options)
}

// Plan implements [engine.Source]. A pass without a filter has the start of the previous collection as Since, which selects
// no assets, but which of their ports are told.
func (a *assets) Plan(w engine.Window) []engine.Pass {
	if w.Full || w.Watermark.IsZero() {
		return []engine.Pass{{Query: engine.Query{Since: w.Watermark}}}
	}
	since := w.Watermark.Add(-a.settings.Overlap).UTC()
	return []engine.Pass{{Query: engine.Query{Filter: updatedSince, Since: since}, Deduplicate: true}}
}

// portsSince is from when on the open ports of a pass are told: the start of the collection before.
func (a *assets) portsSince(p *engine.Pass) time.Time {
	if p.Filter == "" || p.Since.IsZero() {
		return p.Since
	}
	return p.Since.Add(a.settings.Overlap)
}

// Repeats implements [engine.Source].
func (a *assets) Repeats(item *records.Item, since time.Time) bool {
	return item.Updated == 0 || item.Found == selectedOtherwise || max(item.Updated, item.Modified) >= since.Unix()
}

// Judge implements [engine.Source].
func (a *assets) Judge(err error) engine.Verdict { return Judge(err) }

// Fetch implements [engine.Source].
func (a *assets) Fetch(ctx context.Context, r engine.Request) (engine.Page, error) {
	if err := a.prepare(ctx, r.Pass); err != nil {
		return nil, err
	}
	for {
		query := a.query(r)
		page, err := a.client.Assets(ctx, query)
		switch {
		case err == nil:
			a.mu.Lock()
			a.accepted = a.accepted || !query.UpdatedSince.IsZero()
			a.mu.Unlock()
			return &assetPage{source: a, page: page, pass: r.Pass, collection: r.Collection, cursor: r.Cursor.ID}, nil
		case !a.filterRejected(query, err):
			return nil, located("after asset", r.Cursor.ID, err)
		}
	}
}

// query is the request for a page.
func (a *assets) query(r engine.Request) qualys.AssetQuery {
	query := qualys.AssetQuery{
		PageSize:      r.Limit,
		LastSeen:      int64(r.Cursor.ID),
		IncludeFields: a.settings.IncludeFields,
		ExcludeFields: a.settings.ExcludeFields,
		Filter:        a.settings.Filter,
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Pass.Filter != "" && a.filtered {
		query.UpdatedSince, query.UpdatedFilter = r.Pass.Since, a.spelling
	}
	return query
}

// prepare asks for the count of assets before a full collection, and, once, whether the server heeds the filter for changes
// before others. Neither is needed: only rejected credentials are an error.
func (a *assets) prepare(ctx context.Context, p *engine.Pass) error {
	a.mu.Lock()
	counted := a.counted == p
	known := a.heeded || a.ignored || !a.filtered
	query := qualys.AssetQuery{Filter: a.settings.Filter, UpdatedFilter: a.spelling}
	a.mu.Unlock()
	switch {
	case p.Filter == "" && !counted:
		n, err := a.askCount(ctx, query)
		if err != nil {
			return err
		}
		a.mu.Lock()
		a.counted, a.count, a.ended = p, n, false
		a.mu.Unlock()
	case p.Filter != "" && !known:
		query.UpdatedSince = time.Now().Add(countAhead).UTC()
		n, err := a.askCount(ctx, query)
		if err != nil {
			return err
		}
		a.mu.Lock()
		a.heeded, a.ignored = n <= 0, n > 0
		a.mu.Unlock()
		if n > 0 {
			a.log.Warn("qualys ignores the filter for changed assets; unchanged ones are left out here", zap.Stringer("filter", query.UpdatedFilter))
		}
	}
	return nil
}

// askCount returns how many assets a query selects, below 0: nobody says. Errors are of rejected credentials, and that of the
// context.
func (a *assets) askCount(ctx context.Context, q qualys.AssetQuery) (int64, error) {
	n, err := a.client.AssetCount(ctx, q)
	var refused *qualys.Error
	switch {
	case err == nil:
		return n, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case errors.As(err, &refused) && refused.Login:
		return 0, err
	}
	a.log.Info("assets cannot be counted; it is not checked whether all of them come", zap.Error(err))
	return -1, nil
}

// filterRejected reports whether an error can be the filter that is added to a query, which is then spelled otherwise or left
// out: the response names it, or this spelling was never accepted. A page for people, which is not of the class Config, is not of
// the gateway.
func (a *assets) filterRejected(q qualys.AssetQuery, err error) bool {
	var refused *qualys.Error
	if q.UpdatedSince.IsZero() || !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || refused.Class != qualys.Config {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.filtered || a.spelling != q.UpdatedFilter:
		return true // it has become known meanwhile
	case a.accepted && !refused.Names(q.UpdatedFilter.String()):
		return false
	}
	a.log.Warn("qualys rejected a default parameter; omitting it from now on", zap.Stringer("parameter", q.UpdatedFilter), zap.Error(err))
	a.accepted, a.heeded, a.ignored = false, false, false
	if a.spelling == qualys.FilterField {
		a.spelling = qualys.FilterParameter
	} else {
		a.filtered = false
	}
	return true
}

// selects reports whether an asset belongs to a pass. The server decides that, unless it takes no filter, or ignores it: a
// date in the asset that lies before may be another one than that which it was selected by.
func (a *assets) selects(p *engine.Pass, item *records.Item) bool {
	if p.Filter == "" || item.Updated == 0 || item.Updated >= p.Since.Unix() {
		return true
	}
	item.Found = selectedOtherwise
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.filtered && !a.ignored
}

// finished returns what notes why a collection is not complete before it tells next of it.
func (a *assets) finished(next func(context.Context, *engine.Run, engine.Counts) error) func(context.Context, *engine.Run, engine.Counts) error {
	return func(ctx context.Context, run *engine.Run, counts engine.Counts) error {
		a.check(run, counts)
		if next == nil {
			return nil
		}
		return next(ctx, run, counts)
	}
}

// check compares what a full collection has brought with what there was, and notes why a collection is not complete.
func (a *assets) check(run *engine.Run, counts engine.Counts) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case run.Full && a.counted != nil && float64(counts.Records) < float64(a.count)*(1-fewer):
		a.log.Warn("a full collection has brought fewer assets than there are", zap.Int64("counted", a.count), zap.Int64("brought", counts.Records))
		run.Incomplete = fmt.Sprintf("%d of %d assets", counts.Records, a.count)
	case a.ended:
		run.Incomplete = "the list of assets did not go on"
	case a.leftOut[run.ID]:
		run.Incomplete = "an asset is larger than a record may be"
	case !run.Full && (!a.filtered || a.ignored):
		run.Incomplete = "the filter for changes does not work"
	}
	a.ended, a.counted = false, nil
	delete(a.leftOut, run.ID)
}

// leaveOut takes note of an asset that is read over: the list would end there for good.
func (a *assets) leaveOut(collection string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leftOut[collection] = true
	a.log.Error("asset left out: it is larger than a record may be", zap.Error(err))
}

// proceed returns where the list goes on behind a page, if it does. An error asks for the page again.
func (a *assets) proceed(p *assetPage) (engine.Cursor, bool, error) {
	next, end := p.page.Continue()
	a.mu.Lock()
	defer a.mu.Unlock()
	if end != qualys.Stuck {
		a.stuck = 0
	}
	switch end {
	case qualys.Complete:
		return engine.Cursor{}, false, nil
	case qualys.Incomplete:
		if !a.unsaid {
			a.unsaid = true
			a.log.Warn("responses do not say whether there are more assets; going on behind the last one", zap.Uint64("asset", next.ID))
		}
	case qualys.Stuck:
		if a.stuckAt != p.cursor {
			a.stuckAt, a.stuck = p.cursor, 0
		}
		if a.stuck++; a.stuck < stuckTries {
			return engine.Cursor{}, true, fmt.Errorf("the response says that there are more assets after %d, but not where", p.cursor)
		}
		a.log.Warn("the list of assets does not go on; the collection ends here", zap.Uint64("after", p.cursor), zap.Int("tries", a.stuck))
		a.stuck, a.ended = 0, true
		return engine.Cursor{}, false, nil
	}
	return engine.Cursor{ID: next.ID}, true, nil
}

// assetPage is one response of the asset inventory.
type assetPage struct {
	source *assets
	page   *qualys.AssetPage
	pass   *engine.Pass
	// collection is the ID of the collection, and cursor the last asset of the page before.
	collection string
	cursor     uint64
}

// ServerTimes implements [engine.Page].
func (p *assetPage) ServerTimes() []time.Time { return p.page.ServerTimes() }

// Read implements [engine.Page].
func (p *assetPage) Read(_ context.Context, decide engine.Decide, emit func(engine.Chunk) error) error {
	builder := p.source.builders.Get().(*records.Assets)
	defer p.source.builders.Put(builder)
	var duplicates []records.Item
	last := p.cursor
	builder.PortsSince(p.source.portsSince(p.pass))
	builder.Begin(orNow(p.page.ServerTime()), p.collection, func(item *records.Item) bool {
		p.page.Note(item.Unit)
		last = item.Unit
		decision := decide(item)
		switch {
		case decision == engine.Skip || !p.source.selects(p.pass, item):
			return false
		case decision == engine.Duplicate:
			duplicates = append(duplicates, *item)
			return false
		}
		return true
	})
	repaired := int64(0)
	count := func(chunk engine.Chunk) error {
		now := p.page.Repaired()
		chunk.Repaired += now - repaired
		repaired = now
		return emit(chunk)
	}
	return engine.Gather(builder, &duplicates, count, func() error {
		decoder, err := p.page.Next()
		if err == nil {
			err = builder.Asset(decoder)
		}
		err = located("after asset", last, err)
		if errors.Is(err, records.ErrTooLarge) {
			p.source.leaveOut(p.collection, err)
			return nil // the page reads over what is left of it
		}
		return broken(0, err)
	})
}

// Next implements [engine.Page].
func (p *assetPage) Next() (engine.Cursor, bool, error) { return p.source.proceed(p) }

// Bytes implements [engine.Page].
func (p *assetPage) Bytes() int64 { return p.page.Bytes() }

// Close implements [engine.Page].
func (p *assetPage) Close() { p.page.Close() }
