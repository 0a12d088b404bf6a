// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/k8sleaderelector"
	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver"
)

const (
	waitLimit = time.Minute // for what must happen at some time
	glance    = 10 * time.Millisecond
)

var (
	storageID  = component.MustNewID("file_storage")
	electionID = component.MustNewID("k8s_leader_elector")
)

// backend takes records, and counts how often each came. While it hangs it takes none.
type backend struct {
	mu      sync.Mutex // guards everything below
	taken   map[string]int
	hangs   bool
	hanging int
}

// hang makes the backend take records no more, or again.
func (b *backend) hang(hangs bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hangs = hangs
}

// waiting is how many deliveries it does not take at present.
func (b *backend) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hanging
}

// counts is how often each record came.
func (b *backend) counts() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := map[string]int{}
	for id, n := range b.taken {
		counts[id] = n
	}
	return counts
}

func (b *backend) consume(ctx context.Context, logs plog.Logs) error {
	b.mu.Lock()
	if b.hangs {
		b.hanging++
		b.mu.Unlock()
		<-ctx.Done()
		b.mu.Lock()
		b.hanging--
		b.mu.Unlock()
		return ctx.Err()
	}
	defer b.mu.Unlock()
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				id, _ := record.Attributes().Get("qualys.detection.id")
				b.taken[id.AsString()]++
			}
		}
	}
	return nil
}

// cluster is a subscription, a backend, an API server and a volume, between which collectors run.
type cluster struct {
	sim       *qualyssim.Server
	url       string
	backend   *backend
	leases    *leaseServer
	directory string
}

func newCluster(t *testing.T, options qualyssim.Options) *cluster {
	t.Helper()
	c := &cluster{sim: qualyssim.New(options), backend: &backend{taken: map[string]int{}}, leases: newLeaseServer(t), directory: t.TempDir()}
	server := httptest.NewServer(c.sim)
	t.Cleanup(server.Close)
	c.url = server.URL
	t.Setenv("KUBECONFIG", c.leases.kubeconfig(t))
	return c
}

// onceEach is every open detection of the subscription, once.
func (c *cluster) onceEach(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	open, err := c.sim.DetectionsFor(map[string][]string{"action": {"list"}, "status": {"New,Active,Re-Opened"}})
	require.NoError(t, err)
	for d := range open {
		counts[fmt.Sprint(d.UniqueVulnID)] = 1
	}
	return counts
}

// collector is a receiver with the extensions that it needs.
type collector struct {
	extensions map[component.ID]component.Component
	logged     *observer.ObservedLogs
	stop       func()
}

func (c *collector) GetExtensions() map[component.ID]component.Component { return c.extensions }

// terms is how often the receiver has begun to collect.
func (c *collector) terms() int {
	return c.logged.FilterMessage("dataset is Initialized").Len()
}

// start runs a collector until the test ends, or until it is stopped.
func (c *cluster) start(t *testing.T, lease, renew, retry time.Duration) *collector {
	t.Helper()
	core, logged := observer.New(zap.InfoLevel)
	telemetry := componenttest.NewNopTelemetrySettings()
	telemetry.Logger = zap.New(core)
	run := &collector{logged: logged, extensions: map[component.ID]component.Component{}}

	files := filestorage.NewFactory().CreateDefaultConfig().(*filestorage.Config)
	files.Directory, files.Timeout = c.directory, 100*time.Millisecond
	elector := k8sleaderelector.NewFactory().CreateDefaultConfig().(*k8sleaderelector.Config)
	elector.AuthType = "kubeConfig"
	elector.LeaseName, elector.LeaseNamespace = "qualysvmdr", "default"
	elector.LeaseDuration, elector.RenewDuration, elector.RetryPeriod = lease, renew, retry
	for id, e := range map[component.ID]struct {
		factory extension.Factory
		config  component.Config
	}{storageID: {filestorage.NewFactory(), files}, electionID: {k8sleaderelector.NewFactory(), elector}} {
		made, err := e.factory.Create(t.Context(), extension.Settings{ID: id, TelemetrySettings: telemetry}, e.config)
		require.NoError(t, err)
		require.NoError(t, made.Start(t.Context(), run))
		run.extensions[id] = made
	}

	factory := qualysvmdrreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*qualysvmdrreceiver.Config)
	config.Server.Endpoint, config.Gateway.Endpoint = c.url, c.url
	config.Username, config.Password = qualyssim.DefaultUsername, qualyssim.DefaultPassword
	config.Vulnerabilities = configoptional.Some(*config.Vulnerabilities.GetOrInsertDefault())
	config.Vulnerabilities.Get().PageSize = 2
	config.Storage, config.LeaderElector = &storageID, &electionID
	config.InitialDelay = 0
	require.NoError(t, config.Validate())
	settings := receivertest.NewNopSettings(factory.Type())
	settings.ID = component.NewID(factory.Type())
	settings.Logger = telemetry.Logger
	next, err := consumer.NewLogs(c.backend.consume)
	require.NoError(t, err)
	logs, err := factory.CreateLogs(t.Context(), settings, config, next)
	require.NoError(t, err)
	require.NoError(t, logs.Start(t.Context(), run))

	var once sync.Once
	run.stop = func() {
		once.Do(func() {
			assert.NoError(t, logs.Shutdown(context.Background()))
			assert.NoError(t, run.extensions[electionID].Shutdown(context.Background()))
			assert.NoError(t, run.extensions[storageID].Shutdown(context.Background()))
		})
	}
	t.Cleanup(run.stop)
	return run
}

func TestWhenTheLeaderStopsTheOtherOneGoesOn(t *testing.T) {
	c := newCluster(t, qualyssim.Options{Hosts: 30})
	first := c.start(t, 3*time.Second, 2*time.Second, 200*time.Millisecond)
	require.Eventually(t, func() bool { return len(c.backend.counts()) > 0 }, waitLimit, glance)
	c.backend.hang(true)
	second := c.start(t, 3*time.Second, 2*time.Second, 200*time.Millisecond)
	assert.Zero(t, second.terms())
	first.stop()
	c.backend.hang(false)
	require.Eventually(t, func() bool { return second.logged.FilterMessage("collection finished").Len() == 1 }, waitLimit, glance)
	assert.Equal(t, c.onceEach(t), c.backend.counts())
}

func TestWhenTheAPIServerIsAwayNothingIsLostOrRepeated(t *testing.T) {
	c := newCluster(t, qualyssim.Options{Hosts: 30})
	c.backend.hang(true)
	both := []*collector{
		c.start(t, 3*time.Second, 2*time.Second, 200*time.Millisecond),
		c.start(t, 3*time.Second, 2*time.Second, 200*time.Millisecond),
	}
	terms := func() int { return both[0].terms() + both[1].terms() }
	require.Eventually(t, func() bool { return c.backend.waiting() == 1 }, waitLimit, glance)
	require.Equal(t, 1, terms(), "only one collects")

	c.leases.goAway(true)
	require.Eventually(t, func() bool { return c.backend.waiting() == 0 }, waitLimit, glance, "who is the leader is not known, so nobody may be it")
	c.backend.hang(false)
	c.leases.goAway(false)
	finished := func() int {
		return both[0].logged.FilterMessage("collection finished").Len() + both[1].logged.FilterMessage("collection finished").Len()
	}
	require.Eventually(t, func() bool { return finished() == 1 }, waitLimit, glance)
	assert.Equal(t, 2, terms())
	assert.Equal(t, c.onceEach(t), c.backend.counts())
}

func TestFiftyTermsLeaveNothingBehind(t *testing.T) {
	c := newCluster(t, qualyssim.Options{Hosts: 100})
	both := []*collector{
		c.start(t, time.Second, 400*time.Millisecond, 50*time.Millisecond),
		c.start(t, time.Second, 400*time.Millisecond, 50*time.Millisecond),
	}
	terms := func() int { return both[0].terms() + both[1].terms() }
	for term := range 50 {
		require.Eventually(t, func() bool { return terms() > term }, waitLimit, glance)
		c.leases.give("another collector")
		require.Eventually(t, func() bool { return !strings.Contains(stacks(t), "(*session).run(") }, waitLimit, glance, "the term does not end")
		assert.Empty(t, openFiles(t, c.directory))
		c.leases.give("")
	}
	require.Eventually(t, func() bool { return len(c.onceEach(t)) == len(c.backend.counts()) }, waitLimit, glance)
	for _, collector := range both {
		collector.stop()
	}
	require.Eventually(t, func() bool { return !strings.Contains(stacks(t), "qualysvmdrreceiver.(") }, waitLimit, glance, "goroutines go on")
	assert.Empty(t, openFiles(t, c.directory))
}

// stacks are those of all goroutines.
func stacks(t *testing.T) string {
	t.Helper()
	var text bytes.Buffer
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&text, 2))
	return text.String()
}

// openFiles are those in a directory that this process has open.
func openFiles(t *testing.T, directory string) []string {
	t.Helper()
	descriptors, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	var open []string
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(descriptor); err == nil && strings.HasPrefix(target, directory) {
			open = append(open, target)
		}
	}
	return open
}
