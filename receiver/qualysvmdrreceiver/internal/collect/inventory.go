// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// assetUpdated is the field by which later collections ask for changed assets. One integration reports that it works;
// be ready for a server that refuses or ignores it.
const assetUpdated = "asset.lastUpdatedDate"

// InventorySettings are what is asked for in the dataset asset_inventory.
type InventorySettings struct {
	// Interval is the time from start to start, Full that between full collections (0: never).
	Interval, Full time.Duration
	// Overlap is how far a collection reaches back behind the start of the previous one.
	Overlap time.Duration
	// PageSize is the number of assets asked for at once.
	PageSize int
	// IncludeFields and ExcludeFields select fields, Filter the assets.
	IncludeFields, ExcludeFields []string
	Filter                       []qualys.Filter
}

// Inventory collects assets.
type Inventory struct {
	*dataset
	settings InventorySettings
	builder  *records.Assets

	// mu guards the position, which deliveries change and metrics read. Between deliveries the loop reads it without.
	mu        sync.Mutex
	position  position
	delivered *delivered
	// accepted and refused tell whether the server takes the filter of later collections; where it is refused, assets are
	// filtered here only.
	accepted, refused bool
}

// NewInventory returns the dataset asset_inventory.
func NewInventory(shared Settings, settings InventorySettings, state *health.Dataset) *Inventory {
	shared.Records.Server = shared.Gateway.Hostname()
	return &Inventory{
		dataset:  newDataset(shared, AssetInventoryDataset, state),
		settings: settings,
		builder:  records.NewAssets(shared.Records),
	}
}

// Run collects until the context ends, or an error stops the dataset for good.
func (n *Inventory) Run(ctx context.Context) {
	n.run(ctx, n)
}

// Lag is the time since the start of the last finished collection by the server's clock; there is none before the first.
func (n *Inventory) Lag() (time.Duration, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return lag(n.position.Previous)
}

// load implements work.
func (n *Inventory) load(ctx context.Context) {
	n.position = n.loadPosition(ctx, n.Gateway.Host, n.settings.IncludeFields, n.settings.ExcludeFields, n.settings.Filter)
	n.delivered = openDelivered(ctx, n.Store, n.name, n.position.Generation, n.log)
	if n.position.Started.IsZero() {
		n.store(ctx, change{forget: true})
	}
}

// next implements work.
func (n *Inventory) next() time.Time {
	if n.position.Running != nil {
		return time.Time{}
	}
	return due(n.position.Started, n.settings.Interval)
}

// collect implements work.
func (n *Inventory) collect(ctx context.Context) error {
	if n.position.Running == nil {
		n.begin(ctx)
	}
	running := n.position.Running
	window := "all"
	if !running.Full {
		window = "updated since " + n.since().Format(timeFormat)
	}
	n.progress.begin(window)
	defer n.progress.report(ctx)()
	for more := true; more; {
		var err error
		if more, err = n.page(ctx); err != nil {
			return err
		}
	}
	n.mu.Lock()
	n.position.Previous = running.Start
	n.position.Running = nil
	n.position.Generation++
	n.mu.Unlock()
	n.store(ctx, change{restart: true, finish: true})
	n.finish(ctx, window)
	return nil
}

// begin plans a collection and makes it the running one.
func (n *Inventory) begin(ctx context.Context) {
	now := time.Now()
	n.mu.Lock()
	p := &n.position
	full := p.Previous.IsZero() || n.settings.Full > 0 && !now.Before(due(p.Full, n.settings.Full))
	if full {
		p.Full = now
	}
	p.Started = now
	p.Running = &collection{Full: full}
	n.mu.Unlock()
	n.store(ctx, change{restart: true})
}

// since is the time from which on the running collection asks for changed assets.
func (n *Inventory) since() time.Time {
	return n.position.Previous.Add(-n.settings.Overlap).UTC()
}

// query is the next request.
func (n *Inventory) query() qualys.AssetQuery {
	query := qualys.AssetQuery{
		PageSize:      n.settings.PageSize,
		LastSeen:      int64(n.position.Running.Resume),
		IncludeFields: n.settings.IncludeFields,
		ExcludeFields: n.settings.ExcludeFields,
		Filter:        n.settings.Filter,
	}
	if !n.position.Running.Full && !n.refused {
		query.Filter = append(slices.Clone(query.Filter), qualys.Filter{Field: assetUpdated, Operator: "GREATER", Value: n.since().Format(timeFormat)})
	}
	return query
}

// page asks for one page and delivers it. More tells whether there are further pages.
func (n *Inventory) page(ctx context.Context) (more bool, err error) {
	if err := n.Pipeline.Ready(ctx); err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer, err := n.Client.Assets(ctx, n.query())
	if err != nil {
		if n.filterRefused(err) {
			return true, nil
		}
		return false, err
	}
	defer answer.Close()
	n.answered()
	n.accepted = n.accepted || !n.position.Running.Full && !n.refused
	n.start(answer.ServerTime())

	batches := &batches{maxRecords: n.Records.MaxRecords, maxBytes: n.Records.MaxBytes, deliver: n.deliver}
	err = n.read(ctx, answer, batches)
	n.progress.received.Add(answer.Bytes())
	if repaired := answer.Repaired(); repaired > 0 {
		n.Telemetry.QualysvmdrStringsRepaired.Add(ctx, repaired, n.attrs)
	}
	if failed := batches.flush(ctx); failed != nil {
		return false, failed
	}
	if err != nil {
		return false, err
	}
	n.readWhole()
	if !answer.HasMore() {
		return false, nil
	}
	n.mu.Lock()
	n.position.Running.Resume = uint64(answer.LastSeen())
	n.mu.Unlock()
	n.store(ctx, change{restart: true})
	return true, nil
}

// filterRefused tells whether an error can be the filter that the receiver adds, which is then left out: the answer names
// its field, or the filter has never been accepted, while without it the same request was.
func (n *Inventory) filterRefused(err error) bool {
	var answer *qualys.Error
	if n.position.Running.Full || n.refused || !errors.As(err, &answer) || answer.Status != http.StatusBadRequest {
		return false
	}
	if n.accepted && !answer.Names(assetUpdated) {
		return false
	}
	n.refused = true
	n.log.Warn("The server refuses the filter for changed assets: all are asked for, and those unchanged are left out here.", zap.String("field", assetUpdated), zap.Error(err))
	return true
}

// start takes the server's clock of a collection's first answer as its start.
func (n *Inventory) start(server time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if running := n.position.Running; running.Start.IsZero() {
		if server.IsZero() {
			server = time.Now()
		}
		running.Start = server.UTC().Truncate(time.Second)
	}
}

// read makes records of the assets of an answer and gathers them into batches.
func (n *Inventory) read(ctx context.Context, answer *qualys.AssetPage, batches *batches) error {
	collected := answer.ServerTime()
	if collected.IsZero() {
		collected = time.Now()
	}
	running := n.position.Running
	part := newSeenSet(slices.Clone(n.delivered.part))
	var suppressed []records.Item
	n.builder.PortsSince(n.position.Previous)
	n.builder.Begin(collected, func(item *records.Item) bool {
		one := seenOf(item)
		switch {
		case part.contains(one):
			return false
		case running.Full:
			return true
		case item.Updated != 0 && item.Updated < n.since().Unix():
			return false // the server ignores or refuses the filter
		case n.delivered.before.contains(one):
			suppressed = append(suppressed, *item)
			return false
		}
		return true
	})
	for {
		decoder, err := answer.Next()
		if err == nil {
			err = n.builder.Asset(decoder)
		}
		if err == nil && !n.builder.Full() {
			continue
		}
		out := output{Output: n.builder.Take(), suppressed: suppressed}
		suppressed = nil
		n.count(ctx, &out)
		if failed := batches.add(ctx, out); failed != nil {
			return failed
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		default:
			return err
		}
	}
}

// deliver offers a batch until it is accepted, and notes what was delivered of the page.
func (n *Inventory) deliver(ctx context.Context, b *batch) error {
	b.hosts = len(b.items) + len(b.suppressed)
	if err := n.offer(ctx, b); err != nil {
		return err
	}
	var c change
	threshold := n.position.Running.Start.Add(-n.settings.Overlap).Unix()
	for i := range b.items {
		c.part = append(c.part, seenOf(&b.items[i]))
	}
	for _, item := range slices.Concat(b.items, b.suppressed) {
		if item.Updated == 0 || item.Updated >= threshold {
			c.coming = append(c.coming, seenOf(&item))
		}
	}
	n.store(ctx, c)
	return nil
}

// store moves the position, together with what was delivered.
func (n *Inventory) store(ctx context.Context, c change) {
	n.delivered.apply(c)
	ctx, cancel := storing(ctx)
	defer cancel()
	n.save(n.Store.Update(ctx, func(tx *checkpoint.Tx) {
		n.delivered.write(tx, c)
		tx.Put(n.name, positionVersion, n.position)
	}))
}
