// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

func testActivity() ActivitySettings {
	return ActivitySettings{Interval: time.Hour, Lookback: 24 * time.Hour, Overlap: time.Hour, Version: "2.0", PageSize: 4}
}

func (b *bench) activity(settings ActivitySettings) (*Activity, running) {
	ctx, cancel := context.WithCancel(context.Background())
	a := NewActivity(b.shared, settings, b.health.Dataset(ActivityLogDataset))
	var working sync.WaitGroup
	working.Go(func() { a.Run(ctx) })
	return a, running{stop: func() {
		cancel()
		working.Wait()
	}}
}

// logRows are rows a minute apart, the last of them at a time.
func logRows(n int, last time.Time) []logRow {
	rows := make([]logRow, n)
	for i := range rows {
		rows[i] = logRow{at: last.Add(time.Duration(i+1-n) * time.Minute), details: fmt.Sprint(i)}
	}
	return rows
}

func eachRow(from, to int) map[string]int {
	counts := map[string]int{}
	for i := from; i < to; i++ {
		counts[fmt.Sprintf("activity %d", i)] = 1
	}
	return counts
}

func TestEveryRowOfTheActivityLogArrivesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.log = logRows(10, time.Now())
		b := newBench(t, fake, next, nil)
		a, run := b.activity(testActivity())
		defer run.stop()
		passTime(30 * time.Minute)
		assert.Equal(t, eachRow(0, 10), next.counts())
		asked := fake.asked("activity_log")
		require.Len(t, asked, 3)
		assert.Equal(t, "/api/2.0/fo/activity_log/", asked[0].path)
		assert.Equal(t, "6", asked[1].form.Get("id_max"))
		assert.Equal(t, "2", asked[2].form.Get("id_max"))
		assert.Equal(t, asked[0].at.Add(-25*time.Hour).UTC().Format(timeFormat), asked[0].form.Get(sinceDatetime), "the look-back and the overlap")

		fake.change(func() { fake.log = append(fake.log, logRow{at: time.Now(), details: "10"}) })
		passTime(5 * time.Hour)
		assert.Equal(t, eachRow(0, 11), next.counts(), "what the overlap brings again is not repeated")
		assert.Equal(t, health.Collecting, b.health.Snapshot()[ActivityLogDataset])
		lag, known := a.Lag()
		assert.True(t, known)
		assert.LessOrEqual(t, lag, time.Hour)
		assert.EqualValues(t, 0, a.Done(), "nothing happened in the last window")
	})
}

func TestFirstCollectionOfTheActivityLog(t *testing.T) {
	for _, test := range []struct {
		lookback time.Duration
		from     int
	}{{0, 0}, {30 * time.Minute, 10}} {
		t.Run(test.lookback.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, next := newFake(), newSink()
				fake.log = logRows(100, time.Now())
				settings := testActivity()
				settings.Lookback, settings.PageSize = test.lookback, 1000
				_, run := newBench(t, fake, next, nil).activity(settings)
				defer run.stop()
				passTime(time.Minute)
				assert.Equal(t, eachRow(test.from, 100), next.counts(), "the look-back with its overlap, or everything")
				assert.Equal(t, test.lookback > 0, fake.asked("activity_log")[0].form.Has(sinceDatetime))
			})
		})
	}
}

// Rows have no ID: the same thing that happened twice within a second must arrive twice, wherever pages end, and not again
// with the next collection.
func TestEqualRowsArriveAsOftenAsTheyAre(t *testing.T) {
	for pageSize := 1; pageSize <= 8; pageSize++ {
		t.Run(fmt.Sprintf("pages of %d", pageSize), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, next := newFake(), newSink()
				now := time.Now()
				for _, row := range []struct {
					ago     time.Duration
					details string
				}{{3 * time.Minute, "a"}, {2 * time.Minute, "b"}, {2 * time.Minute, "c"}, {2 * time.Minute, "b"}, {2 * time.Minute, "b"}, {time.Minute, "b"}, {0, "a"}} {
					fake.log = append(fake.log, logRow{at: now.Add(-row.ago), details: row.details})
				}
				settings := testActivity()
				settings.PageSize = pageSize
				_, run := newBench(t, fake, next, nil).activity(settings)
				defer run.stop()
				want := map[string]int{"activity a": 2, "activity b": 4, "activity c": 1}
				passTime(time.Minute)
				assert.Equal(t, want, next.counts())
				passTime(time.Hour)
				assert.Len(t, next.texts(), 7, "the overlap brings all of them again")
				fake.change(func() { fake.log = append(fake.log, logRow{at: now, details: "a"}) })
				passTime(time.Hour)
				assert.Len(t, next.texts(), 7, "too late for the overlap")
			})
		})
	}
}

func TestRepetitionThatComesLateArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		now := time.Now()
		fake.log = []logRow{{at: now, details: "a"}}
		settings := testActivity()
		settings.Overlap = 3 * time.Hour
		_, run := newBench(t, fake, next, nil).activity(settings)
		defer run.stop()
		passTime(30 * time.Minute)
		fake.change(func() { fake.log = append(fake.log, logRow{at: now, details: "a"}) })
		passTime(5 * time.Hour)
		assert.Equal(t, map[string]int{"activity a": 2}, next.counts())
	})
}

func TestActivityLogGoesOnAfterARestart(t *testing.T) {
	for accept := range 6 {
		t.Run(fmt.Sprintf("after %d batches", accept), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, next, client := newFake(), newSink(), memoryClient()
				now := time.Now()
				for range 10 {
					fake.log = append(fake.log, logRow{at: now, details: "same"})
				}
				accepted := 0
				next.decide = func(context.Context, plog.Logs) error {
					if accepted++; accepted > accept {
						return errors.New("backend is down")
					}
					return nil
				}
				_, run := newBench(t, fake, next, client).activity(testActivity())
				passTime(time.Minute)
				run.stop()
				next.decide = func(context.Context, plog.Logs) error { return nil }
				_, run = newBench(t, fake, next, client).activity(testActivity())
				defer run.stop()
				passTime(2 * time.Hour)
				assert.Len(t, next.texts(), 10, "ten equal rows, each once")
			})
		})
	}
}

// What comes in between two readings of the first page moves rows that were delivered to the second.
func TestRowsThatMoveToTheNextPageAreNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.log = logRows(12, time.Now())
		broken := false
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if broken {
				return false
			}
			broken = true
			w.Header().Set("Content-Length", "10000")
			fake.activityLog(w, r.form)
			for i := range 3 {
				fake.log = append(fake.log, logRow{at: time.Now(), details: fmt.Sprint(12 + i)})
			}
			return true
		}
		_, run := newBench(t, fake, next, nil).activity(testActivity())
		defer run.stop()
		passTime(time.Minute)
		assert.Equal(t, eachRow(0, 15), next.counts())
	})
}

func TestTimeFilterThatTheActivityLogRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.log = logRows(100, time.Now())
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if !r.form.Has(sinceDatetime) {
				return false
			}
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>1901</CODE><TEXT>Unrecognized parameter(s): since_datetime</TEXT></RESPONSE></SIMPLE_RETURN>")
			return true
		}
		settings := testActivity()
		settings.Lookback, settings.Overlap = 9*time.Minute, time.Minute
		b := newBench(t, fake, next, nil)
		_, run := b.activity(settings)
		defer run.stop()
		passTime(time.Minute)
		assert.Equal(t, eachRow(90, 100), next.counts(), "rows from before the window are left out")
		assert.Equal(t, 1, b.logs.FilterMessageSnippet("refuses a parameter").Len())
		assert.Len(t, fake.asked("activity_log"), 5, "the log is not read to its begin")
	})
}

func TestMissingPermissionStopsTheActivityLogAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.fault = func(_ *request, w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>2010</CODE><TEXT>no permission</TEXT></RESPONSE></SIMPLE_RETURN>")
			return true
		}
		b := newBench(t, fake, next, nil)
		_, run := b.activity(testActivity())
		defer run.stop()
		passTime(24 * time.Hour)
		assert.Equal(t, health.Error, b.health.Snapshot()[ActivityLogDataset])
		assert.Len(t, fake.asked("activity_log"), 1)
		assert.Empty(t, b.refused, "the credentials were good")
	})
}

func TestPagesOfTheActivityLogThatBreakBecomeSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.log = logRows(8, time.Now())
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if r.form.Get("truncation_limit") != "4" {
				return false
			}
			w.Header().Set("Content-Length", "10000")
			fmt.Fprint(w, "Date,Action\n")
			return true
		}
		_, run := newBench(t, fake, next, nil).activity(testActivity())
		defer run.stop()
		passTime(10 * time.Minute)
		assert.Equal(t, eachRow(0, 8), next.counts())
	})
}

func TestPagesOfTheActivityLogThatTakeTooLongBecomeSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.log = logRows(8, time.Now())
		fake.fault = func(r *request, _ http.ResponseWriter) bool {
			if r.form.Get("truncation_limit") == "4" {
				fake.mu.Unlock()
				defer fake.mu.Lock()
				time.Sleep(2 * time.Minute) // the silence is given up after one
			}
			return false
		}
		_, run := newBench(t, fake, next, nil).activity(testActivity())
		defer run.stop()
		passTime(30 * time.Minute)
		assert.Equal(t, eachRow(0, 8), next.counts())
	})
}

func TestPageOfTheActivityLogThatThePipelineHeldUpDoesNotBecomeSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.log = logRows(8, time.Now())
		offers := 0
		next.decide = func(context.Context, plog.Logs) error {
			if offers++; offers%2 == 1 {
				return errors.New("no room")
			}
			return nil
		}
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if asked := len(fake.requests); asked <= 2 { // the first answer is cut behind two rows, the second behind four
				recorder := &cutter{header: w.Header()}
				fake.activityLog(recorder, r.form)
				w.Header().Set("Content-Length", "10000")
				fmt.Fprint(w, strings.Join(strings.SplitAfter(recorder.body.String(), "\n")[:1+2*asked], ""))
				return true
			}
			return false
		}
		_, run := newBench(t, fake, next, nil).activity(testActivity())
		defer run.stop()
		passTime(30 * time.Minute)
		assert.Equal(t, eachRow(0, 8), next.counts())
		for _, r := range fake.asked("activity_log") {
			assert.Equal(t, "4", r.form.Get("truncation_limit"))
		}
	})
}

func TestRowsOfOneSecondOverSeveralPages(t *testing.T) {
	meet := func(r *rows, values uint64) uint64 {
		item := records.Item{Content: values, Updated: 100}
		r.meet(&item)
		return item.Key
	}
	first := newRows(nil, 0)
	assert.EqualValues(t, 1, meet(first, 7))
	second := newRows(first.last(), 1)
	assert.EqualValues(t, 1, meet(second, 8))
	last := second.last()
	third := newRows(last, len(last))
	assert.EqualValues(t, 2, meet(third, 7), "a page in between without the row does not begin its count afresh")
	assert.EqualValues(t, 2, meet(third, 8))
}
