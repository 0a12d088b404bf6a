// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e && soak

package e2e

import (
	"bufio"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

const collectForHours = `
receivers:
  qualysvmdr:
    vulnerabilities: {collection_interval: 15s, overlap: 5s, full_interval: 8m, page_size: 50, track_detections: true}
    knowledge_base: {refresh_interval: 1m, page_size: 100}
    hosts: {collection_interval: 1m, page_size: 100}
    asset_inventory: {collection_interval: 30s, overlap: 5s, full_interval: 15m, page_size: 50}
    activity_log: {collection_interval: 1m, overlap: 5s}
    collection_events: {enabled: true}
    batch_size: 200
    max_concurrent_requests: 5
    retry_on_failure: {initial_interval: 100ms, max_interval: 2s}
`

// faultsForHours do not last, as mishaps. What happens at once is met each few minutes.
func faultsForHours() qualyssim.Faults {
	return qualyssim.Faults{
		Delay: qualyssim.Duration(100 * time.Millisecond),
		APIs:  []qualyssim.API{qualyssim.Detections, qualyssim.Assets},
		Rates: map[qualyssim.Fault]float64{
			qualyssim.Cut: 0.03, qualyssim.CutCleanly: 0.01, qualyssim.ServerError: 0.02, qualyssim.BadGateway: 0.01, qualyssim.Maintenance: 0.005,
		},
		Next: mishaps.Next,
	}
}

// soaked is what arrived in hours: the last of each thing, and not the records.
type soaked struct {
	mu sync.Mutex // guards everything below
	// records are how many there were by LogType.
	records map[string]int
	// Times are of the last change that arrived.
	detections, assets, entries map[int64]time.Time
	hosts                       map[int64]bool
	// How often hosts and detections were told to be gone.
	removedHosts, removedDetections map[int64]int
	collections, complete           int
}

func (s *soaked) take(_ Delivery, log plog.LogRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	logType, body := attribute(log, "LogType"), log.Body().Map().AsRaw()
	s.records[logType]++
	whole := func(in map[string]any, key string) int64 { n, _ := in[key].(int64); return n }
	later := func(seen map[int64]time.Time, id int64, text any) {
		at, _ := time.Parse(time.RFC3339, fmt.Sprint(text))
		if known, ok := seen[id]; !ok || at.After(known) {
			seen[id] = at
		}
	}
	detection, _ := body["Detection"].(map[string]any)
	switch logType {
	case vulnerabilityLogs:
		later(s.detections, whole(detection, "UniqueVulnId"), detection["LastUpdateDateTime"])
	case removedDetectionLogs:
		s.removedDetections[whole(detection, "UniqueVulnId")]++
	case knowledgeBaseLogs:
		later(s.entries, whole(body, "Qid"), body["LastServiceModificationDateTime"])
	case assetInventory:
		later(s.assets, whole(body, "assetId"), body["lastModifiedDate"])
	case hostLogs:
		s.hosts[whole(body, "Id")] = true
	case removedHostLogs:
		s.removedHosts[whole(body, "Id")]++
	case collectionEvents:
		if s.collections++; body["complete"] == true {
			s.complete++
		}
	}
}

// missing says what is not there of what a subscription had, with the times it had them at.
func (s *soaked) missing(detections []qualyssim.Detection, assets []qualyssim.Asset, entries []qualyssim.Entry, removed []qualyssim.Host) (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	miss := func(what string, id int64, has bool, got, want time.Time) {
		if !has || got.Before(want.Truncate(time.Second)) {
			list = append(list, fmt.Sprintf("%s %d of %s, has %s", what, id, want, got))
		}
	}
	detected := map[int64]bool{}
	for _, d := range detections {
		got, has := s.detections[d.UniqueVulnID]
		detected[d.QID] = detected[d.QID] || has
		if has || d.Status != qualyssim.StatusFixed { // what was fixed before the first collection is not asked for
			miss("detection", d.UniqueVulnID, has, got, d.LastUpdate)
		}
	}
	for _, a := range assets {
		got, has := s.assets[a.ID]
		miss("asset", a.ID, has, got, a.Modified)
	}
	for _, e := range entries {
		if e.Exists && detected[e.QID] {
			got, has := s.entries[e.QID]
			miss("entry", e.QID, has, got, e.Modified)
		}
	}
	for _, h := range removed {
		if s.hosts[h.ID] && s.removedHosts[h.ID] == 0 {
			list = append(list, fmt.Sprintf("host %d that is gone", h.ID))
		}
	}
	return list
}

// usage is what a process has taken of the machine.
type usage struct {
	resident, peak, stored float64 // MB
	threads, files         int
}

func (c *Collector) usage(t testing.TB, stateDir string) (u usage) {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(c.command.Process.Pid))
	status, err := os.Open(filepath.Join(dir, "status"))
	require.NoError(t, err)
	defer status.Close()
	lines := bufio.NewScanner(status)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.Atoi(fields[1]) // names and the like are none
		switch fields[0] {
		case "VmRSS:":
			u.resident = float64(n) / 1000
		case "VmHWM:":
			u.peak = float64(n) / 1000
		case "Threads:":
			u.threads = n
		}
	}
	files, err := os.ReadDir(filepath.Join(dir, "fd"))
	require.NoError(t, err)
	u.files = len(files)
	require.NoError(t, filepath.WalkDir(stateDir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			u.stored += float64(info.Size()) / 1e6
		}
		return err
	}))
	return u
}

// messages counts what the collector has warned of, or logged as an error.
func (c *Collector) messages() map[string]int {
	counts := map[string]int{}
	for line := range strings.Lines(c.Output()) {
		fields := strings.Split(line, "\t") // time, level, place, message, fields
		if len(fields) < 4 || fields[1] == "info" {
			continue
		}
		counts[fields[1]+" "+fields[3]]++
	}
	return counts
}

// goroutines ends the collector, and counts what it did then.
func (c *Collector) goroutines() int {
	c.dump()
	return strings.Count(c.Output(), "\ngoroutine ")
}

// collected are the detections there are now of those that the receiver asks for.
func collected(t *testing.T, s *Subscription) []qualyssim.Detection {
	t.Helper()
	found, err := s.DetectionsFor(url.Values{"status": {"New,Active,Re-Opened,Fixed"}})
	require.NoError(t, err)
	return slices.Collect(found)
}

func TestHoursOfChangesFaultsAndRestartsLoseNothingAndTakeNoMore(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	require.NoError(t, err, "SOAK says how long")
	subscription := NewSubscription(t, qualyssim.Options{
		Hosts: 2000, MinDetections: 10, MaxDetections: 30, Assets: 1000, AssetSize: 5000, Concurrency: 8,
		ChangeEvery: 5 * time.Second, ChangeShare: 0.001, HostTurnover: 0.0002, Faults: faultsForHours(),
	})
	got := &soaked{
		records: map[string]int{}, detections: map[int64]time.Time{}, assets: map[int64]time.Time{}, entries: map[int64]time.Time{}, hosts: map[int64]bool{},
		removedHosts: map[int64]int{}, removedDetections: map[int64]int{},
	}
	sink := NewSink(t)
	sink.Forget()
	sink.Watch(got.take)
	config := subscription.Config(sink.Protobuf(), collectForHours)
	config.StateDir = t.TempDir()

	began := time.Now()
	minute := time.NewTicker(length / 120)
	defer minute.Stop()
	collector := Start(t, config)
	var early, kills, reloads int // goroutines; what was done
	var used []usage              // of the second half, which one process goes through
	for n := 1; n <= 120; n++ {
		<-minute.C
		u := collector.usage(t, config.StateDir)
		got.mu.Lock()
		t.Logf("%s: %.0f MB resident, %.0f MB at most, %d threads, %d files, %.1f MB stored, %d of %d collections complete, records %v",
			time.Since(began).Round(time.Second), u.resident, u.peak, u.threads, u.files, u.stored, got.complete, got.collections, got.records)
		got.mu.Unlock()
		if n > 60 {
			used = append(used, u)
		}
		if n%5 == 0 {
			t.Logf("run %d logged %v", collector.Run, collector.messages())
		}
		switch {
		case n == 10: // as old as the last one will be within its first minutes
			early = collector.goroutines()
			collector = Start(t, config)
		case n <= 60 && n%10 == 0:
			collector.Kill()
			kills++
			collector = Start(t, config)
		case n <= 60 && n%5 == 0:
			collector.Interrupt(t)
			assert.Zero(t, collector.ExitCode(t))
			collector = Start(t, config)
		case n%10 == 5:
			require.NoError(t, collector.command.Process.Signal(syscall.SIGHUP))
			reloads++
		case n%7 == 0:
			sink.RefuseFor(t, errRefused, 10*time.Second)
		case n%8 == 0:
			subscription.RevokeTokens()
		case n%3 == 0:
			require.NoError(t, subscription.SetFaults(faultsForHours()))
		}
	}

	detections, assets, entries, gone := collected(t, subscription), slices.Collect(subscription.Assets()),
		slices.Collect(subscription.QIDs()), slices.Collect(subscription.RemovedHosts())
	var missing []string
	for limit := time.Now().Add(20 * time.Minute); ; {
		alive := slices.Collect(subscription.Assets()) // of hosts that have vanished since, nothing comes any more
		there := map[int64]bool{}
		for h := range subscription.Hosts() {
			there[h.ID] = true
		}
		detections = slices.DeleteFunc(detections, func(d qualyssim.Detection) bool { return !there[d.HostID] })
		assets = slices.DeleteFunc(assets, func(a qualyssim.Asset) bool {
			return !slices.ContainsFunc(alive, func(other qualyssim.Asset) bool { return other.ID == a.ID })
		})
		if missing = got.missing(detections, assets, entries, gone); len(missing) == 0 || time.Now().After(limit) {
			break
		}
		<-minute.C
	}
	assert.Empty(t, missing[:min(len(missing), 20)], "%d of %d detections, %d assets, %d hosts that are gone", len(missing), len(detections), len(assets), len(gone))

	got.mu.Lock()
	defer got.mu.Unlock()
	were := map[int64]bool{}
	for h := range subscription.RemovedHosts() {
		were[h.ID] = true
	}
	for id, times := range got.removedHosts {
		assert.True(t, were[id], "host %d is told to be gone, and is there", id)
		assert.LessOrEqual(t, times, 1+kills, "host %d is told to be gone", id)
	}
	for _, d := range collected(t, subscription) {
		assert.Zero(t, got.removedDetections[d.UniqueVulnID], "detection %d is told to be gone, and is there", d.UniqueVulnID)
	}
	last := used[len(used)-1]
	third := len(used) / 3
	highest := func(of []usage, figure func(usage) float64) float64 {
		most := figure(of[0])
		for _, u := range of {
			most = max(most, figure(u))
		}
		return most
	}
	for what, figure := range map[string]func(usage) float64{
		"resident memory":      func(u usage) float64 { return u.resident },
		"threads":              func(u usage) float64 { return float64(u.threads) },
		"open files":           func(u usage) float64 { return float64(u.files) },
		"size of what is kept": func(u usage) float64 { return u.stored },
	} {
		before, after := highest(used[:third], figure), highest(used[2*third:], figure)
		t.Logf("%s: at most %.1f in the first third of the last run, %.1f in the last", what, before, after)
		if length >= time.Hour { // a shorter third may hold no full collection, which takes more
			assert.LessOrEqual(t, after, 1.25*before+5, what)
		}
	}
	late := collector.goroutines()
	t.Logf("%d kills, %d reloads; goroutines %d after ten minutes, %d at the end; %+v", kills, reloads, early, late, last)
	assert.LessOrEqual(t, late, early+10, "goroutines")
	t.Logf("records %v; hosts told gone %d of %d, detections %d; %d of %d collections complete", got.records, len(got.removedHosts), len(were), len(got.removedDetections), got.complete, got.collections)
}
