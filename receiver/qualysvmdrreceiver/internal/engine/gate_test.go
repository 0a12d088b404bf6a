// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// testGate is a gate with what it has told.
type testGate struct {
	*Gate
	health  *health.Reporter
	retried atomic.Int64
	worked  bool
}

func newTestGate() *testGate {
	g := &testGate{health: health.New(health.Settings{Logger: zap.NewNop(), Source: "test"}, "x")}
	g.Gate = NewGate(g.health.Dataset("x"), zap.NewNop(), testRetry(), func() { g.retried.Add(1) }, func() bool { return g.worked })
	g.health.Dataset("x").Reach(health.Collecting)
	return g
}

func (g *testGate) state() health.State { return g.health.Snapshot()["x"] }

// enter lets so many requests through.
func (g *testGate) enter(t *testing.T, n int) []GatePass {
	passes := make([]GatePass, n)
	for i := range passes {
		p, err := g.Enter(t.Context())
		require.NoError(t, err)
		passes[i] = p
	}
	return passes
}

// waiting is who waits at a gate.
func (g *testGate) waiting(ctx context.Context, n int) (through *atomic.Int64, done *sync.WaitGroup) {
	through, done = &atomic.Int64{}, &sync.WaitGroup{}
	for range n {
		done.Go(func() {
			p, err := g.Enter(ctx)
			if err == nil {
				through.Add(1)
				if err = sleep(ctx, 10*time.Second); err == nil { // longer than the back-off varies
					g.Open(p)
					return
				}
				g.Leave(p)
			}
		})
	}
	return through, done
}

var errDown = errors.New("down")

func TestFailureClosesTheGateForAllThenOneTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGate()
		passes := g.enter(t, 9)
		for _, p := range passes {
			require.NoError(t, g.Fail(p, Verdict{}, errDown), "they were sent before the first failure was read")
		}
		assert.Equal(t, int64(1), g.retried.Load(), "they count as one")
		assert.Equal(t, health.Error, g.state())
		through, done := g.waiting(t.Context(), 9)
		synctest.Wait()
		assert.Zero(t, through.Load(), "until the back-off has ended")
		time.Sleep(2 * time.Second) // the first back-off is a second, and half of it more
		synctest.Wait()
		assert.Equal(t, int64(1), through.Load(), "one tries")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.Equal(t, int64(9), through.Load(), "it worked: all go on")
		done.Wait()
		g.Collecting()
		assert.Equal(t, health.Collecting, g.state())
	})
}

func TestResponseToARequestOfBeforeDoesNotOpenTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGate()
		passes := g.enter(t, 2)
		require.NoError(t, g.Fail(passes[0], Verdict{Class: Ambiguous}, errDown))
		g.Open(passes[1])
		g.Collecting()
		assert.Equal(t, health.Error, g.state())
		through, done := g.waiting(t.Context(), 1)
		time.Sleep(4*time.Minute - time.Second)
		synctest.Wait()
		assert.Zero(t, through.Load())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Equal(t, int64(1), through.Load())
		done.Wait()
	})
}

func TestTryThatWasNotSentLeavesItToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGate()
		require.NoError(t, g.Fail(g.enter(t, 1)[0], Verdict{}, errDown))
		trial := g.enter(t, 1)[0]
		ctx, stop := context.WithCancel(t.Context())
		through, done := g.waiting(ctx, 2)
		synctest.Wait()
		assert.Zero(t, through.Load())
		g.Leave(trial)
		synctest.Wait()
		assert.Equal(t, int64(1), through.Load())
		stop()
		done.Wait()
		p, err := g.Enter(t.Context())
		require.NoError(t, err, "the one that was stopped has left it")
		g.Open(p)
	})
}

func TestAmbiguousResponses(t *testing.T) {
	for _, test := range []struct {
		name        string
		worked      bool
		credentials bool
		waits       []time.Duration
		stops       bool
	}{
		{name: "it never worked: three tries", waits: []time.Duration{4 * time.Minute, 7 * time.Minute}, stops: true},
		{name: "it has worked: hourly", worked: true, waits: []time.Duration{4 * time.Minute, 7 * time.Minute, time.Hour, time.Hour, time.Hour}},
		{name: "credentials that have worked", worked: true, credentials: true, waits: []time.Duration{4 * time.Minute, 7 * time.Minute}, stops: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newTestGate()
				g.worked = test.worked
				v := Verdict{Class: Ambiguous, Credentials: test.credentials}
				for _, want := range test.waits {
					require.NoError(t, g.Fail(g.enter(t, 1)[0], v, errDown))
					began := time.Now()
					p := g.enter(t, 1)[0]
					assert.Equal(t, want, time.Since(began))
					g.Leave(p)
				}
				err := g.Fail(g.enter(t, 1)[0], v, errDown)
				stopped, ok := IsStopped(err)
				require.Equal(t, test.stops, ok)
				if ok {
					assert.Equal(t, health.ThirdPartyConfig, stopped.Type)
					assert.ErrorIs(t, stopped, errDown)
				}
			})
		})
	}
}

func TestResponseInBetweenCountsAmbiguousOnesAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGate()
		for range 5 {
			for range 2 {
				require.NoError(t, g.Fail(g.enter(t, 1)[0], Verdict{Class: Ambiguous}, errDown))
			}
			g.Open(g.enter(t, 1)[0])
		}
	})
}

func TestConfigurationErrorStopsEverybody(t *testing.T) {
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprintf("sent before the gate closed %t", before), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newTestGate()
				passes := g.enter(t, 2)
				if before {
					require.NoError(t, g.Fail(passes[0], Verdict{Class: Ambiguous}, errDown))
				}
				through, done := g.waiting(t.Context(), 0)
				var waited error
				if before {
					done.Go(func() { _, waited = g.Enter(t.Context()) })
					synctest.Wait()
				}
				_, stopped := IsStopped(g.Fail(passes[1], Verdict{Class: Config}, errDown))
				assert.True(t, stopped)
				done.Wait()
				if before {
					_, stopped = IsStopped(waited)
					assert.True(t, stopped, "who waits is let go")
				}
				_, err := g.Enter(t.Context())
				_, stopped = IsStopped(err)
				assert.True(t, stopped, "nothing is sent any more")
				_, stopped = IsStopped(g.Wait(t.Context()))
				assert.True(t, stopped)
				assert.Zero(t, through.Load())
			})
		})
	}
}

func TestRejectedCredentialsAreTriedAgainWhenTheyMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGate()
		until := time.Now().Add(150 * time.Second)
		tries := 0
		for time.Now().Before(until) {
			require.NoError(t, g.Fail(g.enter(t, 1)[0], Verdict{Class: Config, Credentials: true, RetryAt: until}, errDown))
			tries++
			assert.Equal(t, health.Error, g.state())
			p := g.enter(t, 1)[0]
			g.Leave(p)
		}
		assert.Equal(t, 3, tries, "it is looked every minute: they may have changed")
		g.Open(g.enter(t, 1)[0])
		g.Collecting()
		assert.Equal(t, health.Collecting, g.state())
	})
}

func TestErrorOfOneLastsUntilItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGate()
		recovered := g.failed(health.ThirdPartyGeneric, errDown)
		g.Collecting()
		assert.Equal(t, health.Error, g.state(), "though others go on")
		recovered()
		recovered()
		g.Collecting()
		assert.Equal(t, health.Collecting, g.state())
	})
}

func TestWaitAtTheGateEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGate()
		require.NoError(t, g.Fail(g.enter(t, 1)[0], Verdict{Class: Ambiguous}, errDown))
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, err := g.Enter(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, g.Wait(ctx), context.DeadlineExceeded)
	})
}
