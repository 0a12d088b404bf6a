// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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

func activitySettings() dataset.ActivitySettings {
	return dataset.ActivitySettings{Interval: time.Hour, Lookback: 24 * time.Hour, Overlap: time.Hour, Version: "2.0", PageSize: 4}
}

// runActivity runs the dataset activity_log. Each finished collection is noted in finished, if that is not nil.
func runActivity(h *harness.Harness, settings dataset.ActivitySettings, finished *finishedRuns) *engine.Collector {
	var c *engine.Collector
	options := engine.Options{}
	if finished != nil {
		options = finished.options()
	}
	h.Run(func(shared dataset.Settings, status *health.Reporter) func(context.Context) {
		c = dataset.NewActivity(shared, settings, status.Dataset(dataset.ActivityLog), options)
		return c.Run
	})
	return c
}

// addRows adds rows to the log, a minute apart, the last of them at a time.
func addRows(h *harness.Harness, n int, last time.Time) {
	for i := range n {
		addRow(h, last.Add(time.Duration(i+1-n)*time.Minute), fmt.Sprint(i))
	}
}

func addRow(h *harness.Harness, at time.Time, details string) {
	h.Script.AddActivity(qualyssim.Activity{
		Date: at, Action: "login", Module: "auth", Details: details, UserName: "user", UserRole: "Manager", UserIP: "192.0.2.1",
	})
}

func eachRow(from, to int) map[string]int {
	counts := map[string]int{}
	for i := from; i < to; i++ {
		counts[fmt.Sprintf("activity %d", i)] = 1
	}
	return counts
}

// interceptActivity lets answer take over requests for the activity log.
func interceptActivity(h *harness.Harness, answer func(r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool) {
	h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		return r.API == qualyssim.ActivityLog && answer(r, w, serve)
	})
}

// editActivity changes each page of the activity log.
func editActivity(h *harness.Harness, edit func(r qualyssim.Request, body string) string) {
	interceptActivity(h, func(r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		recorded := httptest.NewRecorder()
		serve(recorded)
		w.WriteHeader(recorded.Code)
		_, _ = w.Write([]byte(edit(r, recorded.Body.String())))
		return true
	})
}

func activityCalls(h *harness.Harness) []qualyssim.Request { return h.Asked(qualyssim.ActivityLog) }

func TestEveryRowOfTheActivityLogArrivesOnce(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		addRows(h, 10, time.Now())
		c := runActivity(h, activitySettings(), nil)
		h.Advance(30 * time.Minute)
		h.ExpectDelivered(eachRow(0, 10))
		asked := activityCalls(h)
		require.Len(t, asked, 3)
		assert.Equal(t, "/api/2.0/fo/activity_log/", asked[0].Path)
		assert.Equal(t, "6", asked[1].Form.Get("id_max"))
		assert.Equal(t, "2", asked[2].Form.Get("id_max"))
		assert.Equal(t, asked[0].Time.Add(-25*time.Hour).UTC().Format(timeFormat), asked[0].Form.Get("since_datetime"), "the look-back and the overlap")

		addRow(h, time.Now(), "10")
		h.Advance(5 * time.Hour)
		h.ExpectDelivered(eachRow(0, 11), "what the overlap brings again is not repeated")
		h.ExpectState(dataset.ActivityLog, health.Collecting)
		lag, known := c.Lag()
		assert.True(t, known)
		assert.LessOrEqual(t, lag, time.Hour)
		assert.EqualValues(t, 0, c.Done(), "nothing happened in the last window")
	})
}

func TestFirstCollectionOfTheActivityLog(t *testing.T) {
	for _, test := range []struct {
		lookback time.Duration
		from     int
	}{{0, 0}, {30 * time.Minute, 10}} {
		t.Run(test.lookback.String(), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				addRows(h, 100, time.Now().Add(time.Second)) // the time itself is not included
				settings := activitySettings()
				settings.Lookback, settings.PageSize = test.lookback, 1000
				runActivity(h, settings, nil)
				h.Advance(time.Minute)
				h.ExpectDelivered(eachRow(test.from, 100), "the look-back with its overlap, or everything")
				assert.Equal(t, test.lookback > 0, activityCalls(h)[0].Form.Has("since_datetime"))
			})
		})
	}
}

// Rows have no ID: the same thing that happened twice within a second must arrive twice, wherever pages end, and not again
// with the next collection.
func TestEqualRowsArriveAsOftenAsTheyAre(t *testing.T) {
	for pageSize := 1; pageSize <= 8; pageSize++ {
		t.Run(fmt.Sprintf("pages of %d", pageSize), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				now := time.Now()
				for _, row := range []struct {
					ago     time.Duration
					details string
				}{{3 * time.Minute, "a"}, {2 * time.Minute, "b"}, {2 * time.Minute, "c"}, {2 * time.Minute, "b"}, {2 * time.Minute, "b"}, {time.Minute, "b"}, {0, "a"}} {
					addRow(h, now.Add(-row.ago), row.details)
				}
				settings := activitySettings()
				settings.PageSize = pageSize
				runActivity(h, settings, nil)
				h.Advance(time.Minute)
				h.ExpectDelivered(map[string]int{"activity a": 2, "activity b": 4, "activity c": 1})
				h.Advance(time.Hour)
				assert.Len(t, h.Backend.Labels(), 7, "the overlap brings all of them again")
				addRow(h, now, "a")
				h.Advance(time.Hour)
				assert.Len(t, h.Backend.Labels(), 7, "too late for the overlap")
			})
		})
	}
}

func TestRepetitionThatComesLateArrives(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		now := time.Now()
		addRow(h, now, "a")
		settings := activitySettings()
		settings.Overlap = 3 * time.Hour
		runActivity(h, settings, nil)
		h.Advance(30 * time.Minute)
		addRow(h, now, "a")
		h.Advance(5 * time.Hour)
		h.ExpectDelivered(map[string]int{"activity a": 2})
	})
}

// What happens at the same time is not written in the order of its seconds: a row of another one can stand among equal rows.
func TestRepetitionBehindARowOfTheSecondBeforeArrives(t *testing.T) {
	for pageSize := 1; pageSize <= 5; pageSize++ {
		bubble(t, func(h *harness.Harness) {
			at := time.Now().Add(-4 * time.Second)
			addRow(h, at, "a")
			addRow(h, at, "a")
			addRow(h, at.Add(-time.Second), "b")
			settings := activitySettings()
			settings.Overlap, settings.PageSize = 3*time.Hour, pageSize
			runActivity(h, settings, nil)
			h.Advance(30 * time.Minute)
			addRow(h, at, "a")
			h.Advance(5 * time.Hour)
			h.ExpectDelivered(map[string]int{"activity a": 3, "activity b": 1})
		})
	}
}

func TestActivityLogGoesOnAfterARestart(t *testing.T) {
	for accept := range 6 {
		t.Run(fmt.Sprintf("after %d batches", accept), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				now := time.Now()
				for range 10 {
					addRow(h, now, "same")
				}
				accepted := 0
				h.Backend.Decide(func(context.Context, plog.Logs) error {
					if accepted++; accepted > accept {
						return errors.New("backend is down")
					}
					return nil
				})
				runActivity(h, activitySettings(), nil)
				h.Advance(time.Minute)
				h.Stop()
				h.Backend.Decide(func(context.Context, plog.Logs) error { return nil })
				runActivity(h, activitySettings(), nil)
				h.Advance(2 * time.Hour)
				h.ExpectDelivered(map[string]int{"activity same": 10}, "ten equal rows, each once")
			})
		})
	}
}

// What comes in between two readings of the first page moves rows that were delivered to the second.
func TestRowsThatMoveToTheNextPageAreNotRepeated(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		addRows(h, 12, time.Now())
		broken := false
		interceptActivity(h, func(_ qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
			if broken {
				return false
			}
			broken = true
			w.Header().Set("Content-Length", "10000")
			serve(w)
			for i := range 3 {
				addRow(h, time.Now(), fmt.Sprint(12+i))
			}
			return true
		})
		runActivity(h, activitySettings(), nil)
		h.Advance(time.Minute)
		h.ExpectDelivered(eachRow(0, 15))
	})
}

func TestTimeFilterThatTheActivityLogDoesNotTake(t *testing.T) {
	for _, ignored := range []bool{false, true} {
		t.Run(fmt.Sprintf("ignored %t", ignored), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				addRows(h, 100, time.Now())
				interceptActivity(h, func(r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
					if !r.Form.Has("since_datetime") {
						return false
					}
					if ignored {
						r.Form.Del("since_datetime") // the simulator reads the same parameters
						serve(w)
						return true
					}
					w.WriteHeader(http.StatusBadRequest)
					fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>1901</CODE><TEXT>Unrecognized parameter(s): since_datetime</TEXT></RESPONSE></SIMPLE_RETURN>")
					return true
				})
				settings := activitySettings()
				settings.Lookback, settings.Overlap = 9*time.Minute, time.Minute
				runActivity(h, settings, nil)
				h.Advance(time.Minute)
				h.ExpectDelivered(eachRow(90, 100), "rows from before the window are left out")
				asked := 4 // of 4 rows each, the last of which has none of the window
				if !ignored {
					h.ExpectLogged(1, "qualys rejected a default parameter")
					asked++
				}
				assert.Len(t, activityCalls(h), asked, "the log is not read to its beginning")
			})
		})
	}
}

// A row that was written later than it is dated stands among newer ones. At the head of a page it is no sign that the window is over.
func TestLateRowDoesNotEndALogThatIsNotFiltered(t *testing.T) {
	for late := range 12 {
		bubble(t, func(h *harness.Harness) {
			now := time.Now()
			for i := range 12 {
				at := now.Add(time.Duration(i-12) * time.Minute)
				if i == late {
					at = now.Add(-48 * time.Hour)
				}
				addRow(h, at, fmt.Sprint(i))
			}
			interceptActivity(h, func(r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
				r.Form.Del("since_datetime") // the simulator reads the same parameters
				serve(w)
				return true
			})
			runActivity(h, activitySettings(), nil)
			h.Advance(30 * time.Minute)
			h.ExpectDelivered(harness.With(eachRow(0, 12), fmt.Sprintf("activity %d", late), 0))
		})
	}
}

func TestMissingPermissionStopsTheActivityLogAlone(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		interceptActivity(h, func(_ qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>2010</CODE><TEXT>no permission</TEXT></RESPONSE></SIMPLE_RETURN>")
			return true
		})
		runActivity(h, activitySettings(), nil)
		h.Advance(24 * time.Hour)
		h.ExpectState(dataset.ActivityLog, health.Error)
		assert.Len(t, activityCalls(h), 1)
	})
}

func TestPagesOfTheActivityLogThatBreakBecomeSmaller(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter)
	}{
		{"cut", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "10000")
			fmt.Fprint(w, "Date,Action\n")
		}},
		{"too slow", func(http.ResponseWriter) { harness.Slow(2 * time.Minute) }}, // the silence is given up after one
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				addRows(h, 8, time.Now())
				interceptActivity(h, func(r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
					if r.Form.Get("truncation_limit") != "4" {
						return false
					}
					test.answer(w)
					return true
				})
				runActivity(h, activitySettings(), nil)
				h.Advance(30 * time.Minute)
				h.ExpectDelivered(eachRow(0, 8))
			})
		})
	}
}

// A row that cannot be read holds up the log, so somebody has to find it.
func TestRowThatCannotBeReadIsNamed(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, body string){
		"never answered": func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusInternalServerError) },
		"cut": func(w http.ResponseWriter, body string) {
			before, _, _ := strings.Cut(body, "login")
			fmt.Fprint(w, before)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				addRows(h, 12, time.Now())
				interceptActivity(h, func(_ qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
					recorded := httptest.NewRecorder()
					serve(recorded)
					if body := recorded.Body.String(); strings.Contains(body, ",5,user") { // of the row with ID 6
						answer(w, body)
					} else {
						fmt.Fprint(w, body)
					}
					return true
				})
				runActivity(h, activitySettings(), nil)
				h.Advance(time.Hour)
				told := failures(h)
				require.NotEmpty(t, told)
				assert.Contains(t, told[len(told)-1], "from row 6: activity_log: HTTP ")
			})
		})
	}
}

func TestPageOfTheActivityLogThatThePipelineHeldUpDoesNotBecomeSmaller(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		addRows(h, 8, time.Now())
		offers := 0
		h.Backend.Decide(func(context.Context, plog.Logs) error {
			if offers++; offers%2 == 1 {
				return errors.New("no room")
			}
			return nil
		})
		editActivity(h, func(r qualyssim.Request, body string) string {
			if r.Number > 2 {
				return body
			}
			return strings.Join(strings.SplitAfter(body, "\n")[:1+2*r.Number], "") + "2026-" // cut behind two rows, then four
		})
		runActivity(h, activitySettings(), nil)
		h.Advance(30 * time.Minute)
		h.ExpectDelivered(eachRow(0, 8))
		for _, r := range activityCalls(h) {
			assert.Equal(t, "4", r.Form.Get("truncation_limit"))
		}
	})
}

// withoutAddress leaves out of a page where the log goes on.
func withoutAddress(_ qualyssim.Request, body string) string {
	before, warning, found := strings.Cut(body, "1980,")
	if !found {
		return body
	}
	_, after, _ := strings.Cut(warning, "\n")
	return before + "1980,more,\n" + after
}

func TestTruncatedLogWithoutAnAddressGoesOnBehindItsLastRow(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		now := time.Now()
		want := map[string]int{}
		// Six equal rows a page apart, and others around them: every page ends within a second of several rows.
		for i := range 30 {
			details := fmt.Sprint(i / 2 % 3)
			addRow(h, now.Add(time.Duration(i/3-10)*time.Minute), details)
			want["activity "+details]++
		}
		editActivity(h, withoutAddress)
		settings := activitySettings()
		settings.PageSize = 5
		finished := &finishedRuns{}
		runActivity(h, settings, finished)
		h.Advance(30 * time.Minute)
		h.ExpectDelivered(want)
		h.ExpectLogged(1, "without saying where")
		require.Len(t, finished.all(), 1)
		assert.Empty(t, finished.all()[0].Incomplete)
		assert.Empty(t, activityCalls(h)[0].Form.Get("until_datetime"))
		assert.NotEmpty(t, activityCalls(h)[1].Form.Get("until_datetime"))
	})
}

func TestTruncatedLogThatCannotGoOnEndsTheCollection(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(qualyssim.Request, string) string
	}{
		{"one second", withoutAddress},
		{"dates that are not understood", func(r qualyssim.Request, body string) string {
			return strings.ReplaceAll(withoutAddress(r, body), "T", " at ")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				at := time.Now()
				for i := range 10 {
					addRow(h, at, fmt.Sprint(i))
				}
				editActivity(h, test.edit)
				finished := &finishedRuns{}
				runActivity(h, activitySettings(), finished)
				h.Advance(30 * time.Minute)
				h.ExpectDelivered(eachRow(6, 10))
				h.ExpectLogged(1, "the collection ends here")
				require.Len(t, finished.all(), 1)
				assert.NotEmpty(t, finished.all()[0].Incomplete)
				h.ExpectState(dataset.ActivityLog, health.Collecting)
			})
		})
	}
}
