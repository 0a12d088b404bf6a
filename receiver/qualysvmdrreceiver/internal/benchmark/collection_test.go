// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
)

// collection is a whole collection of detections: everything that the receiver does, between an answer in memory and a
// pipeline that takes whatever it is offered.
type collection struct {
	page []byte
	// records is how many there are in the page.
	records int
	// storage keeps checkpoints, nil: in memory.
	storage func(context.Context) (storage.Client, error)
	// overlap decides how many of the records can come again, which is kept with the checkpoints.
	overlap time.Duration
}

// run collects the page once, on so many cores, and returns how long that took.
func (c *collection) run(ctx context.Context, cores int) (time.Duration, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	delivered, complete := 0, make(chan struct{})
	sink, err := consumer.NewLogs(func(_ context.Context, logs plog.Logs) error {
		if delivered += logs.LogRecordCount(); delivered >= c.records {
			close(complete)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	var client storage.Client
	if c.storage != nil {
		if client, err = c.storage(ctx); err != nil {
			return 0, err
		}
	}
	store := checkpoint.New(client)
	defer func() { _ = store.Close(context.WithoutCancel(ctx)) }() // of a folder that is thrown away
	detections, err := c.collector(ctx, store, sink)
	if err != nil {
		return 0, err
	}

	var running sync.WaitGroup
	began := time.Now()
	running.Go(func() { detections.Run(ctx) })
	var took time.Duration
	select {
	case <-complete:
		took = time.Since(began)
	case <-time.After(time.Minute):
		err = fmt.Errorf("%d of %d records delivered in a minute", delivered, c.records)
	}
	cancel()
	running.Wait()
	return took, err
}

func (c *collection) collector(ctx context.Context, store *checkpoint.Store, sink consumer.Logs) (*engine.Collector, error) {
	shared, err := settingsOf(ctx, store, sink)
	if err != nil {
		return nil, err
	}
	shared.Client = clientOf(c.page)
	state := health.New(health.Settings{Logger: zap.NewNop(), Source: sourceName}, dataset.Vulnerabilities)
	return dataset.NewDetections(shared, dataset.DetectionSettings{
		Interval: time.Hour,
		Lookback: 10 * 365 * 24 * time.Hour,
		Collect:  "changed",
		Overlap:  c.overlap,
		Version:  "5.0",
		PageSize: 10_000,
		Status:   []string{"New", "Active", "Re-Opened", "Fixed"},
	}, state.Dataset(dataset.Vulnerabilities), engine.Options{}), nil
}

// settingsOf are what datasets share, but for the client: one request at a time, and nobody who looks on.
func settingsOf(ctx context.Context, store *checkpoint.Store, sink consumer.Logs) (dataset.Settings, error) {
	settings := receivertest.NewNopSettings(component.MustNewType("qualysvmdr"))
	settings.TelemetrySettings = componenttest.NewNopTelemetrySettings()
	telemetry, err := metadata.NewTelemetryBuilder(settings.TelemetrySettings)
	if err != nil {
		return dataset.Settings{}, err
	}
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: settings.ID, Transport: "http", ReceiverCreateSettings: settings})
	if err != nil {
		return dataset.Settings{}, err
	}
	retry := configretry.NewDefaultBackOffConfig()
	return dataset.Settings{
		Engine: engine.Settings{
			Logger: zap.NewNop(), Store: store, Telemetry: telemetry, Deliverer: engine.NewDeliverer(ctx, sink, obs, retry),
			Waits: &engine.Waits{}, Retry: retry, MaxRecords: batchSize, MaxBytes: batchBytes, Budget: engine.NewBudget(batchBytes),
		},
		Records:       recordSettings(serverName),
		Server:        &url.URL{Scheme: "http", Host: serverName},
		Gateway:       &url.URL{Scheme: "http", Host: gatewayName},
		MaxConcurrent: 1,
	}, nil
}
