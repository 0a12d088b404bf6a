// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRateLimitIsEnforced(t *testing.T) {
	c := newClient(t, Options{RateLimit: 2, RateWindow: time.Minute})
	assert.Equal(t, "1", c.list(detectionPath, "").Header.Get("X-RateLimit-Remaining"))
	c.clock.move(20 * time.Second)
	assert.Equal(t, "0", c.list(detectionPath, "").Header.Get("X-RateLimit-Remaining"))

	refused := c.list(detectionPath, "")
	document := requireReturn(t, refused, http.StatusConflict, codeRateLimit)
	require.Len(t, document.Items, 1)
	assert.Equal(t, "SECONDS_TO_WAIT", document.Items[0].Key)
	assert.Equal(t, 40, document.Items[0].Value)
	assert.Equal(t, "40", refused.Header.Get("X-RateLimit-ToWait-Sec"))
	assert.Equal(t, http.StatusOK, c.list(entryPath, "ids=38000").StatusCode, "the APIs share one budget")

	c.clock.move(40 * time.Second)
	assert.Equal(t, http.StatusOK, c.list(detectionPath, "").StatusCode)
	assert.Equal(t, http.StatusConflict, c.list(detectionPath, "").StatusCode)
}

func TestServiceLevels(t *testing.T) {
	for level, want := range map[ServiceLevel][]string{
		Express: {"1", "50", "86400"}, Standard: {"2", "300", "3600"}, Enterprise: {"5", "750", "3600"}, Premium: {"10", "2000", "3600"},
	} {
		var o Options
		require.True(t, level.Apply(&o))
		got := newClient(t, o).list(detectionPath, "").Header
		assert.Equal(t, want, []string{got.Get("X-Concurrency-Limit-Limit"), got.Get("X-RateLimit-Limit"), got.Get("X-RateLimit-Window-Sec")}, level)
	}
	assert.False(t, ServiceLevel("gold").Apply(&Options{}))
}

// A client that is told nothing about the budget must not take it for used up.
func TestTooManyAtOnceTellsNoBudget(t *testing.T) {
	s := New(Options{Concurrency: 1, RateLimit: 1})
	var inner *httptest.ResponseRecorder
	s.Intercept(func(_ context.Context, _ Request, _ http.ResponseWriter, _ func(http.ResponseWriter)) bool {
		s.Intercept(nil)
		_, entered := s.limits.enter(Detections, s.Now(), http.Header{}) // a call that runs, and has used up the budget
		assert.True(t, entered)
		inner = record(t, s, detectionPath, "action=list")
		return false
	})
	record(t, s, detectionPath, "action=list")
	assert.Equal(t, http.StatusConflict, inner.Code)
	assert.Contains(t, inner.Body.String(), "<CODE>1960</CODE>", "concurrency is checked first")
	assert.Equal(t, "1", inner.Header().Get("X-RateLimit-Limit"))
	assert.NotEmpty(t, inner.Header().Get("X-RateLimit-Window-Sec"))
	assert.Equal(t, "1", inner.Header().Get("X-Concurrency-Limit-Running"))
	assert.Empty(t, inner.Header().Values("X-RateLimit-Remaining"))
	assert.Empty(t, inner.Header().Values("X-RateLimit-ToWait-Sec"))
}

func TestConcurrencyIsEnforced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Concurrency: 1, Faults: Faults{Delay: Duration(time.Minute), APIs: []API{Detections}}})
		statuses := make([]int, 3)
		var calls sync.WaitGroup
		call := func(i int) { statuses[i] = record(t, s, detectionPath, "action=list").Code }
		calls.Go(func() { call(0) })
		synctest.Wait()
		call(1)
		calls.Wait()
		call(2)
		assert.Equal(t, []int{http.StatusOK, http.StatusConflict, http.StatusOK}, statuses)
	})
}

func TestCutCallKeepsRunning(t *testing.T) {
	c := newClient(t, Options{Concurrency: 1, Linger: time.Minute, Faults: Faults{Next: []NextFault{{Fault: Cut, CutAfter: 100}}}})
	require.Error(t, c.list(detectionPath, "").err)
	requireReturn(t, c.list(detectionPath, ""), http.StatusConflict, codeBusy)
	c.clock.move(time.Minute)
	assert.NotEmpty(t, c.detections("").flat(t))
}

func TestSpellingOfHeaders(t *testing.T) {
	for spelling, name := range map[RateHeaders]string{
		HeadersHyphenated: "X-Concurrency-Limit-Limit",
		HeadersJoined:     "X-ConcurrencyLimit-Limit",
		HeadersNone:       "",
	} {
		got := newClient(t, Options{RateHeaders: spelling, Concurrency: 2}).list(detectionPath, "")
		if name == "" {
			assert.Empty(t, got.Header.Get("X-RateLimit-Limit"))
			continue
		}
		assert.Equal(t, "2", got.Header.Get(name), spelling)
		assert.NotEmpty(t, got.Header.Get("X-RateLimit-Limit"))
	}
}
