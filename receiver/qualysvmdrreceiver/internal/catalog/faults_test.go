// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// An entry that cannot be had must hold up no other, whatever the reason, and is asked for again at the next refresh.
func TestEntryThatCannotBeHadHoldsUpNoOther(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"it breaks": func(w http.ResponseWriter) {
			fmt.Fprint(w, "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><VULN_LIST><VULN><QID>1000</TITLE>")
		},
		"it is larger than a record may be": func(w http.ResponseWriter) {
			fmt.Fprint(w, "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><VULN_LIST><VULN><QID>1000</QID>")
			for i := range 5000 {
				fmt.Fprintf(w, "<KEY_%d>1</KEY_%d>", i, i)
			}
			fmt.Fprint(w, "</VULN></VULN_LIST></RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>")
		},
		"500": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"504": func(w http.ResponseWriter) { w.WriteHeader(http.StatusGatewayTimeout) },
		"the connection ends": func(http.ResponseWriter) {
			panic(http.ErrAbortHandler)
		},
		"silence": func(w http.ResponseWriter) {
			harness.Slow(2 * time.Minute)
			w.WriteHeader(http.StatusOK)
		},
		"its ID is not accepted": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>1905</CODE><TEXT>parameter ids has invalid value: 1000</TEXT></RESPONSE></SIMPLE_RETURN>")
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				detect(h, 4)
				intercept(h, func(r qualyssim.Request, w http.ResponseWriter) bool {
					if !names(r, "1000") {
						return false
					}
					answer(w)
					return true
				})
				settings := enriching()
				settings.EnrichTimeout = 10 * time.Hour
				run(h, settings)
				h.Advance(time.Hour)
				assert.Equal(t, each(1, 1001, 1002, 1003), entries(h))
				h.ExpectLogged(1, "passed over")
				h.ExpectState(dataset.KnowledgeBase, health.Collecting)
				want := titles(1001, 1002, 1003)
				want["unavailable"] = 5
				assert.Equal(t, want, known(h), "detections do not wait for it")
				tries := len(asked(h))
				h.Sim.Intercept(nil)
				h.Advance(20 * time.Hour)
				assert.Len(t, asked(h), tries, "it is not asked for again before the refresh")
				h.Advance(4 * time.Hour)
				assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
			})
		})
	}
}

// Where nothing is answered it is nobody's fault.
func TestOutagePassesNobodyOver(t *testing.T) {
	for name, before := range map[string]bool{"before the first entry": false, "later": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				detect(h, 5)
				if before {
					run(h, plain())
					h.Advance(time.Minute)
					h.Stop()
					h.Script.SetDetection(500, qualyssim.ScriptedDetection{ID: 500, QID: 1004, Updated: time.Now()})
				}
				intercept(h, fails(http.StatusInternalServerError))
				run(h, plain())
				h.Advance(3 * time.Hour)
				h.ExpectState(dataset.KnowledgeBase, health.Error)
				h.Sim.Intercept(nil)
				h.Advance(2 * time.Minute)
				h.ExpectLogged(0, "passed over")
				h.ExpectState(dataset.KnowledgeBase, health.Collecting)
				if before {
					assert.Equal(t, each(1, 1000, 1001, 1002, 1003, 1004), entries(h))
				} else {
					assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
				}
			})
		})
	}
}

func TestEntriesThatTakeTooLongAreAskedForInSmallerPages(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		intercept(h, func(r qualyssim.Request, _ http.ResponseWriter) bool {
			if strings.Count(r.Form.Get("ids"), ",") >= 2 {
				harness.Slow(2 * time.Minute) // the silence is given up after one
			}
			return false
		})
		settings := plain()
		settings.PageSize = 4
		run(h, settings)
		h.Advance(time.Hour)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
		h.ExpectLogged(0, "passed over")
	})
}

func TestPagesStaySmallAsLongAsLargerOnesTakeTooLong(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Script.SetHost(10, manyDetections(1000, 80))
		for qid := range int64(80) {
			h.Script.SetEntry(1000+qid, qualyssim.ScriptedEntry{Modified: time.Now()})
		}
		var slow atomic.Int32
		intercept(h, func(r qualyssim.Request, _ http.ResponseWriter) bool {
			if strings.Count(r.Form.Get("ids"), ",") >= 5 {
				slow.Add(1)
				harness.Slow(2 * time.Minute)
			}
			return false
		})
		settings := plain()
		settings.PageSize = 40
		h.Shared = manyRecords
		run(h, settings)
		h.Advance(3 * time.Hour)
		assert.Len(t, entries(h), 80)
		assert.LessOrEqual(t, slow.Load(), int32(24), "a page of 40 takes 14 until it is small enough")
	})
}

func TestRestOfABrokenPageDoesNotWaitForTheDetections(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		var once sync.Once
		goOn := make(chan struct{})
		release := sync.OnceFunc(func() { close(goOn) })
		defer release()
		cutting(h, func(_ qualyssim.Request, answer string) (string, bool) {
			cut := false
			once.Do(func() { cut = true })
			return answer[:max(0, strings.LastIndex(answer, "<VULN>"))], cut
		})
		h.Backend.Decide(decideOn(func(label string) {
			if label == "detection 20 Active" {
				<-goOn
			}
		}))
		c := run(h, plain())
		h.Advance(30 * time.Second)
		assert.Equal(t, []string{"1000,1001,1002", "1002"}, askedIDs(h)[:2])
		_, toFetch, _ := c.Entries()
		assert.LessOrEqual(t, toFetch, 1)
		h.ExpectState(dataset.KnowledgeBase, health.Collecting)
		release()
		h.Advance(time.Minute)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
	})
}

func TestPageCutBehindItsLastEntryLeavesError(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		cutting(h, func(r qualyssim.Request, answer string) (string, bool) {
			return answer[:strings.LastIndex(answer, "</VULN>")+len("</VULN>")], r.Form.Get("ids") == "1003"
		})
		run(h, plain())
		h.Advance(10 * time.Minute)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
		h.ExpectState(dataset.KnowledgeBase, health.Collecting)
	})
}

// truncated answers with the first entry that is asked for, and a warning that there are more.
func truncated(url string) func(r qualyssim.Request, w http.ResponseWriter) bool {
	return func(r qualyssim.Request, w http.ResponseWriter) bool {
		from := 0
		_, _ = fmt.Sscan(r.Form.Get("id_min"), &from)
		var left []int
		for _, id := range strings.Split(r.Form.Get("ids"), ",") {
			qid := 0
			if _, err := fmt.Sscan(id, &qid); err == nil && qid >= from {
				left = append(left, qid)
			}
		}
		slices.Sort(left)
		fmt.Fprint(w, "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><VULN_LIST>")
		if len(left) > 0 && left[0] != 1003 {
			fmt.Fprintf(w, "<VULN><QID>%d</QID><TITLE>Entry %d</TITLE></VULN>", left[0], left[0])
		}
		fmt.Fprint(w, "</VULN_LIST>")
		if len(left) > 1 {
			fmt.Fprintf(w, "<WARNING><CODE>1980</CODE><TEXT>more</TEXT>%s</WARNING>", strings.ReplaceAll(url, "NEXT", fmt.Sprint(left[1])))
		}
		fmt.Fprint(w, "</RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>")
		return true
	}
}

func TestTruncatedResponseGoesOn(t *testing.T) {
	for name, url := range map[string]string{
		"where it says":            "<URL>https://elsewhere.test/api/?action=list&amp;ids=7&amp;id_min=NEXT</URL>",
		"behind the last, without": "",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				detect(h, 4)
				settings := enriching()
				settings.PageSize = 4
				h.Shared = manyRecords
				intercept(h, truncated(url))
				c := run(h, settings)
				h.Advance(30 * time.Minute)
				assert.Equal(t, each(1, 1000, 1001, 1002), entries(h))
				requests := asked(h)
				require.Len(t, requests, 4)
				for i, r := range requests {
					assert.Equal(t, "1000,1001,1002,1003", r.Form.Get("ids"), "the ids stay")
					assert.Equal(t, []string{"", "1001", "1002", "1003"}[i], r.Form.Get("id_min"))
				}
				known, toFetch, without := c.Entries()
				assert.Equal(t, []int{3, 0, 1}, []int{known, toFetch, without}, "what the last response lacks is absent")
			})
		})
	}
}

func TestEntriesThatATruncatedResponseLacksAreNotAbsent(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		settings := enriching()
		settings.PageSize = 4
		h.Shared = manyRecords
		intercept(h, func(r qualyssim.Request, w http.ResponseWriter) bool {
			if r.Form.Has("id_min") {
				return fails(http.StatusServiceUnavailable)(r, w)
			}
			return truncated("<URL>https://elsewhere.test/?id_min=NEXT</URL>")(r, w)
		})
		c := run(h, settings)
		h.Advance(2 * time.Second)
		_, toFetch, without := c.Entries()
		assert.Positive(t, toFetch)
		assert.Zero(t, without)
		h.Sim.Intercept(nil)
		h.Advance(time.Minute)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
	})
}
