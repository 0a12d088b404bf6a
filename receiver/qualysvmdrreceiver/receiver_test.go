// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/storagetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pipeline"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
)

const (
	waitLimit = 20 * time.Second // for what must happen at some time
	glance    = 10 * time.Millisecond
)

// statusHost is a host that keeps the statuses reported to it.
type statusHost struct {
	extensions map[component.ID]component.Component

	mu     sync.Mutex
	events []*componentstatus.Event
}

func (h *statusHost) GetExtensions() map[component.ID]component.Component { return h.extensions }

func (h *statusHost) Report(event *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event)
}

func (h *statusHost) last() *componentstatus.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) == 0 {
		return nil
	}
	return h.events[len(h.events)-1]
}

// subscription is a simulated Qualys subscription.
func subscription(t *testing.T, options qualyssim.Options) (*qualyssim.Server, string) {
	options.Username, options.Password = "user", "pa+ss &%<ö"
	sim := qualyssim.New(options)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return sim, server.URL
}

// configFor collects all datasets of a simulated subscription.
func configFor(url string) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Server.Endpoint, cfg.Gateway.Endpoint = url, url
	cfg.Username, cfg.Password = "user", "pa+ss &%<ö"
	cfg.Vulnerabilities = configoptional.Some(*cfg.Vulnerabilities.GetOrInsertDefault())
	cfg.KnowledgeBase = configoptional.Some(*cfg.KnowledgeBase.GetOrInsertDefault())
	cfg.AssetInventory = configoptional.Some(*cfg.AssetInventory.GetOrInsertDefault())
	cfg.InitialDelay = 0
	cfg.RetryOnFailure.InitialInterval = 10 * time.Millisecond
	cfg.RetryOnFailure.MaxInterval = 100 * time.Millisecond
	return cfg
}

// start runs a receiver until the test ends, or until the function that it returns is called.
func start(t *testing.T, cfg *Config, next consumer.Logs, host component.Host, log *zap.Logger) (stop func()) {
	t.Helper()
	require.NoError(t, cfg.Validate())
	settings := receivertest.NewNopSettings(metadata.Type)
	settings.ID = component.NewID(metadata.Type)
	settings.Logger = log
	logs, err := NewFactory().CreateLogs(t.Context(), settings, cfg, next)
	require.NoError(t, err)
	require.NoError(t, logs.Start(t.Context(), host))
	var once sync.Once
	stop = func() { once.Do(func() { assert.NoError(t, logs.Shutdown(context.Background())) }) }
	t.Cleanup(stop)
	return stop
}

// attributes returns the values of an attribute of all records with a LogType, and how often each came.
func attributes(sink *consumertest.LogsSink, logType, name string) map[string]int {
	values := map[string]int{}
	for _, logs := range sink.AllLogs() {
		for _, rl := range logs.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, record := range sl.LogRecords().All() {
					if kind, ok := record.Attributes().Get("LogType"); !ok || kind.AsString() != logType {
						continue
					}
					if value, ok := record.Attributes().Get(name); ok {
						values[value.AsString()]++
					}
				}
			}
		}
	}
	return values
}

// finished tells how many datasets have finished a collection.
func finished(logged *observer.ObservedLogs) int {
	datasets := map[any]bool{}
	for _, entry := range logged.FilterMessage("collection finished").All() {
		datasets[entry.ContextMap()["dataset"]] = true
	}
	return len(datasets)
}

func TestAllDatasetsArrive(t *testing.T) {
	sim, url := subscription(t, qualyssim.Options{Hosts: 200, Assets: 50, QIDs: 400, TokenUses: 2})
	cfg := configFor(url)
	cfg.Vulnerabilities.Get().PageSize = 30
	cfg.AssetInventory.Get().PageSize = 7
	cfg.KnowledgeBase.Get().PageSize = 50
	sink, host := new(consumertest.LogsSink), &statusHost{}
	wantDetections, wantEntries, wantAssets := map[string]int{}, map[string]int{}, map[string]int{}
	detected := map[int64]bool{}
	open := slices.Collect(func(yield func(qualyssim.Detection) bool) {
		list, err := sim.DetectionsFor(map[string][]string{"action": {"list"}, "status": {"New,Active,Re-Opened"}})
		require.NoError(t, err)
		list(yield)
	})
	for _, d := range open {
		wantDetections[fmt.Sprint(d.UniqueVulnID)] = 1
		detected[d.QID] = true
	}
	for entry := range sim.QIDs() {
		if entry.Exists && detected[entry.QID] {
			wantEntries[fmt.Sprint(entry.QID)] = 1
		}
	}
	for asset := range sim.Assets() {
		wantAssets[fmt.Sprint(asset.ID)] = 1
	}

	start(t, cfg, sink, host, zap.NewNop())
	require.Eventually(t, func() bool { return sink.LogRecordCount() >= len(wantDetections)+len(wantEntries)+len(wantAssets) }, waitLimit, glance)
	require.Eventually(t, func() bool { return host.last() != nil && host.last().Status() == componentstatus.StatusOK }, waitLimit, glance)
	assert.Equal(t, wantDetections, attributes(sink, "vulnerabilityLogs", "qualys.detection.id"))
	assert.Equal(t, wantEntries, attributes(sink, "knowledgeBaseLogs", "qualys.qid"), "every detected QID that has an entry, and no other")
	assert.Equal(t, wantAssets, attributes(sink, "assetInventory", "qualys.asset.id"), "though tokens expire after two calls")
	for _, r := range sim.Requests() {
		if r.API == qualyssim.Assets {
			assert.Equal(t, qualyssim.BearerAuth, r.Auth)
		}
		if r.API == qualyssim.KnowledgeBase {
			assert.Equal(t, http.MethodPost, r.Method)
		}
	}
}

func TestHostsArriveAndThoseThatAreGone(t *testing.T) {
	script := &qualyssim.Script{}
	wantHosts := map[string]int{}
	for id := int64(1); id <= 30; id++ {
		script.SetHost(id, qualyssim.ScriptedHost{AssetID: 100 + id})
		wantHosts[fmt.Sprint(100+id)] = 1
	}
	_, url := subscription(t, qualyssim.Options{Script: script})
	cfg := createDefaultConfig().(*Config)
	cfg.Server.Endpoint = url
	cfg.Username, cfg.Password = "user", "pa+ss &%<ö"
	cfg.InitialDelay = 0
	cfg.Hosts = configoptional.Some(*cfg.Hosts.GetOrInsertDefault())
	cfg.Hosts.Get().CollectionInterval = time.Second
	cfg.Hosts.Get().PageSize = 7
	sink := new(consumertest.LogsSink)
	start(t, cfg, sink, &statusHost{}, zap.NewNop())
	require.Eventually(t, func() bool { return sink.LogRecordCount() >= 30 }, waitLimit, glance)
	assert.Equal(t, wantHosts, attributes(sink, "hostLogs", "qualys.asset.id"))
	script.RemoveHost(17)
	require.Eventually(t, func() bool { return len(attributes(sink, "removedHostLogs", "qualys.asset.id")) > 0 }, waitLimit, glance)
	assert.Equal(t, map[string]int{"117": 1}, attributes(sink, "removedHostLogs", "qualys.asset.id"))
}

func TestActivityLogArrives(t *testing.T) {
	sim, url := subscription(t, qualyssim.Options{Activities: 300, Pretty: true, Faults: qualyssim.Faults{
		Rates: map[qualyssim.Fault]float64{qualyssim.Cut: 0.2, qualyssim.ForeignURL: 0.3, qualyssim.ServerError: 0.1},
	}})
	cfg := configFor(url)
	cfg.Vulnerabilities = configoptional.None[VulnerabilitiesConfig]()
	cfg.KnowledgeBase = configoptional.None[KnowledgeBaseConfig]()
	cfg.AssetInventory = configoptional.None[AssetInventoryConfig]()
	cfg.ActivityLog = configoptional.Some(*cfg.ActivityLog.GetOrInsertDefault())
	cfg.ActivityLog.Get().InitialLookback = 0
	cfg.ActivityLog.Get().PageSize = 40
	cfg.BatchSize = 7
	cfg.Timestamp = TimestampEvent
	want := map[qualyssim.Activity]int{}
	for row := range sim.Activities() {
		row.ID = 0
		row.Details = strings.ReplaceAll(row.Details, "\r\n", "\n")
		want[row]++
	}
	require.Less(t, len(want), 300, "some rows are equal")

	core, logged := observer.New(zap.InfoLevel)
	sink := new(consumertest.LogsSink)
	stop := start(t, cfg, sink, &statusHost{}, zap.New(core))
	require.Eventually(t, func() bool { return finished(logged) == 1 }, waitLimit, glance)
	stop()
	got, ids := map[qualyssim.Activity]int{}, attributes(sink, "userActivityLogs", "log.record.uid")
	for _, logs := range sink.AllLogs() {
		for _, rl := range logs.ResourceLogs().All() {
			for _, record := range rl.ScopeLogs().At(0).LogRecords().All() {
				text := func(key string) string {
					value, _ := record.Body().Map().Get(key)
					return value.Str()
				}
				got[qualyssim.Activity{
					Date: record.Timestamp().AsTime(), Action: text("Action"), Module: text("Module"), Details: text("Details"),
					UserName: text("UserName"), UserRole: text("UserRole"), UserIP: text("UserIP"),
				}]++
			}
		}
	}
	assert.Equal(t, want, got)
	assert.Len(t, ids, 300, "equal rows have different ones")
}

func TestWrongPasswordIsSentOnceToEachAPIAndShowsInTheStatus(t *testing.T) {
	sim, url := subscription(t, qualyssim.Options{})
	cfg := configFor(url)
	cfg.Password = "wrong-s3cret"
	cfg.HealthEvents.Enabled = true
	core, logged := observer.New(zap.DebugLevel)
	sink, host := new(consumertest.LogsSink), &statusHost{}
	stop := start(t, cfg, sink, host, zap.New(core))
	require.Eventually(t, func() bool {
		return host.last() != nil && host.last().Status() == componentstatus.StatusPermanentError
	}, waitLimit, glance)
	attrs := host.last().Attributes().AsRaw()
	assert.Equal(t, "ThirdPartyConfig", attrs["error.type"])
	assert.Equal(t, "ThirdPartyConfigError", attrs["error.name"])
	stop()
	sent := map[qualyssim.API]int{}
	for _, r := range sim.Requests() {
		sent[r.API]++
	}
	assert.Equal(t, map[qualyssim.API]int{qualyssim.Detections: 1, qualyssim.Auth: 1}, sent)
	for _, entry := range logged.All() {
		assert.NotContains(t, fmt.Sprint(entry.Message, entry.ContextMap()), "wrong-s3cret")
	}
	events := attributes(sink, "healthEvents", "error.type")
	assert.Positive(t, events["ThirdPartyConfig"])
}

func TestNothingOfThePasswordIsLogged(t *testing.T) {
	_, url := subscription(t, qualyssim.Options{Hosts: 5, Assets: 5, Faults: qualyssim.Faults{Rates: map[qualyssim.Fault]float64{qualyssim.ServerError: 0.3, qualyssim.Cut: 0.3}}})
	core, logged := observer.New(zap.DebugLevel)
	sink := new(consumertest.LogsSink)
	stop := start(t, configFor(url), sink, &statusHost{}, zap.New(core))
	require.Eventually(t, func() bool { return finished(logged) == 3 }, waitLimit, glance)
	stop()
	for _, entry := range logged.All() {
		printed := fmt.Sprint(entry.Message, entry.ContextMap())
		assert.NotContains(t, printed, "pa+ss")
		assert.NotContains(t, printed, "pa%2Bss")
	}
}

func TestShutdownWhileAPageArrives(t *testing.T) {
	sim, url := subscription(t, qualyssim.Options{Hosts: 50, Assets: 50, Faults: qualyssim.Faults{BytesPerSecond: 1000}})
	sink := new(consumertest.LogsSink)
	stop := start(t, configFor(url), sink, &statusHost{}, zap.NewNop())
	require.Eventually(t, func() bool { return len(sim.Requests()) >= 3 }, waitLimit, glance)
	stop() // the pages would take minutes; the test's own time limit is the bound
	for _, r := range sim.Requests() {
		assert.False(t, r.Done && r.API == qualyssim.Detections && !r.Aborted, "the page had not ended")
	}
}

// The QIDs that are detected while no KnowledgeBase is configured must not be without an entry once one is.
func TestKnowledgeBaseThatWasOffBeginsWithAFullCollection(t *testing.T) {
	sim, url := subscription(t, qualyssim.Options{Hosts: 10, Assets: 1})
	extension := storagetest.NewFileBackedStorageExtension("checkpoints", t.TempDir())
	host := &statusHost{extensions: map[component.ID]component.Component{extension.ID: extension}}
	// asked is the time filter of the first request for detections with or without the KnowledgeBase.
	asked := func(knowledgeBase bool) string {
		sim.ClearRequests()
		cfg := configFor(url)
		cfg.AssetInventory = configoptional.None[AssetInventoryConfig]()
		cfg.Storage = &extension.ID
		cfg.Vulnerabilities.Get().CollectionInterval = time.Second
		if !knowledgeBase {
			cfg.KnowledgeBase = configoptional.None[KnowledgeBaseConfig]()
		}
		core, logged := observer.New(zap.InfoLevel)
		stop := start(t, cfg, new(consumertest.LogsSink), host, zap.New(core))
		require.Eventually(t, func() bool {
			return logged.FilterMessage("collection finished").FilterField(zap.String("dataset", "vulnerabilities")).Len() > 0
		}, waitLimit, glance)
		stop()
		for _, r := range sim.Requests() {
			if r.API == qualyssim.Detections {
				return r.Form.Get("detection_updated_since")
			}
		}
		require.Fail(t, "no request")
		return ""
	}
	assert.Empty(t, asked(true), "the first collection")
	assert.NotEmpty(t, asked(true))
	assert.NotEmpty(t, asked(false))
	assert.Empty(t, asked(true), "what was detected meanwhile has no entry")
	assert.NotEmpty(t, asked(true))
}

func TestCheckpointsAreKeptInTheStorage(t *testing.T) {
	sim, url := subscription(t, qualyssim.Options{Hosts: 30, Assets: 10})
	cfg := configFor(url)
	extension := storagetest.NewFileBackedStorageExtension("checkpoints", t.TempDir())
	cfg.Storage = &extension.ID
	host := &statusHost{extensions: map[component.ID]component.Component{extension.ID: extension}}
	sink := new(consumertest.LogsSink)
	core, logged := observer.New(zap.InfoLevel)
	stop := start(t, cfg, sink, host, zap.New(core))
	require.Eventually(t, func() bool { return finished(logged) == 3 }, waitLimit, glance)
	stop()
	delivered := sink.LogRecordCount()
	sim.ClearRequests()

	core, logged = observer.New(zap.InfoLevel)
	stop = start(t, cfg, sink, host, zap.New(core))
	require.Eventually(t, func() bool { return logged.FilterMessageSnippet("Initialized").Len() >= 3 }, waitLimit, glance)
	stop()
	assert.Equal(t, delivered, sink.LogRecordCount(), "finished collections are not repeated by a restart")
	assert.Empty(t, sim.Requests())
}

func TestStorageThatIsMissingIsSaidAtTheStart(t *testing.T) {
	cfg := configFor("http://127.0.0.1:1")
	id := component.MustNewID("file_storage")
	cfg.Storage = &id
	logs, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.NoError(t, err)
	assert.ErrorContains(t, logs.Start(t.Context(), &statusHost{}), "file_storage")
	assert.NoError(t, logs.Shutdown(t.Context()))
}

// detectionServer is a Qualys that has the detections which a contract test generates.
type detectionServer struct {
	mu  sync.Mutex
	ids []int
	n   int
}

func (s *detectionServer) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = nil
}

// Stop forgets what was generated: the next receiver may ask before Start.
func (s *detectionServer) Stop() { s.Start() }

func (s *detectionServer) Generate() []receivertest.UniqueIDAttrVal {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.ids = append(s.ids, s.n)
	return []receivertest.UniqueIDAttrVal{receivertest.UniqueIDAttrVal(fmt.Sprint(s.n))}
}

func (s *detectionServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC().Format(time.RFC3339)
	fmt.Fprintf(w, "<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><DATETIME>%s</DATETIME>", now)
	if len(s.ids) > 0 {
		fmt.Fprint(w, "<HOST_LIST><HOST><ID>1</ID><DETECTION_LIST>")
		for _, id := range s.ids {
			fmt.Fprintf(w, "<DETECTION><UNIQUE_VULN_ID>%d</UNIQUE_VULN_ID></DETECTION>", id)
		}
		fmt.Fprint(w, "</DETECTION_LIST></HOST></HOST_LIST>")
	}
	fmt.Fprint(w, "</RESPONSE></HOST_LIST_VM_DETECTION_OUTPUT>")
}

// identified gives every record the attribute by which contract tests know it.
type identified struct{ consumer.Logs }

func (c identified) ConsumeLogs(ctx context.Context, offered plog.Logs) error {
	own := plog.NewLogs()
	offered.CopyTo(own)
	for _, rl := range own.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				id, _ := record.Attributes().Get("qualys.detection.id")
				record.Attributes().PutStr(receivertest.UniqueIDAttrName, id.AsString())
			}
		}
	}
	return c.Logs.ConsumeLogs(ctx, own)
}

func TestConsumeContract(t *testing.T) {
	generator := &detectionServer{}
	server := httptest.NewServer(generator)
	t.Cleanup(server.Close)
	cfg := configFor(server.URL)
	cfg.KnowledgeBase = configoptional.None[KnowledgeBaseConfig]()
	cfg.AssetInventory = configoptional.None[AssetInventoryConfig]()
	cfg.Vulnerabilities.Get().CollectionInterval = 50 * time.Millisecond
	// The test takes a batch that was refused for good for dropped, while the receiver offers its halves again.
	cfg.BatchSize = 1
	factory := receiver.NewFactory(metadata.Type, createDefaultConfig, receiver.WithLogs(
		func(ctx context.Context, settings receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
			return createLogs(ctx, settings, cfg, identified{next})
		}, metadata.LogsStability))
	receivertest.CheckConsumeContract(receivertest.CheckConsumeContractParams{
		T: t, Factory: factory, Signal: pipeline.SignalLogs, Config: cfg, Generator: generator, GenerateCount: 100,
	})
}
