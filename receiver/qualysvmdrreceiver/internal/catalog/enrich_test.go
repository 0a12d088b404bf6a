// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/catalog"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// askedOnce expects that no QID was asked for twice.
func askedOnce(h *harness.Harness, qids ...string) {
	h.T.Helper()
	var all []string
	for _, ids := range askedIDs(h) {
		all = append(all, strings.Split(ids, ",")...)
	}
	slices.Sort(all)
	assert.Equal(h.T, qids, all)
}

// Every detection of a first collection carries its entry's fields, whatever the KnowledgeBase does meanwhile.
func TestDetectionsOfAFirstCollectionCarryTheirEntries(t *testing.T) {
	everything := []string{"1000", "1001", "1002", "1003"}
	for name, one := range map[string]struct {
		prepare  func(h *harness.Harness)
		settings func(s *catalog.Settings)
		after    time.Duration
		want     map[string]int
		asked    []string
	}{
		"at once": {want: titles(1000, 1001, 1002, 1003), asked: everything},
		"2 seconds a call": {
			prepare: func(h *harness.Harness) {
				intercept(h, func(qualyssim.Request, http.ResponseWriter) bool {
					harness.Slow(2 * time.Second)
					return false
				})
			},
			want: titles(1000, 1001, 1002, 1003), asked: everything,
		},
		"failing twice": {
			prepare: func(h *harness.Harness) {
				var failed atomic.Int32
				intercept(h, func(r qualyssim.Request, w http.ResponseWriter) bool {
					return failed.Add(1) <= 2 && fails(http.StatusInternalServerError)(r, w)
				})
			},
			want: titles(1000, 1001, 1002, 1003), asked: append([]string{"1000", "1000", "1001", "1001"}, everything...),
		},
		"no other page than one of its own": {
			settings: func(s *catalog.Settings) { s.PageSize = 1 },
			want:     titles(1000, 1001, 1002, 1003), asked: everything,
		},
		"behind a limit of three hours": {
			prepare: func(h *harness.Harness) {
				next(h, threeHours)
			},
			settings: func(s *catalog.Settings) { s.EnrichTimeout = 4 * time.Hour },
			after:    4 * time.Hour,
			want:     titles(1000, 1001, 1002, 1003), asked: append([]string{"1000", "1001"}, everything...),
		},
		"missing some QIDs": {
			prepare: func(h *harness.Harness) { h.Script.RemoveEntry(1002) },
			want:    map[string]int{"Entry 1000": 5, "Entry 1001": 5, "not_found": 5, "Entry 1003": 5}, asked: everything,
		},
		"without the permission": {
			prepare: func(h *harness.Harness) { intercept(h, forbidden) },
			want:    map[string]int{"unavailable": 20}, asked: []string{"1000", "1001"},
		},
		"without a storage": {
			prepare: func(h *harness.Harness) { h.Storage = nil },
			want:    titles(1000, 1001, 1002, 1003), asked: everything,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				detect(h, 4)
				settings := enriching()
				if one.prepare != nil {
					one.prepare(h)
				}
				if one.settings != nil {
					one.settings(&settings)
				}
				run(h, settings)
				h.Advance(max(one.after, 10*time.Minute))
				assert.Equal(t, one.want, known(h))
				slices.Sort(one.asked)
				askedOnce(h, one.asked...)
			})
		})
	}
}

func TestEntriesComeBeforeTheDetectionsThatCarryThem(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, enriching())
		h.Advance(time.Minute)
		seen := map[string]bool{}
		for _, r := range h.Backend.Records() {
			switch label := harness.Label(r); {
			case strings.HasPrefix(label, "entry "):
				seen["Entry "+strings.TrimPrefix(label, "entry ")] = true
			default:
				assert.True(t, seen[knownOf(r)], "%s before %s", label, knownOf(r))
			}
		}
	})
}

func TestRestartFetchesNothingAgain(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 3)
		run(h, enriching())
		h.Advance(10 * time.Minute)
		h.Stop()
		n := len(asked(h))
		for range 3 {
			h.Change(1, func(*qualyssim.ScriptedDetection) {})
			run(h, enriching())
			h.Advance(25 * time.Minute)
			h.Stop()
		}
		assert.Len(t, asked(h), n)
		assert.Greater(t, h.Backend.Counts()["detection 1 Active"], 1)
		want := titles(1000, 1001, 1002)
		want["not_found"] = 5
		want["Entry 1000"] += h.Backend.Counts()["detection 1 Active"] - 1
		assert.Equal(t, want, known(h), "their fields were stored")
	})
}

// The batches of several ranges that wait are served by the same requests.
func TestBatchesThatWaitShareOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := harness.NewWith(t, qualyssim.Options{Concurrency: 4})
		detect(h, 4)
		h.MaxConcurrent = 4
		h.Client = concurrent(4)
		answerSlowly(h)
		settings := enriching()
		settings.PageSize = 10
		run(h, settings)
		h.Advance(10 * time.Minute)
		assert.Equal(t, titles(1000, 1001, 1002, 1003), known(h))
		askedOnce(h, "1000", "1001", "1002", "1003")
	})
}

func TestPagesOfEntriesAreAskedForSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := harness.NewWith(t, qualyssim.Options{Concurrency: 4})
		h.MaxConcurrent = 3
		h.Client = concurrent(3)
		for i := range 40 {
			qid := int64(1000 + i)
			h.Script.SetDetection(10, qualyssim.ScriptedDetection{ID: qid, QID: qid, Updated: time.Now()})
			h.Script.SetEntry(qid, qualyssim.ScriptedEntry{Modified: time.Now()})
		}
		var running, most atomic.Int32
		h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
			if r.API == qualyssim.KnowledgeBase {
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				harness.Slow(5 * time.Second)
				serve(w)
				running.Add(-1)
				return true
			}
			return false
		})
		settings := enriching()
		settings.PageSize = 4
		h.Shared = manyRecords
		run(h, settings)
		h.Advance(10 * time.Minute)
		assert.EqualValues(t, 3, most.Load())
		assert.Len(t, askedIDs(h), 10)
		assert.Len(t, entries(h), 40)
		assert.NotContains(t, known(h), "unavailable")
	})
}

// How long detections wait is counted from when the KnowledgeBase could be had last, and not for each batch anew.
func TestDetectionsWaitOnceForEntriesThatCannotBeHad(t *testing.T) {
	for name, faults := range map[string]func(h *harness.Harness){
		"it fails": func(h *harness.Harness) { intercept(h, fails(http.StatusServiceUnavailable)) },
		"it is silent": func(h *harness.Harness) {
			intercept(h, func(qualyssim.Request, http.ResponseWriter) bool {
				harness.Slow(3 * time.Hour)
				return true
			})
		},
		"it waits for a limit": func(h *harness.Harness) {
			next(h, threeHours)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				detect(h, 4)
				faults(h)
				run(h, enriching())
				h.Advance(9 * time.Minute)
				assert.Empty(t, h.Backend.Labels())
				h.Advance(2 * time.Minute)
				assert.Equal(t, map[string]int{"unavailable": 20}, known(h), "all ten batches, after ten minutes")
				h.ExpectLogged(1, "delivered without fields")
				h.Sim.Intercept(nil)
				h.Advance(4 * time.Hour)
				assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h), "they come when they can be had")
				h.Change(1, func(*qualyssim.ScriptedDetection) {})
				h.Advance(2 * time.Hour)
				assert.Equal(t, map[string]int{"unavailable": 20, "Entry 1000": 1}, known(h))
			})
		})
	}
}

func TestEntriesThatDetectionsWentWithoutSurviveARestart(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		intercept(h, fails(http.StatusServiceUnavailable))
		run(h, enriching())
		h.Advance(20 * time.Minute)
		h.Stop()
		assert.Equal(t, map[string]int{"unavailable": 20}, known(h))
		h.Sim.Intercept(nil)
		run(h, enriching())
		h.Advance(time.Minute)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
	})
}

// A limit that a refresh waits for is one that entries wait for.
func TestDetectionsDoNotWaitForALimitThatARefreshWaitsFor(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 5)
		run(h, enriching())
		h.Advance(23*time.Hour + 50*time.Minute)
		next(h, threeHours)
		h.Advance(20 * time.Minute)
		h.Script.SetDetection(500, qualyssim.ScriptedDetection{ID: 500, QID: 1004, Updated: time.Now()})
		h.Advance(52 * time.Minute)
		assert.Equal(t, 1, known(h)["unavailable"])
	})
}

func TestBackendThatRejectsMakesNoEntryUnavailable(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		began := time.Now()
		h.Backend.Decide(func(context.Context, plog.Logs) error {
			if time.Since(began) < 2*time.Hour {
				return fmt.Errorf("not now")
			}
			return nil
		})
		run(h, enriching())
		h.Advance(3 * time.Hour)
		assert.Equal(t, titles(1000, 1001, 1002, 1003), known(h))
	})
}

func TestOtherFieldsAreFetchedOnceMoreAndNotDelivered(t *testing.T) {
	enlarged := enriching()
	enlarged.EnrichFields = []string{"Title", "Category", "SeverityLevel"}
	for name, one := range map[string]struct{ before, after catalog.Settings }{
		"another field":     {enriching(), enlarged},
		"switched on later": {plain(), enriching()},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				detect(h, 4)
				run(h, one.before)
				h.Advance(10 * time.Minute)
				h.Stop()
				h.Change(1, func(*qualyssim.ScriptedDetection) {})
				modify(h, 1002)
				n := len(asked(h))
				run(h, one.after)
				h.Advance(time.Hour)
				assert.Len(t, asked(h), n+2, "two pages")
				assert.Equal(t, map[string]int{"entry 1000": 1, "entry 1001": 1, "entry 1002": 2, "entry 1003": 1}, entries(h), "one has changed")
				for _, r := range h.Backend.Records() {
					_, told := r.Attributes().Get("qualys.collection.id")
					assert.True(t, told, harness.Label(r))
				}
				last := h.Backend.Records()[len(h.Backend.Labels())-1]
				entry, found := last.Body().Map().Get("KnowledgeBase")
				require.True(t, found)
				_, more := entry.Map().Get("SeverityLevel")
				assert.Equal(t, slices.Contains(one.after.EnrichFields, "SeverityLevel"), more)
				h.Stop()
				run(h, one.after)
				h.Advance(10 * time.Minute)
				assert.Len(t, asked(h), n+2, "only once")
			})
		})
	}
}

func TestSwitchedOffAndOnFieldsAreThoseOfNow(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, enriching())
		h.Advance(10 * time.Minute)
		h.Stop()
		run(h, plain())
		h.Advance(10 * time.Minute)
		h.Stop()
		h.Script.SetEntry(1000, qualyssim.ScriptedEntry{Modified: time.Now(), Title: "another"})
		h.Change(1, func(*qualyssim.ScriptedDetection) {})
		h.Advance(time.Hour) // the next collection is due at once
		intercept(h, func(qualyssim.Request, http.ResponseWriter) bool {
			harness.Slow(20 * time.Second)
			return false
		})
		run(h, enriching())
		h.Advance(time.Hour)
		assert.Equal(t, 1, known(h)["another"])
	})
}

// Fields that nobody asks for any more must not stay in the storage, also where the KnowledgeBase was switched off in between.
func TestFieldsThatAreSwitchedOffAreDeleted(t *testing.T) {
	for name, between := range map[string]func(h *harness.Harness) error{
		"at once":          func(*harness.Harness) error { return nil },
		"with all of it":   func(h *harness.Harness) error { return catalog.Forget(h.T.Context(), checkpoint.New(h.Storage)) },
		"state is damaged": func(h *harness.Harness) error { return h.Storage.Set(h.T.Context(), "document/kb/state", []byte("{")) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				detect(h, 4)
				run(h, enriching())
				h.Advance(10 * time.Minute)
				h.Stop()
				require.NoError(t, between(h))
				run(h, plain())
				h.Advance(10 * time.Minute)
				for _, key := range h.Storage.(*harness.Storage).Keys() {
					assert.NotContains(t, key, "kb/entry")
				}
			})
		})
	}
}

func TestChangedEntryIsOnLaterDetectionsAndDeliversNoneAgain(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, enriching())
		h.Advance(10 * time.Hour)
		h.Script.SetEntry(1000, qualyssim.ScriptedEntry{Modified: time.Now(), Title: "another"})
		h.Advance(20 * time.Hour)
		h.ExpectDelivered(all(h, map[string]int{"entry 1000": 2, "entry 1001": 1, "entry 1002": 1, "entry 1003": 1}))
		h.Change(1, func(*qualyssim.ScriptedDetection) {})
		h.Advance(2 * time.Hour)
		assert.Equal(t, 1, known(h)["another"])
	})
}

// Fields that are too large would be on each detection of the entry.
func TestFieldsThatAreTooLargeAreLeftOut(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		h.Script.SetEntry(1001, qualyssim.ScriptedEntry{Modified: time.Now(), Title: strings.Repeat("long ", 100_000)})
		run(h, enriching())
		h.Advance(time.Hour)
		want := titles(1000, 1002, 1003)
		want["unavailable"] = 5
		assert.Equal(t, want, known(h))
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
		askedOnce(h, "1000", "1001", "1002", "1003")
		h.ExpectState(dataset.KnowledgeBase, health.Collecting)
	})
}

func TestDetectionWithoutAQIDHasNoEntry(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Script.SetDetection(10, qualyssim.ScriptedDetection{Updated: time.Now(), Raw: "<DETECTION><UNIQUE_VULN_ID>1</UNIQUE_VULN_ID><STATUS>Active</STATUS></DETECTION>"})
		run(h, enriching())
		h.Advance(time.Minute)
		assert.Equal(t, map[string]int{"not_found": 1}, known(h))
		assert.Empty(t, asked(h))
	})
}

// Detections that wait hold text, of which there may only be so much: entries must not wait for it to be delivered.
func TestLargeDetectionsThatWaitHoldUpNoEntry(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		var host qualyssim.ScriptedHost
		for i := range 5 {
			host.Detections = append(host.Detections, qualyssim.ScriptedDetection{
				ID: int64(1 + i), QID: 1000, Updated: time.Now(), Results: strings.Repeat("results ", 480<<10),
			})
		}
		h.Script.SetHost(10, host)
		h.Script.SetEntry(1000, qualyssim.ScriptedEntry{Modified: time.Now()})
		h.Shared = func(shared *dataset.Settings) {
			manyRecords(shared)
			shared.Engine.MaxBytes, shared.Records.MaxBytes = 1<<30, 1<<30
		}
		run(h, enriching())
		h.Advance(5 * time.Minute)
		assert.Equal(t, map[string]int{"Entry 1000": 5}, known(h))
	})
}

// What enrichment adds must not make batches larger than receivers take.
func TestEnrichedBatchesAreNoLargerThanTheyMayBe(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		title := strings.Repeat("long", 2500)
		for qid := int64(1000); qid < 1004; qid++ {
			h.Script.SetEntry(qid, qualyssim.ScriptedEntry{Modified: time.Now(), Title: title})
		}
		h.Shared = func(shared *dataset.Settings) {
			manyRecords(shared)
			shared.Engine.MaxBytes, shared.Records.MaxBytes = 32<<10, 32<<10
		}
		var largest atomic.Int64
		h.Backend.Decide(func(_ context.Context, offered plog.Logs) error {
			size := (&plog.ProtoMarshaler{}).LogsSize(offered)
			largest.Store(max(largest.Load(), int64(size)))
			return nil
		})
		run(h, enriching())
		h.Advance(5 * time.Minute)
		assert.Equal(t, map[string]int{title: 20}, known(h))
		assert.Less(t, largest.Load(), int64(40<<10))
		h.ExpectDelivered(all(h, each(1, 1000, 1001, 1002, 1003)))
	})
}
