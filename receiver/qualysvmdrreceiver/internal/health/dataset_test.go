// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var (
	errLogin    = errors.New("bad login or password")
	errNetwork  = errors.New("connection reset")
	errPipeline = errors.New("the exporter's queue is full")
	errStorage  = errors.New("the database is locked")
)

const (
	vulnerabilities = "vulnerabilities"
	knowledgeBase   = "knowledge_base"
	assetInventory  = "asset_inventory"
)

// step is one call of one of the methods of a dataset.
type step func(r *Reporter)

func reach(dataset string, state State) step {
	return func(r *Reporter) { r.Dataset(dataset).Reach(state) }
}

func fail(dataset string, errorType ErrorType, err error) step {
	return func(r *Reporter) { r.Dataset(dataset).Fail(errorType, err) }
}

func stop(dataset string, errorType ErrorType, err error) step {
	return func(r *Reporter) { r.Dataset(dataset).Stop(errorType, err) }
}

func standBy() step {
	return func(r *Reporter) { r.StandBy() }
}

func wait(d time.Duration) step {
	return func(*Reporter) { time.Sleep(d) }
}

func closed(r *Reporter) { r.Close() }

// telling renders an event with all that a reader of the status sees.
func telling(event *componentstatus.Event) string {
	text := event.Status().String()
	for _, key := range []string{"dataset", "state", "error.type", "error.name"} {
		if value, ok := event.Attributes().Get(key); ok {
			text += " " + value.Str()
		}
	}
	if event.Err() != nil {
		text += ": " + event.Err().Error()
	}
	return text
}

func line(entry observer.LoggedEntry) string {
	fields := entry.ContextMap()
	text := fmt.Sprint(entry.Level, " ", fields["dataset"], " ", fields["state"])
	if fields["error"] != nil {
		text += fmt.Sprint(" ", fields["error.type"], ": ", fields["error"])
	}
	return text
}

func TestDatasetChanges(t *testing.T) {
	const d = vulnerabilities
	collecting := []step{reach(d, Started), reach(d, Initialized), reach(d, Authenticated), reach(d, Collecting)}
	tests := map[string]struct {
		before []step // what it logs is not looked at
		steps  []step
		state  State
		logs   []string
	}{
		"nothing": {state: Pending},
		"the way to data": {
			steps: collecting,
			state: Collecting,
			logs: []string{
				"info vulnerabilities Started", "info vulnerabilities Initialized",
				"info vulnerabilities Authenticated", "info vulnerabilities Collecting",
			},
		},
		"steps can be left out": {
			steps: []step{reach(d, Authenticated)},
			state: Authenticated,
			logs:  []string{"info vulnerabilities Authenticated"},
		},
		"every collection reports its steps again": {before: collecting, steps: collecting, state: Collecting},
		"what is no step changes nothing":          {steps: []step{reach(d, Pending), reach(d, Error), reach(d, State(99))}, state: Pending},
		"the same error again": {
			steps: []step{fail(d, ThirdPartyGeneric, errNetwork), wait(time.Hour), fail(d, ThirdPartyGeneric, errNetwork)},
			state: Error,
			logs:  []string{"warn vulnerabilities Error ThirdPartyGeneric: connection reset"},
		},
		"another message soon after": {
			steps: []step{fail(d, ThirdPartyGeneric, errNetwork), wait(time.Minute - 1), fail(d, ThirdPartyGeneric, errPipeline)},
			state: Error,
			logs:  []string{"warn vulnerabilities Error ThirdPartyGeneric: connection reset"},
		},
		"another message a minute later": {
			steps: []step{fail(d, ThirdPartyGeneric, errNetwork), wait(time.Minute), fail(d, ThirdPartyGeneric, errPipeline)},
			state: Error,
			logs: []string{
				"warn vulnerabilities Error ThirdPartyGeneric: connection reset",
				"warn vulnerabilities Error ThirdPartyGeneric: the exporter's queue is full",
			},
		},
		"another type of error": {
			steps: []step{fail(d, ThirdPartyGeneric, errNetwork), fail(d, FirstPartyGeneric, errPipeline)},
			state: Error,
			logs: []string{
				"warn vulnerabilities Error ThirdPartyGeneric: connection reset",
				"warn vulnerabilities Error FirstPartyGeneric: the exporter's queue is full",
			},
		},
		"data again": {
			before: append(collecting, fail(d, ThirdPartyGeneric, errNetwork)),
			steps:  []step{reach(d, Collecting)},
			state:  Collecting,
			logs:   []string{"info vulnerabilities Collecting"},
		},
		"the same error after data": {
			before: append(collecting, fail(d, ThirdPartyGeneric, errNetwork), reach(d, Collecting)),
			steps:  []step{fail(d, ThirdPartyGeneric, errNetwork)},
			state:  Error,
			logs:   []string{"warn vulnerabilities Error ThirdPartyGeneric: connection reset"},
		},
		"the first login after failed ones": {
			before: []step{reach(d, Initialized), fail(d, ThirdPartyGeneric, errNetwork)},
			steps:  []step{reach(d, Authenticated)},
			state:  Authenticated,
			logs:   []string{"info vulnerabilities Authenticated"},
		},
		"a login is no data": {
			before: append(collecting, fail(d, ThirdPartyGeneric, errNetwork)),
			steps:  []step{reach(d, Started), reach(d, Initialized), reach(d, Authenticated)},
			state:  Error,
		},
		"a second login is no progress": {
			before: []step{reach(d, Authenticated), fail(d, ThirdPartyGeneric, errNetwork)},
			steps:  []step{reach(d, Authenticated)},
			state:  Error,
		},
		"stopped for good": {
			steps: []step{
				stop(d, ThirdPartyConfig, errLogin), reach(d, Collecting), fail(d, ThirdPartyGeneric, errNetwork),
				stop(d, ThirdPartyConfig, errNetwork),
			},
			state: Error,
			logs:  []string{"error vulnerabilities Error ThirdPartyConfig: bad login or password"},
		},
		"stopped by the error with which it failed": {
			before: []step{fail(d, ThirdPartyConfig, errLogin)},
			steps:  []step{stop(d, ThirdPartyConfig, errLogin)},
			state:  Error,
			logs:   []string{"error vulnerabilities Error ThirdPartyConfig: bad login or password"},
		},
		"shutdown of a stopped one": {
			before: []step{stop(d, ThirdPartyConfig, errLogin)},
			steps:  []step{reach(d, Stopping)},
			state:  Stopping,
			logs:   []string{"info vulnerabilities Stopping"},
		},
		"nothing after the shutdown": {
			before: []step{reach(d, Stopping)},
			steps: []step{
				reach(d, Stopping), reach(d, Collecting), fail(d, ThirdPartyGeneric, errNetwork), stop(d, ThirdPartyConfig, errLogin), closed,
			},
			state: Stopping,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zapcore.DebugLevel)
				r := New(Settings{Logger: zap.New(core)}, d)
				for _, step := range tt.before {
					step(r)
				}
				logs.TakeAll()
				for _, step := range tt.steps {
					step(r)
				}
				var lines []string
				for _, entry := range logs.TakeAll() {
					lines = append(lines, line(entry))
				}
				assert.Equal(t, tt.logs, lines)
				assert.Equal(t, map[string]State{d: tt.state}, r.Snapshot())
			})
		})
	}
}

func TestReporterKnowsItsDatasetsOnly(t *testing.T) {
	r := New(Settings{Logger: zap.NewNop()}, vulnerabilities, knowledgeBase)
	assert.Nil(t, r.Dataset(assetInventory))
	assert.Equal(t, map[string]State{vulnerabilities: Pending, knowledgeBase: Pending}, r.Snapshot())
}

func TestCloseStopsEveryDataset(t *testing.T) {
	r := New(Settings{Logger: zap.NewNop()}, vulnerabilities, knowledgeBase)
	r.Dataset(vulnerabilities).Reach(Collecting)
	r.Close()
	r.Close()
	assert.Equal(t, map[string]State{vulnerabilities: Stopping, knowledgeBase: Stopping}, r.Snapshot())
}

func TestNames(t *testing.T) {
	names := map[State]string{
		Pending: "Pending", Started: "Started", Initialized: "Initialized", Authenticated: "Authenticated",
		Collecting: "Collecting", Error: "Error", Stopping: "Stopping", Stopping + 1: "Unknown",
	}
	for state, name := range names {
		assert.Equal(t, name, state.String())
	}
	assert.Equal(t, "ThirdPartyConfigError", ThirdPartyConfig.Name())
	assert.Equal(t, "ThirdPartyGenericError", ThirdPartyGeneric.Name())
	assert.Equal(t, "FirstPartyGenericError", FirstPartyGeneric.Name())
}

func TestDatasetsChangeAtTheSameTime(t *testing.T) {
	host := &host{t: t}
	r := New(Settings{Logger: zap.NewNop(), Status: host.report}, vulnerabilities, knowledgeBase, assetInventory)
	var wg sync.WaitGroup
	for _, name := range []string{vulnerabilities, knowledgeBase, assetInventory} {
		d := r.Dataset(name)
		wg.Go(func() {
			for range 200 {
				d.Fail(ThirdPartyGeneric, errNetwork)
				d.Reach(Collecting)
				r.Snapshot()
			}
		})
	}
	wg.Wait()
	require.NotEmpty(t, host.told)
	assert.Equal(t, componentstatus.StatusOK, host.last(), "the last status told is not the true one")
	r.Close()
}
