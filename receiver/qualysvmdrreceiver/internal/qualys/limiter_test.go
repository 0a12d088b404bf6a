// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// times returns when the requests were received whose path ends so, from the first one of them on.
func (f *fake) times(path string) []string {
	var times []string
	var first time.Time
	for _, c := range f.received() {
		if !strings.HasSuffix(c.path, path) {
			continue
		}
		if first.IsZero() {
			first = c.at
		}
		times = append(times, c.at.Sub(first).String())
	}
	return times
}

var good = reply200(hostList(""))

// A call too early costs another one, or a day of waiting.
func TestLimitsAreKept(t *testing.T) {
	blocked := simpleReturn(1965, "limit", "CALLS_TO_FINISH", "2", "SECONDS_TO_WAIT", "90")
	tests := []struct {
		name      string
		responses []http.HandlerFunc
		times     string // of the calls received, for two calls made
		waits     string
	}{
		{name: "no headers", responses: []http.HandlerFunc{good}, times: "0s 0s"},
		{
			name:      "enough remains",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-Limit", "300", "X-RateLimit-Remaining", "10", "X-RateLimit-ToWait-Sec", "0")},
			times:     "0s 0s",
		},
		{
			name:      "fewer than the reserve remain",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-Limit", "300", "X-RateLimit-Remaining", "9", "X-RateLimit-Window-Sec", "600")},
			times:     "0s 10m0s", waits: "rate_limit_reserve 10m0s, waited 10m0s",
		},
		{
			name:      "the other spelling",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-Rate-Limit-Limit", "300", "X-Rate-Limit-Remaining", "9", "X-Rate-Limit-Window-Sec", "600")},
			times:     "0s 10m0s", waits: "rate_limit_reserve 10m0s, waited 10m0s",
		},
		{
			name:      "unknown window",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-Remaining", "9")},
			times:     "0s 1h0m0s", waits: "rate_limit_reserve 1h0m0s, waited 1h0m0s",
		},
		{
			name:      "the reserve is a tenth of the limit at most",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-Limit", "50", "X-RateLimit-Remaining", "5")},
			times:     "0s 0s",
		},
		{
			name:      "fewer than a tenth of the limit remain",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-Limit", "50", "X-RateLimit-Remaining", "4")},
			times:     "0s 1h0m0s", waits: "rate_limit_reserve 1h0m0s, waited 1h0m0s",
		},
		{
			name:      "time to wait",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-Limit", "300", "X-RateLimit-Remaining", "200", "X-RateLimit-ToWait-Sec", "75")},
			times:     "0s 1m15s", waits: "rate_limit 1m15s, waited 1m15s",
		},
		{
			name:      "values that make no sense",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-Limit", "many", "X-RateLimit-Remaining", "-3", "X-RateLimit-Window-Sec", "-1", "X-RateLimit-ToWait-Sec", "-7")},
			times:     "0s 0s",
		},
		{
			name:      "more than a week",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-ToWait-Sec", "99999999999999999999")},
			times:     "0s 168h0m0s", waits: "rate_limit 168h0m0s, waited 168h0m0s",
		},
		{
			name:      "headers of an error count",
			responses: []http.HandlerFunc{respond(500, "", "X-RateLimit-ToWait-Sec", "75"), good},
			times:     "0s 1m15s", waits: "rate_limit 1m15s, waited 1m15s",
		},
		{
			name:      "1965 with a header",
			responses: []http.HandlerFunc{respond(409, blocked, "X-RateLimit-ToWait-Sec", "30", "X-RateLimit-Limit", "300", "X-RateLimit-Remaining", "0"), good},
			times:     "0s 30s 30s", waits: "rate_limit 30s, waited 30s",
		},
		{
			name:      "1965 with a body",
			responses: []http.HandlerFunc{respond(400, blocked, "X-RateLimit-ToWait-Sec", "0"), good},
			times:     "0s 1m30s 1m30s", waits: "rate_limit 1m30s, waited 1m30s",
		},
		{
			name:      "1965 without a time",
			responses: []http.HandlerFunc{respond(409, simpleReturn(1965, "limit")), good},
			times:     "0s 1m0s 1m0s", waits: "rate_limit 1m0s, waited 1m0s",
		},
		{
			name:      "1965 twice",
			responses: []http.HandlerFunc{respond(409, blocked), respond(409, blocked), good},
			times:     "0s 1m30s 3m0s 3m0s", waits: "rate_limit 1m30s, waited 1m30s, rate_limit 1m30s, waited 1m30s",
		},
		{
			name: "headers count again after 1965",
			responses: []http.HandlerFunc{
				respond(409, blocked, "X-RateLimit-Limit", "300", "X-RateLimit-Remaining", "0"),
				reply200(hostList(""), "X-RateLimit-Remaining", "3", "X-RateLimit-Window-Sec", "600"),
				good,
			},
			times: "0s 1m30s 11m30s", waits: "rate_limit 1m30s, waited 1m30s, rate_limit_reserve 10m0s, waited 10m0s",
		},
		{
			name:      "1960",
			responses: append(slices.Repeat([]http.HandlerFunc{respond(409, simpleReturn(1960, "busy"))}, 8), good),
			times:     "0s 5s 15s 45s 1m45s 3m45s 8m45s 13m45s 18m45s 18m45s",
			waits:     "concurrency_limit 5s, waited 5s, concurrency_limit 10s, waited 10s, concurrency_limit 30s, waited 30s, concurrency_limit 1m0s, waited 1m0s, concurrency_limit 2m0s, waited 2m0s, concurrency_limit 5m0s, waited 5m0s, concurrency_limit 5m0s, waited 5m0s, concurrency_limit 5m0s, waited 5m0s",
		},
		{
			name:      "1960 begins anew after a success",
			responses: []http.HandlerFunc{respond(409, simpleReturn(1960, "busy")), good, respond(409, simpleReturn(1960, "busy")), good},
			times:     "0s 5s 5s 10s", waits: "concurrency_limit 5s, waited 5s, concurrency_limit 5s, waited 5s",
		},
		{
			name:      "1960 with a longer time to wait",
			responses: []http.HandlerFunc{respond(409, simpleReturn(1960, "busy"), "X-RateLimit-ToWait-Sec", "30"), good},
			times:     "0s 30s 30s", waits: "rate_limit 30s, waited 30s",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c, o := start(t, responses(tt.responses...))
				for range 2 {
					if err := detections(t.Context(), c); err != nil {
						assert.Equal(t, 500, requireError(t, err).Status)
					}
				}
				assert.Equal(t, tt.times, strings.Join(f.times(""), " "))
				assert.Equal(t, tt.waits, strings.Join(o.waits, ", "))
			})
		})
	}
}

func TestGatewayLimits(t *testing.T) {
	ok := reply200(`{"responseCode":"SUCCESS"}`)
	date := "Fri, 20 Nov 2026 09:15:00 GMT"
	for _, tt := range []struct {
		name    string
		headers []string
		times   string
	}{
		{name: "seconds", headers: []string{"Retry-After", "20", "X-RateLimit-ToWait-Sec", "30"}, times: "0s 20s 20s"},
		{name: "a date", headers: []string{"Date", date, "Retry-After", "Fri, 20 Nov 2026 09:16:40 GMT"}, times: "0s 1m40s 1m40s"},
		{name: "a date by our clock", headers: []string{"Date", "now", "Retry-After", "Sat, 01 Jan 2000 00:00:50 GMT"}, times: "0s 50s 50s"},
		{name: "a date that is over", headers: []string{"Date", date, "Retry-After", "Fri, 20 Nov 2026 09:14:00 GMT"}, times: "0s 1m0s 1m0s"},
		{name: "a date far away", headers: []string{"Date", date, "Retry-After", "Fri, 20 Nov 2036 09:14:00 GMT"}, times: "0s 168h0m0s 168h0m0s"},
		{name: "header of the limit", headers: []string{"X-RateLimit-ToWait-Sec", "30"}, times: "0s 30s 30s"},
		{name: "nothing", times: "0s 1m0s 1m0s"},
		{name: "garbage", headers: []string{"Retry-After", "soon"}, times: "0s 1m0s 1m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			handler := gateway(responses(respond(429, "", tt.headers...), ok))
			synctest.Test(t, func(t *testing.T) {
				f, c, o := start(t, handler)
				for range 2 {
					_, err := readAssets(t.Context(), c, AssetQuery{})
					require.NoError(t, err)
				}
				assert.Equal(t, tt.times, strings.Join(f.times("/rest/2.0/search/am/asset"), " "))
				assert.Equal(t, []string{"auth ok", "assets limited"}, o.outcomes[:2])
			})
		})
	}
}

// After the window one call finds out how things stand.
func TestOneCallProbesAfterTheWindow(t *testing.T) {
	low := reply200(hostList(""), "X-RateLimit-Limit", "300", "X-RateLimit-Remaining", "1", "X-RateLimit-Window-Sec", "600")
	synctest.Test(t, func(t *testing.T) {
		f, c, o := start(t, responses(low, low, good))
		require.NoError(t, detections(t.Context(), c))
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() { assert.NoError(t, detections(t.Context(), c)) })
		}
		calls.Wait()
		assert.Equal(t, []string{"0s", "10m0s", "20m0s"}, f.times(""))
		assert.Equal(t, []int64{1, 1}, o.limits)
	})
}

func TestWaitsEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, o := start(t, responses(respond(409, simpleReturn(1965, "limit", "SECONDS_TO_WAIT", "86400")), good))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := detections(ctx, c)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, Generic, requireError(t, err).Class)
		assert.Equal(t, []string{"rate_limit 24h0m0s", "waited 1m0s"}, o.waits)

		require.ErrorIs(t, detections(ctx, c), context.DeadlineExceeded, "nothing is sent under a context that has ended")
		require.NoError(t, detections(t.Context(), c))
		assert.Equal(t, []string{"0s", "24h0m0s"}, f.times(""))
	})
}

// Two requests at a time would meet 1960, or use up the limit of others.
func TestOneRequestAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, good)
		first, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0"})
		require.NoError(t, err)
		var second sync.WaitGroup
		second.Go(func() { assert.NoError(t, detections(t.Context(), c)) })
		synctest.Wait()
		assert.Len(t, f.received(), 1, "the page is still open")

		_, err = c.EntryIDs(t.Context(), EntryIDQuery{Version: "4.0"}, nil)
		assert.Equal(t, KnowledgeBase, requireError(t, err).API, "another API has limits of its own")
		assert.Len(t, f.received(), 2)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, detections(ctx, c), context.Canceled)

		first.Close()
		second.Wait()
		assert.Len(t, f.received(), 3)
	})
}

func ExampleAPI_Endpoint() {
	for _, api := range []API{Detections, KnowledgeBase, Assets, Auth} {
		fmt.Println(api, api.Endpoint())
	}
	// Output:
	// detections server
	// knowledge_base server
	// assets gateway
	// auth gateway
}
