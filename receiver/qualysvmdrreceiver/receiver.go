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
	"sync/atomic"
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

	// From Start on.
	host component.Host
	// run ends when the receiver stops, hard when even deliveries may not go on.
	run, hard   context.Context
	stop, abort context.CancelFunc
	running     sync.WaitGroup
	client      *qualys.Client
	rejected    *refusals
	health      *health.Reporter
	events      *health.Events
	// shared is what the datasets of all sessions share, but for what belongs to one of them.
	shared dataset.Settings
	// session is the one that runs, for metrics.
	session atomic.Pointer[session]
	// leadership is there if an extension elects who collects.
	leadership *leadership
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

// Start starts the datasets, or lets them wait until another collector does not collect any more. It sends nothing: what is
// wrong with the account or the network shows in the health.
func (r *vmdrReceiver) Start(ctx context.Context, host component.Host) error {
	logStarting(r.settings.Logger)
	r.config.warnOfExpansion(r.settings.Logger, os.Environ())
	r.host = host
	if err := r.startClient(ctx); err != nil {
		return err
	}
	r.hard, r.abort = context.WithCancel(context.Background())
	r.run, r.stop = context.WithCancel(r.hard)
	r.startHealth(host)
	metrics := observed{receiver: r.settings.ID.String(), health: r.health, session: &r.session}
	if err := metrics.register(r.telemetry); err != nil {
		return err
	}
	if id := r.config.LeaderElector; id != nil {
		return r.awaitElection(*id)
	}
	store, err := checkpoint.Open(ctx, host, r.config.Storage, r.settings.ID)
	if err != nil && !errors.Is(err, checkpoint.ErrLocked) {
		return err
	}
	if store != nil && !store.Persistent() {
		r.settings.Logger.Warn("no storage extension configured; checkpoints are kept in memory and a restart re-collects everything")
	}
	r.running.Go(func() { r.term(r.hard, store) })
	return nil
}

// awaitElection lets an extension decide when this receiver collects.
func (r *vmdrReceiver) awaitElection(id component.ID) error {
	election, err := findLeaderElection(r.host, id)
	if err != nil {
		return err
	}
	if err := checkpoint.Find(r.host, r.config.Storage); err != nil {
		return err
	}
	r.health.StandBy()
	r.leadership = newLeadership(func(ctx context.Context) { r.term(ctx, nil) })
	election.SetCallBackFuncs(r.leadership.start, r.leadership.stop)
	return nil
}

// startClient makes the client of Qualys, and what all sessions share.
func (r *vmdrReceiver) startClient(ctx context.Context) error {
	server, gateway, err := r.endpoints(ctx, r.host)
	if err != nil {
		return err
	}
	r.rejected = &refusals{
		config: r.config,
		log:    r.settings.Logger,
		urls:   map[qualys.EndpointName]string{qualys.Server: server.URL, qualys.Gateway: gateway.URL},
	}
	waits := &engine.Waits{}
	r.client = qualys.New(qualys.Settings{
		Server:             server,
		Gateway:            gateway,
		APIClient:          r.config.apiClient(),
		Rejected:           r.rejected.rejected,
		UserAgent:          fmt.Sprintf("qualysvmdrreceiver/%s (%s/%s)", version, r.settings.BuildInfo.Command, r.settings.BuildInfo.Version),
		ReadIdleTimeout:    r.config.ReadIdleTimeout,
		PageTimeout:        r.config.PageTimeout,
		Reserve:            r.config.reserve(),
		ReserveSet:         r.config.RateLimitReserve != nil,
		MaxConcurrent:      r.config.MaxConcurrentRequests,
		ConcurrencyReserve: r.config.ConcurrencyReserve,
		Observer:           &clientObserver{receiver: r.settings.ID.String(), log: r.settings.Logger, telemetry: r.telemetry, waits: waits},
	})
	r.shared = dataset.Settings{
		Engine: engine.Settings{
			Receiver:     r.settings.ID.String(),
			Logger:       r.settings.Logger,
			Telemetry:    r.telemetry,
			Tracer:       metadata.Tracer(r.settings.TelemetrySettings),
			Waits:        waits,
			Retry:        configretry.BackOffConfig(r.config.RetryOnFailure),
			InitialDelay: r.config.InitialDelay,
			MaxRecords:   r.config.BatchSize,
			MaxBytes:     r.config.BatchMaxBytes,
		},
		Client:        r.client,
		Records:       r.config.records(r.settings),
		MaxConcurrent: r.config.MaxConcurrentRequests,
		Events:        r.config.CollectionEvents.Enabled,
	}
	if r.shared.Server, err = url.Parse(server.URL); err != nil {
		return errors.New("server::endpoint: is not a URL")
	}
	if r.shared.Gateway, err = url.Parse(gateway.URL); err != nil {
		return errors.New("gateway::endpoint: is not a URL")
	}
	return nil
}

// sharedOver is what the datasets of a session over a store share. Deliveries end with hard.
func (r *vmdrReceiver) sharedOver(hard context.Context, store *checkpoint.Store) dataset.Settings {
	shared := r.shared
	shared.Engine.Store = store
	shared.Engine.Deliverer = engine.NewDeliverer(hard, r.next, r.obs, configretry.BackOffConfig(r.config.RetryOnFailure))
	shared.Engine.Budget = engine.NewBudget(r.config.BatchMaxBytes)
	return shared
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
	r.health = health.New(health.Settings{
		Logger: r.settings.Logger,
		Source: r.settings.ID.String(),
		Status: func(event *componentstatus.Event) { componentstatus.ReportStatus(host, event) },
		Events: r.events,
		Failed: r.countError,
	}, r.config.datasets()...)
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
	return nil
}

func (r *vmdrReceiver) stopDatasets(ctx context.Context) {
	r.health.Close()
	r.stop()
	defer r.abort()
	defer context.AfterFunc(ctx, r.abort)()
	if r.events != nil {
		closing, cancel := context.WithTimeout(ctx, eventsGrace)
		defer cancel()
		r.running.Go(func() { r.events.Close(closing) })
	}
	if r.leadership != nil {
		r.leadership.close()
	}
	r.running.Wait()
}
