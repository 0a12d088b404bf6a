// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
)

var fileStorageID = component.MustNewID("file_storage")

// hostWithFiles is another collector each time, all of which keep their checkpoints in one directory with the real file_storage.
func hostWithFiles(t *testing.T, directory string) *statusHost {
	t.Helper()
	factory := filestorage.NewFactory()
	config := factory.CreateDefaultConfig().(*filestorage.Config)
	config.Directory, config.Timeout = directory, 50*time.Millisecond
	settings := extension.Settings{ID: fileStorageID, TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	files, err := factory.Create(t.Context(), settings, config)
	require.NoError(t, err)
	return &statusHost{extensions: map[component.ID]component.Component{fileStorageID: files}}
}

// withFiles is detectionsOnly in small pages, with its checkpoints in files.
func withFiles(url string) *Config {
	cfg := detectionsOnly(url)
	cfg.Vulnerabilities.Get().PageSize = 5
	cfg.Storage = &fileStorageID
	return cfg
}

// stateOf is the state that the last status tells.
func stateOf(host *statusHost) any {
	event := host.last()
	if event == nil || event.Status() != componentstatus.StatusOK {
		return nil
	}
	state, _ := event.Attributes().Get("state")
	return state.Str()
}

func TestASecondCollectorStandsByAndGoesOnWhereTheFirstOneWas(t *testing.T) {
	sim, url := subscription(t, qualyssim.Options{Hosts: 30})
	directory := t.TempDir()
	first, second := new(consumertest.LogsSink), new(consumertest.LogsSink)
	core, logged := observer.New(zap.InfoLevel)
	stop := start(t, withFiles(url), first, hostWithFiles(t, directory), zap.New(core))
	require.Eventually(t, func() bool { return finished(logged) == 1 }, waitLimit, glance)
	requests := len(sim.Requests())

	host := hostWithFiles(t, directory)
	secondCore, secondLogged := observer.New(zap.InfoLevel)
	start(t, withFiles(url), second, host, zap.New(secondCore))
	require.Eventually(t, func() bool { return stateOf(host) == "Standby" }, waitLimit, glance, "it counts as ready")
	require.Eventually(t, func() bool { return secondLogged.FilterMessage("storage is in use by another collector").Len() == 1 }, waitLimit, glance)
	assert.Len(t, sim.Requests(), requests, "a collector that stands by sends nothing")

	touched := int64(0)
	for d := range sim.Detections() {
		touched = d.UniqueVulnID
	}
	stop()
	require.NoError(t, sim.TouchDetection(touched, qualyssim.StatusActive))
	require.Eventually(t, func() bool { return secondLogged.FilterMessageSnippet("dataset is Initialized").Len() == 1 }, waitLimit, glance)
	assert.Equal(t, 1, secondLogged.FilterMessage("storage is in use by another collector").Len(), "it is said once")
	assert.NotEqual(t, "Standby", stateOf(host))
	assert.Zero(t, second.LogRecordCount(), "what the first one has delivered is not delivered again")
}

func TestOnlyTheLockMakesAReceiverStandBy(t *testing.T) {
	directory := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(directory, "receiver_qualysvmdr_"), []byte("this is no database of file_storage, and longer than its header is"), 0o600))
	settings := receivertest.NewNopSettings(metadata.Type)
	settings.ID = component.NewID(metadata.Type)
	logs, err := NewFactory().CreateLogs(t.Context(), settings, withFiles("http://127.0.0.1:1"), consumertest.NewNop())
	require.NoError(t, err)
	require.Error(t, logs.Start(t.Context(), hostWithFiles(t, directory)))
	assert.NoError(t, logs.Shutdown(t.Context()))
}

func TestAReceiverThatStandsByStops(t *testing.T) {
	_, url := subscription(t, qualyssim.Options{Hosts: 1})
	directory := t.TempDir()
	start(t, withFiles(url), consumertest.NewNop(), hostWithFiles(t, directory), zap.NewNop())
	host := hostWithFiles(t, directory)
	stop := start(t, withFiles(url), consumertest.NewNop(), host, zap.NewNop())
	require.Eventually(t, func() bool { return stateOf(host) == "Standby" }, waitLimit, glance)
	stop()
}

// The other one may have the right password.
func TestACollectorThatHasStoppedForGoodHandsTheStorageOver(t *testing.T) {
	_, url := subscription(t, qualyssim.Options{Hosts: 5})
	directory := t.TempDir()
	wrong := withFiles(url)
	wrong.Password = "wrong"
	host := hostWithFiles(t, directory)
	start(t, wrong, consumertest.NewNop(), host, zap.NewNop())
	require.Eventually(t, func() bool { return host.last() != nil && host.last().Status() == componentstatus.StatusPermanentError }, waitLimit, glance)
	core, logged := observer.New(zap.InfoLevel)
	start(t, withFiles(url), consumertest.NewNop(), hostWithFiles(t, directory), zap.New(core))
	require.Eventually(t, func() bool { return finished(logged) == 1 }, waitLimit, glance)
}

func TestRefusedCredentialsAreNotSentByTheNextCollector(t *testing.T) {
	sim, url := subscription(t, qualyssim.Options{Hosts: 5})
	directory := t.TempDir()
	for range 3 {
		wrong := withFiles(url)
		wrong.Password = "wrong"
		host := hostWithFiles(t, directory)
		start(t, wrong, consumertest.NewNop(), host, zap.NewNop())
		require.Eventually(t, func() bool { return host.last() != nil && host.last().Status() == componentstatus.StatusPermanentError }, waitLimit, glance)
	}
	assert.Len(t, sim.Requests(), 1)
}

// closing is a storage extension whose clients can be closed under their users, as by a compaction that fails.
type closing struct {
	component.Component

	opened atomic.Int64
	broken atomic.Bool
	lost   bool // clients are closed as soon as they are opened
	values memory
}

func (*closing) Start(context.Context, component.Host) error { return nil }

func (*closing) Shutdown(context.Context) error { return nil }

func (c *closing) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	c.opened.Add(1)
	c.broken.Store(c.lost)
	return &closingClient{Client: c.values, extension: c}, nil
}

type closingClient struct {
	storage.Client

	extension *closing
}

func (c *closingClient) Batch(ctx context.Context, ops ...*storage.Operation) error {
	if c.extension.broken.Load() {
		return errors.New("the database is closed")
	}
	return c.Client.Batch(ctx, ops...)
}

func TestAStorageThatIsClosedUnderTheReceiverIsOpenedAgain(t *testing.T) {
	sim, url := subscription(t, qualyssim.Options{Hosts: 30})
	extension := &closing{values: memory{}}
	host := &statusHost{extensions: map[component.ID]component.Component{fileStorageID: extension}}
	sink := new(consumertest.LogsSink)
	cfg := withFiles(url)
	cfg.BatchSize = 10
	var offers atomic.Int64
	next, err := consumer.NewLogs(func(ctx context.Context, logs plog.Logs) error {
		if offers.Add(1) == 3 {
			extension.broken.Store(true)
		}
		return sink.ConsumeLogs(ctx, logs)
	})
	require.NoError(t, err)
	core, logged := observer.New(zap.InfoLevel)
	start(t, cfg, next, host, zap.New(core))
	require.Eventually(t, func() bool { return finished(logged) == 1 }, waitLimit, glance)
	assert.EqualValues(t, 2, extension.opened.Load())
	open, err := sim.DetectionsFor(map[string][]string{"action": {"list"}, "status": {"New,Active,Re-Opened"}})
	require.NoError(t, err)
	got := attributes(sink, "vulnerabilityLogs", "qualys.detection.id")
	repeated := 0
	for d := range open {
		id := strconv.FormatInt(d.UniqueVulnID, 10)
		require.Positive(t, got[id], "a record is lost")
		repeated += got[id] - 1
	}
	assert.LessOrEqual(t, repeated, 2*cfg.BatchSize, "only what was delivered after the storage was closed can be repeated")
}

func TestAStorageThatIsClosedAsSoonAsItIsOpenedIsNotOpenedWithoutPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		extension := &closing{values: memory{}, lost: true}
		host := &statusHost{extensions: map[component.ID]component.Component{fileStorageID: extension}}
		stop := start(t, withFiles("http://127.0.0.1:1"), consumertest.NewNop(), host, zap.NewNop())
		time.Sleep(time.Minute)
		assert.LessOrEqual(t, extension.opened.Load(), int64(31))
		began := time.Now()
		stop()
		assert.Zero(t, time.Since(began))
	})
}
