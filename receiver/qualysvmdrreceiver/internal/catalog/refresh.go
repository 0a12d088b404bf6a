// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v7"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// refreshOverlap is how far a refresh reaches back behind the start of the previous one.
const refreshOverlap = time.Hour

// refresh is how the refreshes fare.
type refresh struct {
	tries *backoff.ExponentialBackOff
	// after is when a refresh that has failed is tried again.
	after time.Time
	// failing, if not nil, ends the state of error that a refresh has led to.
	failing func()
	// unfiltered is whether the server does not support the time filter: then all entries are fetched, and those that are as
	// delivered are left out here.
	unfiltered bool
}

// listChanges finds out which of the delivered entries have changed. Those that had none, or could not be read, are asked for
// again. A refresh that fails is tried again later, and holds up nothing else. Errors are a *engine.StoppedError, or the
// context's.
func (c *Catalog) listChanges(ctx context.Context) error {
	now := time.Now()
	known, _, without := c.entries.count()
	if known+without == 0 {
		c.save(ctx, func(s *state) { s.Refreshed = now })
		c.refreshWorked()
		return nil
	}
	c.mu.Lock()
	since := c.state.Since
	if since.IsZero() {
		since = c.state.Refreshed // nothing had been delivered by this time
	}
	began := c.state.Refreshed
	c.mu.Unlock()
	listed := map[uint32]struct{}{} // a list can name an entry any number of times
	server, err := c.list(ctx, since, listed)
	if _, stopped := engine.IsStopped(err); stopped || ctx.Err() != nil {
		return err
	}
	if err != nil {
		c.refreshFailed(fmt.Errorf("knowledge base refresh: %w", err))
		return nil
	}
	start, doubt := engine.StartOf(server, now, since, began, refreshOverlap)
	if doubt != "" {
		c.dataset.Log.Warn("the server's clock cannot be trusted: "+doubt, zap.Times("server_times", server), zap.Time("start", start))
	}
	c.dataset.Log.Info("knowledge base refreshed", zap.Time("since", since), zap.Int("changed", len(listed)), zap.Int("without_entry", without))
	var turned []uint32
	c.commit(ctx, func() {
		turned = slices.Collect(maps.Keys(listed))
		c.entries.update(turned, now, func(e *entry) {
			if e.state == delivered {
				e.state = recheck
			}
		})
		turned = append(turned, c.entries.turn(recheck, now, absent, unreadable)...)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.state.Since, c.state.Refreshed, c.state.Refresh = start, now, uuid.NewString()
		c.draining = true
	}, func(tx *checkpoint.Tx) {
		c.entries.write(tx, turned)
		c.putState(tx)
	})
	c.refreshWorked()
	c.dataset.Gate.Collecting() // there may be nothing to fetch that could tell
	return nil
}

// refreshFailed has a refresh tried again later.
func (c *Catalog) refreshFailed(err error) {
	failing := c.dataset.Gate.Failing(err)
	c.mu.Lock()
	before := c.refresh.failing
	c.refresh.failing = failing
	c.refresh.after = time.Now().Add(c.refresh.tries.NextBackOff())
	c.mu.Unlock()
	if before != nil {
		before()
	}
}

// refreshWorked ends what a failed refresh has led to.
func (c *Catalog) refreshWorked() {
	c.mu.Lock()
	failing := c.refresh.failing
	c.refresh.failing, c.refresh.after = nil, time.Time{}
	c.refresh.tries.Reset()
	c.mu.Unlock()
	if failing != nil {
		failing()
	}
}

// list adds the delivered QIDs whose entries have changed since. It returns what the first response tells of the server's clock.
func (c *Catalog) list(ctx context.Context, since time.Time, listed map[uint32]struct{}) (server []time.Time, err error) {
	query := qualys.EntryIDQuery{Version: c.settings.Version, Parameters: c.settings.Parameters}
	if !c.refresh.unfiltered {
		query.ModifiedAfter = since.Add(-refreshOverlap)
	}
	for first := true; ; first = false {
		ids, err := c.askIDs(ctx, query, func(first, last uint32) error {
			c.entries.between(first, last, func(qid uint32) { listed[qid] = struct{}{} })
			return nil
		})
		var e *qualys.Error
		if errors.As(err, &e) && !query.ModifiedAfter.IsZero() && e.Unsupported(qualys.ModifiedAfter) != "" {
			c.dataset.Log.Warn("qualys rejected a default parameter; omitting it from now on", zap.String("parameter", qualys.ModifiedAfter), zap.Error(err))
			c.refresh.unfiltered = true
			return c.list(ctx, since, listed)
		}
		if err != nil {
			return nil, err
		}
		if first && !ids.ServerTime.IsZero() {
			server = append(server, ids.ServerTime)
		}
		if !ids.More || ids.ID > math.MaxUint32 {
			return server, nil
		}
		query.Min, query.Extra = uint32(ids.ID), ids.Extra
	}
}

// askIDs sends one request of a refresh. What its failure says about more than the refresh closes the gate for all.
func (c *Catalog) askIDs(ctx context.Context, query qualys.EntryIDQuery, visit func(first, last uint32) error) (qualys.EntryIDs, error) {
	if err := c.dataset.Settings.Deliverer.Ready(ctx); err != nil {
		return qualys.EntryIDs{}, err
	}
	gate := c.dataset.Gate
	through, err := gate.Enter(ctx)
	if err != nil {
		return qualys.EntryIDs{}, err
	}
	c.waits(&c.listing)
	ids, err := c.client.EntryIDs(ctx, query, visit)
	c.listing.end(true)
	if err == nil {
		gate.Open(through)
		c.answered.Store(true)
		c.dataset.Health.Reach(health.Authenticated)
		return ids, nil
	}
	var e *qualys.Error
	v := dataset.Judge(err)
	if ctx.Err() != nil || v.Class == engine.Generic || errors.As(err, &e) && e.Unsupported(qualys.ModifiedAfter) != "" && !query.ModifiedAfter.IsZero() {
		gate.Leave(through)
		return ids, err
	}
	if stopped := gate.Fail(through, v, err); stopped != nil {
		return ids, stopped
	}
	return ids, err
}
