// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// asksFor reports whether a request asks for quarantined hosts alone.
func asksFor(ids string) func(qualyssim.Request) bool {
	return func(r qualyssim.Request) bool { return r.Form.Get("ids") == ids }
}

func TestQuarantinedHostThatOnceSaysNothingIsNotDoubled(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(9)
		h.Break(20, true)
		run(h, harness.DetectionSettings())
		h.Advance(30 * time.Minute)
		answer(h, asksFor("20"), func(w http.ResponseWriter) {
			fmt.Fprint(w, "<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><HOST_LIST><HOST><ID>20</ID><DETECTION_L")
		})
		h.Advance(2 * time.Hour)
		h.Sim.Intercept(nil)
		h.Break(20, false)
		h.Advance(2 * time.Hour)
		h.ExpectDelivered(h.EachOnce())
	})
}

func TestHostsBehindASuspectArriveOnceAlsoIfTheirPageIsCut(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(9) // hosts 10 to 30
		h.Break(20, true)
		cuts := 0
		cut(h, false, func(r qualyssim.Request, answer string) (string, bool) {
			if r.Form.Get("id_min") != "21" || cuts > 1 {
				return answer, false
			}
			cuts++
			return answer[:strings.LastIndex(answer, "<DETECTION>")], true
		})
		settings := harness.DetectionSettings()
		settings.PageSize = 1
		c := run(h, settings)
		h.Advance(10 * time.Minute)
		h.ExpectDelivered(harness.With(h.EachOnce(), "detection 6 Active", 0)) // the last one of host 20
		assert.Equal(t, 2, cuts)
		assert.Equal(t, 1, c.Quarantined())
	})
}

func TestChangesOfAQuarantinedHostArriveOnceEach(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(9)
		h.Break(20, true) // its last detection cannot be read, the other two can
		run(h, harness.DetectionSettings())
		h.Advance(30 * time.Minute)
		const changes = 20
		for i := range changes {
			h.Change(4, func(d *qualyssim.ScriptedDetection) { d.Results = []string{"new", "r"}[i%2] })
			h.Advance(time.Hour)
		}
		assert.Equal(t, 1+changes, h.Backend.Counts()["detection 4 Active"], "also when it becomes what it was before")
		assert.Equal(t, 1, h.Backend.Counts()["detection 5 Active"])
	})
}

func TestQuarantineKeepsWhatTheWindowBeforeHadDelivered(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(9)
		for i := 1; i <= 9; i++ {
			h.Change(i, func(*qualyssim.ScriptedDetection) {}) // the next window brings them again
		}
		settings := harness.DetectionSettings()
		settings.Overlap = 6 * time.Hour
		c := run(h, settings)
		h.Advance(30 * time.Minute)
		h.Break(20, true)
		h.Advance(time.Hour)
		require.Equal(t, 1, c.Quarantined())
		h.Break(20, false)
		h.Advance(90 * time.Minute)
		assert.Zero(t, c.Quarantined())
		h.ExpectDelivered(h.EachOnce())
	})
}

func TestQuarantinedHostWithoutAResponseHoldsNothingUp(t *testing.T) {
	for _, test := range []struct {
		name string
		with func(http.ResponseWriter)
	}{
		{"errors", func(w http.ResponseWriter) { w.WriteHeader(http.StatusGatewayTimeout) }},
		{"responses without a head", func(w http.ResponseWriter) { fmt.Fprint(w, "<HOST_LIST_VM_DET") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(9)
				h.Break(20, true)
				answer(h, asksFor("20"), test.with)
				c := run(h, harness.DetectionSettings())
				h.Advance(30 * time.Minute)
				require.Equal(t, 1, c.Quarantined())
				h.Change(1, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
				h.Advance(3 * time.Hour)
				assert.Equal(t, 1, h.Backend.Counts()["detection 1 Fixed"])
				h.ExpectState(dataset.Vulnerabilities, health.Collecting)
				alone := slices.DeleteFunc(asked(h), func(r qualyssim.Request) bool { return !r.Form.Has("ids") })
				require.Len(t, alone, 3*3, "three times in each collection")
				for i := range alone[1:] {
					assert.Greater(t, alone[i+1].Time.Sub(alone[i].Time), harness.Retry().InitialInterval/3, "with back-off")
				}
				h.Sim.Intercept(nil)
				h.Break(20, false)
				h.Advance(time.Hour)
				assert.Equal(t, 1, h.Backend.Counts()["detection 6 Active"])
				assert.Zero(t, c.Quarantined())
			})
		})
	}
}

func TestQuarantinedHostThatQualysDoesNotKnowAnyMoreStopsNothing(t *testing.T) {
	for _, code := range []int{1905, 1922} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(9)
				h.Break(20, true)
				answer(h, asksFor("20"), rejecting(http.StatusBadRequest, code, "parameter ids has invalid value: 20"))
				c := run(h, harness.DetectionSettings())
				h.Advance(30 * time.Minute)
				require.Equal(t, 1, c.Quarantined())
				h.Script.RemoveHost(20) // purged
				h.Advance(time.Hour)
				assert.Zero(t, c.Quarantined())
				h.ExpectLogged(1, "given up")
				h.Change(1, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
				h.Advance(2 * time.Hour)
				assert.Equal(t, 1, h.Backend.Counts()["detection 1 Fixed"])
				h.ExpectState(dataset.Vulnerabilities, health.Collecting)
			})
		})
	}
}

func TestOutageWhileQuarantinedHostsAreTriedLosesNothing(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(12) // hosts 10 to 40
		h.Break(20, true)
		h.Break(30, true)
		down := false
		answer(h, func(r qualyssim.Request) bool {
			down = down || strings.HasPrefix(r.Form.Get("ids"), "20")
			return down
		}, func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) })
		c := run(h, harness.DetectionSettings())
		h.Advance(90 * time.Minute)
		require.Equal(t, 2, c.Quarantined())
		assert.True(t, down)
		before := len(asked(h))
		h.Advance(3 * time.Hour)
		h.ExpectState(dataset.Vulnerabilities, health.Error)
		assert.Greater(t, len(asked(h)), before+100, "an ordinary page is asked for until it comes")
		h.Sim.Intercept(nil)
		h.Break(20, false)
		h.Break(30, false)
		h.Advance(2 * time.Hour)
		h.ExpectDelivered(h.EachOnce())
		assert.Zero(t, c.Quarantined())
	})
}

// inPage reports whether a request's page has a host, as far as its IDs tell.
func inPage(h *harness.Harness, r qualyssim.Request, host uint64) bool {
	number := func(name string, otherwise uint64) uint64 {
		n := otherwise
		_, _ = fmt.Sscan(r.Form.Get(name), &n)
		return n
	}
	if ids := r.Form.Get("ids"); ids != "" {
		for _, one := range strings.Split(ids, ",") {
			first, last, isRange := strings.Cut(one, "-")
			if !isRange {
				last = first
			}
			var from, to uint64
			_, _ = fmt.Sscan(first, &from)
			_, _ = fmt.Sscan(last, &to)
			if from <= host && host <= to {
				return true
			}
		}
		return false
	}
	from, to, limit := number("id_min", 0), number("id_max", 1<<62), number("truncation_limit", 1000)
	before := uint64(0)
	for id := uint64(10); id < host; id += 10 {
		if _, found := h.Script.Host(int64(id)); found && id >= from && id <= to {
			before++
		}
	}
	return from <= host && host <= to && before < limit
}

func TestHostThatTheServerCannotRenderIsQuarantined(t *testing.T) {
	for _, test := range []struct {
		name string
		with func(http.ResponseWriter)
	}{
		{"error 500", func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }},
		{"time-out of a gateway", func(w http.ResponseWriter) { w.WriteHeader(http.StatusGatewayTimeout) }},
		{"connection that ends before the first byte", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(60) // hosts 10 to 200
				answer(h, func(r qualyssim.Request) bool { return inPage(h, r, 70) }, test.with)
				settings := harness.DetectionSettings()
				settings.PageSize, settings.Interval = 8, 24*time.Hour
				c := run(h, settings)
				h.Advance(12 * time.Hour)
				want := h.EachOnce()
				for i := 19; i <= 21; i++ { // those of host 70
					want = harness.With(want, fmt.Sprintf("detection %d Active", i), 0)
				}
				h.ExpectDelivered(want)
				assert.Equal(t, 1, c.Quarantined())
				h.ExpectLogged(1, "collection finished")
				assert.Less(t, len(asked(h)), 120)

				h.Sim.Intercept(nil)
				h.Advance(24 * time.Hour)
				h.ExpectDelivered(h.EachOnce())
				assert.Zero(t, c.Quarantined())
			})
		})
	}
}

func TestPageThatIsTooSlowForAGatewayBecomesSmaller(t *testing.T) {
	for _, status := range []int{http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout, 524} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(48)
				answer(h, func(r qualyssim.Request) bool { return r.Form.Get("truncation_limit") > "3" },
					func(w http.ResponseWriter) { w.WriteHeader(status) })
				settings := harness.DetectionSettings()
				settings.PageSize = 8
				run(h, settings)
				h.Advance(50 * time.Minute)
				h.ExpectDelivered(h.EachOnce())
				assert.Less(t, len(asked(h)), 60)
			})
		})
	}
}

func TestManyQuarantinedHostsCostFewRequests(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(180) // hosts 10 to 600
		for id := int64(20); id <= 580; id += 40 {
			h.Break(id, true)
		}
		settings := harness.DetectionSettings()
		settings.PageSize, settings.Interval = 100, 24*time.Hour
		c := run(h, settings)
		h.Advance(23 * time.Hour)
		require.Equal(t, 15, c.Quarantined())
		for i := 1; i <= 180; i++ {
			h.Change(i, func(*qualyssim.ScriptedDetection) {})
		}
		before := len(asked(h))
		h.Advance(2 * time.Hour)
		later := asked(h)[before:]
		ordinary := slices.DeleteFunc(slices.Clone(later), func(r qualyssim.Request) bool { return r.Form.Get("detection_updated_since") == "" })
		assert.LessOrEqual(t, len(ordinary), 2, "the ranges between them are asked for at once")
		assert.LessOrEqual(t, len(later), 2+2*15, "and those that break are tried together")
		assert.Contains(t, later[0].Form.Get("ids"), ",21-59")

		for id := int64(20); id <= 580; id += 40 {
			h.Break(id, false)
		}
		before = len(asked(h))
		h.Advance(24 * time.Hour)
		assert.Zero(t, c.Quarantined())
		assert.LessOrEqual(t, len(asked(h))-before, 4, "one request for all that can be read again")
		for i := 1; i <= 180; i++ {
			assert.Positive(t, h.Backend.Counts()[fmt.Sprintf("detection %d Active", i)], i)
		}
	})
}

func TestServerThatTakesNoRangesLeavesHostsOutAllTheSame(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(18) // hosts 10 to 60
		h.Break(20, true)
		h.Break(40, true)
		settings := harness.DetectionSettings()
		settings.PageSize = 4
		c := run(h, settings)
		h.Advance(50 * time.Minute)
		require.Equal(t, 2, c.Quarantined())
		answer(h, func(r qualyssim.Request) bool { return strings.Contains(r.Form.Get("ids"), "-") },
			rejecting(http.StatusBadRequest, 1905, "parameter ids has invalid value"))
		h.Change(8, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		h.Advance(3 * time.Hour)
		assert.Equal(t, 1, h.Backend.Counts()["detection 8 Fixed"])
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
		h.ExpectLogged(1, "does not accept ranges")
	})
}

func TestQuarantineIsTriedLessOftenAsTimeGoesBy(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(6)
		h.Break(20, true)
		settings := harness.DetectionSettings()
		settings.Full = 0
		run(h, settings)
		h.Advance(23 * time.Hour)
		tries := func(period time.Duration) int {
			from := time.Now()
			h.Sim.ClearRequests()
			h.Advance(period)
			n := 0
			for _, r := range asked(h) {
				if r.Form.Get("ids") == "20" && !r.Time.Before(from) {
					n++
				}
			}
			return n
		}
		h.Advance(10 * time.Hour)
		assert.InDelta(t, 5, tries(5*24*time.Hour), 1, "daily after the first day")
		h.Advance(26 * 24 * time.Hour)
		assert.InDelta(t, 4, tries(28*24*time.Hour), 1, "weekly after a month")
	})
}

func TestPageOfHostsThatDoNotAscendIsAskedForAgainFromItsBeginning(t *testing.T) {
	for _, test := range []struct {
		name string
		cuts int
		end  func(h *harness.Harness)
	}{
		{"cut once", 1, nil},
		{"cut again and again", 5, nil},
		{"a stop", 1, (*harness.Harness).Stop},
		{"a kill", 1, (*harness.Harness).Kill},
		{"a kill and further cuts", 3, (*harness.Harness).Kill},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(15) // hosts 10 to 50
				order := func(answer string) string {
					// Host 10 comes last.
					first := strings.Index(answer, "<HOST>")
					second := strings.Index(answer[first+1:], "<HOST>") + first + 1
					end := strings.Index(answer, "</HOST_LIST>")
					return answer[:first] + answer[second:end] + answer[first:second] + answer[end:]
				}
				cuts, stopped := 0, make(chan struct{})
				cut(h, false, func(r qualyssim.Request, answer string) (string, bool) {
					if r.Form.Get("truncation_limit") != "100" && r.Form.Get("id_min") != "" {
						return answer, false
					}
					answer = order(answer)
					if cuts++; cuts == 1 {
						close(stopped)
					}
					if cuts <= test.cuts {
						return answer[:strings.LastIndex(answer, "<DETECTION>")], true // in host 10
					}
					return answer, false
				})
				settings := harness.DetectionSettings()
				settings.PageSize = 100
				run(h, settings)
				if test.end != nil {
					<-stopped
					h.Advance(0)
					test.end(h)
					run(h, settings)
				}
				h.Advance(30 * time.Minute)
				h.ExpectDelivered(h.EachOnce())
			})
		})
	}
}

func TestStopWithinAPageOfHostsThatDoNotAscendLosesNothing(t *testing.T) {
	for _, end := range []struct {
		name string
		with func(h *harness.Harness)
	}{{"a stop", (*harness.Harness).Stop}, {"a kill", (*harness.Harness).Kill}} {
		t.Run(end.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(30) // hosts 10 to 100
				require.NoError(t, h.Sim.SetFaults(qualyssim.Faults{
					Rates: map[qualyssim.Fault]float64{qualyssim.Descending: 1}, BytesPerSecond: 400,
				}))
				settings := harness.DetectionSettings()
				settings.PageSize = 100
				run(h, settings)
				for len(h.Backend.Labels()) < 15 {
					h.Advance(100 * time.Millisecond)
				}
				end.with(h)
				require.NoError(t, h.Sim.SetFaults(qualyssim.Faults{Rates: map[qualyssim.Fault]float64{qualyssim.Descending: 1}}))
				run(h, settings)
				h.Advance(30 * time.Minute)
				twice := 0
				for label := range h.EachOnce() {
					n := h.Backend.Counts()[label]
					assert.Contains(t, []int{1, 2}, n, label)
					twice += n - 1
				}
				assert.LessOrEqual(t, twice, 2, "a batch")
			})
		})
	}
}

func TestARestartWhileQuarantinedHostsAreTriedLosesNoneOfTheCounts(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Hosts(20)
		for _, id := range []int64{20, 100, 200} {
			h.Break(id, true)
		}
		h.Shared = func(s *dataset.Settings) { s.Events = true }
		c := run(h, harness.DetectionSettings())
		h.Advance(30 * time.Minute)
		require.Equal(t, 3, c.Quarantined())
		h.Break(20, false)
		h.Break(200, false)
		slow(h, 10*time.Second)
		h.Advance(29 * time.Minute)
		for tries := 0; c.Quarantined() == 3 && tries < 200; tries++ {
			h.Advance(time.Second)
		}
		require.Equal(t, 2, c.Quarantined(), "the first one could be read, the next one breaks, and the last one is asked for")
		h.Stop()
		run(h, harness.DetectionSettings())
		h.Advance(time.Minute)
		told, brought := int64(0), int64(0)
		for _, record := range h.Backend.Records() {
			if harness.Label(record) != "collection of vulnerabilities" {
				brought++
				continue
			}
			records, _ := record.Body().Map().Get("records")
			told += records.Int()
		}
		assert.Equal(t, brought, told)
	})
}
