// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"context"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v7"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// Settings are what is asked for in the dataset knowledge_base, and what of it detections carry.
type Settings struct {
	// Refresh is how often changed entries are looked for, Full after what time all are delivered again (0: never).
	Refresh, Full time.Duration
	// FullAfter, if not zero, has all entries delivered again when that was last done before.
	FullAfter time.Time
	// Version is the API's version, PageSize the number of QIDs asked for at once.
	Version  string
	PageSize int
	// Parameters are further parameters of the requests.
	Parameters map[string]string
	// Enrich has detections carry EnrichFields, keys of the entry's record. They wait at most EnrichTimeout for entries that
	// cannot be had.
	Enrich        bool
	EnrichFields  []string
	EnrichTimeout time.Duration
	// Server is the endpoint: records name its host, and what is stored belongs to it.
	Server *url.URL
	// Records is the shape of the records, but for their server.
	Records records.Settings
	// MaxConcurrent is how many requests run at once, at most.
	MaxConcurrent int
}

// Catalog collects the entries of the KnowledgeBase whose QIDs were detected. Run is for one goroutine, everything else is
// safe for concurrent use.
type Catalog struct {
	dataset  *engine.Dataset
	client   *qualys.Client
	settings Settings
	builders sync.Pool // of *records.KnowledgeBase

	entries *entries
	fields  *fields
	// fetching tells since when entries cannot be had, listing since when a refresh waits, with which they may share a limit.
	fetching, listing outage

	opening sync.Mutex // guards opened
	opened  bool

	// committing is held while something is changed and written.
	committing sync.Mutex

	// stopping ends Run, with stop. ended is whether Run has ended, so that nothing more is fetched.
	stopping context.Context
	stop     context.CancelFunc
	ended    atomic.Bool
	// answered is whether a request has been answered since the start.
	answered atomic.Bool
	// active is how many requests are under way.
	active atomic.Int32
	// work tells Collect that there may be something to do.
	work chan struct{}

	mu    sync.Mutex // guards everything below
	state state
	// detecting is whether a collection of detections runs. Draining is whether QIDs are fetched that do not fill a page.
	detecting, draining bool
	// collecting is whether a collection of entries was begun and has not been finished.
	collecting bool
	// groups are QIDs that were asked for together and are to be asked for again. Suspects are those that failed often enough
	// alone, of which it is not known yet whether others can be read.
	groups, suspects []*group
	// whole counts requests that were answered whole.
	whole int
	// after is when entries may be asked for again since a response broke, by the back-off tries.
	after time.Time
	tries *backoff.ExponentialBackOff
	// size is how many QIDs are asked for at once now.
	size    int
	refresh refresh
	// warned is the end of the wait for entries that was last warned of.
	warned  time.Time
	changed chan struct{} // closed when what detections wait for may have come
}

// New returns a catalog.
func New(shared engine.Settings, client *qualys.Client, settings Settings, status *health.Dataset) *Catalog {
	// Detections hold some of the shared budget while they wait for entries.
	shared.Budget = engine.NewBudget(shared.MaxBytes)
	settings.Records.Server = settings.Server.Hostname()
	settings.Records.EnrichFields = nil
	hash := ""
	if settings.Enrich {
		settings.Records.EnrichFields = slices.Clone(settings.EnrichFields)
		hash = hashOf(settings.EnrichFields)
	}
	settings.MaxConcurrent, settings.PageSize = max(1, settings.MaxConcurrent), max(1, settings.PageSize)
	c := &Catalog{
		client: client, settings: settings, entries: newEntries(), fields: newFields(shared.Store, hash),
		size: settings.PageSize, work: make(chan struct{}, 1), changed: make(chan struct{}),
		draining: true, // what waited before a restart waits no longer
	}
	c.dataset = engine.NewDataset(shared, dataset.KnowledgeBase, status, c.worked)
	c.stopping, c.stop = context.WithCancel(context.Background())
	c.builders.New = func() any { return records.NewKnowledgeBase(c.settings.Records) }
	c.tries, c.refresh.tries = c.dataset.NewBackOff(), c.dataset.NewBackOff()
	return c
}

// worked reports whether entries have come with these credentials.
func (c *Catalog) worked() bool {
	known, _, without := c.entries.count()
	return c.answered.Load() || known+without > 0
}

// Run collects until the context ends, Stop is called, or an error stops the dataset for good.
func (c *Catalog) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.stopping, cancel)()
	_ = c.dataset.Run(ctx, work{c}) // it has told the dataset's health
	c.ended.Store(true)
	c.tell()
}

// Stop stops the dataset for good: what detects QIDs has stopped.
func (c *Catalog) Stop(kind health.ErrorType, err error) {
	c.dataset.Health.Stop(kind, err)
	c.stop()
}

// CollectionStarted tells when a collection of detections began, by the server's clock. From the first one on it is looked for
// entries that change.
func (c *Catalog) CollectionStarted(start time.Time) {
	c.dataset.Health.Reach(health.Authenticated) // it is the same login
	c.mu.Lock()
	c.detecting = true
	news := c.state.Since.IsZero()
	c.mu.Unlock()
	if news {
		c.save(context.Background(), func(s *state) { s.Since = start.UTC() })
	}
}

// Stored reports whether a catalog was stored that knows all QIDs. If not, the caller begins a full collection of detections
// next, unless one begins anyway.
func (c *Catalog) Stored() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Complete
}

// FullBegun takes note that a full collection of detections has begun and goes on after a restart: it will tell of all QIDs.
func (c *Catalog) FullBegun() {
	if !c.Stored() {
		c.save(context.Background(), func(s *state) { s.Complete = true })
	}
}

// Detected takes note of the QIDs of detections that were delivered. It returns what writes them, together with what makes the
// detections count as delivered.
func (c *Catalog) Detected(b *engine.Batch) func(tx *checkpoint.Tx) {
	unstored := c.entries.see(qidsOf(b.Items, b.Duplicates), time.Now())
	c.detects(b.Collection)
	c.mu.Lock()
	ready := c.ready()
	c.mu.Unlock()
	if ready {
		c.rouse()
	}
	return func(tx *checkpoint.Tx) { c.entries.write(tx, unstored) }
}

// detects takes note of the collection of detections that runs.
func (c *Catalog) detects(collection string) {
	c.mu.Lock()
	c.detecting = true
	news := collection != c.state.Collection
	c.mu.Unlock()
	if news {
		c.save(context.Background(), func(s *state) { s.Collection = collection })
	}
}

// Drain has all entries fetched that are to be: a collection of detections has ended.
func (c *Catalog) Drain() {
	c.mu.Lock()
	c.detecting, c.draining = false, true
	c.mu.Unlock()
	c.rouse()
}

// rouse has the catalog look for something to do.
func (c *Catalog) rouse() {
	select {
	case c.work <- struct{}{}:
	default:
	}
	c.dataset.Wake()
}

// tell wakes the detections that wait.
func (c *Catalog) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Entries returns how many detected QIDs were delivered, are to be fetched, and have no entry that can be had.
func (c *Catalog) Entries() (known, toFetch, without int) { return c.entries.count() }

// Done is the number of entries that were delivered in the running collection, or in the last one.
func (c *Catalog) Done() int64 { return c.dataset.Done() }

// qidsOf are the QIDs of items, each once, in order.
func qidsOf(lists ...[]records.Item) []uint32 {
	var qids []uint32
	for _, items := range lists {
		for i := range items {
			if qid := items[i].QID; qid != 0 {
				qids = append(qids, qid)
			}
		}
	}
	slices.Sort(qids)
	return slices.Compact(qids)
}
