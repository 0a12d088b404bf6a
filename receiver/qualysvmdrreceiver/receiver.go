// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// eventsGrace is how long the last health events may take to be delivered.
const eventsGrace = 5 * time.Second

// vmdrReceiver collects the datasets of one configuration from Start to Shutdown. It holds what lives as long as it does; what
// collects is a session.
type vmdrReceiver struct {
	config    *Config
	settings  receiver.Settings
	next      consumer.Logs
	telemetry *metadata.TelemetryBuilder
	obs       *receiverhelper.ObsReport

	// stop ends the collections, abort the deliveries that may outlive them for a while.
	stop, abort context.CancelFunc
	running     sync.WaitGroup
	client      *qualys.Client
	health      *health.Reporter
	events      *health.Events
	session     *session
}

var _ receiver.Logs = (*vmdrReceiver)(nil)

func newReceiver(settings receiver.Settings, config *Config, next consumer.Logs) (*vmdrReceiver, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID:             settings.ID,
		Transport:              "http",
		ReceiverCreateSettings: settings,
	})
	if err != nil {
		return nil, err
	}
	telemetry, err := metadata.NewTelemetryBuilder(settings.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	// What goes wrong is Qualys', the backend's or the configuration's: a stack would only hide the message.
	settings.Logger = settings.Logger.WithOptions(zap.AddStacktrace(zap.DPanicLevel))
	return &vmdrReceiver{config: config, settings: settings, next: next, telemetry: telemetry, obs: obs}, nil
}

// Start starts the datasets. It sends nothing: what is wrong with the account or the network shows in the health.
func (r *vmdrReceiver) Start(ctx context.Context, host component.Host) error {
	logStarting(r.settings.Logger)
	store, err := checkpoint.Open(ctx, host, r.config.Storage, r.settings.ID)
	if err != nil {
		return err
	}
	if !store.Persistent() {
		r.settings.Logger.Warn("no storage extension configured; checkpoints are kept in memory and a restart re-collects everything")
	}
	r.config.warnOfExpansion(r.settings.Logger, os.Environ())
	r.session = &session{store: store} // from now on Shutdown closes it
	server, gateway, err := r.endpoints(ctx, host)
	if err != nil {
		return err
	}
	hard, abort := context.WithCancel(context.Background())
	run, stop := context.WithCancel(hard)
	r.stop, r.abort = stop, abort
	r.startHealth(host)
	rejected := &refusals{
		config: r.config,
		log:    r.settings.Logger,
		stored: checkpoint.NewRefusals(store),
		urls:   map[qualys.EndpointName]string{qualys.Server: server.URL, qualys.Gateway: gateway.URL},
	}
	waits := &engine.Waits{}
	r.client = qualys.New(qualys.Settings{
		Server:             server,
		Gateway:            gateway,
		APIClient:          r.config.apiClient(),
		Rejected:           rejected.rejected,
		UserAgent:          fmt.Sprintf("qualysvmdrreceiver/%s (%s/%s)", version, r.settings.BuildInfo.Command, r.settings.BuildInfo.Version),
		ReadIdleTimeout:    r.config.ReadIdleTimeout,
		PageTimeout:        r.config.PageTimeout,
		Reserve:            r.config.reserve(),
		ReserveSet:         r.config.RateLimitReserve != nil,
		MaxConcurrent:      r.config.MaxConcurrentRequests,
		ConcurrencyReserve: r.config.ConcurrencyReserve,
		Observer:           &clientObserver{receiver: r.settings.ID.String(), log: r.settings.Logger, telemetry: r.telemetry, waits: waits},
	})
	rejected.recall(ctx, r.client)
	shared := dataset.Settings{
		Engine: engine.Settings{
			Receiver:     r.settings.ID.String(),
			Logger:       r.settings.Logger,
			Store:        store,
			Telemetry:    r.telemetry,
			Deliverer:    engine.NewDeliverer(hard, r.next, r.obs, configretry.BackOffConfig(r.config.RetryOnFailure)),
			Waits:        waits,
			Retry:        configretry.BackOffConfig(r.config.RetryOnFailure),
			InitialDelay: r.config.InitialDelay,
			MaxRecords:   r.config.BatchSize,
			MaxBytes:     r.config.BatchMaxBytes,
			Budget:       engine.NewBudget(r.config.BatchMaxBytes),
		},
		Client:        r.client,
		Records:       r.config.records(r.settings),
		MaxConcurrent: r.config.MaxConcurrentRequests,
		Events:        r.config.CollectionEvents.Enabled,
	}
	if shared.Server, err = url.Parse(server.URL); err != nil {
		return errors.New("server::endpoint: is not a URL")
	}
	if shared.Gateway, err = url.Parse(gateway.URL); err != nil {
		return errors.New("gateway::endpoint: is not a URL")
	}
	r.session = newSession(r.config, shared, r.health)
	metrics := observed{receiver: r.settings.ID.String(), health: r.health, session: r.session}
	if err := metrics.register(r.telemetry); err != nil {
		return err
	}
	r.running.Go(func() { r.session.run(run) })
	return nil
}

// endpoints makes the clients of the two hosts.
func (r *vmdrReceiver) endpoints(ctx context.Context, host component.Host) (server, gateway qualys.Endpoint, err error) {
	serverURL, gatewayURL := r.config.Endpoints()
	if server, err = r.endpoint(ctx, host, "server", &r.config.Server, serverURL); err != nil {
		return server, gateway, err
	}
	gateway, err = r.endpoint(ctx, host, "gateway", &r.config.Gateway, gatewayURL)
	return server, gateway, err
}

// startHealth makes the reporter of the datasets that are configured.
func (r *vmdrReceiver) startHealth(host component.Host) {
	if r.config.HealthEvents.Enabled {
		r.events = health.NewEvents(r.eventSettings())
	}
	datasets := r.config.datasets()
	r.health = health.New(health.Settings{
		Logger: r.settings.Logger,
		Source: r.settings.ID.String(),
		Status: func(event *componentstatus.Event) { componentstatus.ReportStatus(host, event) },
		Events: r.events,
	}, datasets...)
	for _, name := range datasets {
		r.health.Dataset(name).Reach(health.Started)
	}
}

// Shutdown ends everything: requests and waits at once, a delivery in flight after five seconds or with ctx.
func (r *vmdrReceiver) Shutdown(ctx context.Context) error {
	defer r.telemetry.Shutdown()
	if r.stop != nil {
		r.stopDatasets(ctx)
	}
	if r.client != nil {
		r.client.Close()
	}
	if r.session == nil {
		return nil
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return r.session.store.Close(closing)
}

func (r *vmdrReceiver) stopDatasets(ctx context.Context) {
	if r.health != nil {
		r.health.Close()
	}
	r.stop()
	defer r.abort()
	defer context.AfterFunc(ctx, r.abort)()
	if r.events != nil {
		closing, cancel := context.WithTimeout(ctx, eventsGrace)
		defer cancel()
		r.running.Go(func() { r.events.Close(closing) })
	}
	r.running.Wait()
}
