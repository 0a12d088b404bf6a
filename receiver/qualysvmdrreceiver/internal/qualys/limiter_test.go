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
	"sync/atomic"
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
		warned    string
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
			name:      "two days",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-ToWait-Sec", "172800")},
			times:     "0s 48h0m0s", waits: "rate_limit 48h0m0s, waited 48h0m0s",
		},
		{
			name:      "milliseconds since 1970",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-ToWait-Sec", "1795425300000"), reply200(hostList(""), "X-RateLimit-ToWait-Sec", "1795425300001")},
			times:     "0s 0s", warned: "detections X-RateLimit-ToWait-Sec 1795425300000",
		},
		{
			name:      "a number that is too large",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-ToWait-Sec", "99999999999999999999"), good},
			times:     "0s 0s", warned: "detections X-RateLimit-ToWait-Sec 99999999999999999999",
		},
		{
			name:      "a window of ten years",
			responses: []http.HandlerFunc{reply200(hostList(""), "X-RateLimit-Remaining", "1", "X-RateLimit-Window-Sec", "315360000"), good},
			times:     "0s 1h0m0s", waits: "rate_limit_reserve 1h0m0s, waited 1h0m0s", warned: "detections X-RateLimit-Window-Sec 315360000",
		},
		{
			name:      "1965 that asks for years",
			responses: []http.HandlerFunc{respond(409, simpleReturn(1965, "limit", "SECONDS_TO_WAIT", "1795425300"), "X-RateLimit-ToWait-Sec", "1795425300"), good},
			times:     "0s 1m0s 1m0s", waits: "rate_limit 1m0s, waited 1m0s",
			warned: "detections X-RateLimit-ToWait-Sec 1795425300, detections SECONDS_TO_WAIT 1795425300",
		},
		{
			name:      "409 without a code",
			responses: []http.HandlerFunc{respond(409, "", "X-RateLimit-ToWait-Sec", "1", "X-RateLimit-Limit", "300", "X-RateLimit-Remaining", "0"), good},
			times:     "0s 1s 1s", waits: "rate_limit 1s, waited 1s",
		},
		{
			name:      "429 without a code, with a text",
			responses: []http.HandlerFunc{respond(429, "This API cannot be run again for another 3 seconds.", "Retry-After", "3", "X-RateLimit-ToWait-Sec", "2"), good},
			times:     "0s 3s 3s", waits: "rate_limit 3s, waited 3s",
		},
		{
			name:      "409 without a code, without a time",
			responses: []http.HandlerFunc{respond(409, "busy", "X-RateLimit-ToWait-Sec", "0", "Retry-After", "0"), good},
			times:     "0s 1m0s 1m0s", waits: "rate_limit 1m0s, waited 1m0s",
		},
		{
			name:      "503 with Retry-After",
			responses: []http.HandlerFunc{respond(503, "", "Retry-After", "120"), good},
			times:     "0s 2m0s", waits: "rate_limit 2m0s, waited 2m0s",
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
						assert.Contains(t, []int{500, 503}, requireError(t, err).Status)
					}
				}
				assert.Equal(t, tt.times, strings.Join(f.times(""), " "))
				assert.Equal(t, tt.waits, strings.Join(o.waits, ", "))
				assert.Equal(t, tt.warned, strings.Join(o.warned, ", "))
			})
		})
	}
}

// A reserve that is set is what the user wants, however small the limit is.
func TestAReserveThatIsSetIsKept(t *testing.T) {
	low := reply200(hostList(""), "X-RateLimit-Limit", "50", "X-RateLimit-Remaining", "9")
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, low, func(s *Settings) { s.ReserveSet = true })
		require.NoError(t, detections(t.Context(), c))
		require.NoError(t, detections(t.Context(), c))
		assert.Equal(t, []string{"0s", "1h0m0s"}, f.times(""))
	})
}

func TestGatewayLimits(t *testing.T) {
	ok := reply200(`{"responseCode":"SUCCESS"}`)
	date := "Fri, 20 Nov 2026 09:15:00 GMT"
	for _, tt := range []struct {
		name    string
		headers []string
		times   string
	}{
		{name: "seconds", headers: []string{"Retry-After", "20", "X-RateLimit-ToWait-Sec", "10"}, times: "0s 20s 20s"},
		{name: "the longest", headers: []string{"Retry-After", "20", "X-RateLimit-ToWait-Sec", "30"}, times: "0s 30s 30s"},
		{name: "a date", headers: []string{"Date", date, "Retry-After", "Fri, 20 Nov 2026 09:16:40 GMT"}, times: "0s 1m40s 1m40s"},
		{name: "a date by our clock", headers: []string{"Date", "now", "Retry-After", "Sat, 01 Jan 2000 00:00:50 GMT"}, times: "0s 50s 50s"},
		{name: "a date that is over", headers: []string{"Date", date, "Retry-After", "Fri, 20 Nov 2026 09:14:00 GMT"}, times: "0s 1m0s 1m0s"},
		{name: "a date far away", headers: []string{"Date", date, "Retry-After", "Fri, 20 Nov 2036 09:14:00 GMT"}, times: "0s 1m0s 1m0s"},
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

// atOnce asks for n pages of detections at the same time, each of which takes as long as the server likes, and returns when all
// have ended.
func atOnce(t *testing.T, c *Client, n int) {
	t.Helper()
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() { assert.NoError(t, detections(t.Context(), c)) })
	}
	calls.Wait()
}

// slowly makes a handler that takes a minute for each response.
func slowly(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		pass(time.Minute)
		handler(w, r)
	}
}

// As many requests run at once as Qualys allows, less those that are left to others.
func TestRequestsSideBySide(t *testing.T) {
	for _, tt := range []struct {
		name    string
		headers []string
		most    int
		leave   int
		slots   int
		times   string // of nine calls, once it is known what Qualys allows
		warned  string
	}{
		{name: "no header", most: 10, leave: 1, slots: 1, times: "0s 1m0s 2m0s 3m0s 4m0s 5m0s 6m0s 7m0s 8m0s"},
		{name: "standard", headers: []string{"X-Concurrency-Limit-Limit", "2"}, most: 10, leave: 1, slots: 1, times: "0s 1m0s 2m0s 3m0s 4m0s 5m0s 6m0s 7m0s 8m0s", warned: "detections no room 2 2"},
		{name: "standard, alone", headers: []string{"X-Concurrency-Limit-Limit", "2"}, most: 10, slots: 2, times: "0s 0s 1m0s 1m0s 2m0s 2m0s 3m0s 3m0s 4m0s"},
		{name: "premium", headers: []string{"X-Concurrency-Limit-Limit", "10"}, most: 10, leave: 1, slots: 9, times: "0s 0s 0s 0s 0s 0s 0s 0s 0s"},
		{name: "the other spelling", headers: []string{"X-ConcurrencyLimit-Limit", "5"}, most: 10, leave: 1, slots: 4, times: "0s 0s 0s 0s 1m0s 1m0s 1m0s 1m0s 2m0s"},
		{name: "fewer are configured", headers: []string{"X-Concurrency-Limit-Limit", "10"}, most: 3, leave: 1, slots: 3, times: "0s 0s 0s 1m0s 1m0s 1m0s 2m0s 2m0s 2m0s"},
		{name: "one is configured", headers: []string{"X-Concurrency-Limit-Limit", "10"}, most: 1, leave: 1, slots: 1, times: "0s 1m0s 2m0s 3m0s 4m0s 5m0s 6m0s 7m0s 8m0s"},
		{name: "more are left to others than there are", headers: []string{"X-Concurrency-Limit-Limit", "2"}, most: 10, leave: 5, slots: 1, times: "0s 1m0s 2m0s 3m0s 4m0s 5m0s 6m0s 7m0s 8m0s", warned: "detections no room 2 2"},
		{name: "a header that makes no sense", headers: []string{"X-Concurrency-Limit-Limit", "many"}, most: 10, slots: 1, times: "0s 1m0s 2m0s 3m0s 4m0s 5m0s 6m0s 7m0s 8m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			settings := func(s *Settings) { s.MaxConcurrent, s.ConcurrencyReserve = tt.most, tt.leave }
			synctest.Test(t, func(t *testing.T) {
				f, c, o := start(t, responses(reply200(hostList(""), tt.headers...), slowly(good)), settings)
				assert.Equal(t, 1, c.Concurrency(Detections), "nothing is known yet")
				require.NoError(t, detections(t.Context(), c))
				assert.Equal(t, tt.slots, c.Concurrency(Detections))
				assert.Equal(t, 1, c.Concurrency(KnowledgeBase), "each API has limits of its own")
				atOnce(t, c, 9)
				assert.Equal(t, tt.times, strings.Join(f.times("")[1:], " "))
				assert.Equal(t, tt.slots, c.Concurrency(Detections), "a response without the header changes nothing")
				assert.Equal(t, tt.warned, strings.Join(o.warned, ", "))
				assert.Equal(t, fmt.Sprintf("0/%d", tt.slots), o.slots[len(o.slots)-1])
				assert.Contains(t, o.slots, fmt.Sprintf("%d/%d", tt.slots, tt.slots))
			})
		})
	}
}

// Requests that run side by side must not use up what is left to others: each counts when it is sent.
func TestCallsAreCountedWhenTheyAreSent(t *testing.T) {
	limits := func(remaining string) []string {
		return []string{"X-Concurrency-Limit-Limit", "10", "X-RateLimit-Limit", "300", "X-RateLimit-Window-Sec", "3600", "X-RateLimit-Remaining", remaining}
	}
	t.Run("no more than remain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, c, o := start(t, responses(reply200(hostList(""), limits("13")...), slowly(reply200(hostList(""), limits("9")...)),
				slowly(reply200(hostList(""), limits("9")...)), slowly(reply200(hostList(""), limits("9")...)), slowly(reply200(hostList(""), limits("9")...)), good))
			require.NoError(t, detections(t.Context(), c))
			atOnce(t, c, 6)
			assert.Equal(t, "0s 0s 0s 0s 0s 1h0m0s 1h0m0s", strings.Join(f.times(""), " "), "13, 12, 11, 10: four more, and ten are left")
			assert.Equal(t, []string{"rate_limit_reserve 1h0m0s", "waited 1h0m0s"}, o.waits, "one of those that wait says so")
		})
	})
	t.Run("a response that was overtaken tells of more", func(t *testing.T) {
		var delays atomic.Int64
		remaining := []string{"100", "11", "98", "12"}
		synctest.Test(t, func(t *testing.T) {
			f, c, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
				n := int(delays.Add(1)) - 1
				if n >= len(remaining) {
					good(w, r)
					return
				}
				pass([]time.Duration{0, time.Second, 3 * time.Second, 2 * time.Second}[n])
				reply200(hostList(""), limits(remaining[n])...)(w, r)
			})
			require.NoError(t, detections(t.Context(), c))
			atOnce(t, c, 3)
			atOnce(t, c, 1)
			assert.Equal(t, "0s 0s 0s 0s 1h0m0s", strings.Join(f.times(""), " "), "11 less the two under way: the reserve is reached")
		})
	})
	t.Run("another window", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, c, _ := start(t, responses(reply200(hostList(""), limits("12")...), reply200(hostList(""), limits("299")...), good))
			for range 9 {
				require.NoError(t, detections(t.Context(), c))
			}
			assert.Equal(t, "0s 0s 0s 0s 0s 0s 0s 0s 0s", strings.Join(f.times(""), " "), "nobody waits for a window that is over")
		})
	})
	t.Run("window over: one probes, the others wait for its headers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, c, _ := start(t, responses(reply200(hostList(""), limits("200")...), slowly(reply200(hostList(""), limits("199")...)), slowly(good)))
			require.NoError(t, detections(t.Context(), c))
			pass(2 * time.Hour)
			atOnce(t, c, 3)
			assert.Equal(t, "0s 2h0m0s 2h1m0s 2h1m0s", strings.Join(f.times(""), " "))
		})
	})
	t.Run("window over, and no header tells of calls any more: one probes, and nobody waits then", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, c, _ := start(t, responses(reply200(hostList(""), limits("200")...), slowly(good)))
			require.NoError(t, detections(t.Context(), c))
			pass(2 * time.Hour)
			atOnce(t, c, 4)
			assert.Equal(t, "0s 2h0m0s 2h1m0s 2h1m0s 2h1m0s", strings.Join(f.times(""), " "))
		})
	})
	t.Run("after 1965 one probes", func(t *testing.T) {
		blocked := respond(409, simpleReturn(1965, "limit"), "X-RateLimit-ToWait-Sec", "90")
		synctest.Test(t, func(t *testing.T) {
			f, c, o := start(t, responses(reply200(hostList(""), limits("200")...), slowly(blocked), slowly(blocked), slowly(blocked), slowly(reply200(hostList(""), limits("199")...)), slowly(good)))
			require.NoError(t, detections(t.Context(), c))
			atOnce(t, c, 3)
			assert.Equal(t, "0s 0s 0s 0s 2m30s 3m30s 3m30s", strings.Join(f.times(""), " "))
			assert.Equal(t, []string{"rate_limit 1m30s", "waited 1m30s"}, o.waits)
		})
	})
	t.Run("no call remains, and none is left to others: one finds out for how long", func(t *testing.T) {
		blocked := respond(409, simpleReturn(1965, "limit"), "X-RateLimit-ToWait-Sec", "90")
		synctest.Test(t, func(t *testing.T) {
			f, c, _ := start(t, responses(reply200(hostList(""), "X-Concurrency-Limit-Limit", "10", "X-RateLimit-Limit", "5", "X-RateLimit-Remaining", "0"), blocked, good))
			require.NoError(t, detections(t.Context(), c))
			atOnce(t, c, 3)
			assert.Equal(t, "0s 0s 1m30s 1m30s 1m30s", strings.Join(f.times(""), " "))
		})
	})
	t.Run("a probe that has no response", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, c, _ := start(t, responses(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, good))
			require.Error(t, detections(t.Context(), c))
			require.NoError(t, detections(t.Context(), c))
			assert.Len(t, f.received(), 2, "nobody waits for its headers for ever")
		})
	})
}

// After a 1960 half as many requests run at once, and one more every now and then.
func TestCollisionsHalveWhatRunsAtOnce(t *testing.T) {
	ten := reply200(hostList(""), "X-Concurrency-Limit-Limit", "10")
	busy := respond(409, simpleReturn(1960, "busy"))
	eight := func(s *Settings) { s.MaxConcurrent = 8 }
	t.Run("several at once count as one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, c, o := start(t, responses(ten, slowly(busy), slowly(busy), slowly(busy), slowly(good)), eight)
			require.NoError(t, detections(t.Context(), c))
			atOnce(t, c, 8)
			assert.Equal(t, "0s 0s 0s 0s 0s 0s 0s 0s 0s 1m5s 1m5s 1m5s", strings.Join(f.times(""), " "), "after 5, not after 30 seconds")
			assert.Equal(t, []string{"concurrency_limit 5s", "waited 5s"}, o.waits)
			assert.Equal(t, 4, c.Concurrency(Detections))
		})
	})
	t.Run("five responses in a row allow one more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c, _ := start(t, responses(ten, busy, good), eight)
			require.NoError(t, detections(t.Context(), c))
			var allowed []int
			for range 21 {
				require.NoError(t, detections(t.Context(), c))
				allowed = append(allowed, c.Concurrency(Detections))
			}
			assert.Equal(t, []int{4, 4, 4, 4, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 8, 8}, allowed)
		})
	})
	t.Run("ten minutes allow one more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c, _ := start(t, responses(ten, busy, good), eight)
			require.NoError(t, detections(t.Context(), c))
			require.NoError(t, detections(t.Context(), c))
			pass(10*time.Minute - 6*time.Second)
			assert.Equal(t, 4, c.Concurrency(Detections))
			pass(time.Second)
			assert.Equal(t, 5, c.Concurrency(Detections))
			pass(20 * time.Minute)
			assert.Equal(t, 7, c.Concurrency(Detections))
			pass(24 * time.Hour)
			assert.Equal(t, 8, c.Concurrency(Detections))
		})
	})
	t.Run("a request that waits for a slot gets the one that time allows", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			two := func(s *Settings) { s.MaxConcurrent = 2 }
			f, c, _ := start(t, responses(ten, busy, drip(listBegin+"<HOST></HOST>", "<HOST></HOST>", time.Minute), good), two)
			require.NoError(t, detections(t.Context(), c))
			p, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0"})
			require.NoError(t, err)
			defer p.Close()
			require.NoError(t, detections(t.Context(), c))
			assert.Equal(t, "0s 0s 5s 10m0s", strings.Join(f.times(""), " "))
		})
	})
	t.Run("down to one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, c, _ := start(t, responses(ten, busy, busy, busy, busy, good), eight)
			require.NoError(t, detections(t.Context(), c))
			require.NoError(t, detections(t.Context(), c))
			assert.Equal(t, 1, c.Concurrency(Detections))
			assert.Equal(t, "0s 0s 5s 15s 45s 1m45s", strings.Join(f.times(""), " "))
		})
	})
}

// The limits of the gateway are the platform's: it is asked one thing at a time.
func TestTheGatewayIsAskedOneThingAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, gateway(slowly(respond(204, "", "X-Concurrency-Limit-Limit", "10"))))
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				_, err := readAssets(t.Context(), c, AssetQuery{})
				assert.NoError(t, err)
			})
		}
		calls.Wait()
		assert.Equal(t, "0s 1m0s 2m0s", strings.Join(f.times("asset"), " "))
		assert.Equal(t, 1, c.Concurrency(Assets))
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
