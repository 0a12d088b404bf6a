// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/catalog"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// detectNew detects a QID that was not detected before, and adds its entry.
func detectNew(h *harness.Harness, qid int64) {
	h.Script.SetDetection(500, qualyssim.ScriptedDetection{ID: qid, QID: qid, Status: qualyssim.StatusActive, Updated: time.Now()})
	h.Script.SetEntry(qid, qualyssim.ScriptedEntry{Modified: time.Now()})
}

func TestPageCutBehindItsLastEntryMakesNoLaterEntryUnavailable(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		cutting(h, func(r qualyssim.Request, answer string) (string, bool) {
			end := strings.LastIndex(answer, "</VULN>")
			return answer[:max(0, end)] + "</VULN>", end >= 0 && !names(r, "1004")
		})
		run(h, enriching())
		h.Advance(90 * time.Minute)
		detectNew(h, 1004)
		h.Advance(time.Hour)
		assert.Equal(t, 1, known(h)["Entry 1004"])
		assert.NotContains(t, known(h), "unavailable")
	})
}

func TestDetectionsDoNotWaitForWhatTheFailureOfARefreshHoldsUp(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, enriching())
		h.Advance(24*time.Hour - 10*time.Minute)
		intercept(h, func(_ qualyssim.Request, w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<html>maintenance</html>")
			return true
		})
		h.Advance(30 * time.Minute)
		h.ExpectState(dataset.KnowledgeBase, health.Error)
		detectNew(h, 1004)
		h.Advance(time.Hour) // the next window begins within it
		h.Advance(20 * time.Minute)
		assert.Equal(t, 1, known(h)["unavailable"])
	})
}

func TestResponseThatHasAllEntriesIsNotFollowed(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		cutting(h, func(r qualyssim.Request, answer string) (string, bool) {
			end := strings.LastIndex(answer, "</RESPONSE>")
			if r.Form.Has("id_min") || end < 0 {
				return "", false
			}
			return answer[:end] + "<WARNING><CODE>1980</CODE><TEXT>more</TEXT></WARNING>" + answer[end:], true
		})
		run(h, plain())
		h.Advance(30 * time.Minute)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
		assert.Len(t, asked(h), 2)
	})
}

func TestRefreshThatAFullDeliveryOvertakesLeavesError(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		settings := plain()
		settings.Full = 36 * time.Hour
		run(h, settings)
		h.Advance(23 * time.Hour)
		intercept(h, fails(http.StatusServiceUnavailable))
		h.Advance(14 * time.Hour)
		h.ExpectState(dataset.KnowledgeBase, health.Error)
		h.Sim.Intercept(nil)
		h.Advance(time.Hour)
		assert.Equal(t, each(2, 1000, 1001, 1002, 1003), entries(h))
		h.ExpectState(dataset.KnowledgeBase, health.Collecting)
	})
}

func TestClockThatWasAheadMakesNoQIDNewForever(t *testing.T) {
	var kept *harness.Storage
	bubble(t, func(h *harness.Harness) {
		h.Advance(400 * 24 * time.Hour)
		detect(h, 3)
		run(h, plain())
		h.Advance(time.Minute)
		h.Stop()
		kept = h.Storage.(*harness.Storage).Copy()
	})
	bubble(t, func(h *harness.Harness) {
		h.Storage = kept
		detect(h, 3)
		run(h, plain())
		h.Advance(5 * 24 * time.Hour)
		assert.LessOrEqual(t, len(askedIDs(h)), 24+7)
	})
}

func TestNewQIDsWithoutEntriesShareTheirHourlyRequests(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		for i := range int64(20) {
			h.Script.SetHost(10+i, manyDetections(1000+i, 1))
		}
		answerSlowly(h)
		settings := enriching()
		settings.PageSize = 100
		run(h, settings)
		h.Advance(30 * time.Minute)
		before := len(askedIDs(h))
		h.Advance(5 * time.Hour)
		assert.LessOrEqual(t, len(askedIDs(h))-before, 6)
	})
}

func TestStorageThatGoesDownWithinACollection(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		for i := range int64(10) {
			h.Script.SetHost(10+i, manyDetections(1000+i*50, 50))
			for qid := 1000 + i*50; qid < 1050+i*50; qid++ {
				h.Script.SetEntry(qid, qualyssim.ScriptedEntry{Modified: time.Now()})
			}
		}
		settings := enriching()
		settings.PageSize = 100
		h.Shared = manyRecords
		client := newHurtStorage(h)
		var pages atomic.Int32
		h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, _ http.ResponseWriter, _ func(http.ResponseWriter)) bool {
			if r.API == qualyssim.Detections && pages.Add(1) == 3 {
				client.down.Store(true)
			}
			return false
		})
		run(h, settings)
		h.Advance(10 * time.Minute)
		assert.Len(t, entries(h), 500)
		assert.NotContains(t, known(h), "unavailable")
		assert.Less(t, h.Logs.FilterMessageSnippet("could not be read").Len(), 5)
		client.down.Store(false)
	})
}

func TestStorageThatCannotBeReadFloodsNoLog(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detections := func(first int64) {
			for i := range int64(10) {
				host := manyDetections(1000+i*50, 50)
				for j := range host.Detections {
					host.Detections[j].ID += first
				}
				h.Script.SetHost(first+i, host)
			}
		}
		for qid := range int64(500) {
			h.Script.SetEntry(1000+qid, qualyssim.ScriptedEntry{Modified: time.Now()})
		}
		detections(10)
		settings := enriching()
		settings.PageSize = 500
		h.Shared = manyRecords
		client := newHurtStorage(h)
		run(h, settings)
		h.Advance(30 * time.Minute)
		h.Stop()
		detections(1000)
		var pages atomic.Int32
		h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, _ http.ResponseWriter, _ func(http.ResponseWriter)) bool {
			if r.API == qualyssim.Detections && pages.Add(1) == 3 {
				client.down.Store(true)
			}
			return false
		})
		run(h, settings)
		h.Advance(time.Hour)
		assert.Positive(t, known(h)["unavailable"])
		assert.Less(t, h.Logs.FilterMessageSnippet("could not be read").Len(), 10)
		client.down.Store(false)
	})
}

func TestResponsesThatAllBreak(t *testing.T) {
	for name, before := range map[string]bool{"before the first entry": false, "later": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				detections := manyDetections(1000, 80)
				for _, d := range detections.Detections {
					h.Script.SetEntry(d.QID, qualyssim.ScriptedEntry{Modified: time.Now()})
				}
				settings := plain()
				settings.PageSize = 40
				h.Shared = manyRecords
				if before {
					detect(h, 1)
					run(h, settings)
					h.Advance(time.Minute)
					h.Stop()
				}
				cutting(h, func(qualyssim.Request, string) (string, bool) {
					return "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE>", true
				})
				h.Script.SetHost(1000, detections)
				started := len(asked(h))
				run(h, settings)
				h.Advance(3 * time.Hour)
				h.ExpectState(dataset.KnowledgeBase, health.Error)
				assert.LessOrEqual(t, len(asked(h))-started, int(3*time.Hour/(5*time.Second)), "the back-off is up to 10 seconds")
				h.Sim.Intercept(nil)
				ended := len(asked(h))
				h.Advance(10 * time.Minute)
				assert.LessOrEqual(t, len(asked(h))-ended, 20, "when it is over they are asked for together")
				h.ExpectLogged(0, "passed over")
				h.ExpectState(dataset.KnowledgeBase, health.Collecting)
				assert.Len(t, entries(h), 80)
			})
		})
	}
}

func TestRefreshReadsOverWhatIsNoQID(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		cutting(h, func(_ qualyssim.Request, answer string) (string, bool) {
			return strings.Replace(answer, "<ID_SET>", "<ID_SET><ID_RANGE>4294967290-4294967999</ID_RANGE><ID>5000000000</ID>", 1), true
		})
		run(h, plain())
		h.Advance(23 * time.Hour)
		modify(h, 1001)
		h.Advance(2 * time.Hour)
		h.ExpectState(dataset.KnowledgeBase, health.Collecting)
		assert.Equal(t, harness.With(each(1, 1000, 1001, 1002, 1003), "entry 1001", 2), entries(h))
	})
}

func TestAnyPartOfALaterWriteLosesNothing(t *testing.T) {
	for name, change := range map[string]struct {
		prepare  func(h *harness.Harness)
		settings func(*catalog.Settings)
	}{
		"refresh": {prepare: func(h *harness.Harness) { modify(h, 1001) }},
		"full":    {prepare: func(h *harness.Harness) { modify(h, 1001) }, settings: func(s *catalog.Settings) { s.Full = 24*time.Hour + time.Second }},
		"fields":  {prepare: func(h *harness.Harness) { modify(h, 1001) }, settings: func(s *catalog.Settings) { s.EnrichFields = []string{"Title", "SeverityLevel"} }},
		"gone":    {prepare: func(h *harness.Harness) { h.Script.RemoveEntry(1001) }, settings: func(s *catalog.Settings) { s.Full = 24*time.Hour + time.Second }},
	} {
		t.Run(name, func(t *testing.T) {
			for n := range 40 {
				bubble(t, func(h *harness.Harness) {
					detect(h, 4)
					client := newHurtStorage(h)
					settings := enriching()
					run(h, settings)
					h.Advance(24*time.Hour - 20*time.Minute)
					h.Stop()
					change.prepare(h)
					if change.settings != nil {
						change.settings(&settings)
					}
					client.left.Store(int64(n))
					run(h, settings)
					h.Advance(30 * time.Minute)
					h.Stop()
					client.left.Store(-1)
					run(h, settings)
					h.Advance(30 * time.Minute)
					for i := range 4 {
						h.Change(i+1, func(*qualyssim.ScriptedDetection) {})
					}
					before := known(h)
					h.Advance(2 * time.Hour)
					after := known(h)
					for title, times := range before {
						after[title] -= times
						if after[title] == 0 {
							delete(after, title)
						}
					}
					assert.Len(t, after, 4, "after %d operations", n)
					for title := range after {
						assert.NotEqual(t, "Entry 1001", title, "after %d operations", n)
						assert.NotEqual(t, "unavailable", title, "after %d operations", n)
					}
					for label, times := range entries(h) {
						assert.LessOrEqual(t, times, 4, "%s after %d operations", label, n)
					}
				})
			}
		})
	}
}

func TestEntryThatIsDeletedAndComesBack(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		settings := enriching()
		settings.Full = 48 * time.Hour
		restart := func() {
			h.Stop()
			run(h, settings)
		}
		run(h, settings)
		h.Advance(47 * time.Hour)
		h.Script.RemoveEntry(1001)
		h.Advance(2 * time.Hour)
		restart()
		h.Change(2, func(*qualyssim.ScriptedDetection) {})
		h.Advance(2 * time.Hour)
		assert.Equal(t, 1, known(h)["not_found"])
		restart()
		modify(h, 1001)
		h.Advance(24 * time.Hour)
		restart()
		h.Change(2, func(*qualyssim.ScriptedDetection) {})
		h.Advance(2 * time.Hour)
		assert.Equal(t, 1, known(h)["not_found"])
		assert.Equal(t, 2, entries(h)["entry 1001"])
	})
}

func TestEntriesThatThereWereNoneOfAreAskedForAgainWhenTheQueryChanges(t *testing.T) {
	for name, change := range map[string]func(h *harness.Harness, s *catalog.Settings){
		"other parameters": func(_ *harness.Harness, s *catalog.Settings) {
			s.Parameters = map[string]string{"show_pci_reasons": "1"}
		},
		"switched off and on": func(h *harness.Harness, _ *catalog.Settings) {
			require.NoError(h.T, catalog.Forget(h.T.Context(), checkpoint.New(h.Storage)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				detect(h, 3)
				settings := plain()
				run(h, settings)
				h.Advance(40 * time.Hour)
				h.Stop()
				h.Script.SetEntry(1003, qualyssim.ScriptedEntry{Modified: time.Now()})
				change(h, &settings)
				run(h, settings)
				h.Advance(2 * time.Hour)
				assert.Equal(t, 1, entries(h)["entry 1003"])
			})
		})
	}
}
