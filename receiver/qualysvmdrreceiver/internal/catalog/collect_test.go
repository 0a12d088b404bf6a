// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

func TestEachDetectedEntryIsDeliveredOnce(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 3)
		modify(h, 998) // not detected
		c := run(h, plain())
		h.Advance(30 * time.Minute)
		assert.Equal(t, each(1, 1000, 1001, 1002), entries(h), "detected QIDs that have an entry, and no other")
		assert.Equal(t, []string{"1000,1001,1002", "1003"}, askedIDs(h), "a page when there is one, the rest at the end")
		known, toFetch, without := c.Entries()
		assert.Equal(t, []int{3, 0, 1}, []int{known, toFetch, without})
		h.ExpectState(dataset.KnowledgeBase, health.Collecting)
	})
}

func TestNewQIDWithoutAnEntryIsAskedForHourlyForADay(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 3)
		settings := plain()
		settings.Refresh = 100 * time.Hour
		run(h, settings)
		h.Advance(30 * time.Minute)
		h.Advance(5 * time.Hour)
		assert.Equal(t, []string{"1000,1001,1002", "1003", "1003", "1003", "1003", "1003", "1003"}, askedIDs(h))
		h.Advance(40 * time.Hour)
		n := len(askedIDs(h))
		assert.Equal(t, 25, n, "once with the others, and 23 times more in its first day")
		h.Advance(40 * time.Hour)
		assert.Len(t, askedIDs(h), n)
		modify(h, 1003)
		h.Advance(40 * time.Hour)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h), "the refresh asks for it again")
	})
}

func TestEntryThatIsPublishedLateComesWithinAnHour(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 3)
		run(h, plain())
		h.Advance(90 * time.Minute)
		modify(h, 1003)
		h.Advance(time.Hour)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
	})
}

func TestRefreshDeliversChangedEntriesOnly(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 3)
		for qid := int64(1000); qid < 1003; qid++ { // within the hour that a refresh reaches back
			h.Script.SetEntry(qid, qualyssim.ScriptedEntry{Modified: time.Now().Add(-10 * time.Minute)})
		}
		run(h, plain())
		h.Advance(10 * time.Hour)
		modify(h, 1001)
		modify(h, 5000) // it was not detected
		h.Advance(50 * time.Hour)
		assert.Equal(t, map[string]int{"entry 1000": 1, "entry 1001": 2, "entry 1002": 1}, entries(h))
		refreshes := refreshes(h)
		require.Len(t, refreshes, 2)
		first := h.Asked(qualyssim.Detections)[0].Time
		assert.Equal(t, first.Add(-time.Hour).UTC().Format(timeFormat), refreshes[0].Form.Get("last_modified_after"))
		assert.Equal(t, refreshes[0].Time.Add(-time.Hour).UTC().Format(timeFormat), refreshes[1].Form.Get("last_modified_after"))
	})
}

func TestFullIntervalDeliversAllEntriesAgain(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		settings := plain()
		settings.Full = 48 * time.Hour
		run(h, settings)
		h.Advance(50 * time.Hour)
		assert.Equal(t, each(2, 1000, 1001, 1002, 1003), entries(h))
	})
}

func TestFullAfterDeliversAllEntriesAgainOnce(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		settings := plain()
		settings.FullAfter = time.Now().Add(2 * time.Hour)
		run(h, settings)
		h.Advance(time.Hour)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
		h.Advance(10 * time.Hour)
		h.Stop()
		run(h, settings)
		h.Advance(10 * time.Hour)
		assert.Equal(t, each(2, 1000, 1001, 1002, 1003), entries(h))
	})
}

func TestPendingEntriesSurviveARestart(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		intercept(h, func(r qualyssim.Request, w http.ResponseWriter) bool {
			return r.Form.Get("ids") != "1000,1001,1002" && fails(http.StatusServiceUnavailable)(r, w)
		})
		run(h, plain())
		h.Advance(20 * time.Second)
		h.Stop()
		assert.Equal(t, each(1, 1000, 1001, 1002), entries(h))
		h.Sim.Intercept(nil)
		run(h, plain())
		h.Advance(10 * time.Minute)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
	})
}

func TestMissingPermissionStopsTheKnowledgeBaseOnly(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		intercept(h, forbidden)
		run(h, enriching())
		h.Advance(10 * time.Minute)
		h.Change(1, func(*qualyssim.ScriptedDetection) {})
		h.Advance(48 * time.Hour)
		assert.Len(t, asked(h), 1)
		h.ExpectDelivered(harness.With(h.EachOnce(), "detection 1 Active", 2), "detections go on")
		assert.Equal(t, map[string]int{"unavailable": 21}, known(h))
		h.ExpectState(dataset.KnowledgeBase, health.Error)
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
	})
}

func TestKnowledgeBaseStopsWithTheDetections(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, enriching())
		h.Advance(10 * time.Minute)
		next(h, qualyssim.NextFault{Fault: qualyssim.BadLogin, API: qualyssim.Detections, Count: 100})
		h.Advance(48 * time.Hour)
		h.ExpectState(dataset.Vulnerabilities, health.Error)
		h.ExpectState(dataset.KnowledgeBase, health.Error)
		assert.Empty(t, refreshes(h))
	})
}

// An answer can be as large as it likes: what was not asked for must not stay in memory, nor be delivered.
func TestEntriesThatWereNotAskedForAreLeftOut(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		others := strings.Repeat("<VULN><QID>77</QID></VULN>", 1000)
		cutting(h, func(_ qualyssim.Request, answer string) (string, bool) {
			return strings.Replace(answer, "</VULN_LIST>", others+"</VULN_LIST>", 1), true
		})
		run(h, enriching())
		h.Advance(10 * time.Minute)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
	})
}

func TestEntriesThatARefreshNamesOftenCountOnce(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		intercept(h, func(r qualyssim.Request, w http.ResponseWriter) bool {
			if r.Form.Get("details") != "None" {
				return false
			}
			fmt.Fprint(w, "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><ID_SET>", strings.Repeat("<ID_RANGE>1-9999</ID_RANGE><ID>1000</ID>", 1000), "</ID_SET></RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>")
			return true
		})
		run(h, plain())
		h.Advance(25 * time.Hour)
		refreshed := h.Logs.FilterMessage("knowledge base refreshed").All()
		require.Len(t, refreshed, 1)
		assert.EqualValues(t, 4, refreshed[0].ContextMap()["changed"])
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h), "none says anything new")
	})
}

func TestRefreshGoesOnWhereItsListWasTruncated(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, plain())
		h.Advance(time.Hour)
		modify(h, 1000)
		modify(h, 1003)
		intercept(h, func(r qualyssim.Request, w http.ResponseWriter) bool {
			if r.Form.Get("details") != "None" {
				return false
			}
			if r.Form.Get("id_min") == "" {
				fmt.Fprint(w, "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><ID_SET><ID>1000</ID></ID_SET><WARNING><CODE>1980</CODE><URL>https://elsewhere.test/?action=list&amp;id_min=1001</URL></WARNING></RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>")
				return true
			}
			fmt.Fprint(w, "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><ID_SET><ID>1003</ID></ID_SET></RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>")
			return true
		})
		h.Advance(24 * time.Hour)
		refreshes := refreshes(h)
		require.Len(t, refreshes, 2)
		assert.Empty(t, refreshes[0].Form.Get("id_min"))
		assert.Equal(t, "1001", refreshes[1].Form.Get("id_min"))
		assert.Equal(t, map[string]int{"entry 1000": 2, "entry 1001": 1, "entry 1002": 1, "entry 1003": 2}, entries(h))
	})
}

func TestRefreshThatWorksAgainLeavesError(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, plain())
		h.Advance(time.Hour)
		intercept(h, fails(http.StatusServiceUnavailable))
		h.Advance(23*time.Hour + 30*time.Minute)
		h.ExpectState(dataset.KnowledgeBase, health.Error)
		h.Sim.Intercept(nil)
		h.Advance(time.Hour)
		h.ExpectState(dataset.KnowledgeBase, health.Collecting)
	})
}

func TestEntriesDoNotWaitForARefreshThatFails(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 5)
		intercept(h, func(r qualyssim.Request, w http.ResponseWriter) bool {
			return r.Form.Get("details") == "None" && fails(http.StatusServiceUnavailable)(r, w)
		})
		run(h, plain())
		h.Advance(24*time.Hour + 30*time.Minute)
		require.NotContains(t, entries(h), "entry 1004")
		h.Script.SetDetection(500, qualyssim.ScriptedDetection{ID: 500, QID: 1004, Updated: time.Now()})
		h.Advance(2 * time.Hour)
		assert.Equal(t, 1, entries(h)["entry 1004"])
		h.ExpectState(dataset.KnowledgeBase, health.Error)
	})
}

func TestFirstRefreshAfterARestartInTheFirstCollectionMissesNoChange(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		h.Sim.Intercept(failing(qualyssim.KnowledgeBase, ""))
		run(h, plain())
		h.Advance(3 * time.Hour)
		h.Stop()
		h.Sim.Intercept(nil)
		run(h, plain())
		h.Advance(time.Hour)
		modify(h, 1001)
		h.Advance(24 * time.Hour)
		assert.Equal(t, map[string]int{"entry 1000": 1, "entry 1001": 2, "entry 1002": 1, "entry 1003": 1}, entries(h))
	})
}

func TestRefreshWithoutTheFilterThatIsRejected(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		intercept(h, func(r qualyssim.Request, w http.ResponseWriter) bool {
			if !r.Form.Has("last_modified_after") {
				return false
			}
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>1905</CODE><TEXT>parameter last_modified_after has invalid value</TEXT></RESPONSE></SIMPLE_RETURN>")
			return true
		})
		run(h, plain())
		h.Advance(10 * time.Hour)
		modify(h, 1002)
		h.Advance(40 * time.Hour)
		assert.Equal(t, map[string]int{"entry 1000": 1, "entry 1001": 1, "entry 1002": 2, "entry 1003": 1}, entries(h))
		h.ExpectLogged(1, "qualys rejected a default parameter")
		h.ExpectState(dataset.KnowledgeBase, health.Collecting)
	})
}

func TestServersClockThatIsWrongHidesNoChange(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, plain())
		h.Advance(time.Hour)
		cutting(h, func(r qualyssim.Request, answer string) (string, bool) {
			before, rest, _ := strings.Cut(answer, "<DATETIME>")
			_, after, _ := strings.Cut(rest, "</DATETIME>")
			return before + "<DATETIME>2999-01-01T00:00:00Z</DATETIME>" + after, r.Form.Get("details") == "None"
		})
		h.Advance(24 * time.Hour)
		require.Len(t, refreshes(h), 1)
		modify(h, 1001)
		h.Advance(24 * time.Hour)
		assert.Equal(t, 2, entries(h)["entry 1001"])
	})
}

func TestCatalogThatIsSwitchedOnLaterKnowsAllQIDs(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		runDetections(h)
		h.Advance(2 * time.Hour)
		h.Stop()
		run(h, plain())
		h.Advance(2 * time.Hour)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
		assert.Equal(t, 2, h.Backend.Counts()["detection 1 Active"], "a full collection")
		h.Stop()
		run(h, plain())
		h.Advance(5 * time.Hour)
		assert.Equal(t, 2, h.Backend.Counts()["detection 1 Active"], "and only one")
	})
}

// The collection that runs when the catalog is switched on may be one of what changed.
func TestCatalogThatIsSwitchedOnWithinAWindowKnowsAllQIDs(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		runDetections(h)
		h.Advance(30 * time.Minute)
		h.Sim.Intercept(failing(qualyssim.Detections, ""))
		h.Advance(time.Hour)
		h.Stop()
		h.Sim.Intercept(nil)
		run(h, plain())
		h.Advance(3 * time.Hour)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
	})
}

func TestFirstCollectionIsFollowedByNoFullOne(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, plain())
		h.Advance(5 * time.Hour)
		assert.Equal(t, 1, h.Backend.Counts()["detection 1 Active"])
	})
}

// Who starts with a wrong password corrects it and starts again.
func TestFirstCollectionThatIsRestartedBeforeAnyResponseIsFollowedByNoFullOne(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		h.Sim.Intercept(failing(qualyssim.Detections, ""))
		run(h, plain())
		h.Advance(time.Minute)
		h.Stop()
		h.Sim.Intercept(nil)
		run(h, plain())
		h.Advance(6 * time.Hour)
		h.ExpectDelivered(all(h, each(1, 1000, 1001, 1002, 1003)))
	})
}

func TestRecordsTellWhichCollectionTheyAreOf(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, enriching())
		h.Advance(10 * time.Hour)
		modify(h, 1001)
		h.Advance(20 * time.Hour)
		of := map[string][]string{}
		for _, r := range h.Backend.Records() {
			id, found := r.Attributes().Get("qualys.collection.id")
			require.True(h.T, found, harness.Label(r))
			of[harness.Label(r)] = append(of[harness.Label(r)], id.Str())
		}
		assert.Equal(t, of["detection 1 Active"], of["entry 1000"], "that of the detections that saw them")
		require.Len(t, of["entry 1001"], 2)
		assert.NotEqual(t, of["entry 1001"][0], of["entry 1001"][1], "a refresh has its own")
		assert.NotEmpty(t, of["entry 1001"][1])
	})
}

func TestCollectionOfEntriesIsLoggedOnce(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, enriching())
		h.Advance(10 * time.Minute)
		of := zap.String("dataset", dataset.KnowledgeBase)
		assert.Len(t, h.Logs.FilterMessage("collection started").FilterField(of).All(), 1)
		finished := h.Logs.FilterMessage("collection finished").FilterField(of).All()
		require.Len(t, finished, 1)
		assert.EqualValues(t, 4, finished[0].ContextMap()["records"])
	})
}
