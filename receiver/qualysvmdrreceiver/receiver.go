// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/confighttp"
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
	store, err := checkpoint.Open(ctx, host, r.config.Storage, r.settings.ID)
	if err != nil {
		return err
	}
	if !store.Persistent() {
		r.settings.Logger.Warn("no storage extension configured; checkpoints are kept in memory and a restart re-collects everything")
	}
	r.session = &session{store: store} // from now on Shutdown closes it
	server, gateway, err := r.endpoints(ctx, host)
	if err != nil {
		return err
	}
	hard, abort := context.WithCancel(context.Background())
	run, stop := context.WithCancel(hard)
	r.stop, r.abort = stop, abort
	r.startHealth(host)
	waits := &engine.Waits{}
	r.client = qualys.New(qualys.Settings{
		Server:             server,
		Gateway:            gateway,
		UserAgent:          fmt.Sprintf("qualysvmdrreceiver/%s (%s/%s)", version, r.settings.BuildInfo.Command, r.settings.BuildInfo.Version),
		ReadIdleTimeout:    r.config.ReadIdleTimeout,
		PageTimeout:        r.config.PageTimeout,
		Reserve:            r.config.reserve(),
		ReserveSet:         r.config.RateLimitReserve != nil,
		MaxConcurrent:      r.config.MaxConcurrentRequests,
		ConcurrencyReserve: r.config.ConcurrencyReserve,
		Observer:           &clientObserver{receiver: r.settings.ID.String(), log: r.settings.Logger, telemetry: r.telemetry, waits: waits},
	})
	refusals := checkpoint.NewRefusals(store)
	urls := map[qualys.EndpointName]string{qualys.Server: server.URL, qualys.Gateway: gateway.URL}
	r.recallRefusals(ctx, run, refusals, urls, r.client)
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
			Budget:       engine.NewBudget(),
			Stopped:      r.rememberRefusal(refusals, urls),
		},
		Client:        r.client,
		Records:       r.config.records(r.settings),
		MaxConcurrent: r.config.MaxConcurrentRequests,
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

// endpoint makes the client of one of the two hosts.
func (r *vmdrReceiver) endpoint(ctx context.Context, host component.Host, key string, client *confighttp.ClientConfig, url string) (qualys.Endpoint, error) {
	httpClient, err := client.ToClient(ctx, host.GetExtensions(), r.settings.TelemetrySettings)
	if err != nil {
		return qualys.Endpoint{}, fmt.Errorf("%s: %w", key, err)
	}
	e := qualys.Endpoint{URL: url, HTTP: httpClient, Authenticator: client.Auth.HasValue()}
	if !e.Authenticator {
		e.Username, e.Password = r.config.Username, string(r.config.Password)
	}
	return e, nil
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

// recallRefusals keeps the client from sending credentials that were refused a short while ago, before a restart, until
// they may be tried again. An authenticator has credentials of its own, which are not known here.
func (r *vmdrReceiver) recallRefusals(ctx, run context.Context, refusals *checkpoint.Refusals, urls map[qualys.EndpointName]string, client *qualys.Client) {
	for endpoint, url := range urls {
		message, since, recent := refusals.Recent(ctx, url, r.config.Username, string(r.config.Password), time.Now())
		if !recent || r.authenticates(endpoint) {
			continue
		}
		until := since.Add(checkpoint.RefusalHolds)
		client.Refuse(endpoint, &qualys.Error{
			API:   qualys.API(endpoint),
			Class: qualys.Config,
			Text: fmt.Sprintf("the same credentials were refused at %s, and may lock the account: change them, or restart after %s (%s)",
				since.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339), message),
		})
		reopen := time.AfterFunc(time.Until(until), func() { client.Refuse(endpoint, nil) })
		context.AfterFunc(run, func() { reopen.Stop() })
	}
}

// authenticates reports whether an authenticator replaces user name and password at an endpoint.
func (r *vmdrReceiver) authenticates(endpoint qualys.EndpointName) bool {
	if endpoint == qualys.Server {
		return r.config.Server.Auth.HasValue()
	}
	return r.config.Gateway.Auth.HasValue()
}

// rememberRefusal stores which credentials an endpoint has refused.
func (r *vmdrReceiver) rememberRefusal(refusals *checkpoint.Refusals, urls map[qualys.EndpointName]string) func(context.Context, string, error) {
	return func(ctx context.Context, _ string, cause error) {
		var answer *qualys.Error
		if !errors.As(cause, &answer) || !answer.Login || r.authenticates(answer.API.Endpoint()) {
			return
		}
		err := refusals.Remember(ctx, urls[answer.API.Endpoint()], r.config.Username, string(r.config.Password), time.Now(), cause.Error())
		if err != nil {
			r.settings.Logger.Error("rejected credentials could not be stored; a restart would try them again", zap.Error(err))
		}
	}
}
