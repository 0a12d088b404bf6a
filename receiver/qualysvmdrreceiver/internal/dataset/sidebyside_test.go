// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// sideBySide runs a test in a bubble, over a subscription that allows ten requests at once.
func sideBySide(t *testing.T, options qualyssim.Options, test func(h *harness.Harness)) {
	synctest.Test(t, func(t *testing.T) { test(harness.SideBySide(t, 10, options)) })
}

// lists are the requests for IDs that were sent.
func lists(h *harness.Harness) []qualyssim.Request { return h.Asked(qualyssim.HostList) }

// atOnce is how many requests for detections ran at once, at most.
func atOnce(h *harness.Harness) int {
	most := 0
	all := asked(h)
	for i := range all {
		n := 0
		for j := range all {
			ended := all[j].Time.Add(time.Duration(all[j].DurationSeconds * float64(time.Second)))
			if !all[j].Time.After(all[i].Time) && (ended.After(all[i].Time) || !all[j].Done) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func TestRangesOfHostsAreReadSideBySide(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		h.Hosts(100)
		began := time.Now()
		var done time.Time
		run(h, harness.DetectionSettings())
		for done.IsZero() && time.Since(began) < time.Minute {
			h.Advance(time.Second)
			if len(h.Backend.Labels()) == 300 {
				done = time.Now()
			}
		}
		h.Advance(time.Minute)
		h.ExpectDelivered(h.EachOnce())
		assert.Less(t, done.Sub(began), 12*time.Second, "50 pages of a second each")
		assert.Equal(t, 9, atOnce(h), "one request is left to others")
		assert.Len(t, lists(h), 1)
		assert.Len(t, asked(h), 50, "the ranges are as large as pages")
		h.ExpectLogged(1, "collection finished")
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
	})
}

func TestSubscriptionOfTwoRequestsAtOnceIsReadOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := harness.SideBySide(t, 2, qualyssim.Options{})
		h.Hosts(20)
		run(h, harness.DetectionSettings())
		h.Advance(time.Minute)
		h.ExpectDelivered(h.EachOnce())
		assert.Empty(t, lists(h))
		assert.Equal(t, 1, atOnce(h))
	})
}

func TestHourlyCollectionOfOnePageIsOneRequest(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		h.Hosts(20)
		run(h, harness.DetectionSettings())
		h.Advance(30 * time.Minute)
		h.Change(5, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		before := len(h.Sim.Requests())
		h.Advance(time.Hour)
		assert.Len(t, h.Sim.Requests(), before+1)
		h.ExpectDelivered(harness.With(h.EachOnce(), "detection 5 Fixed", 1))
	})
}

func TestHourlyCollectionOfOnePageAsksForNoListWithAQuarantinedHost(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		h.Hosts(20)
		h.Break(100, true)
		c := run(h, harness.DetectionSettings())
		h.Advance(30 * time.Minute)
		require.Equal(t, 1, c.Quarantined())
		h.Change(5, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		before := len(lists(h))
		h.Advance(time.Hour)
		assert.Len(t, lists(h), before)
		assert.Equal(t, 1, h.Backend.Counts()["detection 5 Fixed"])
	})
}

func TestLaterFullCollectionAsksForItsListAtOnceAndOnce(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		h.Hosts(20)
		settings := harness.DetectionSettings()
		settings.Full = time.Hour
		run(h, settings)
		h.Advance(30 * time.Minute)
		fixed(h, 5) // the second pass of the next one has one page
		h.Sim.ClearRequests()
		h.Advance(time.Hour)
		require.Len(t, lists(h), 1)
		assert.Equal(t, asked(h)[0].Time, lists(h)[0].Time)
		assert.Equal(t, 1, arrived(h, 5))
	})
}

// secondFull has the first full collection of a hundred hosts done. The next one begins half an hour later.
func secondFull(h *harness.Harness, between func()) dataset.DetectionSettings {
	h.Hosts(100)
	settings := harness.DetectionSettings()
	settings.Full = time.Hour
	settings.Status = []string{"New", "Active", "Re-Opened"}
	run(h, settings)
	h.Advance(30 * time.Minute)
	h.ExpectDelivered(h.EachOnce())
	between()
	h.Sim.ClearRequests()
	return settings
}

func TestLaterFullCollectionDoesNotWaitForTheListToReadSideBySide(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		secondFull(h, func() {
			h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, _ http.ResponseWriter, _ func(http.ResponseWriter)) bool {
				if r.API == qualyssim.HostList {
					harness.Slow(3 * time.Second)
				}
				return false
			})
		})
		h.Advance(30*time.Minute + 3*time.Second)
		assert.Equal(t, 9, atOnce(h), "while the list is still awaited")
		h.Advance(10 * time.Minute)
		h.ExpectDelivered(harness.Twice(h.EachOnce()))
		assert.Len(t, lists(h), 1)
		assert.Len(t, asked(h), 50, "the ranges are as large as pages")
	})
}

func TestLaterFullCollectionBringsHostsThatWereNotThereWhenItsRangesWere(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		fresh := 0
		secondFull(h, func() {
			for id := int64(20); id <= 300; id += 20 {
				h.Script.RemoveHost(id)
			}
			for id := int64(5); id < 1500; id += 50 { // between those that are there, and behind them
				fresh++
				h.Script.SetDetection(id, qualyssim.ScriptedDetection{ID: 10_000 + id, QID: 1000, Updated: time.Now().Add(-time.Hour), Results: "r"})
			}
		})
		before := len(h.Backend.Labels())
		h.Advance(time.Hour)
		assert.Len(t, h.Backend.Labels(), before+3*(100-15)+fresh)
		for label, n := range h.Backend.Counts() {
			assert.LessOrEqual(t, n, 2, label)
		}
		assert.Less(t, len(asked(h)), 75, "58 would do if all were known")
	})
}

func TestRangesThatHaveBecomeTooSmallAreMadeAnew(t *testing.T) {
	for name, lose := range map[string]func(h *harness.Harness, id int64){
		"as hosts are gone":       func(h *harness.Harness, id int64) { h.Script.RemoveHost(id) },
		"as they have none found": func(h *harness.Harness, id int64) { h.Script.SetHost(id, qualyssim.ScriptedHost{}) },
	} {
		t.Run(name, func(t *testing.T) {
			sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
				secondFull(h, func() {
					for id := int64(20); id <= 1000; id += 20 {
						lose(h, id)
					}
				})
				h.Advance(time.Hour)
				h.Sim.ClearRequests()
				h.Advance(time.Hour)
				assert.LessOrEqual(t, len(asked(h)), 26, "50 hosts")
				assert.Len(t, h.Backend.Labels(), 300+150+150)
			})
		})
	}
}

func TestRangesAreMadeAnewForAnotherPageSize(t *testing.T) {
	for before, now := range map[int]int{20: 2, 2: 20} {
		t.Run(fmt.Sprintf("%d instead of %d", now, before), func(t *testing.T) {
			sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
				h.Hosts(100)
				settings := harness.DetectionSettings()
				settings.Full = time.Hour
				settings.PageSize = before
				run(h, settings)
				h.Advance(30 * time.Minute)
				h.Stop()
				settings.PageSize = now
				run(h, settings)
				h.Sim.ClearRequests()
				h.Advance(time.Hour)
				all := asked(h)
				assert.LessOrEqual(t, len(all), 100/now+1)
				assert.LessOrEqual(t, all[len(all)-1].Time.Sub(all[0].Time), 9*time.Second, "a second each, nine at once")
				h.ExpectDelivered(harness.Twice(h.EachOnce()))
			})
		})
	}
}

func TestKillWithinALaterFullCollectionLosesNothing(t *testing.T) {
	for after := 1900 * time.Millisecond; after < 8*time.Second; after += 300 * time.Millisecond {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
				settings := secondFull(h, func() { h.Script.RemoveHost(50) })
				before := h.Backend.Counts()
				h.Advance(30*time.Minute - time.Second + after)
				h.Kill()
				run(h, settings)
				h.Advance(15 * time.Second) // 50 pages of a second each
				twice := 0
				counts := h.Backend.Counts()
				for label, n := range before {
					if gone := label == "detection 13 Active" || label == "detection 14 Active" || label == "detection 15 Active"; gone {
						continue
					}
					assert.Contains(t, []int{n + 1, n + 2}, counts[label], label)
					if counts[label] == n+2 {
						twice++
					}
				}
				assert.LessOrEqual(t, twice, 9*2, "one batch of two records for each range")
				h.ExpectLogged(1, "collection finished")
			})
		})
	}
}

func TestWithoutAListAPassGoesOnPageByPage(t *testing.T) {
	for _, test := range []struct {
		name  string
		with  func(http.ResponseWriter)
		lists int
	}{
		{"no permission", func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }, 1},
		{"an API that Qualys does not know", rejecting(http.StatusBadRequest, 1901, "unrecognized parameter"), 1},
		{"errors", func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }, 3},
		{"a list that is cut", func(w http.ResponseWriter) { fmt.Fprint(w, "<HOST_LIST_OUTPUT><RESPONSE><ID_SET><ID_RANGE>1-") }, 3},
		{"an empty list", func(w http.ResponseWriter) {
			fmt.Fprint(w, `<?xml version="1.0"?><HOST_LIST_OUTPUT><RESPONSE><DATETIME>2000-01-01T00:00:00Z</DATETIME></RESPONSE></HOST_LIST_OUTPUT>`)
		}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
				h.Hosts(60)
				intercept(h, qualyssim.HostList, test.with)
				run(h, harness.DetectionSettings())
				h.Advance(30 * time.Minute)
				h.ExpectDelivered(h.EachOnce())
				assert.Len(t, lists(h), test.lists)
				assert.Equal(t, 1, atOnce(h))
				h.ExpectState(dataset.Vulnerabilities, health.Collecting)
				h.ExpectLogged(1, "collection finished")
			})
		})
	}
}

func TestWithoutLimitHeadersOneRequestRunsAtATime(t *testing.T) {
	sideBySide(t, qualyssim.Options{RateHeaders: qualyssim.HeadersNone}, func(h *harness.Harness) {
		h.Hosts(20)
		run(h, harness.DetectionSettings())
		h.Advance(time.Minute)
		h.ExpectDelivered(h.EachOnce())
		assert.Empty(t, lists(h))
		assert.Equal(t, 1, atOnce(h))
	})
}

func TestTooManyRequestsAtOnceLoseNothing(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		h.Hosts(100)
		n := atomic.Int64{}
		answer(h, func(qualyssim.Request) bool {
			k := n.Add(1)
			return k > 10 && k < 20
		}, rejecting(http.StatusConflict, 1960, "too many"))
		run(h, harness.DetectionSettings())
		h.Advance(30 * time.Minute)
		h.ExpectDelivered(h.EachOnce())
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
		h.ExpectLogged(1, "collection finished")
		h.ExpectLogged(0, "collection failed")
	})
}

// intercept answers the requests of an API in another way.
func intercept(h *harness.Harness, api qualyssim.API, with func(http.ResponseWriter)) {
	h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
		if r.API != api {
			return false
		}
		with(w)
		return true
	})
}

// underWay waits until as many requests for detections are under way as may be.
func underWay(h *harness.Harness) {
	for range 1000 {
		open := 0
		for _, r := range asked(h) {
			if !r.Done {
				open++
			}
		}
		if open >= 9 {
			return
		}
		h.Advance(10 * time.Millisecond)
	}
	require.Fail(h.T, "there never were so many requests under way")
}

func TestFailuresOfAllThatIsUnderWayCountAsOne(t *testing.T) {
	for _, test := range []struct {
		name  string
		with  func(http.ResponseWriter)
		quiet time.Duration // nothing is sent for so long after the first failure
	}{
		{"nine times 403", func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }, 4 * time.Minute},
		{"nine times 503", func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }, 400 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
				h.Hosts(200)
				run(h, harness.DetectionSettings())
				underWay(h)
				began := time.Now()
				h.Sim.ClearRequests()
				down := atomic.Bool{}
				down.Store(true)
				answer(h, func(qualyssim.Request) bool { return down.Load() }, test.with)
				h.Advance(1500 * time.Millisecond) // those under way are answered as they would be, the next ones fail
				failed := asked(h)
				require.NotEmpty(t, failed)
				assert.LessOrEqual(t, len(failed), 10)
				for _, r := range failed[:min(len(failed), 9)] {
					assert.Less(t, r.Time.Sub(failed[0].Time), 50*time.Millisecond, "what was sent before the first failure was read")
				}
				for _, r := range failed {
					if after := r.Time.Sub(failed[0].Time); after > 50*time.Millisecond {
						assert.GreaterOrEqual(t, after, test.quiet)
					}
				}
				h.ExpectState(dataset.Vulnerabilities, health.Error)
				down.Store(false)
				h.Advance(30 * time.Minute)
				h.ExpectDelivered(h.EachOnce())
				h.ExpectState(dataset.Vulnerabilities, health.Collecting)
				assert.WithinRange(t, time.Now(), began, began.Add(time.Hour))
			})
		})
	}
}

func TestOutageOfAnyLengthWithRangesUnderWayLosesAndQuarantinesNothing(t *testing.T) {
	for _, length := range []time.Duration{10 * time.Second, 10 * time.Minute, 30 * time.Hour} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
				h.Hosts(100)
				settings := harness.DetectionSettings()
				settings.Full = 0
				c := run(h, settings)
				underWay(h)
				answer(h, always, func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) })
				h.Advance(length)
				h.Sim.Intercept(nil)
				h.Advance(3 * time.Hour)
				assert.Zero(t, c.Quarantined())
				h.ExpectDelivered(h.EachOnce())
				h.ExpectState(dataset.Vulnerabilities, health.Collecting)
			})
		})
	}
}

func TestPasswordRotatedWhileRequestsAreUnderWay(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		h.Hosts(100)
		run(h, harness.DetectionSettings())
		underWay(h)
		h.Sim.Rotate(qualyssim.Credentials{Username: "user", Password: "other"})
		h.Advance(10 * time.Second)
		refused := 0
		var first time.Time
		for _, r := range h.Sim.Requests() {
			if r.Status == http.StatusUnauthorized {
				if first.IsZero() {
					first = r.Time
				}
				refused++
				assert.Less(t, r.Time.Sub(first), 10*time.Millisecond, "sent after the first refusal was read")
			}
		}
		assert.LessOrEqual(t, refused, 9, "at most those under way")
		before := len(h.Sim.Requests())
		h.Advance(24 * time.Hour)
		assert.Len(t, h.Sim.Requests(), before, "an account must not be locked")
		h.ExpectState(dataset.Vulnerabilities, health.Error)
		h.Stop()

		h.Sim.Rotate(qualyssim.Credentials{Username: "user", Password: "pass"})
		run(h, harness.DetectionSettings())
		h.Advance(10 * time.Minute)
		h.ExpectDelivered(h.EachOnce())
	})
}

func TestHostsThatAppearAndVanishWhileRangesAreRead(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		h.Hosts(100) // hosts 10 to 1000
		run(h, harness.DetectionSettings())
		underWay(h)
		h.Script.RemoveHost(500)
		h.Script.RemoveHost(510)
		for i, id := range []int64{985, 995, 5000} { // between those of the last ranges, and behind them
			h.Script.SetDetection(id, qualyssim.ScriptedDetection{ID: int64(1001 + i), QID: 1000, Updated: time.Now(), Results: "r"})
		}
		h.Advance(2 * time.Hour)
		want := harness.With(harness.With(harness.With(h.EachOnce(), "detection 1001 Active", 1), "detection 1002 Active", 1), "detection 1003 Active", 1)
		for i := 148; i <= 153; i++ { // those of hosts 500 and 510
			want = harness.With(want, fmt.Sprintf("detection %d Active", i), 0)
		}
		h.ExpectDelivered(want)
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
	})
}

func TestBrokenHostsWithinRangesAreLeftOutOfThem(t *testing.T) {
	for _, broken := range [][]int64{{30}, {40}, {50}, {490}, {500}, {490, 500}, {500, 510}, {490, 500, 510, 520}, {980}, {1000}, {990, 1000}} {
		t.Run(fmt.Sprint(broken), func(t *testing.T) {
			sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
				h.Hosts(100)          // hosts 10 to 1000, ranges of two
				whole := h.EachOnce() // those of hosts that can be read
				for _, id := range broken {
					h.Break(id, true)
					for i := range int64(3) {
						whole = harness.With(whole, fmt.Sprintf("detection %d Active", id/10*3-i), 0)
					}
				}
				settings := harness.DetectionSettings()
				settings.Interval, settings.Full = 24*time.Hour, 24*time.Hour
				c := run(h, settings)
				h.Advance(20 * time.Hour)
				assert.Equal(t, len(broken), c.Quarantined())
				for label := range whole {
					require.Equal(t, 1, h.Backend.Counts()[label], label)
				}
				h.ExpectLogged(1, "collection finished")

				// The next full collection leaves them out at the boundaries of its ranges, too.
				h.Sim.ClearRequests()
				h.Advance(20 * time.Hour)
				h.ExpectLogged(2, "collection finished")
				for label := range whole {
					require.Equal(t, 2, h.Backend.Counts()[label], label)
				}
				for _, id := range broken {
					h.Break(id, false)
				}
				h.Advance(48 * time.Hour)
				assert.Zero(t, c.Quarantined())
				for label := range h.EachOnce() {
					assert.Positive(t, h.Backend.Counts()[label], label)
				}
			})
		})
	}
}

func TestQuarantinedHostsAtTheBoundariesOfRanges(t *testing.T) {
	for _, broken := range [][]int64{{6}, {7}, {8}, {7, 8}, {8, 9}, {7, 8, 9, 10}, {39}, {40}, {39, 40}} {
		t.Run(fmt.Sprint(broken), func(t *testing.T) {
			sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
				for id := range int64(40) { // without a gap between their IDs
					h.Script.SetDetection(id+1, qualyssim.ScriptedDetection{ID: id + 1, QID: 1000, Updated: time.Now().Add(-24 * time.Hour), Results: "r"})
				}
				for _, id := range broken {
					h.Break(id, true)
				}
				settings := harness.DetectionSettings()
				settings.Interval, settings.Full = 24*time.Hour, 24*time.Hour
				c := run(h, settings)
				h.Advance(23 * time.Hour)
				require.Equal(t, len(broken), c.Quarantined())
				h.Sim.ClearRequests()
				h.Advance(24 * time.Hour)
				h.ExpectLogged(2, "collection finished")
				for id := range int64(40) {
					if !slices.Contains(broken, id+1) {
						assert.Equal(t, 2, h.Backend.Counts()[fmt.Sprintf("detection %d Active", id+1)], id+1)
					}
				}
				for _, r := range asked(h) {
					var from, to int64
					if _, err := fmt.Sscan(r.Form.Get("id_max"), &to); err == nil {
						_, _ = fmt.Sscan(r.Form.Get("id_min"), &from)
						assert.LessOrEqual(t, from, to, "a range of nothing is asked for")
					}
				}
			})
		})
	}
}

func TestKillWithRangesUnderWayLosesNothing(t *testing.T) {
	for _, after := range []time.Duration{
		1500 * time.Millisecond, 2500 * time.Millisecond, 3001 * time.Millisecond, 3500 * time.Millisecond, 4 * time.Second, 4500 * time.Millisecond,
		5500 * time.Millisecond, 6001 * time.Millisecond, 7 * time.Second,
	} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
				h.Hosts(100)
				run(h, harness.DetectionSettings())
				h.Advance(after)
				h.Kill()
				h.Sim.ClearRequests()
				run(h, harness.DetectionSettings())
				h.Advance(10 * time.Minute)
				if left := len(asked(h)); left > 20 {
					assert.Equal(t, 9, atOnce(h), "side by side again")
				}
				twice := 0
				counts := h.Backend.Counts()
				for label := range h.EachOnce() {
					assert.Contains(t, []int{1, 2}, counts[label], label)
					if counts[label] == 2 {
						twice++
					}
				}
				assert.LessOrEqual(t, twice, 9*2, "one batch of two records for each range")
				h.ExpectLogged(1, "collection finished")
				h.ExpectState(dataset.Vulnerabilities, health.Collecting)
			})
		})
	}
}

func TestKillsInTurnLoseNothing(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		h.Hosts(150)
		const kills = 12
		for range kills {
			run(h, harness.DetectionSettings())
			h.Advance(2700 * time.Millisecond) // the start takes one second, the first response another
			h.Kill()
		}
		run(h, harness.DetectionSettings())
		h.Advance(10 * time.Minute)
		counts := h.Backend.Counts()
		sum := 0
		for label := range h.EachOnce() {
			assert.Positive(t, counts[label], label)
			sum += counts[label]
		}
		assert.LessOrEqual(t, sum, 450+kills*9*2)
		h.ExpectLogged(1, "collection finished")
	})
}

func TestRangesDoNotOverlapWhereQualysTakesNoEnd(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		h.Hosts(100)
		answer(h, func(r qualyssim.Request) bool { return r.Form.Has("id_max") }, rejecting(http.StatusBadRequest, 1901, "Unrecognized parameter(s): id_max"))
		run(h, harness.DetectionSettings())
		for len(lists(h)) == 0 {
			h.Advance(time.Second)
		}
		h.Advance(time.Second)
		for id := int64(500); id < 1000; id += 20 {
			h.Script.RemoveHost(id) // a page that begins before it reaches into the next range
		}
		h.Advance(10 * time.Minute)
		for label, n := range h.Backend.Counts() {
			assert.Equal(t, 1, n, label)
		}
		assert.GreaterOrEqual(t, len(h.Backend.Labels()), 3*75)
		h.ExpectLogged(1, "qualys rejected a default parameter")
	})
}

// What lies behind the end of a range is of another one: what it says there was not delivered.
func TestTrackedChangeBehindTheEndOfARangeIsDelivered(t *testing.T) {
	sideBySide(t, qualyssim.Options{}, func(h *harness.Harness) {
		h.Hosts(100)
		settings := trackedDaily()
		settings.Collect, settings.PageSize = "processed", harness.DetectionSettings().PageSize
		run(h, settings)
		h.Advance(30 * time.Minute)
		answer(h, func(r qualyssim.Request) bool { return r.Form.Has("id_max") }, rejecting(http.StatusBadRequest, 1901, "Unrecognized parameter(s): id_max"))
		for number := 1; number <= 300; number++ {
			h.Edit(number, func(d *qualyssim.ScriptedDetection) { d.Severity, d.Processed = 5, time.Now() })
		}
		h.Sim.ClearRequests()
		for len(lists(h)) == 0 {
			h.Advance(time.Second)
		}
		h.Advance(time.Second)
		for id := int64(500); id < 1000; id += 20 {
			h.Script.RemoveHost(id) // a page that begins before it reaches into the next range
		}
		h.Advance(10 * time.Minute)
		h.ExpectLogged(1, "qualys rejected a default parameter")
		for number := 1; number <= 300; number++ {
			if id := int64(10 + (number-1)/3*10); id < 500 || id >= 1000 || id%20 != 0 {
				assert.Equal(t, 2, h.Backend.Counts()[fmt.Sprintf("detection %d Active", number)], number)
			}
		}
	})
}
