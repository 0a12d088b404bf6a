// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

const (
	removedDetectionLogs = "removedDetectionLogs"
	collectionEvents     = "collectionEvents"
)

const collectTracked = `
receivers:
  qualysvmdr:
    vulnerabilities:
      collection_interval: 1s
      full_interval: 6s
      overlap: 2s
      page_size: 20
      collect: processed
      track_detections: true
    collection_events: {enabled: true}
    batch_size: 50
    max_concurrent_requests: 3
    retry_on_failure: {initial_interval: 20ms, max_interval: 200ms}
`

const (
	trackedHosts = 100
	trackedEach  = 20 // detections of a host
)

// machines are the hosts of a script, which are processed all the time while a test edits them.
type machines struct {
	script qualyssim.Script

	mu    sync.Mutex // guards hosts, and is held while one is edited
	hosts []int64
}

// hostOf is the ID of the host of a detection. Detections are numbered from 1 on.
func hostOf(detection int64) int64 { return ((detection-1)/trackedEach + 1) * 10 }

func newMachines(now time.Time) *machines {
	m := &machines{}
	for id := int64(1); id <= trackedHosts*trackedEach; id++ {
		m.script.SetDetection(hostOf(id), qualyssim.ScriptedDetection{
			ID: id, QID: 1000 + id%trackedEach, Status: qualyssim.StatusActive, First: now.Add(-48 * time.Hour), Updated: now.Add(-24 * time.Hour), Results: "r",
		})
		if id%trackedEach == 0 {
			m.hosts = append(m.hosts, hostOf(id))
		}
	}
	return m
}

// edit edits a detection.
func (m *machines) edit(id int64, change func(*qualyssim.ScriptedDetection)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, _ := m.script.Host(hostOf(id))
	for i := range h.Detections {
		if h.Detections[i].ID == id {
			change(&h.Detections[i])
		}
	}
	m.script.SetHost(hostOf(id), h)
}

// lose removes a detection, as one whose QID is no more.
func (m *machines) lose(id int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.script.RemoveDetection(hostOf(id), id)
}

// purge removes a host.
func (m *machines) purge(host int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.script.RemoveHost(host)
	m.hosts = slices.DeleteFunc(m.hosts, func(id int64) bool { return id == host })
}

// process has everything processed and found again, a few times a second, until the context ends.
func (m *machines) process(ctx context.Context) {
	again := time.NewTicker(300 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-again.C:
			m.processed(now)
		}
	}
}

func (m *machines) processed(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, host := range m.hosts {
		h, _ := m.script.Host(host)
		for i := range h.Detections {
			h.Detections[i].Processed, h.Detections[i].Found = now, now
		}
		m.script.SetHost(host, h)
	}
}

// spoilFull has two of three full lists of detections break off in their middle as long as the result is true.
func spoilFull(s *Subscription) (spoilt *atomic.Bool, broken *atomic.Int64) {
	spoilt, broken = &atomic.Bool{}, &atomic.Int64{}
	var asked atomic.Int64
	s.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		if r.API != qualyssim.Detections || !spoilt.Load() || r.Form.Has("detection_processed_after") || asked.Add(1)%3 == 0 {
			return false
		}
		broken.Add(1)
		list := httptest.NewRecorder()
		serve(list)
		text := list.Body.String()
		_, _ = io.WriteString(w, text[:len(text)/2]) // the client may be gone
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	return spoilt, broken
}

// trackedRecords are what came of tracked detections.
type trackedRecords struct {
	mu sync.Mutex // guards everything below
	// detections are their IDs by collection, and full whether one that is finished was a full one.
	detections map[string][]int64
	full       map[string]bool
	// states are what each detection was delivered with.
	states map[int64]map[string]bool
	// complete are the full collections that were complete.
	complete int
}

func (c *trackedRecords) take(_ Delivery, log plog.LogRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	collection, body := attribute(log, "qualys.collection.id"), log.Body().Map().AsRaw()
	switch attribute(log, "LogType") {
	case vulnerabilityLogs:
		d := body["Detection"].(map[string]any)
		id := d["UniqueVulnId"].(int64)
		c.detections[collection] = append(c.detections[collection], id)
		if c.states[id] == nil {
			c.states[id] = map[string]bool{}
		}
		c.states[id][stateOf(d)] = true
	case collectionEvents:
		full := body["full"].(bool)
		if full && body["complete"].(bool) {
			c.complete++
		}
		c.full[collection] = full
	}
}

// stateOf is what of a detection changes in the test.
func stateOf(detection map[string]any) string {
	return fmt.Sprint(detection["Status"], " ", detection["Severity"], " ", strings.Contains(fmt.Sprint(detection["Qds"]), "95!"))
}

// completed is how many full collections were complete.
func (c *trackedRecords) completed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.complete
}

func TestDetectionsThatAreGoneAreToldOnceAndOnlyChangesDeliveredOverKills(t *testing.T) {
	const kills, ignored, lost, purged, fixed, worse, scored = 10, 15, 10, 3, 8, 10, 10
	m := newMachines(time.Now())
	subscription := NewSubscription(t, qualyssim.Options{Script: &m.script, Concurrency: 30, NoGzip: true})
	spoilt, brokenOff := spoilFull(subscription)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	came := &trackedRecords{detections: map[string][]int64{}, full: map[string]bool{}, states: map[int64]map[string]bool{}}
	sink := NewSink(t)
	sink.Watch(came.take)
	config := subscription.Config(sink.Protobuf(), collectTracked)
	config.StateDir = t.TempDir()

	// What will happen, each to a host of its own.
	hosts := random.Perm(trackedHosts)
	next := func(n int) (some []int64) {
		for _, h := range hosts[:n] {
			some = append(some, int64(h*trackedEach+random.IntN(trackedEach-1)+1))
		}
		hosts = hosts[n:]
		return some
	}
	toPurge, toBreak := next(purged), next(1)[0]
	toIgnore, toLose, toFix, toWorsen, toScore := next(ignored), next(lost), next(fixed), next(worse), next(scored)
	for i, id := range toLose {
		toLose[i] = hostOf(id) / 10 * trackedEach // the last one: the simulator draws the scores of the others by their places
	}
	gone := slices.Concat(toIgnore, toLose)
	for id := int64(1); id <= trackedHosts*trackedEach; id++ {
		if slices.ContainsFunc(toPurge, func(purge int64) bool { return hostOf(purge) == hostOf(id) }) {
			gone = append(gone, id)
		}
	}
	changed := slices.Concat(toFix, toWorsen, toScore)

	collector := Start(t, config)
	collector.Await(t, "the first full collection is complete", func() bool { return came.completed() >= 1 })
	first := map[string]bool{} // windows of the first full collection bring what that has not brought yet
	came.mu.Lock()
	for collection := range came.detections {
		first[collection] = true
	}
	came.mu.Unlock()
	processing, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.process(processing) })
	defer running.Wait()
	defer stop()

	pages := func() int { return len(subscription.RequestsOf(qualyssim.Detections)) }
	for kill := range kills {
		if kill > 0 {
			collector = Start(t, config)
		}
		each := func(all []int64, change func(*qualyssim.ScriptedDetection)) {
			for _, id := range all[len(all)*kill/kills : len(all)*(kill+1)/kills] {
				m.edit(id, change)
			}
		}
		each(toIgnore, func(d *qualyssim.ScriptedDetection) { d.Ignored = true })
		each(toFix, func(d *qualyssim.ScriptedDetection) {
			d.Status, d.Updated, d.Fixed = qualyssim.StatusFixed, time.Now(), time.Now()
		})
		each(toWorsen, func(d *qualyssim.ScriptedDetection) { d.Severity = 5 })
		each(toScore, func(d *qualyssim.ScriptedDetection) { d.Elements = `<QDS severity="CRITICAL">95!</QDS>` })
		m.lose(toLose[kill])
		switch kill {
		case 1, 4, 7:
			m.purge(hostOf(toPurge[kill/3]))
		case 2:
			m.edit(toBreak, func(d *qualyssim.ScriptedDetection) { d.Raw = "<DETECTION><UNIQUE_VULN_ID>1</BROKEN>" })
		case 5:
			m.edit(toBreak, func(d *qualyssim.ScriptedDetection) { d.Raw = "" })
		}
		spoilt.Store(kill == 6 || kill == 7)
		if kill == 2 {
			collector.AwaitOutput(t, "hosts quarantined")
		}
		enough := pages() + 3 + random.IntN(40)
		collector.Await(t, "some pages were asked for", func() bool { return pages() >= enough })
		collector.Kill()
		t.Logf("killed after %d records, %d detections are told to be gone", sink.Taken(), sink.Count(removedDetectionLogs))
	}
	spoilt.Store(false)
	collector = Start(t, config)
	collector.Await(t, "what is gone is told", func() bool { return sink.Count(removedDetectionLogs) >= len(gone) })
	before := came.completed()
	collector.Await(t, "two more full collections are complete", func() bool { return came.completed() >= before+2 })
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))

	var told []int64
	for _, r := range sink.Records(removedDetectionLogs) {
		body := r.Log.Body().Map().AsRaw()
		told = append(told, body["Detection"].(map[string]any)["UniqueVulnId"].(int64))
		assert.Equal(t, "not_listed", body["Reason"])
		assert.NotEmpty(t, body["LastListedDateTime"])
	}
	assert.ElementsMatch(t, gone, told)

	came.mu.Lock()
	defer came.mu.Unlock()
	for want, all := range map[string][]int64{"Fixed 3 false": toFix, "Active 5 false": toWorsen, "Active 3 true": toScore} {
		for _, id := range all {
			assert.True(t, came.states[id][want], "detection %d is %s", id, want)
		}
	}
	brought, broken := map[int64]bool{}, map[int64]int{}
	for collection, ids := range came.detections {
		if full, finished := came.full[collection]; first[collection] || full || !finished {
			continue
		}
		for _, id := range ids {
			if hostOf(id) == hostOf(toBreak) {
				broken[id]++
				continue
			}
			brought[id] = true
			assert.Contains(t, changed, id, "a window brings only what has changed")
		}
	}
	assert.NotEmpty(t, brought)
	// A host that has missed a full collection is brought whole by the window in which it can be read again: once, and what of it
	// could be read before that once more at most, and once for a kill beside each.
	for id, times := range broken {
		assert.LessOrEqual(t, times, 4, "detection %d of the host that was broken", id)
	}
	t.Logf("windows brought %d detections, %d full collections were complete, %d lists broke off", len(brought), came.complete, brokenOff.Load())
}
