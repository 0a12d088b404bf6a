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
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/collect"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// eventsGrace is how long the last health events may take to be delivered.
const eventsGrace = 5 * time.Second

// vmdrReceiver runs the datasets of one configuration from Start to Shutdown.
type vmdrReceiver struct {
	config    *Config
	settings  receiver.Settings
	next      consumer.Logs
	telemetry *metadata.TelemetryBuilder
	obs       *receiverhelper.ObsReport

	// stop ends the collections, abort the deliveries that may outlive them for a while.
	stop, abort context.CancelFunc
	running     sync.WaitGroup
	store       *checkpoint.Store
	health      *health.Reporter
	events      *health.Events
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
	r.store = store
	if !store.Persistent() {
		r.settings.Logger.Warn("No storage is configured: positions are kept in memory, and after a restart everything is collected afresh.")
	}
	r.config.warnOfExpansion(r.settings.Logger, os.Environ())
	serverURL, gatewayURL := r.config.Endpoints()
	server, err := r.endpoint(ctx, host, "server", &r.config.Server, serverURL)
	if err != nil {
		return err
	}
	gateway, err := r.endpoint(ctx, host, "gateway", &r.config.Gateway, gatewayURL)
	if err != nil {
		return err
	}

	hard, abort := context.WithCancel(context.Background())
	run, stop := context.WithCancel(hard)
	r.startHealth(host)
	r.stop, r.abort = stop, abort
	waits := collect.NewWaits(r.settings.ID.String(), r.settings.Logger, r.telemetry)
	client := qualys.New(qualys.Settings{
		Server:          server,
		Gateway:         gateway,
		UserAgent:       fmt.Sprintf("qualysvmdrreceiver/%s (%s/%s)", version, r.settings.BuildInfo.Command, r.settings.BuildInfo.Version),
		ReadIdleTimeout: r.config.ReadIdleTimeout,
		PageTimeout:     r.config.PageTimeout,
		Reserve:         r.config.RateLimitReserve,
		Observer:        waits,
	})
	refusals := checkpoint.NewRefusals(store)
	urls := map[qualys.EndpointName]string{qualys.Server: server.URL, qualys.Gateway: gateway.URL}
	r.recallRefusals(ctx, run, refusals, urls, client)
	shared := collect.Settings{
		Receiver:     r.settings.ID.String(),
		Logger:       r.settings.Logger,
		Client:       client,
		Store:        store,
		Telemetry:    r.telemetry,
		Pipeline:     collect.NewPipeline(hard, r.next, r.obs, configretry.BackOffConfig(r.config.RetryOnFailure)),
		Waits:        waits,
		Refused:      r.rememberRefusal(refusals, urls),
		Retry:        configretry.BackOffConfig(r.config.RetryOnFailure),
		InitialDelay: r.config.InitialDelay,
		Records:      r.config.records(r.settings),
	}
	if shared.Server, err = url.Parse(server.URL); err != nil {
		return errors.New("server::endpoint: is not a URL")
	}
	if shared.Gateway, err = url.Parse(gateway.URL); err != nil {
		return errors.New("gateway::endpoint: is not a URL")
	}
	return r.startDatasets(run, shared)
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

// startDatasets starts the loop of each dataset that is configured.
func (r *vmdrReceiver) startDatasets(ctx context.Context, shared collect.Settings) error {
	metrics := observed{receiver: r.settings.ID.String(), health: r.health, datasets: map[string]dataset{}}
	var loops []func()
	if cfg := r.config.KnowledgeBase.Get(); r.config.KnowledgeBase.HasValue() {
		metrics.knowledgeBase = collect.NewKnowledgeBase(shared, cfg.settings(), r.health.Dataset(collect.KnowledgeBaseDataset))
		metrics.datasets[collect.KnowledgeBaseDataset] = metrics.knowledgeBase
	}
	if cfg := r.config.Vulnerabilities.Get(); r.config.Vulnerabilities.HasValue() {
		v := collect.NewVulnerabilities(shared, cfg.settings(), r.health.Dataset(collect.VulnerabilitiesDataset), metrics.knowledgeBase)
		metrics.vulnerabilities = v
		metrics.datasets[collect.VulnerabilitiesDataset] = v
		loops = append(loops, func() { runDetections(ctx, v, metrics.knowledgeBase) })
	}
	if cfg := r.config.AssetInventory.Get(); r.config.AssetInventory.HasValue() {
		n := collect.NewInventory(shared, cfg.settings(), r.health.Dataset(collect.AssetInventoryDataset))
		metrics.datasets[collect.AssetInventoryDataset] = n
		loops = append(loops, func() { n.Run(ctx) })
	}
	if cfg := r.config.ActivityLog.Get(); r.config.ActivityLog.HasValue() {
		a := collect.NewActivity(shared, cfg.settings(), r.health.Dataset(collect.ActivityLogDataset))
		metrics.datasets[collect.ActivityLogDataset] = a
		loops = append(loops, func() { a.Run(ctx) })
	}
	if err := metrics.register(r.telemetry); err != nil {
		return err
	}
	for _, loop := range loops {
		r.running.Go(loop)
	}
	return nil
}

// runDetections runs the vulnerabilities and, if it is configured, the KnowledgeBase, which stops with them.
func runDetections(ctx context.Context, v *collect.Vulnerabilities, k *collect.KnowledgeBase) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	if k != nil {
		running.Go(func() { k.Run(ctx) })
	}
	v.Run(ctx)
	cancel()
	running.Wait()
}

// Shutdown ends everything: requests and waits at once, a delivery in flight after five seconds or with ctx.
func (r *vmdrReceiver) Shutdown(ctx context.Context) error {
	defer r.telemetry.Shutdown()
	if r.stop != nil {
		r.stopDatasets(ctx)
	}
	if r.store == nil {
		return nil
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return r.store.Close(closing)
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

// authenticates tells whether an authenticator replaces user name and password at an endpoint.
func (r *vmdrReceiver) authenticates(endpoint qualys.EndpointName) bool {
	if endpoint == qualys.Server {
		return r.config.Server.Auth.HasValue()
	}
	return r.config.Gateway.Auth.HasValue()
}

// rememberRefusal stores which credentials an endpoint has refused.
func (r *vmdrReceiver) rememberRefusal(refusals *checkpoint.Refusals, urls map[qualys.EndpointName]string) func(context.Context, qualys.EndpointName, error) {
	return func(ctx context.Context, endpoint qualys.EndpointName, cause error) {
		if r.authenticates(endpoint) {
			return
		}
		err := refusals.Remember(ctx, urls[endpoint], r.config.Username, string(r.config.Password), time.Now(), cause.Error())
		if err != nil {
			r.settings.Logger.Error("The refusal of the credentials could not be stored; a restart would try them again.", zap.Error(err))
		}
	}
}
