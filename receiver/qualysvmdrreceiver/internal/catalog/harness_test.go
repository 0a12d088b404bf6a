// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/catalog"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// timeFormat is how Qualys writes times, in UTC.
const timeFormat = "2006-01-02T15:04:05Z"

// bubble runs a test in a bubble with its own clock.
func bubble(t *testing.T, test func(h *harness.Harness)) {
	synctest.Test(t, func(t *testing.T) { test(harness.New(t)) })
}

// plain are settings without enrichment: three entries a page, a refresh a day.
func plain() catalog.Settings {
	return catalog.Settings{Refresh: 24 * time.Hour, Version: "4.0", PageSize: 3}
}

// enriching are settings with enrichment.
func enriching() catalog.Settings {
	s := plain()
	s.Enrich, s.EnrichFields, s.EnrichTimeout = true, []string{"Title", "Category"}, 10*time.Minute
	return s
}

// hourly are the settings of the detections.
func hourly() dataset.DetectionSettings { return harness.DetectionSettings() }

// run runs the KnowledgeBase with the vulnerabilities, as the receiver does.
func run(h *harness.Harness, settings catalog.Settings) *catalog.Catalog {
	return runWith(h, hourly(), settings)
}

func runWith(h *harness.Harness, detections dataset.DetectionSettings, settings catalog.Settings) *catalog.Catalog {
	var c *catalog.Catalog
	h.Run(func(shared dataset.Settings, status *health.Reporter) func(context.Context) {
		settings.Server, settings.Records, settings.MaxConcurrent = shared.Server, shared.Records, shared.MaxConcurrent
		c = catalog.New(shared.Engine, shared.Client, settings, status.Dataset(dataset.KnowledgeBase))
		d := dataset.NewDetections(shared, detections, status.Dataset(dataset.Vulnerabilities), engine.Options{
			Stages:    []engine.Stage{c.Enrich},
			Delivered: c.Detected,
			Started:   c.CollectionStarted,
			Finished: func(context.Context, *engine.Run, engine.Counts) error {
				c.Drain()
				return nil
			},
			NeedsFull: func() bool { return !c.Stored() },
			FullBegun: c.FullBegun,
			LoadFirst: c.Open,
			Ended:     c.Stop,
		})
		return func(ctx context.Context) {
			ctx, cancel := context.WithCancel(ctx)
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			running.Go(func() { c.Run(ctx) })
			d.Run(ctx)
		}
	})
	return c
}

// runDetections runs the vulnerabilities alone.
func runDetections(h *harness.Harness) { h.Run(harness.Detect(hourly(), engine.Options{}, nil)) }

// detect makes 20 detections of the QIDs 1000 to 1003, and so many entries from 1000 on.
func detect(h *harness.Harness, entries int) {
	h.Detections(20)
	for qid := 1000; qid < 1000+entries; qid++ {
		h.Script.SetEntry(int64(qid), qualyssim.ScriptedEntry{Modified: time.Now().Add(-48 * time.Hour)})
	}
}

// modify changes an entry now.
func modify(h *harness.Harness, qid int64) {
	h.Script.SetEntry(qid, qualyssim.ScriptedEntry{Modified: time.Now(), Title: fmt.Sprintf("Entry %d of %s", qid, time.Now().Format(time.TimeOnly))})
}

// entries are the counts of delivered records that are of entries.
func entries(h *harness.Harness) map[string]int {
	counts := h.Backend.Counts()
	maps.DeleteFunc(counts, func(name string, _ int) bool { return !strings.HasPrefix(name, "entry ") })
	return counts
}

// each expects entries as often.
func each(n int, qids ...int) map[string]int {
	counts := map[string]int{}
	for _, qid := range qids {
		counts[fmt.Sprintf("entry %d", qid)] = n
	}
	return counts
}

// asked are the requests to the KnowledgeBase.
func asked(h *harness.Harness) []qualyssim.Request { return h.Asked(qualyssim.KnowledgeBase) }

// askedIDs are the QIDs of each request for entries.
func askedIDs(h *harness.Harness) []string {
	var ids []string
	for _, r := range asked(h) {
		if r.Form.Get("details") == "All" {
			ids = append(ids, r.Form.Get("ids"))
		}
	}
	return ids
}

// refreshes are the requests for what changed.
func refreshes(h *harness.Harness) []qualyssim.Request {
	return slices.DeleteFunc(asked(h), func(r qualyssim.Request) bool { return r.Form.Get("details") != "None" })
}

// names reports whether a request asks for a QID.
func names(r qualyssim.Request, qid string) bool {
	return slices.Contains(strings.Split(r.Form.Get("ids"), ","), qid)
}

// intercept lets a function answer calls of the KnowledgeBase.
func intercept(h *harness.Harness, answer func(r qualyssim.Request, w http.ResponseWriter) bool) {
	h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
		return r.API == qualyssim.KnowledgeBase && answer(r, w)
	})
}

// cutting lets a function change the answers to calls of the KnowledgeBase.
func cutting(h *harness.Harness, cut func(r qualyssim.Request, answer string) (string, bool)) {
	h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		if r.API != qualyssim.KnowledgeBase {
			return false
		}
		recorder := httptest.NewRecorder()
		serve(recorder)
		answer, changed := cut(r, recorder.Body.String())
		if !changed {
			answer = recorder.Body.String()
		}
		maps.Copy(w.Header(), recorder.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(recorder.Code)
		_, _ = w.Write([]byte(answer))
		return true
	})
}

// fails answers with a status.
func fails(status int) func(qualyssim.Request, http.ResponseWriter) bool {
	return func(_ qualyssim.Request, w http.ResponseWriter) bool {
		w.WriteHeader(status)
		return true
	}
}

// known are what the delivered detections say of their entries, by how many do: a status, or a title.
func known(h *harness.Harness) map[string]int {
	said := map[string]int{}
	for _, r := range h.Backend.Records() {
		if logType, _ := r.Attributes().Get("LogType"); logType.AsString() == "vulnerabilityLogs" {
			said[knownOf(r)]++
		}
	}
	return said
}

func knownOf(r plog.LogRecord) string {
	entry, found := r.Body().Map().Get("KnowledgeBase")
	if !found {
		return "nothing"
	}
	if title, ok := entry.Map().Get("Title"); ok {
		return title.AsString()
	}
	status, _ := entry.Map().Get("Status")
	return status.AsString()
}

// titles expects the titles of entries, each on the five detections of its QID.
func titles(qids ...int) map[string]int {
	want := map[string]int{}
	for _, qid := range qids {
		want[fmt.Sprintf("Entry %d", qid)] = 5
	}
	return want
}

// failing answers calls of an API, those with this id_min if it is not "", with 503.
func failing(api qualyssim.API, from string) qualyssim.Interceptor {
	return func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
		return r.API == api && (from == "" || r.Form.Get("id_min") == from) && fails(http.StatusServiceUnavailable)(r, w)
	}
}

// manyRecords makes batches large, so that all detections of a page are in one.
func manyRecords(shared *dataset.Settings) {
	shared.Engine.MaxRecords, shared.Records.MaxRecords = 1000, 1000
}

// decideOn accepts every batch, and tells a function the labels of its records before.
func decideOn(see func(label string)) func(context.Context, plog.Logs) error {
	return func(_ context.Context, offered plog.Logs) error {
		for _, rl := range offered.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, record := range sl.LogRecords().All() {
					see(harness.Label(record))
				}
			}
		}
		return nil
	}
}

// concurrent lets the client send so many requests at once.
func concurrent(n int) func(*qualys.Settings) {
	return func(s *qualys.Settings) { s.MaxConcurrent = n }
}

// all expects each detection once, and entries besides.
func all(h *harness.Harness, entries map[string]int) map[string]int {
	counts := h.EachOnce()
	maps.Copy(counts, entries)
	return counts
}

// forbidden answers that the permission is missing.
func forbidden(_ qualyssim.Request, w http.ResponseWriter) bool {
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>2010</CODE><TEXT>no permission to download</TEXT></RESPONSE></SIMPLE_RETURN>")
	return true
}

// manyDetections is a host with a detection of each of so many QIDs.
func manyDetections(from int64, n int) qualyssim.ScriptedHost {
	var host qualyssim.ScriptedHost
	for qid := from; qid < from+int64(n); qid++ {
		host.Detections = append(host.Detections, qualyssim.ScriptedDetection{ID: qid, QID: qid, Updated: time.Now()})
	}
	return host
}

// threeHours is a limit that is over after three hours.
var threeHours = qualyssim.NextFault{Fault: qualyssim.RateLimited, API: qualyssim.KnowledgeBase, Wait: 3 * 3600}

// next lets a fault happen next.
func next(h *harness.Harness, fault qualyssim.NextFault) {
	require.NoError(h.T, h.Sim.SetFaults(qualyssim.Faults{Next: []qualyssim.NextFault{fault}}))
}

// answerSlowly makes each call of the KnowledgeBase take ten seconds.
func answerSlowly(h *harness.Harness) {
	intercept(h, func(qualyssim.Request, http.ResponseWriter) bool {
		harness.Slow(10 * time.Second)
		return false
	})
}
