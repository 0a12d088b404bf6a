// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// maxWorkers is how many goroutines make records of one page at most: more than a few wait for the network.
const maxWorkers = 4

// DetectionSettings are what is asked for in the dataset vulnerabilities.
type DetectionSettings struct {
	// Interval is the time from start to start, Full that between full collections (0: never).
	Interval, Full time.Duration
	// FullAfter asks for a full collection when the last one began before; zero: it does not.
	FullAfter time.Time
	// Lookback limits the first collection to what changed since, 0: every open detection.
	Lookback time.Duration
	// Collect is the time filter of later collections: changed, processed, scanned or all.
	Collect string
	// Overlap is how far a collection reaches back behind the start of the previous one.
	Overlap time.Duration
	// Version is the API's version, PageSize the number of hosts asked for at once.
	Version  string
	PageSize int
	// Status are the states of the detections.
	Status []string
	// Parameters are further parameters of the requests, Defaults the names of those that the user did not choose.
	Parameters map[string]string
	Defaults   []string
	// Track keeps what was last delivered of each open detection, and MaxRemovedShare is the share of them that may be gone at
	// once. Account is whom the detections are listed for: another one may see others.
	Track           bool
	MaxRemovedShare float64
	Account         string
}

// detections is the host detection list as a source.
type detections struct {
	client   *qualys.Client
	settings DetectionSettings
	windows  windows
	log      *zap.Logger
	records  records.Settings
	omitted  *unsupported
	readers  sync.Pool
	pages    atomic.Int32 // that are open
	tracked  *tracked     // nil: they are not
}

// shownOnly are the names of parameters that select what is shown, and not which detections (Qualys API documentation):
// another value of them begins no first collection. So do those that begin with show_.
var shownOnly = []string{"host_metadata", "host_metadata_fields", "cloud_tag_fields", "vuln_detection_source"}

// hostListToo are parameters of the detection list that the host list takes as well.
var hostListToo = []string{
	"ips", "ag_ids", "ag_titles", "network_ids", "os_pattern", "use_tags", "tag_set_by", "tag_include_selector",
	"tag_exclude_selector", "tag_set_include", "tag_set_exclude",
}

// NewDetections returns the collector of the dataset vulnerabilities. Options are completed by what follows from the
// settings.
func NewDetections(shared Settings, settings DetectionSettings, state *health.Dataset, options engine.Options) *engine.Collector {
	d := &detections{
		client:   shared.Client,
		settings: settings,
		windows:  windows{filter: filterOf(settings.Collect), status: settings.Status, overlap: settings.Overlap, lookback: settings.Lookback},
		log:      shared.Engine.Logger.With(zap.String("dataset", Vulnerabilities)),
		records:  shared.Records,
	}
	shared.Records.Server = shared.Server.Hostname()
	d.records.Server = shared.Records.Server
	options.Events = shared.events()
	d.records.Stable = settings.Track
	d.omitted = &unsupported{log: d.log, own: append(slices.Clone(settings.Defaults),
		string(qualys.UpdatedSince), string(qualys.ProcessedAfter), string(qualys.ScannedAfter), "id_max", "output_format")}
	d.readers.New = func() any { return newHostReader(min(runtime.GOMAXPROCS(0), maxWorkers), d.records) }

	filtering := map[string]string{}
	for name, value := range settings.Parameters {
		if !strings.HasPrefix(name, "show_") && !slices.Contains(shownOnly, name) {
			filtering[name] = value
		}
	}
	options.Selection = []any{shared.Server.Host, settings.Collect, slices.Sorted(slices.Values(settings.Status)), filtering}
	options.Interval, options.Full, options.FullAfter = settings.Interval, settings.Full, settings.FullAfter
	options.Overlap, options.PageSize, options.MaxShards = settings.Overlap, settings.PageSize, shared.MaxConcurrent
	options.Ordered = true
	options.GivesWay = settings.Collect != "all"
	if settings.Track {
		d.track(shared, &options)
	} else {
		options.LoadFirst = after(options.LoadFirst, func(ctx context.Context) error { return forgetTracked(ctx, shared.Engine.Store) })
	}
	c := engine.NewCollector(shared.Engine, Vulnerabilities, state, d, options)
	if d.tracked != nil {
		d.tracked.collector = c
	}
	return c
}

// track has the detections tracked.
func (d *detections) track(shared Settings, options *engine.Options) {
	shape := d.records
	shape.MaxRecords, shape.MaxBytes = 0, 0
	d.tracked = &tracked{
		store: shared.Engine.Store, log: d.log, share: d.settings.MaxRemovedShare, records: shape, atOnce: max(1, shared.Engine.MaxRecords),
	}
	options.LoadFirst = after(options.LoadFirst, func(ctx context.Context) error {
		account, err := engine.Fingerprint(append(slices.Clone(options.Selection), d.settings.Account)...)
		if err != nil {
			return err
		}
		return d.tracked.load(ctx, account)
	})
}

// after returns what loads first what it is given first, nil: nothing.
func after(first, then func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if first != nil {
			if err := first(ctx); err != nil {
				return err
			}
		}
		return then(ctx)
	}
}

// Finish implements [engine.Finisher].
func (d *detections) Finish(ctx context.Context, run *engine.Run) error {
	if d.tracked == nil || !run.Full && d.windows.filter != "" {
		return nil
	}
	how := complete
	switch {
	case d.listsNothingWhole():
		how = limited
	case d.tracked.collector.Limitation(run) != "" || !d.windows.bringsFixed(run.Passes):
		how = incomplete
	}
	return d.tracked.finish(ctx, run, how)
}

// listsNothingWhole reports whether no collection asks for everything that is open.
func (d *detections) listsNothingWhole() bool {
	return d.settings.Lookback > 0 && d.windows.filter != ""
}

// Limitation implements [engine.Limited].
func (d *detections) Limitation(run *engine.Run) string {
	if run.Full && d.listsNothingWhole() {
		return "it reaches back by initial_lookback only"
	}
	for _, p := range run.Passes {
		if p.Filter != "" && d.omitted.omit()[p.Filter] {
			return "qualys does not take " + p.Filter
		}
	}
	return ""
}

// Plan implements [engine.Source].
func (d *detections) Plan(w engine.Window) []engine.Pass {
	return d.windows.plan(w.Now, w.Watermark, w.Full)
}

// Judge implements [engine.Source].
func (d *detections) Judge(err error) engine.Verdict { return Judge(err) }

// Slots implements [engine.Lister].
func (d *detections) Slots() int { return d.client.Concurrency(qualys.Detections) }

// Repeats implements [engine.Source]. With collect: all nothing is left out as a duplicate, so nothing is kept for it.
func (d *detections) Repeats(item *records.Item, since time.Time) bool {
	if d.windows.filter == "" {
		return false
	}
	changed := changedAt(item, d.windows.filter)
	return changed == 0 || changed >= since.Unix()
}

// changedAt is the time by which a time filter selects a detection, in Unix seconds, 0: unknown. A detection whose status never
// changed counts by its last detection (Qualys API documentation).
func changedAt(item *records.Item, filter qualys.TimeFilter) int64 {
	changed := max(item.Updated, item.Found)
	switch filter {
	case qualys.ProcessedAfter:
		return max(changed, item.Processed)
	case qualys.ScannedAfter:
		return max(changed, item.Processed, item.Scanned)
	}
	return changed
}

// Fetch implements [engine.Source].
func (d *detections) Fetch(ctx context.Context, r engine.Request) (engine.Page, error) {
	for {
		query := d.query(r)
		reading, stop := context.WithCancel(ctx)
		page, err := d.client.Detections(reading, query)
		if err == nil {
			d.pages.Add(1)
			return &detectionPage{dataset: d, request: r, page: page, omit: query.Omit, stop: stop}, nil
		}
		stop()
		if !d.omitted.learn(err, query.Omit) {
			return nil, located("from host", r.Cursor.ID, err)
		}
	}
}

func (d *detections) query(r engine.Request) qualys.DetectionQuery {
	q := qualys.DetectionQuery{
		Version: d.settings.Version, Status: r.Pass.Status,
		Filter: qualys.TimeFilter(r.Pass.Filter), Since: r.Pass.Since,
		Min: r.Cursor.ID, Max: r.Max, Limit: r.Limit,
		Parameters: d.settings.Parameters, Extra: r.Cursor.Extra, Omit: d.omitted.omit(),
	}
	if r.Ranges != nil {
		q.Min, q.Max = 0, 0
		for _, one := range r.Ranges {
			q.IDs = append(q.IDs, qualys.IDRange(one))
		}
	}
	return q
}

// List implements [engine.Lister]: it asks the host list for the IDs. A host with a detection that changed, or was processed,
// was processed itself, so that the list of a sparse window is as sparse.
func (d *detections) List(ctx context.Context, p *engine.Pass) ([]engine.Range, error) {
	query := qualys.HostQuery{Version: d.settings.Version, Parameters: map[string]string{}}
	if p.Filter != "" {
		query.Filter, query.Since = qualys.ScannedAfter, p.Since
	}
	for _, name := range hostListToo {
		if value := d.settings.Parameters[name]; value != "" {
			query.Parameters[name] = value
		}
	}
	return listIDs(ctx, d.client, query)
}

// detectionPage is a page of detections while it arrives.
type detectionPage struct {
	dataset *detections
	request engine.Request
	page    *qualys.DetectionPage
	omit    map[string]bool
	// stop ends the request.
	stop   context.CancelFunc
	closed bool
}

// ServerTimes implements [engine.Page].
func (p *detectionPage) ServerTimes() []time.Time { return p.page.ServerTimes() }

// Read implements [engine.Page].
func (p *detectionPage) Read(ctx context.Context, decide engine.Decide, emit func(engine.Chunk) error) error {
	d := p.dataset
	reader := d.readers.Get().(*hostReader)
	defer d.readers.Put(reader)
	reader.collection, reader.most = p.request.Collection, maxWorkers
	if d.pages.Load() > 1 {
		reader.most = 1 // the other pages keep the processors busy
	}
	reader.follow = p.follow()
	return reader.read(ctx, p.page, p.stop, func(item *records.Item) engine.Decision {
		if !p.selects(item) {
			return notSelected
		}
		return decide(item)
	}, emit)
}

// follow returns what begins to follow a host whose detections are tracked, nil: they are not.
func (p *detectionPage) follow() func(context.Context, uint64) *tracking {
	d, r := p.dataset, p.request
	if d.tracked == nil {
		return nil
	}
	everything := r.Pass.Filter == "" && r.Pass.Units == nil
	byScan := d.windows.filter == qualys.ProcessedAfter || d.windows.filter == qualys.ScannedAfter
	generation := d.tracked.generation()
	page := trackedPage{
		run: mark(generation, r.Sequence), at: orNow(p.page.ServerTime()).UTC(), whole: everything,
		leaveOut: byScan && r.Pass.Filter != "", brought: r.Brought, keepFixed: byScan,
	}
	switch {
	case d.windows.filter == "":
		page.full = page.run // each collection brings everything
	case r.Full != 0:
		page.full = mark(generation, r.Full)
	}
	return func(ctx context.Context, host uint64) *tracking { return d.tracked.begin(ctx, host, page) }
}

// selects reports whether a pass wants a detection of the page: where the server does not support the time filter, or the end of a
// range, it is applied here.
func (p *detectionPage) selects(item *records.Item) bool {
	pass := p.request.Pass
	if p.request.Max != 0 && item.Unit > p.request.Max {
		return false
	}
	if pass.Units != nil && !contains(pass.Units, item.Unit) {
		return false
	}
	if updated := cmp.Or(item.Updated, item.Found); !pass.UpdatedBefore.IsZero() && updated > pass.UpdatedBefore.Unix() {
		return false
	}
	if pass.Filter == "" || !p.omit[pass.Filter] {
		return true
	}
	changed := changedAt(item, qualys.TimeFilter(pass.Filter))
	return changed == 0 || changed >= pass.Since.Unix()
}

// Next implements [engine.Page].
func (p *detectionPage) Next() (engine.Cursor, bool, error) {
	next, more := p.page.Continue()
	if warning := p.page.Warning(); !more && warning != "" {
		p.dataset.log.Warn("qualys warns", zap.String("warning", warning))
	}
	return engine.Cursor{ID: next.ID, Extra: next.Extra}, more, nil
}

// Bytes implements [engine.Page].
func (p *detectionPage) Bytes() int64 { return p.page.Bytes() }

// Close implements [engine.Page].
func (p *detectionPage) Close() {
	if !p.closed {
		p.closed = true
		p.dataset.pages.Add(-1)
		p.stop()
		p.page.Close()
	}
}
