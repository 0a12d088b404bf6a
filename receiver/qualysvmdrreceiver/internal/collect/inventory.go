// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// assetUpdated is the field by which later collections ask for changed assets. One integration reports that it works;
// be ready for a server that refuses or ignores it.
const assetUpdated = "asset.lastUpdatedDate"

// mostNoted is of how many assets of one page it is noted that they were delivered: a page has 300, and one of a server that
// answers with everything at once may have as many as this. It bounds what a hostile answer takes to 8 MiB.
const mostNoted = 1 << 18

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
	*course
	settings InventorySettings
	builder  *records.Assets
	pages    pageSize
	noted    int // assets delivered of the page at which the position stands
	// accepted and refused tell whether the server takes the filter of later collections; where it is refused, assets are
	// filtered here only.
	accepted, refused bool
}

// NewInventory returns the dataset asset_inventory.
func NewInventory(shared Settings, settings InventorySettings, state *health.Dataset) *Inventory {
	shared.Records.Server = shared.Gateway.Hostname()
	return &Inventory{
		course:   newCourse(newDataset(shared, AssetInventoryDataset, state)),
		settings: settings,
		builder:  records.NewAssets(shared.Records),
		pages:    newPageSize(settings.PageSize),
	}
}

// Run collects until the context ends, or an error stops the dataset for good.
func (n *Inventory) Run(ctx context.Context) {
	n.run(ctx, n)
}

// load implements work.
func (n *Inventory) load(ctx context.Context) error {
	return n.open(ctx, n.Gateway.Host, n.settings.IncludeFields, n.settings.ExcludeFields, n.settings.Filter)
}

// next implements work.
func (n *Inventory) next() time.Time { return n.nextAfter(n.settings.Interval) }

// collect implements work.
func (n *Inventory) collect(ctx context.Context) error {
	if n.position.Running == nil {
		n.begin(ctx, n.plan)
	}
	running := n.position.Running
	window := "all"
	if !running.Full {
		window = "updated since " + n.since().Format(timeFormat)
	}
	n.progress.begin(window)
	for more := true; more; {
		var err error
		if more, err = n.page(ctx); err != nil {
			return err
		}
	}
	n.complete(ctx)
	n.finish(ctx, window)
	return nil
}

// plan plans the collection that starts now, by the local clock.
func (n *Inventory) plan(p *position, now time.Time) *collection {
	full := p.Previous.IsZero() || n.settings.Full > 0 && !now.Before(due(p.Full, n.settings.Full))
	if full {
		p.Full = now
	}
	return &collection{Full: full}
}

// since is the time from which on the running collection asks for changed assets.
func (n *Inventory) since() time.Time {
	return n.position.Previous.Add(-n.settings.Overlap).UTC()
}

// query is the next request.
func (n *Inventory) query() qualys.AssetQuery {
	query := qualys.AssetQuery{
		PageSize:      n.pages.now,
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
		n.pages.timedOut(err)
		return false, err
	}
	defer answer.Close()
	n.answered()
	n.accepted = n.accepted || !n.position.Running.Full && !n.refused
	n.start(answer.ServerTime())

	batches := n.newBatches(n.deliver)
	part := newSeenSet(slices.Clone(n.delivered.part))
	ahead := part.identities()
	err = n.read(ctx, answer, part, ahead, batches)
	n.progress.received.Add(answer.Bytes())
	if repaired := answer.Repaired(); repaired > 0 {
		n.Telemetry.QualysvmdrStringsRepaired.Add(ctx, repaired, n.attrs)
	}
	if failed := batches.flush(ctx); failed != nil {
		return false, failed
	}
	if err != nil {
		if ctx.Err() == nil && !n.heldUp(batches) {
			n.pages.broke(0)
		}
		return false, fmt.Errorf("page of assets after %d: %w", n.position.Running.Resume, err)
	}
	n.pages.whole()
	n.readWhole()
	n.noted = 0
	if !answer.HasMore() {
		return false, nil
	}
	n.mu.Lock()
	n.position.Running.Resume = uint64(answer.LastSeen())
	n.mu.Unlock()
	// What was delivered of a larger page that broke and did not stand in this one, the next ones will bring again.
	part = slices.DeleteFunc(part, func(one seen) bool { return !ahead[one.identity] })
	n.store(ctx, change{restart: true, part: part})
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

// read makes records of the assets of an answer and gathers them into batches. It leaves out the part that was delivered when
// the page was read before, and takes the assets that it meets from those ahead: an answer can hold many more than were
// asked for, and what is kept in mind must not grow with it.
func (n *Inventory) read(ctx context.Context, answer *qualys.AssetPage, part seenSet, ahead map[uint64]bool, batches *batches) error {
	running := n.position.Running
	var suppressed []records.Item
	n.builder.PortsSince(n.position.Previous)
	n.builder.Begin(orNow(answer.ServerTime()), "", func(item *records.Item) bool {
		one := seenOf(item)
		delete(ahead, one.identity)
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
	return n.gather(ctx, n.builder, &suppressed, batches, func() error {
		decoder, err := answer.Next()
		if err != nil {
			return err
		}
		return n.builder.Asset(decoder)
	})
}

// full counts assets that were delivered of a page, and tells whether these are too many to note.
func (n *Inventory) full(delivered int) bool {
	before := n.noted
	n.noted += delivered
	if before <= mostNoted && n.noted > mostNoted {
		n.log.Warn("An answer holds far more assets than were asked for: some of them may be delivered again.", zap.Int("asked", n.pages.now), zap.Int("noted", before))
	}
	return n.noted > mostNoted
}

// deliver offers a batch until it is accepted, and notes what was delivered of the page.
func (n *Inventory) deliver(ctx context.Context, b *batch) error {
	b.hosts = len(b.items) + len(b.suppressed)
	if err := n.offer(ctx, b); err != nil {
		return err
	}
	if n.full(b.hosts) {
		return nil
	}
	n.note(ctx, b, n.settings.Overlap)
	return nil
}
