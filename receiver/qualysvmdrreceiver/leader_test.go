// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
)

var electionID = component.MustNewID("k8s_leader_elector")

// election is a leader election extension that elects when it is told to.
type election struct {
	component.Component

	mu      sync.Mutex
	onStart func(context.Context)
	onStop  func()
}

var _ leaderElection = (*election)(nil)

func (e *election) SetCallBackFuncs(onStart func(context.Context), onStop func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.onStart, e.onStop = onStart, onStop
}

// withElection is a collector whose receiver waits to be elected.
func withElection(t *testing.T, directory string) (*statusHost, *election) {
	t.Helper()
	host, e := hostWithFiles(t, directory), &election{}
	host.extensions[electionID] = e
	return host, e
}

func elected(url string) *Config {
	cfg := withFiles(url)
	cfg.LeaderElector = &electionID
	return cfg
}

func TestTermsFollowOneAnother(t *testing.T) {
	type step func(l *leadership, ctx context.Context, end context.CancelFunc)
	begin := func(l *leadership, ctx context.Context, _ context.CancelFunc) { l.start(ctx) }
	stop := func(l *leadership, _ context.Context, _ context.CancelFunc) { l.stop() }
	end := func(_ *leadership, _ context.Context, end context.CancelFunc) { end() }
	shut := func(l *leadership, _ context.Context, end context.CancelFunc) {
		end()
		l.close()
	}
	for _, test := range []struct {
		name           string
		steps          []step
		began, running int64
	}{
		{"elected", []step{begin}, 1, 1},
		{"no more elected", []step{begin, stop}, 1, 0},
		{"the election's context ends, and no stop comes", []step{begin, end}, 1, 0},
		{"both", []step{begin, end, stop}, 1, 0},
		{"a stop comes without a start", []step{stop, begin}, 1, 1},
		{"a start comes late, when the election is over", []step{end, begin}, 0, 0},
		{"elected twice, without a stop", []step{begin, begin}, 2, 1},
		{"elected again", []step{begin, stop, begin}, 2, 1},
		{"elected after the shutdown", []step{begin, shut, begin}, 1, 0},
		{"no more elected after the shutdown", []step{begin, shut, stop}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var began, running atomic.Int64
				l := newLeadership(func(ctx context.Context) {
					began.Add(1)
					assert.EqualValues(t, 1, running.Add(1), "two terms run at once")
					<-ctx.Done()
					time.Sleep(time.Second) // until a delivery has ended
					running.Add(-1)
				})
				ctx, cancel := context.WithCancel(t.Context())
				for _, s := range test.steps {
					s(l, ctx, cancel)
					synctest.Wait()
				}
				time.Sleep(2 * time.Second)
				assert.Equal(t, test.began, began.Load())
				assert.Equal(t, test.running, running.Load())
				cancel()
				l.close()
			})
		})
	}
}

func TestOnlyTheElectedReceiverCollects(t *testing.T) {
	sim, url := subscription(t, qualyssim.Options{Hosts: 30})
	directory := t.TempDir()
	sinks := [2]*consumertest.LogsSink{{}, {}}
	var hosts [2]*statusHost
	var elections [2]*election
	var logs [2]*observer.ObservedLogs
	for i := range hosts {
		hosts[i], elections[i] = withElection(t, directory)
		core, logged := observer.New(zap.InfoLevel)
		logs[i] = logged
		start(t, elected(url), sinks[i], hosts[i], zap.New(core))
		assert.Equal(t, "Standby", stateOf(hosts[i]), "it counts as ready")
	}
	assert.Empty(t, sim.Requests())

	elections[0].onStart(context.Background())
	require.Eventually(t, func() bool { return finished(logs[0]) == 1 }, waitLimit, glance)
	elections[0].onStop()
	require.Eventually(t, func() bool { return stateOf(hosts[0]) == "Standby" }, waitLimit, glance)
	term, over := context.WithCancel(t.Context())
	elections[1].onStart(term)
	require.Eventually(t, func() bool { return logs[1].FilterMessage("dataset is Initialized").Len() == 1 }, waitLimit, glance)
	over()
	require.Eventually(t, func() bool { return stateOf(hosts[1]) == "Standby" }, waitLimit, glance)
	elections[0].onStart(t.Context())
	require.Eventually(t, func() bool { return logs[0].FilterMessage("dataset is Initialized").Len() == 2 }, waitLimit, glance)
	assert.Positive(t, sinks[0].LogRecordCount())
	assert.Zero(t, sinks[1].LogRecordCount(), "what the first one has delivered is not delivered again")
}

// piped is an authenticator that logs in to a simulator and reaches it without a network.
type piped struct {
	component.Component

	pipe http.RoundTripper
}

func (*piped) Start(context.Context, component.Host) error { return nil }

func (*piped) Shutdown(context.Context) error { return nil }

func (p *piped) RoundTripper(http.RoundTripper) (http.RoundTripper, error) {
	return tripper(func(r *http.Request) (*http.Response, error) {
		with := r.Clone(r.Context())
		with.SetBasicAuth("user", "pass")
		return p.pipe.RoundTrip(with)
	}), nil
}

// Another collector may be elected within seconds, so nothing may be delivered any more, even if the backend takes its time.
func TestATermEndsWithinASecondThoughADeliveryHangs(t *testing.T) {
	directory := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		pipe := qualyssim.NewPipe(qualyssim.New(qualyssim.Options{Hosts: 5, Username: "user", Password: "pass"}))
		host, e := withElection(t, directory)
		host.extensions[authID] = &piped{pipe: pipe.Transport()}
		delivering := false
		next, err := consumer.NewLogs(func(ctx context.Context, _ plog.Logs) error {
			delivering = true
			<-ctx.Done()
			delivering = false
			return ctx.Err()
		})
		require.NoError(t, err)
		cfg := elected("http://127.0.0.1:1")
		withAuth(cfg)
		stop := start(t, cfg, next, host, zap.NewNop())
		e.onStart(t.Context())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.True(t, delivering)
		e.onStop()
		time.Sleep(time.Second)
		synctest.Wait()
		assert.False(t, delivering)
		assert.Equal(t, "Standby", stateOf(host))
		stop()
		assert.NoError(t, pipe.Close())
	})
}

func TestRefusedCredentialsAreNotSentAgainInTheNextTerm(t *testing.T) {
	sim, url := subscription(t, qualyssim.Options{Hosts: 5, Assets: 5})
	host, e := withElection(t, t.TempDir())
	cfg := elected(url)
	cfg.AssetInventory = configFor(url).AssetInventory
	cfg.Password = "wrong"
	cfg.Gateway.Endpoint = "http://127.0.0.1:1" // so that not everything has stopped for good
	core, logged := observer.New(zap.InfoLevel)
	start(t, cfg, consumertest.NewNop(), host, zap.New(core))
	for term := range 3 {
		e.onStart(t.Context())
		require.Eventually(t, func() bool {
			return logged.FilterMessageSnippet("has stopped until").Len() == term+1
		}, waitLimit, glance)
		e.onStop()
	}
	assert.Len(t, sim.Requests(), 1)
}

func TestAnElectionThatIsMissingIsSaidAtTheStart(t *testing.T) {
	_, withoutStorage := withElection(t, t.TempDir())
	for _, test := range []struct {
		name       string
		extensions map[component.ID]component.Component
		says       string
	}{
		{"no extension", nil, `"k8s_leader_elector" does not run`},
		{"another extension", map[component.ID]component.Component{electionID: &closing{}}, `"k8s_leader_elector" is not a leader election extension`},
		{"no storage", map[component.ID]component.Component{electionID: withoutStorage}, `"file_storage" does not run`},
	} {
		t.Run(test.name, func(t *testing.T) {
			logs, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), elected("http://127.0.0.1:1"), consumertest.NewNop())
			require.NoError(t, err)
			require.ErrorContains(t, logs.Start(t.Context(), &statusHost{extensions: test.extensions}), test.says)
			assert.NoError(t, logs.Shutdown(t.Context()))
		})
	}
}
