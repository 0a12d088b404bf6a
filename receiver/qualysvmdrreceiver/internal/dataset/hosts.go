// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// HostSettings are what is asked for in the dataset hosts.
type HostSettings struct {
	// Interval is the time from start to start. Every collection brings every host.
	Interval time.Duration
	// FullAfter, if not zero, asks for a collection when the last one began before.
	FullAfter time.Time
	// Details is what is told of each host: All, All/AGs, Basic or Basic/AGs.
	Details string
	// Version is the API's version, PageSize the number of hosts asked for at once.
	Version  string
	PageSize int
	// Parameters are further parameters of the requests, Defaults the names of those that the user did not choose.
	Parameters map[string]string
	Defaults   []string
	// ReportRemoved is whether hosts that are gone become records, and MaxRemovedShare the share of the known ones that may be
	// gone at once.
	ReportRemoved   bool
	MaxRemovedShare float64
	// Account is whom the hosts are listed for: another one may see others.
	Account string
}

// hosts is the host list as a source.
type hosts struct {
	client   *qualys.Client
	log      *zap.Logger
	settings HostSettings
	omitted  *unsupported
	builders sync.Pool // of *records.Hosts
	removals *removals // nil: they are not reported
}

// NewHosts returns the collector of the dataset hosts. Options are completed by what follows from the settings.
func NewHosts(shared Settings, settings HostSettings, state *health.Dataset, options engine.Options) *engine.Collector {
	shared.Records.Server = shared.Server.Hostname()
	h := &hosts{
		client:   shared.Client,
		log:      shared.Engine.Logger.With(zap.String("dataset", Hosts)),
		settings: settings,
		builders: sync.Pool{New: func() any { return records.NewHosts(shared.Records) }},
	}
	h.omitted = &unsupported{log: h.log, own: append(slices.Clone(settings.Defaults), "id_max")}
	selecting := map[string]string{}
	for name, value := range settings.Parameters {
		if !strings.HasPrefix(name, "show_") && !slices.Contains(shownOnly, name) {
			selecting[name] = value
		}
	}
	options.Events = shared.events()
	options.Selection = []any{shared.Server.Host, selecting}
	options.Interval, options.Full, options.FullAfter = settings.Interval, settings.Interval, settings.FullAfter
	options.PageSize, options.MaxShards = settings.PageSize, shared.MaxConcurrent
	options.Ordered = true
	if !settings.ReportRemoved {
		return engine.NewCollector(shared.Engine, Hosts, state, h, options)
	}
	known := newKnownHosts(shared.Engine.Store, h.log)
	h.removals = &removals{
		known: known, records: shared.Records, share: settings.MaxRemovedShare,
		list: func(ctx context.Context, visit func(qualys.IDRange) error) (qualys.HostIDs, error) {
			return h.client.HostIDs(ctx, h.listed(), visit)
		},
	}
	options.Delivered = known.deliver
	options.LoadFirst = func(ctx context.Context) error {
		wanted, err := engine.Fingerprint(shared.Server.Host, settings.Account, selecting)
		if err != nil {
			return err
		}
		if err := known.load(ctx, wanted); err != nil {
			return err
		}
		if known := known.document; tooMany(known.Withheld, known.Hosts, settings.MaxRemovedShare) {
			h.removals.report()
		}
		return nil
	}
	h.removals.collector = engine.NewCollector(shared.Engine, Hosts, state, h, options)
	return h.removals.collector
}

// Plan implements [engine.Source].
func (h *hosts) Plan(engine.Window) []engine.Pass { return []engine.Pass{{}} }

// Judge implements [engine.Source].
func (h *hosts) Judge(err error) engine.Verdict { return Judge(err) }

// Slots implements [engine.Lister].
func (h *hosts) Slots() int { return h.client.Concurrency(qualys.HostList) }

// Repeats implements [engine.Source]: no collection leaves anything out.
func (h *hosts) Repeats(*records.Item, time.Time) bool { return false }

// Fetch implements [engine.Source].
func (h *hosts) Fetch(ctx context.Context, r engine.Request) (engine.Page, error) {
	for {
		query := h.query(r)
		page, err := h.client.Hosts(ctx, query)
		if err == nil {
			return &hostPage{source: h, page: page, collection: r.Collection}, nil
		}
		if !h.omitted.learn(err, query.Omit) {
			return nil, located("from host", r.Cursor.ID, err)
		}
	}
}

func (h *hosts) query(r engine.Request) qualys.HostQuery {
	q := qualys.HostQuery{
		Version: h.settings.Version, Details: h.settings.Details,
		Min: r.Cursor.ID, Max: r.Max, Limit: r.Limit,
		Parameters: h.settings.Parameters, Extra: r.Cursor.Extra, Omit: h.omitted.omit(),
	}
	if r.Ranges != nil {
		q.Min, q.Max = 0, 0
		for _, one := range r.Ranges {
			q.IDs = append(q.IDs, qualys.IDRange(one))
		}
	}
	return q
}

// listed is the query for the IDs of all hosts.
func (h *hosts) listed() qualys.HostQuery {
	return qualys.HostQuery{Version: h.settings.Version, Parameters: h.settings.Parameters, Omit: h.omitted.omit()}
}

// List implements [engine.Lister].
func (h *hosts) List(ctx context.Context, _ *engine.Pass) ([]engine.Range, error) {
	return listIDs(ctx, h.client, h.listed())
}

// Finish implements [engine.Finisher].
func (h *hosts) Finish(ctx context.Context, run *engine.Run) error {
	if h.removals == nil {
		return nil
	}
	return h.removals.finish(ctx, run)
}

// hostPage is one response of the host list.
type hostPage struct {
	source     *hosts
	page       *qualys.HostPage
	collection string
}

// ServerTimes implements [engine.Page].
func (p *hostPage) ServerTimes() []time.Time { return p.page.ServerTimes() }

// Read implements [engine.Page].
func (p *hostPage) Read(_ context.Context, decide engine.Decide, emit func(engine.Chunk) error) error {
	builder := p.source.builders.Get().(*records.Hosts)
	defer p.source.builders.Put(builder)
	var duplicates []records.Item
	builder.Begin(orNow(p.page.ServerTime()), p.collection, func(item *records.Item) bool {
		p.page.Note(item.Unit)
		decision := decide(item)
		if decision == engine.Duplicate {
			duplicates = append(duplicates, *item)
		}
		return decision == engine.Take
	})
	return engine.Gather(builder, &duplicates, emit, func() error {
		x, err := p.page.Next()
		if err != nil {
			return broken(0, err)
		}
		err = builder.Host(x)
		return broken(builder.ID(), err)
	})
}

// Next implements [engine.Page].
func (p *hostPage) Next() (engine.Cursor, bool, error) {
	next, more := p.page.Continue()
	if warning := p.page.Warning(); !more && warning != "" {
		p.source.log.Warn("qualys warns", zap.String("warning", warning))
	}
	return engine.Cursor{ID: next.ID, Extra: next.Extra}, more, nil
}

// Bytes implements [engine.Page].
func (p *hostPage) Bytes() int64 { return p.page.Bytes() }

// Close implements [engine.Page].
func (p *hostPage) Close() { p.page.Close() }
