// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package harness runs datasets in tests: over the simulator, in a bubble of testing/synctest, with a backend that accepts or
// rejects what it is offered and a storage that outlives restarts. Its verbs say what happens and what is expected:
//
//	h := harness.New(t)
//	h.Hosts(20)
//	h.Run(datasets…)
//	h.Advance(10 * time.Second)
//	h.ExpectDelivered(h.EachOnce())
package harness

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// Harness is a subscription, a backend and a storage, and the datasets that run between them. It lives in one bubble.
type Harness struct {
	T       *testing.T
	Sim     *qualyssim.Server
	Script  *qualyssim.Script
	Backend *Backend
	// Storage keeps what is stored over restarts; nil: nothing is kept.
	Storage storage.Client
	Logs    *observer.ObservedLogs
	Health  *health.Reporter
	// Client changes what the client is told; nil: it is not changed.
	Client func(*qualys.Settings)
	// Shared changes what the datasets share; nil: it is not changed.
	Shared func(*dataset.Settings)
	// MaxConcurrent is how many requests run at once; 1 by default.
	MaxConcurrent int

	detections int
	pipe       *qualyssim.Pipe
	cancel     context.CancelFunc
	running    sync.WaitGroup
}

// New returns a harness over an empty subscription.
func New(t *testing.T) *Harness { return NewWith(t, qualyssim.Options{}) }

// NewWith returns a harness over a simulator with these options, whose content is scripted.
func NewWith(t *testing.T, options qualyssim.Options) *Harness {
	h := &Harness{T: t, Script: &qualyssim.Script{}, Backend: NewBackend(), MaxConcurrent: 1}
	options.Script = h.Script
	options.NoGzip = true
	options.Username, options.Password = "user", "pass"
	h.Sim = qualyssim.New(options)
	h.pipe = qualyssim.NewPipe(h.Sim)
	h.Storage = NewStorage()
	t.Cleanup(func() {
		h.Stop()
		assert.NoError(t, h.pipe.Close())
	})
	return h
}

// Detections makes hosts with n detections, three each and numbered from 1 on: hosts 10, 20, …, QIDs 1000 to 1003, all of them
// Active since a day.
func (h *Harness) Detections(n int) {
	h.detections = n
	for i := range n {
		h.Script.SetDetection(int64(10+i/3*10), qualyssim.ScriptedDetection{
			ID: int64(i + 1), QID: int64(1000 + i%4), Status: qualyssim.StatusActive, Updated: time.Now().Add(-24 * time.Hour), Results: "r",
		})
	}
}

// EachOnce expects every one of them once, as it was in the beginning.
func (h *Harness) EachOnce() map[string]int {
	counts := map[string]int{}
	for i := range h.detections {
		counts[fmt.Sprintf("detection %d Active", i+1)] = 1
	}
	return counts
}

// Change changes a detection by its number, and makes it as of now.
func (h *Harness) Change(number int, edit func(*qualyssim.ScriptedDetection)) {
	h.Edit(number, func(d *qualyssim.ScriptedDetection) {
		d.Updated = time.Now()
		edit(d)
	})
}

// Edit changes a detection by its number.
func (h *Harness) Edit(number int, edit func(*qualyssim.ScriptedDetection)) {
	id := int64(10 + (number-1)/3*10)
	host, _ := h.Script.Host(id)
	i := slices.IndexFunc(host.Detections, func(d qualyssim.ScriptedDetection) bool { return d.ID == int64(number) })
	require.GreaterOrEqual(h.T, i, 0)
	edit(&host.Detections[i])
	h.Script.SetHost(id, host)
}

// Break makes the last detection of a host malformed, or whole again.
func (h *Harness) Break(id int64, broken bool) {
	host, found := h.Script.Host(id)
	require.True(h.T, found)
	last := &host.Detections[len(host.Detections)-1]
	if last.Raw = ""; broken {
		last.Raw = "<DETECTION><UNIQUE_VULN_ID>1</BROKEN>"
	}
	h.Script.SetHost(id, host)
}

// Dataset makes a dataset that runs until its context ends.
type Dataset func(shared dataset.Settings, status *health.Reporter) func(context.Context)

// Detect is the dataset vulnerabilities with these settings; into is where its collector goes, nil: nowhere.
func Detect(settings dataset.DetectionSettings, options engine.Options, into **engine.Collector) Dataset {
	return func(shared dataset.Settings, status *health.Reporter) func(context.Context) {
		c := dataset.NewDetections(shared, settings, status.Dataset(dataset.Vulnerabilities), options)
		if into != nil {
			*into = c
		}
		return c.Run
	}
}

// DetectionSettings are those of a test: hourly collections of what changed, two hosts a page.
func DetectionSettings() dataset.DetectionSettings {
	return dataset.DetectionSettings{
		Interval: time.Hour, Full: 7 * 24 * time.Hour, Collect: "changed", Overlap: time.Hour,
		Version: "5.0", PageSize: 2, Status: []string{"New", "Active", "Re-Opened", "Fixed"},
	}
}

// Retry is the back-off of a test.
func Retry() configretry.BackOffConfig {
	retry := configretry.NewDefaultBackOffConfig()
	retry.InitialInterval = time.Second
	retry.MaxInterval = 10 * time.Second
	retry.MaxElapsedTime = 0
	return retry
}

// SideBySide returns a harness over a subscription that allows so many requests at once, of which one is left to others. Each
// takes a second. Options may say more.
func SideBySide(t *testing.T, concurrency int, options qualyssim.Options) *Harness {
	options.Concurrency = concurrency
	if options.Faults.Delay == 0 {
		options.Faults.Delay = qualyssim.Duration(time.Second)
	}
	h := NewWith(t, options)
	h.MaxConcurrent = 10
	h.Client = func(s *qualys.Settings) { s.MaxConcurrent, s.ConcurrencyReserve = h.MaxConcurrent, 1 }
	return h
}

// Run starts datasets, as after a restart of the collector if others ran before.
func (h *Harness) Run(datasets ...Dataset) {
	require.Nil(h.T, h.cancel, "they run already")
	core, logs := observer.New(zap.DebugLevel)
	h.Logs = logs
	settings := receivertest.NewNopSettings(component.MustNewType("qualysvmdr"))
	telemetry, err := metadata.NewTelemetryBuilder(settings.TelemetrySettings)
	require.NoError(h.T, err)
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: settings.ID, ReceiverCreateSettings: settings})
	require.NoError(h.T, err)
	h.Health = health.New(health.Settings{Logger: zap.New(core), Source: "qualysvmdr"},
		dataset.Vulnerabilities, dataset.KnowledgeBase, dataset.Hosts, dataset.AssetInventory, dataset.ActivityLog)
	waits := &engine.Waits{}
	endpoint := qualys.Endpoint{HTTP: &http.Client{Transport: h.pipe.Transport()}, Username: "user", Password: "pass"}
	server, gateway := endpoint, endpoint
	server.URL, gateway.URL = "http://server.test", "http://gateway.test"
	client := qualys.Settings{
		Server: server, Gateway: gateway, UserAgent: "test", ReadIdleTimeout: time.Minute, PageTimeout: time.Hour,
		Observer: waiting{waits},
	}
	if h.Client != nil {
		h.Client(&client)
	}
	serverURL, err := url.Parse(server.URL)
	require.NoError(h.T, err)
	gatewayURL, err := url.Parse(gateway.URL)
	require.NoError(h.T, err)
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	shared := dataset.Settings{
		Engine: engine.Settings{
			Receiver: "qualysvmdr", Logger: zap.New(core), Store: checkpoint.New(h.Storage), Telemetry: telemetry,
			Deliverer: engine.NewDeliverer(ctx, h.Backend, obs, Retry()), Waits: waits, Retry: Retry(), InitialDelay: time.Second,
			MaxRecords: 2, MaxBytes: 1 << 20, Budget: engine.NewBudget(1 << 20),
		},
		Client:        qualys.New(client),
		Records:       records.Settings{MaxRecords: 2, MaxBytes: 1 << 20},
		Server:        serverURL,
		Gateway:       gatewayURL,
		MaxConcurrent: h.MaxConcurrent,
	}
	if h.Shared != nil {
		h.Shared(&shared)
	}
	for _, d := range datasets {
		run := d(shared, h.Health)
		h.running.Go(func() { run(ctx) })
	}
}

// Stop stops the datasets, as a stop of the collector does.
func (h *Harness) Stop() {
	if h.cancel != nil {
		h.cancel()
		h.running.Wait()
		h.cancel = nil
	}
}

// Kill ends the datasets as the death of the collector does: what they write from now on is lost, though what they deliver may
// still arrive. They run no more when it returns.
func (h *Harness) Kill() {
	kept, ok := h.Storage.(*Storage)
	require.True(h.T, ok, "only a *Storage can be killed")
	left := kept.Copy()
	h.Stop()
	h.Storage = left
}

// Hosts makes n hosts of three detections each, as Detections does.
func (h *Harness) Hosts(n int) { h.Detections(3 * n) }

// Advance lets time go by, and everything that happens in it.
func (h *Harness) Advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Asked returns the requests of an API that were sent since the beginning.
func (h *Harness) Asked(api qualyssim.API) []qualyssim.Request {
	return slices.DeleteFunc(h.Sim.Requests(), func(r qualyssim.Request) bool { return r.API != api })
}

// ExpectDelivered expects that exactly these records were accepted, so often.
func (h *Harness) ExpectDelivered(want map[string]int, why ...any) {
	h.T.Helper()
	assert.Equal(h.T, want, h.Backend.Counts(), why...)
}

// ExpectState expects a dataset to be in a state.
func (h *Harness) ExpectState(name string, want health.State) {
	h.T.Helper()
	assert.Equal(h.T, want.String(), h.Health.Snapshot()[name].String(), name)
}

// ExpectLogged expects a message to have been logged so often since the last start.
func (h *Harness) ExpectLogged(times int, snippet string) {
	h.T.Helper()
	assert.Len(h.T, h.Logs.FilterMessageSnippet(snippet).All(), times, snippet)
}

// Slow lets time go by in a server that takes it, as what happens elsewhere goes on. It may be called in any goroutine of the
// bubble.
func Slow(d time.Duration) { time.Sleep(d) }
