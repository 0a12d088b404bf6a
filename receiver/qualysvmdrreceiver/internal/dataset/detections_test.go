// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// timeFormat is how Qualys writes times, in UTC.
const timeFormat = "2006-01-02T15:04:05Z"

// run runs the dataset vulnerabilities.
func run(h *harness.Harness, settings dataset.DetectionSettings) *engine.Collector {
	var c *engine.Collector
	h.Run(harness.Detect(settings, engine.Options{}, &c))
	return c
}

func asked(h *harness.Harness) []qualyssim.Request { return h.Asked(qualyssim.Detections) }

// bubble runs a test in a bubble with its own clock.
func bubble(t *testing.T, test func(h *harness.Harness)) {
	synctest.Test(t, func(t *testing.T) { test(harness.New(t)) })
}

func TestEveryDetectionOfEveryPageArrivesOnce(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(20)
		run(h, harness.DetectionSettings())
		h.Advance(10 * time.Second)
		h.ExpectDelivered(h.EachOnce())
		asked := asked(h)
		require.Len(t, asked, 4, "7 hosts, two to a page")
		assert.Equal(t, "New,Active,Re-Opened", asked[0].Form.Get("status"))
		assert.Empty(t, asked[0].Form.Get("detection_updated_since"))
		assert.Equal(t, "30", asked[1].Form.Get("id_min"))
		assert.Equal(t, "New,Active,Re-Opened", asked[1].Form.Get("status"), "parameters that the next page's URL lacks are kept")
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
		h.ExpectLogged(1, "collection finished")
	})
}

func TestLaterCollectionsDeliverOnlyWhatChanged(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		began := time.Now()
		h.Detections(6)
		h.Change(1, func(*qualyssim.ScriptedDetection) {}) // within the overlap of the next collection
		run(h, harness.DetectionSettings())
		h.Advance(30 * time.Minute)
		h.Change(5, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		h.Advance(time.Hour)
		h.ExpectDelivered(harness.With(h.EachOnce(), "detection 5 Fixed", 1))
		asked := asked(h)
		last := asked[len(asked)-1]
		assert.Equal(t, began.Add(time.Second-time.Hour).UTC().Format(timeFormat), last.Form.Get("detection_updated_since"))
		assert.WithinDuration(t, began.Add(time.Second+time.Hour), last.Time, 0, "collections start an interval apart")
		assert.Equal(t, "New,Active,Re-Opened,Fixed", last.Form.Get("status"))
	})
}

func TestFullCollectionDeliversAllAndLosesNothingFixed(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(6)
		settings := harness.DetectionSettings()
		settings.Interval, settings.Full, settings.Overlap = 3*time.Hour, 5*time.Hour, 0
		run(h, settings)
		h.Advance(4 * time.Hour) // the first one and a later one
		h.Change(1, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		h.Advance(3 * time.Hour) // a full one
		want := map[string]int{"detection 1 Active": 1, "detection 1 Fixed": 1}
		for i := 2; i <= 6; i++ {
			want[fmt.Sprintf("detection %d Active", i)] = 2
		}
		h.ExpectDelivered(want)
	})
}

func TestRestartGoesOnBehindWhatWasDelivered(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(20)
		accepted := 0
		h.Backend.Decide(func(ctx context.Context, _ plog.Logs) error {
			if accepted++; accepted > 4 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		run(h, harness.DetectionSettings())
		h.Advance(2 * time.Second)
		assert.Len(t, h.Backend.Labels(), 8, "four batches of two were accepted before the crash")
		h.Stop()

		h.Backend.Decide(func(context.Context, plog.Logs) error { return nil })
		before := len(asked(h))
		run(h, harness.DetectionSettings())
		h.Advance(10 * time.Second)
		h.ExpectDelivered(h.EachOnce())
		assert.Equal(t, "30", asked(h)[before].Form.Get("id_min"), "host 30 was delivered in part only")
	})
}

func TestFinishedCollectionIsNotRepeatedByARestart(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(6)
		for i := 1; i <= 6; i++ {
			h.Change(i, func(*qualyssim.ScriptedDetection) {})
		}
		began := time.Now()
		run(h, harness.DetectionSettings())
		h.Advance(20 * time.Minute)
		h.Stop()
		before := len(asked(h))
		run(h, harness.DetectionSettings())
		h.Advance(2 * time.Hour)
		h.ExpectDelivered(h.EachOnce(), "what the overlap brings again was delivered before the restart")
		assert.WithinDuration(t, began.Add(time.Hour+time.Second), asked(h)[before].Time, 0)
	})
}

func TestAnotherQuestionBeginsWithAFirstCollection(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*dataset.DetectionSettings)
		anew   bool
	}{
		{"status", func(s *dataset.DetectionSettings) { s.Status = []string{"Active"} }, true},
		{"filter", func(s *dataset.DetectionSettings) { s.Collect = "scanned" }, true},
		{"filtering parameter", func(s *dataset.DetectionSettings) { s.Parameters = map[string]string{"severities": "3"} }, true},
		{"what is shown", func(s *dataset.DetectionSettings) {
			s.Parameters = map[string]string{"show_tags": "1", "host_metadata": "all", "vuln_detection_source": "1"}
		}, false},
		{"page size and version", func(s *dataset.DetectionSettings) { s.PageSize, s.Version = 7, "4.0" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(3)
				run(h, harness.DetectionSettings())
				h.Advance(time.Minute)
				h.Stop()
				settings := harness.DetectionSettings()
				test.change(&settings)
				run(h, settings)
				h.Advance(time.Minute)
				want := 1
				if test.anew {
					want = 2
				}
				assert.Equal(t, want, h.Backend.Counts()["detection 1 Active"])
			})
		})
	}
}

// cut makes the answers to some calls for detections end early: what remains says how much of one arrives. The connection breaks
// there, or the answer ends as if a proxy had ended it.
func cut(h *harness.Harness, breaks bool, remains func(r qualyssim.Request, answer string) (string, bool)) {
	h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		if r.API != qualyssim.Detections {
			return false
		}
		recorder := httptest.NewRecorder()
		serve(recorder)
		answer := recorder.Body.String()
		part, short := remains(r, answer)
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		if breaks && short {
			w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		}
		w.WriteHeader(recorder.Code)
		_, _ = w.Write([]byte(part))
		if breaks && short {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		return true
	})
}

func TestCutResponseRepeatsNothing(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(20)
		cuts := 0
		cut(h, true, func(_ qualyssim.Request, answer string) (string, bool) {
			if cuts++; cuts%2 == 1 && cuts < 12 {
				return answer[:min(len(answer)-1, 300+cuts*100)], true
			}
			return answer, false
		})
		settings := harness.DetectionSettings()
		settings.PageSize = 4
		run(h, settings)
		h.Advance(10 * time.Minute)
		h.ExpectDelivered(h.EachOnce())
		h.ExpectLogged(1, "collection finished")
	})
}

func TestHostThatCannotBeReadIsQuarantinedAndTriedAgain(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(18) // hosts 10 to 60
		h.Break(30, true)
		settings := harness.DetectionSettings()
		settings.PageSize = 4
		c := run(h, settings)
		h.Advance(50 * time.Minute)
		want := harness.With(h.EachOnce(), "detection 9 Active", 0) // the last one of host 30
		h.ExpectDelivered(want, "what stands before the faulty byte is delivered, once")
		assert.Equal(t, 1, c.Quarantined())
		h.ExpectLogged(1, "collection finished")
		var sizes []string
		for _, r := range asked(h) {
			sizes = append(sizes, r.Form.Get("truncation_limit"))
		}
		assert.Equal(t, []string{"4", "4", "2", "1", "1", "1"}, sizes[:6], "the size is halved down to one host, which is then tried three times")
		h.Stop()

		before := len(asked(h))
		c = run(h, settings)
		h.Advance(time.Hour)
		h.ExpectDelivered(want)
		assert.Equal(t, 1, c.Quarantined())
		later := asked(h)[before:]
		require.Len(t, later, 3)
		assert.Equal(t, "29", later[0].Form.Get("id_max"), "the host is left out")
		assert.Equal(t, "31", later[1].Form.Get("id_min"))
		assert.Equal(t, "30", later[2].Form.Get("ids"), "and asked for alone")
		assert.Empty(t, later[2].Form.Get("detection_updated_since"), "with the window it missed")

		h.Break(30, false)
		h.Advance(time.Hour)
		h.ExpectDelivered(h.EachOnce())
		assert.Zero(t, c.Quarantined())
	})
}

func TestOutageQuarantinesNoHost(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(6)
		require.NoError(t, h.Sim.SetFaults(qualyssim.Faults{Rates: map[qualyssim.Fault]float64{qualyssim.Maintenance: 1}}))
		c := run(h, harness.DetectionSettings())
		h.Advance(3 * time.Hour)
		h.ExpectState(dataset.Vulnerabilities, health.Error)
		require.NoError(t, h.Sim.SetFaults(qualyssim.Faults{}))
		h.Advance(90 * time.Minute)
		h.ExpectDelivered(h.EachOnce())
		assert.Zero(t, c.Quarantined())
		all := asked(h)
		assert.Equal(t, "2", all[len(all)-1].Form.Get("truncation_limit"))
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
	})
}

func TestBadPasswordIsSentOnce(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		require.NoError(t, h.Sim.SetFaults(qualyssim.Faults{Rates: map[qualyssim.Fault]float64{qualyssim.BadLogin: 1}}))
		run(h, harness.DetectionSettings())
		h.Advance(48 * time.Hour)
		assert.Len(t, h.Sim.Requests(), 1)
		h.ExpectState(dataset.Vulnerabilities, health.Error)
	})
}

// answer makes the calls for detections that match be answered by a function.
func answer(h *harness.Harness, matches func(qualyssim.Request) bool, with func(http.ResponseWriter)) {
	h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
		if r.API != qualyssim.Detections || !matches(r) {
			return false
		}
		with(w)
		return true
	})
}

func always(qualyssim.Request) bool { return true }

// rejecting answers with a code of Qualys.
func rejecting(status, code int, text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<SIMPLE_RETURN><RESPONSE><CODE>%d</CODE><TEXT>%s</TEXT></RESPONSE></SIMPLE_RETURN>", code, text)
	}
}

func TestAmbiguousResponseStopsAfterThreeTriesOverTenMinutes(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		answer(h, always, func(w http.ResponseWriter) { http.Error(w, "not found", http.StatusNotFound) })
		run(h, harness.DetectionSettings())
		h.Advance(48 * time.Hour)
		asked := asked(h)
		require.Len(t, asked, 3)
		assert.GreaterOrEqual(t, asked[2].Time.Sub(asked[0].Time), 10*time.Minute)
		assert.Greater(t, asked[2].Time.Sub(asked[1].Time), asked[1].Time.Sub(asked[0].Time))
		h.ExpectLogged(2, "ambiguous response")
	})
}

func TestAmbiguousResponsesAfterItHasWorkedAreTriedHourly(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(3)
		run(h, harness.DetectionSettings())
		h.Advance(30 * time.Minute)
		before := len(asked(h))
		answer(h, always, func(w http.ResponseWriter) { http.Error(w, "not found", http.StatusForbidden) })
		h.Advance(24 * time.Hour)
		h.ExpectState(dataset.Vulnerabilities, health.Error)
		assert.InDelta(t, 26, len(asked(h))-before, 1, "three tries, then one an hour")
		h.Sim.Intercept(nil)
		h.Change(1, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		h.Advance(90 * time.Minute)
		h.ExpectDelivered(harness.With(h.EachOnce(), "detection 1 Fixed", 1))
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
	})
}

func TestParameterThatQualysDoesNotKnowIsLeftOut(t *testing.T) {
	for _, name := range []string{"show_qds_factors", "detection_updated_since"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(3)
				answer(h, func(r qualyssim.Request) bool { return r.Form.Has(name) }, rejecting(http.StatusBadRequest, 1901, "Unrecognized parameter(s): "+name))
				settings := harness.DetectionSettings()
				settings.Parameters = map[string]string{"show_qds_factors": "1"}
				settings.Defaults = []string{"show_qds_factors"}
				run(h, settings)
				h.Advance(30 * time.Minute)
				h.Change(1, func(*qualyssim.ScriptedDetection) {})
				h.Advance(2 * time.Hour)
				h.ExpectDelivered(harness.With(h.EachOnce(), "detection 1 Active", 2), "without the server's filter, results are filtered here")
				h.ExpectLogged(1, "qualys rejected a default parameter")
			})
		})
	}
}

func TestParameterOfTheUserThatIsRejectedStopsTheDataset(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		answer(h, always, rejecting(http.StatusBadRequest, 1905, "parameter qids has invalid value: x"))
		settings := harness.DetectionSettings()
		settings.Parameters = map[string]string{"qids": "x"}
		run(h, settings)
		h.Advance(24 * time.Hour)
		assert.Len(t, h.Sim.Requests(), 1)
	})
}

func TestNothingIsFetchedWhileThePipelineRejects(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(12)
		began, up := time.Now(), time.Now().Add(10*time.Minute)
		h.Backend.Decide(func(context.Context, plog.Logs) error {
			if len(h.Backend.Labels()) > 0 && time.Now().Before(up) {
				return errors.New("backend is down")
			}
			return nil
		})
		run(h, harness.DetectionSettings())
		h.Advance(9 * time.Minute)
		h.ExpectState(dataset.Vulnerabilities, health.Error)
		for _, r := range h.Sim.Requests() {
			assert.WithinDuration(t, began, r.Time, 3*time.Second, "only what was asked for when the rejection began")
		}
		h.Advance(10 * time.Minute)
		h.ExpectDelivered(h.EachOnce())
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
	})
}

func TestBrokenHostDoesNotWaitForTheRestOfASlowPage(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(6)
		first := true
		h.Sim.Intercept(func(ctx context.Context, _ qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
			if !first {
				return false
			}
			first = false
			fmt.Fprint(w, "<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><HOST_LIST><HOST><ID>10</ID><DETECTION_LIST><DETECTION></WRONG>")
			fmt.Fprint(w, strings.Repeat(" ", 3<<19))
			_ = http.NewResponseController(w).Flush()
			<-ctx.Done()
			return true
		})
		run(h, harness.DetectionSettings())
		h.Advance(20 * time.Second) // the silence would be given up after a minute
		h.ExpectDelivered(h.EachOnce())
	})
}

func TestLimitsArePausesAndNotErrors(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault qualyssim.NextFault
		waits []time.Duration
	}{
		{"rate limit of 3 seconds", qualyssim.NextFault{Fault: qualyssim.RateLimited, Wait: 3}, []time.Duration{3 * time.Second}},
		{"too many calls, twice", qualyssim.NextFault{Fault: qualyssim.Busy, Count: 2}, []time.Duration{5 * time.Second, 10 * time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(6)
				require.NoError(t, h.Sim.SetFaults(qualyssim.Faults{Next: []qualyssim.NextFault{test.fault}}))
				run(h, harness.DetectionSettings())
				h.Advance(2 * time.Second)
				assert.NotEqual(t, health.Error, h.Health.Snapshot()[dataset.Vulnerabilities])
				h.Advance(time.Minute)
				h.ExpectDelivered(h.EachOnce())
				asked := asked(h)
				for i, wait := range test.waits {
					assert.Equal(t, wait, asked[i+1].Time.Sub(asked[i].Time))
				}
				summary := h.Logs.FilterMessage("collection finished").All()
				require.Len(t, summary, 1)
				assert.Positive(t, summary[0].ContextMap()["waited"])
			})
		})
	}
}
