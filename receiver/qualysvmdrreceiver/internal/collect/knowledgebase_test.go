// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

func testKnowledgeBase() *KnowledgeBaseSettings {
	return &KnowledgeBaseSettings{Refresh: 24 * time.Hour, Version: "4.0", PageSize: 3}
}

// entries are those of the counts that are of KnowledgeBase entries.
func entries(counts map[string]int) map[string]int {
	counts = maps.Clone(counts)
	maps.DeleteFunc(counts, func(name string, _ int) bool { return !strings.HasPrefix(name, "entry ") })
	return counts
}

// detect makes the fake answer with detections of the QIDs 1000 to 1003, and with so many entries from 1000 on.
func (f *fakeQualys) detect(entries int) {
	f.hosts = detections(20, time.Now().Add(-24*time.Hour))
	for qid := 1000; qid < 1000+entries; qid++ {
		f.entries[qid] = time.Now().Add(-48 * time.Hour)
	}
}

// refreshFails makes the fake answer no refresh before that time.
func (f *fakeQualys) refreshFails(until time.Time) {
	f.fault = func(r *request, w http.ResponseWriter) bool {
		if r.form.Get("details") != "None" || !time.Now().Before(until) {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
}

func TestEachDetectedEntryIsDeliveredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(20, time.Now().Add(-24*time.Hour)) // QIDs 1000 to 1003
		for qid := 998; qid < 1003; qid++ {
			fake.entries[qid] = time.Now().Add(-48 * time.Hour)
		}
		b := newBench(t, fake, next, nil)
		_, k, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(5 * time.Hour)
		assert.Equal(t, map[string]int{"entry 1000": 1, "entry 1001": 1, "entry 1002": 1}, entries(next.counts()), "detected QIDs that have an entry, and no other")
		asked := map[string]int{}
		for _, r := range fake.asked("knowledge_base") {
			ids := strings.Split(r.form.Get("ids"), ",")
			assert.LessOrEqual(t, len(ids), 3)
			for _, id := range ids {
				asked[id]++
			}
		}
		assert.Equal(t, map[string]int{"1000": 1, "1001": 1, "1002": 1, "1003": 1}, asked, "one without an entry is not asked for again before the refresh")
		delivered, waits, without := k.Entries()
		assert.Equal(t, []int{3, 0, 1}, []int{delivered, waits, without})
	})
}

func TestRefreshDeliversChangedEntriesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(20, time.Now().Add(-24*time.Hour))
		for qid := 1000; qid < 1003; qid++ {
			fake.entries[qid] = time.Now().Add(-10 * time.Minute) // within the hour that a refresh reaches back
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(10 * time.Hour)
		fake.change(func() {
			fake.entries[1001] = time.Now()
			fake.entries[1003] = time.Now() // it had none
			fake.entries[5000] = time.Now() // it was not detected
		})
		passTime(60 * time.Hour)
		assert.Equal(t, map[string]int{"entry 1000": 1, "entry 1001": 2, "entry 1002": 1, "entry 1003": 1}, entries(next.counts()))
		var refreshes []request
		for _, r := range fake.asked("knowledge_base") {
			if r.form.Get("details") == "None" {
				refreshes = append(refreshes, r)
			}
		}
		require.Len(t, refreshes, 2)
		first := fake.asked("detection")[0].at
		assert.Equal(t, first.Add(-time.Hour).UTC().Format(timeFormat), refreshes[0].form.Get("last_modified_after"))
		assert.Equal(t, refreshes[0].at.Add(-time.Hour).UTC().Format(timeFormat), refreshes[1].form.Get("last_modified_after"))
	})
}

func TestFullIntervalDeliversAllEntriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(3, time.Now().Add(-24*time.Hour))
		fake.entries[1000] = time.Now().Add(-10 * 24 * time.Hour)
		settings := testKnowledgeBase()
		settings.Full = 48 * time.Hour
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), settings)
		defer run.stop()
		passTime(50 * time.Hour)
		assert.Equal(t, map[string]int{"entry 1000": 2}, entries(next.counts()))
	})
}

func TestEntriesThatWaitSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next, client := newFake(), newSink(), memoryClient()
		fake.hosts = detections(20, time.Now().Add(-24*time.Hour))
		for qid := 1000; qid < 1004; qid++ {
			fake.entries[qid] = time.Now().Add(-24 * time.Hour)
		}
		down := true
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if down && strings.Contains(r.path, "knowledge_base") && r.form.Get("ids") != "1000,1001,1002" {
				w.WriteHeader(http.StatusBadGateway)
				return true
			}
			return false
		}
		_, _, run := newBench(t, fake, next, client).vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		passTime(10 * time.Minute)
		run.stop()
		assert.Equal(t, map[string]int{"entry 1000": 1, "entry 1001": 1, "entry 1002": 1}, entries(next.counts()))
		fake.change(func() { down = false })
		_, _, run = newBench(t, fake, next, client).vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(10 * time.Minute)
		assert.Equal(t, map[string]int{"entry 1000": 1, "entry 1001": 1, "entry 1002": 1, "entry 1003": 1}, entries(next.counts()))
	})
}

func TestMissingPermissionStopsTheKnowledgeBaseOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(3, time.Now().Add(-24*time.Hour))
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if !strings.Contains(r.path, "knowledge_base") {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>2010</CODE><TEXT>no permission to download</TEXT></RESPONSE></SIMPLE_RETURN>")
			return true
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(10 * time.Minute)
		fake.change(func() { fake.hosts[10][0].updated = time.Now() })
		passTime(48 * time.Hour)
		assert.Len(t, fake.asked("knowledge_base"), 1)
		assert.Equal(t, 2, next.counts()["detection 1 Active"], "detections go on")
		assert.Equal(t, health.Error, b.health.Snapshot()[KnowledgeBaseDataset])
		assert.Equal(t, health.Collecting, b.health.Snapshot()[VulnerabilitiesDataset])
	})
}

func TestManyQIDsCostLittle(t *testing.T) {
	q := newQIDs()
	many := make([]uint32, 100_000)
	for i := range many {
		many[i] = uint32(i + 1)
	}
	assert.Len(t, q.add(many), 100_000)
	assert.Empty(t, q.add(many), "each is new once")
	_, waits, _ := q.count()
	assert.Equal(t, 100_000, waits)
	assert.Len(t, q.take(500, nil), 500)
}

func TestEntryThatCannotBeReadHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.detect(4)
		broken := true
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if !broken || !strings.Contains(r.form.Get("ids"), "1000") {
				return false
			}
			fmt.Fprint(w, "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><VULN_LIST><VULN><QID>1000</TITLE>")
			return true
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(10 * time.Minute)
		assert.Equal(t, map[string]int{"entry 1001": 1, "entry 1002": 1, "entry 1003": 1}, entries(next.counts()))
		assert.Len(t, b.logs.FilterMessageSnippet("passed over").All(), 1)
		assert.Equal(t, health.Collecting, b.health.Snapshot()[KnowledgeBaseDataset])
		fake.change(func() { broken = false })
		passTime(24 * time.Hour)
		assert.Equal(t, 1, entries(next.counts())["entry 1000"], "it is asked for again at the next refresh")
	})
}

// An answer can be as large as it likes: what was not asked for must not stay in memory.
func TestEntriesThatWereNotAskedForTakeNoMemory(t *testing.T) {
	fake, next := newFake(), newSink()
	var others strings.Builder
	for qid := range 200_000 {
		fmt.Fprintf(&others, "<VULN><QID>%d</QID></VULN>", 10_000+qid)
	}
	fake.fault = func(_ *request, w http.ResponseWriter) bool {
		fmt.Fprint(w, "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><VULN_LIST><VULN><QID>5</QID></VULN>")
		_, _ = io.WriteString(w, others.String())
		fmt.Fprint(w, "</VULN_LIST></RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>")
		return true
	}
	b := newBench(t, fake, next, nil)
	k := NewKnowledgeBase(b.shared, *testKnowledgeBase(), b.health.Dataset(KnowledgeBaseDataset))
	require.NoError(t, k.open(t.Context()))
	k.qids.add([]uint32{5, 6})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, k.page(t.Context(), []uint32{5, 6}))
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20))
	assert.Equal(t, map[string]int{"entry 5": 1}, next.counts())
	delivered, toFetch, without := k.Entries()
	assert.Equal(t, []int{1, 0, 1}, []int{delivered, toFetch, without})
}

func TestEntriesThatARefreshNamesOftenCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.detect(4)
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if r.form.Get("details") != "None" {
				return false
			}
			fmt.Fprint(w, "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><ID_SET>", strings.Repeat("<ID_RANGE>1-9999</ID_RANGE><ID>1000</ID>", 1000), "</ID_SET></RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>")
			return true
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(25 * time.Hour)
		refreshed := b.logs.FilterMessage("KnowledgeBase refreshed.").All()
		require.Len(t, refreshed, 1)
		assert.EqualValues(t, 4, refreshed[0].ContextMap()["changed"])
		assert.Len(t, entries(next.counts()), 4)
	})
}

func TestRefreshThatWorksAgainLeavesError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.detect(4)
		fake.refreshFails(time.Now().Add(25 * time.Hour))
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(24*time.Hour + 30*time.Minute)
		assert.Equal(t, health.Error, b.health.Snapshot()[KnowledgeBaseDataset])
		passTime(time.Hour)
		assert.Equal(t, health.Collecting, b.health.Snapshot()[KnowledgeBaseDataset], "though no entry has changed")
	})
}

func TestEntriesDoNotWaitForARefreshThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.detect(5)
		fake.refreshFails(time.Now().Add(48 * time.Hour))
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(24*time.Hour + 30*time.Minute)
		require.NotContains(t, next.counts(), "entry 1004")
		fake.hosts[500] = []detection{{id: 500, qid: 1004, status: "New", updated: time.Now(), results: "r"}}
		passTime(2 * time.Hour)
		assert.Equal(t, 1, next.counts()["entry 1004"])
		assert.Equal(t, health.Error, b.health.Snapshot()[KnowledgeBaseDataset], "the refresh still fails")
	})
}

func TestRestOfABrokenPageDoesNotWaitForTheDetections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.detect(4)
		cut, detectionsGoOn := false, make(chan struct{})
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			switch {
			case r.form.Get("id_min") != "":
				fake.mu.Unlock()
				defer fake.mu.Lock()
				<-detectionsGoOn
			case strings.Contains(r.path, "knowledge_base") && !cut:
				cut = true
				recorder := &cutter{header: w.Header()}
				fake.knowledgeBase(recorder, r.form)
				answer := recorder.body.String()
				fmt.Fprint(w, answer[:strings.LastIndex(answer, "<VULN>")])
				return true
			}
			return false
		}
		b := newBench(t, fake, next, nil)
		_, k, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		defer close(detectionsGoOn)
		passTime(30 * time.Second)
		require.True(t, cut)
		assert.Empty(t, b.logs.FilterMessage("Collection finished.").FilterField(zap.String("dataset", VulnerabilitiesDataset)).All())
		_, toFetch, _ := k.Entries()
		assert.Zero(t, toFetch)
		assert.Equal(t, health.Collecting, b.health.Snapshot()[KnowledgeBaseDataset])
	})
}

func TestPageCutBehindItsLastEntryLeavesError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.detect(4)
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if r.form.Get("ids") != "1003" {
				return false
			}
			recorder := &cutter{header: w.Header()}
			fake.knowledgeBase(recorder, r.form)
			answer := recorder.body.String()
			fmt.Fprint(w, answer[:strings.LastIndex(answer, "</VULN>")+len("</VULN>")])
			return true
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(10 * time.Minute)
		assert.Equal(t, map[string]int{"entry 1000": 1, "entry 1001": 1, "entry 1002": 1, "entry 1003": 1}, entries(next.counts()))
		assert.Equal(t, health.Collecting, b.health.Snapshot()[KnowledgeBaseDataset], "nothing is left to be tried again")
	})
}

func TestFirstRefreshAfterARestartInTheFirstCollectionMissesNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next, client := newFake(), newSink(), memoryClient()
		fake.hosts = detections(20, time.Now().Add(-24*time.Hour))
		for qid := 1000; qid < 1004; qid++ {
			fake.entries[qid] = time.Now().Add(-48 * time.Hour)
		}
		down := true
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if down && (strings.Contains(r.path, "knowledge_base") || r.form.Get("id_min") == "50") {
				w.WriteHeader(http.StatusBadGateway)
				return true
			}
			return false
		}
		_, _, run := newBench(t, fake, next, client).vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		passTime(3 * time.Hour)
		run.stop()
		fake.change(func() { down = false })
		_, _, run = newBench(t, fake, next, client).vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(time.Hour)
		fake.change(func() { fake.entries[1001] = time.Now() })
		passTime(24 * time.Hour)
		assert.Equal(t, map[string]int{"entry 1000": 1, "entry 1001": 2, "entry 1002": 1, "entry 1003": 1}, entries(next.counts()))
	})
}
