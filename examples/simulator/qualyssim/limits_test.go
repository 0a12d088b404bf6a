// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"net/http"
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
