// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"
)

// follows are the changes of status that the collector accepts of a component while it runs (service/internal/status).
var follows = map[componentstatus.Status][]componentstatus.Status{
	componentstatus.StatusStarting: {
		componentstatus.StatusOK, componentstatus.StatusRecoverableError, componentstatus.StatusPermanentError,
	},
	componentstatus.StatusOK: {
		componentstatus.StatusOK, componentstatus.StatusRecoverableError, componentstatus.StatusPermanentError,
	},
	componentstatus.StatusRecoverableError: {
		componentstatus.StatusOK, componentstatus.StatusRecoverableError, componentstatus.StatusPermanentError,
	},
}

// host stands for the collector: it takes statuses and fails the test on one that may not come.
type host struct {
	t    *testing.T
	mu   sync.Mutex
	busy atomic.Bool
	told []string
	now  componentstatus.Status
}

func (h *host) report(event *componentstatus.Event) {
	assert.True(h.t, h.busy.CompareAndSwap(false, true), "two statuses are reported at once")
	defer h.busy.Store(false)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now == componentstatus.StatusNone {
		h.now = componentstatus.StatusStarting
	}
	if !slices.Contains(follows[h.now], event.Status()) {
		assert.Fail(h.t, "illegal change of status", "%s after %s", event.Status(), h.now)
	}
	h.now = event.Status()
	h.told = append(h.told, telling(event))
}

func (h *host) last() componentstatus.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func TestStatus(t *testing.T) {
	const v, k, a = vulnerabilities, knowledgeBase, assetInventory
	allCollect := []step{reach(v, Collecting), reach(k, Authenticated), reach(a, Collecting)}
	const ok = "StatusOK asset_inventory Collecting"
	tests := map[string]struct {
		steps []step
		want  []string
	}{
		"nothing is known before the logins": {
			steps: []step{reach(v, Started), reach(v, Initialized), reach(k, Initialized), reach(a, Initialized), reach(v, Collecting)},
		},
		"a collector that stands by is ready": {
			steps: []step{standBy(), reach(v, Started), reach(k, Started), reach(a, Started), reach(v, Collecting)},
			want:  []string{"StatusOK asset_inventory Standby", "StatusOK vulnerabilities Started"},
		},
		"a term of collecting ends, and another one begins": {
			steps: append(allCollect,
				fail(v, ThirdPartyGeneric, errNetwork), stop(k, ThirdPartyConfig, errLogin), standBy(), standBy(),
				reach(v, Started), reach(k, Started), reach(a, Started), fail(v, ThirdPartyGeneric, errNetwork)),
			want: []string{
				ok,
				"StatusRecoverableError vulnerabilities Error ThirdPartyGeneric ThirdPartyGenericError: connection reset",
				"StatusRecoverableError knowledge_base Error ThirdPartyConfig ThirdPartyConfigError: " + errLogin.Error(),
				"StatusOK knowledge_base Standby",
				"StatusOK vulnerabilities Started",
				"StatusRecoverableError vulnerabilities Error ThirdPartyGeneric ThirdPartyGenericError: connection reset",
			},
		},
		"nothing comes after a permanent error, not even a standby": {
			steps: []step{
				stop(v, ThirdPartyConfig, errLogin), stop(k, ThirdPartyConfig, errLogin), stop(a, ThirdPartyConfig, errLogin),
				standBy(), reach(v, Started),
			},
			want: []string{
				"StatusRecoverableError vulnerabilities Error ThirdPartyConfig ThirdPartyConfigError: " + errLogin.Error(),
				"StatusPermanentError vulnerabilities Error ThirdPartyConfig ThirdPartyConfigError: " + errLogin.Error(),
			},
		},
		"OK when all have logged in": {steps: allCollect, want: []string{ok}},
		"OK is told once":            {steps: append(allCollect, reach(k, Collecting)), want: []string{ok}},
		"one fails and recovers": {
			steps: append(allCollect, fail(v, ThirdPartyGeneric, errNetwork), fail(v, ThirdPartyGeneric, errNetwork), reach(v, Collecting)),
			want: []string{
				ok,
				"StatusRecoverableError vulnerabilities Error ThirdPartyGeneric ThirdPartyGenericError: connection reset",
				"StatusOK vulnerabilities Collecting",
			},
		},
		"an error before anything works": {
			steps: []step{fail(v, ThirdPartyGeneric, errNetwork), reach(v, Started)},
			want:  []string{"StatusRecoverableError vulnerabilities Error ThirdPartyGeneric ThirdPartyGenericError: connection reset"},
		},
		"one has recovered, the others have nothing to do yet": {
			steps: []step{fail(v, ThirdPartyGeneric, errNetwork), reach(v, Authenticated)},
			want: []string{
				"StatusRecoverableError vulnerabilities Error ThirdPartyGeneric ThirdPartyGenericError: connection reset",
				"StatusOK vulnerabilities Authenticated",
			},
		},
		"an error of the storage has passed before anything was asked for": {
			steps: []step{reach(v, Started), fail(v, FirstPartyGeneric, errStorage), reach(v, Initialized)},
			want: []string{
				"StatusRecoverableError vulnerabilities Error FirstPartyGeneric FirstPartyGenericError: the database is locked",
				"StatusOK vulnerabilities Initialized",
			},
		},
		"still in error when one of two recovers": {
			steps: append(
				allCollect, fail(v, ThirdPartyGeneric, errNetwork), wait(time.Second), fail(a, ThirdPartyGeneric, errLogin),
				reach(v, Collecting), reach(a, Collecting),
			),
			want: []string{
				ok,
				"StatusRecoverableError vulnerabilities Error ThirdPartyGeneric ThirdPartyGenericError: connection reset",
				"StatusRecoverableError asset_inventory Error ThirdPartyGeneric ThirdPartyGenericError: bad login or password",
				"StatusOK asset_inventory Collecting",
			},
		},
		"the oldest stays the oldest, whatever it says later": {
			steps: []step{
				fail(a, ThirdPartyGeneric, errNetwork), wait(time.Minute), fail(v, ThirdPartyGeneric, errNetwork),
				fail(a, ThirdPartyGeneric, errPipeline),
			},
			want: []string{
				"StatusRecoverableError asset_inventory Error ThirdPartyGeneric ThirdPartyGenericError: connection reset",
				"StatusRecoverableError asset_inventory Error ThirdPartyGeneric ThirdPartyGenericError: the exporter's queue is full",
			},
		},
		"the worst type, then what has stopped, is told": {
			steps: []step{
				fail(v, ThirdPartyGeneric, errNetwork), wait(time.Second),
				fail(k, FirstPartyGeneric, errPipeline), wait(time.Second),
				fail(a, ThirdPartyConfig, errLogin), wait(time.Second),
				stop(v, ThirdPartyGeneric, errNetwork),
			},
			want: []string{
				"StatusRecoverableError vulnerabilities Error ThirdPartyGeneric ThirdPartyGenericError: connection reset",
				"StatusRecoverableError knowledge_base Error FirstPartyGeneric FirstPartyGenericError: the exporter's queue is full",
				"StatusRecoverableError asset_inventory Error ThirdPartyConfig ThirdPartyConfigError: bad login or password",
				"StatusRecoverableError vulnerabilities Error ThirdPartyGeneric ThirdPartyGenericError: connection reset",
			},
		},
		"a stopped one is not outweighed by those that work": {
			steps: append(allCollect, stop(k, ThirdPartyConfig, errLogin), reach(v, Collecting)),
			want: []string{
				ok,
				"StatusRecoverableError knowledge_base Error ThirdPartyConfig ThirdPartyConfigError: bad login or password",
			},
		},
		"permanent when all have stopped, and nothing after it": {
			steps: []step{
				stop(v, ThirdPartyConfig, errLogin), stop(k, ThirdPartyConfig, errLogin), wait(time.Second),
				stop(a, ThirdPartyConfig, errNetwork), reach(v, Collecting), fail(v, ThirdPartyGeneric, errNetwork), reach(a, Stopping),
			},
			want: []string{
				"StatusRecoverableError vulnerabilities Error ThirdPartyConfig ThirdPartyConfigError: bad login or password",
				"StatusPermanentError vulnerabilities Error ThirdPartyConfig ThirdPartyConfigError: bad login or password",
			},
		},
		"failing everywhere can still pass": {
			steps: []step{
				fail(v, ThirdPartyGeneric, errNetwork), fail(k, ThirdPartyGeneric, errNetwork), fail(a, ThirdPartyGeneric, errNetwork),
			},
			want: []string{"StatusRecoverableError vulnerabilities Error ThirdPartyGeneric ThirdPartyGenericError: connection reset"},
		},
		"nothing after the shutdown began": {
			steps: append(allCollect, closed, reach(v, Collecting), fail(v, ThirdPartyGeneric, errNetwork), stop(a, ThirdPartyConfig, errLogin)),
			want:  []string{ok},
		},
		"nothing after a dataset began to stop": {
			steps: append(allCollect, reach(v, Stopping), fail(a, ThirdPartyGeneric, errNetwork)),
			want:  []string{ok},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := &host{t: t}
				r := New(Settings{Logger: zap.NewNop(), Status: host.report}, v, k, a)
				for _, step := range tt.steps {
					step(r)
				}
				assert.Equal(t, tt.want, host.told)
			})
		})
	}
}

func TestOnlyDatasetThatStopsIsPermanent(t *testing.T) {
	host := &host{t: t}
	r := New(Settings{Logger: zap.NewNop(), Status: host.report}, vulnerabilities)
	r.Dataset(vulnerabilities).Stop(ThirdPartyConfig, errLogin)
	assert.Equal(t, []string{
		"StatusPermanentError vulnerabilities Error ThirdPartyConfig ThirdPartyConfigError: bad login or password",
	}, host.told)
}

func TestCallbackMayUseTheReporter(t *testing.T) {
	var told []string
	var r *Reporter
	r = New(Settings{Logger: zap.NewNop(), Status: func(event *componentstatus.Event) {
		told = append(told, telling(event))
		assert.Contains(t, r.Snapshot(), vulnerabilities)
		r.Dataset(vulnerabilities).Reach(Collecting)
	}}, vulnerabilities)
	r.Dataset(vulnerabilities).Fail(ThirdPartyGeneric, errNetwork)
	assert.Equal(t, []string{
		"StatusRecoverableError vulnerabilities Error ThirdPartyGeneric ThirdPartyGenericError: connection reset",
		"StatusOK vulnerabilities Collecting",
	}, told)
}

func TestSlowCallbackHoldsUpNoOtherDataset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var told []string
		r := New(Settings{Logger: zap.NewNop(), Status: func(event *componentstatus.Event) {
			<-release
			told = append(told, telling(event))
		}}, vulnerabilities, assetInventory)
		go r.Dataset(vulnerabilities).Fail(ThirdPartyGeneric, errNetwork)
		synctest.Wait()

		// Both return although the callback does not.
		r.Dataset(assetInventory).Stop(ThirdPartyConfig, errLogin)
		assert.Equal(t, map[string]State{vulnerabilities: Error, assetInventory: Error}, r.Snapshot())

		close(release)
		synctest.Wait()
		assert.Equal(t, []string{
			"StatusRecoverableError vulnerabilities Error ThirdPartyGeneric ThirdPartyGenericError: connection reset",
			"StatusRecoverableError asset_inventory Error ThirdPartyConfig ThirdPartyConfigError: bad login or password",
		}, told, "the change made meanwhile has to be told after the first")
	})
}

func TestCloseWaitsForTheStatusOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var told atomic.Int32
		r := New(Settings{Logger: zap.NewNop(), Status: func(*componentstatus.Event) {
			<-release
			told.Add(1)
		}}, vulnerabilities, assetInventory)
		go r.Dataset(vulnerabilities).Fail(ThirdPartyGeneric, errNetwork)
		synctest.Wait()
		r.Dataset(assetInventory).Fail(ThirdPartyGeneric, errNetwork)
		r.Dataset(assetInventory).Stop(ThirdPartyConfig, errLogin)

		done := make(chan struct{})
		go func() {
			r.Close()
			close(done)
		}()
		synctest.Wait()
		select {
		case <-done:
			require.Fail(t, "a status can still arrive after Close")
		default:
		}
		close(release)
		<-done
		assert.EqualValues(t, 1, told.Load(), "a status was reported after the shutdown began")
	})
}
