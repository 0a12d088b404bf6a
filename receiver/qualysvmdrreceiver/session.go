// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"sync"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/catalog"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// closingGrace limits how long the storage may take to close.
const closingGrace = time.Second

// session collects for as long as one storage is open: the datasets with all that they keep in memory, over one storage.
type session struct {
	store *checkpoint.Store
	// datasets are those that are configured, by name.
	datasets map[string]counted
	// detections and catalog have metrics of their own; nil if they are not configured.
	detections *engine.Collector
	catalog    *catalog.Catalog
	loops      []func(context.Context)
}

// newSession makes the datasets that are configured. Nothing is read or sent before run.
func newSession(config *Config, shared dataset.Settings, status *health.Reporter) *session {
	s := &session{store: shared.Engine.Store, datasets: map[string]counted{}}
	if cfg := config.Vulnerabilities.Get(); config.Vulnerabilities.HasValue() {
		s.addDetections(config, cfg, shared, status)
	}
	if cfg := config.Hosts.Get(); config.Hosts.HasValue() {
		s.add(dataset.Hosts, dataset.NewHosts(shared, cfg.settings(config.account()), status.Dataset(dataset.Hosts), engine.Options{}))
	}
	if cfg := config.AssetInventory.Get(); config.AssetInventory.HasValue() {
		s.add(dataset.AssetInventory, dataset.NewAssets(shared, cfg.settings(), status.Dataset(dataset.AssetInventory), engine.Options{}))
	}
	if cfg := config.ActivityLog.Get(); config.ActivityLog.HasValue() {
		s.add(dataset.ActivityLog, dataset.NewActivity(shared, cfg.settings(), status.Dataset(dataset.ActivityLog), engine.Options{}))
	}
	return s
}

// add adds a dataset that runs on its own.
func (s *session) add(name string, c *engine.Collector) {
	s.datasets[name] = c
	s.loops = append(s.loops, c.Run)
}

// addDetections adds the vulnerabilities and, if it is configured, the KnowledgeBase, which stops with them.
func (s *session) addDetections(config *Config, cfg *VulnerabilitiesConfig, shared dataset.Settings, status *health.Reporter) {
	options := engine.Options{}
	if kb := config.KnowledgeBase.Get(); config.KnowledgeBase.HasValue() {
		c := catalog.New(shared.Engine, shared.Client, kb.settings(shared), status.Dataset(dataset.KnowledgeBase))
		s.catalog = c
		s.datasets[dataset.KnowledgeBase] = c
		options.Delivered = c.Detected
		options.Started = c.CollectionStarted
		options.Finished = func(context.Context, *engine.Run, engine.Counts) error {
			c.Drain()
			return nil
		}
		options.NeedsFull = func() bool { return !c.Stored() }
		options.FullBegun = c.FullBegun
		options.LoadFirst = c.Open
		options.Ended = c.Stop
		if kb.EnrichDetections {
			options.Stages = append(options.Stages, c.Enrich)
		}
	} else {
		options.LoadFirst = func(ctx context.Context) error { return catalog.Forget(ctx, s.store) }
	}
	s.detections = dataset.NewDetections(shared, cfg.settings(config.account(), config.removedShare()), status.Dataset(dataset.Vulnerabilities), options)
	s.datasets[dataset.Vulnerabilities] = s.detections
	s.loops = append(s.loops, s.runDetections)
}

// runDetections runs the vulnerabilities and the KnowledgeBase, which ends with them.
func (s *session) runDetections(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	if s.catalog != nil {
		running.Go(func() { s.catalog.Run(ctx) })
	}
	s.detections.Run(ctx)
}

// run collects until the context ends, every dataset has stopped for good, or somebody else has closed the storage, which it
// reports. Then it closes the storage; the error is that of closing.
func (s *session) run(ctx context.Context) (closed bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var watching, running sync.WaitGroup
	watching.Go(func() {
		select {
		case <-s.store.Lost():
			closed = true
			cancel()
		case <-ctx.Done():
		}
	})
	for _, loop := range s.loops {
		running.Go(func() { loop(ctx) })
	}
	running.Wait()
	cancel()
	watching.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingGrace)
	defer cancel()
	return closed, s.store.Close(closing)
}
