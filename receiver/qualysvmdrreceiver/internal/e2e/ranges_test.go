// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// slots is how many requests of an API run at once in the tests of ranges.
const slots = 5

const collectSideBySide = `
receivers:
  qualysvmdr:
    vulnerabilities: {page_size: 25}
    knowledge_base: {page_size: 100}
    asset_inventory: {page_size: 50}
    batch_size: 200
    max_concurrent_requests: 5
    retry_on_failure: {initial_interval: 20ms, max_interval: 200ms}
`

func TestKillsWithFiveRangesUnderWayLoseNothing(t *testing.T) {
	const kills = 12
	faults := mishaps
	faults.Delay = qualyssim.Duration(100 * time.Millisecond)
	faults.Next = mishaps.Next[len(limitsMet):] // limits are met later: after them few ranges are under way for long
	subscription := NewSubscription(t, qualyssim.Options{
		Hosts: 2200, MinDetections: 10, MaxDetections: 30, Assets: 400, AssetSize: 5000, Concurrency: 30, Faults: faults,
	})
	expected := inventoryOf(t, subscription)
	seed := rand.Uint64()
	t.Logf("seed %d, %d detections", seed, len(expected[vulnerabilityLogs]))
	random := rand.New(rand.NewPCG(seed, 0))
	sink := NewSink(t)
	config := subscription.Config(sink.Protobuf(), collectSideBySide)
	config.StateDir = t.TempDir()

	var killed []int // runs
	for range kills {
		collector := Start(t, config)
		if random.IntN(3) == 0 {
			sink.RefuseFor(t, errRefused, 500*time.Millisecond)
		}
		if random.IntN(3) == 0 {
			subscription.RevokeTokens()
		}
		collector.Await(t, "five ranges are under way", func() bool {
			return collector.Metric(t, "otelcol_qualysvmdr_request_slots", `api="detections"`, `state="used"`) == slots
		})
		if random.IntN(3) == 0 {
			limited := faults
			limited.Next = limitsMet
			require.NoError(t, subscription.SetFaults(limited))
		}
		enough := sink.Taken() + random.IntN(len(expected[vulnerabilityLogs])/kills/2)
		collector.Await(t, "some records arrived", func() bool { return sink.Taken() >= enough })
		collector.Kill()
		killed = append(killed, collector.Run)
		// A limit that nobody met is not for the next run.
		require.NoError(t, subscription.SetFaults(faults))
		t.Logf("killed after %d records", sink.Taken())
	}
	require.False(t, sink.hasAll(expected), "a kill had nothing to interrupt")
	sink.Accept()
	collector := Start(t, config)
	collector.Await(t, "all records arrived", func() bool { return sink.hasAll(expected) })
	collector.AwaitStatus(t, "StatusOK")
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))

	assert.Equal(t, expected, inventoryIn(t, sink))
	assertEnriched(t, sink)
	// Detections and entries: at most the batch of each range that was under way; assets: one.
	for logType, most := range map[string]int{vulnerabilityLogs: slots, knowledgeBaseLogs: slots, assetInventory: 1} {
		batches := 0
		for _, run := range killed {
			lost := sink.Lost(run, logType)
			assert.LessOrEqual(t, lost, most, "batches of %s that came twice over a kill", logType)
			batches += lost
		}
		t.Logf("%s: %d batches came twice over %d kills, %d records", logType, batches, kills, sink.Repeated(logType))
		assert.Zero(t, sink.Lost(collector.Run, logType), "batches of %s that came twice without a kill", logType)
	}
}

// assertEnriched expects each detection to carry the fields of the entry that was delivered, or that there is none.
func assertEnriched(t *testing.T, sink *Sink) {
	t.Helper()
	entries := map[int64]map[string]any{}
	for _, r := range sink.Records(knowledgeBaseLogs) {
		entries[number(t, r.Log.Attributes(), "qualys.qid")] = r.Log.Body().Map().AsRaw()
	}
	for _, r := range sink.Records(vulnerabilityLogs) {
		qid := number(t, r.Log.Attributes(), "qualys.qid")
		carried, ok := r.Log.Body().Map().Get("KnowledgeBase")
		require.True(t, ok, "QID %d", qid)
		got := carried.Map().AsRaw()
		entry := entries[qid]
		if entry == nil {
			require.Equal(t, map[string]any{"Status": "not_found"}, got, "QID %d", qid)
			continue
		}
		want := map[string]any{"Status": "found"}
		for _, field := range []string{
			"Title", "VulnerabilityType", "Category", "SeverityLevel", "Patchable", "PublishedDateTime", "LastServiceModificationDateTime",
			"Cve", "VendorReference", "Cvss", "CvssV3", "ThreatIntel", "PciFlag",
		} {
			// What the record of an entry adds empty is no field of the entry.
			if value, ok := entry[field]; ok && (got[field] != nil || !isEmpty(value)) {
				want[field] = value
			}
		}
		require.Equal(t, want, got, "QID %d", qid)
	}
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case string:
		return v == ""
	case int64:
		return v == 0
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func TestWithTwoRequestsAllowedNothingRunsBesideAnythingElse(t *testing.T) {
	options := qualyssim.Options{Hosts: 60, Faults: qualyssim.Faults{Delay: qualyssim.Duration(20 * time.Millisecond)}}
	require.True(t, qualyssim.Standard.Apply(&options))
	subscription := NewSubscription(t, options)
	expected := openDetections(t, subscription)
	calls := subscription.CountCalls()
	sink := NewSink(t)

	collector := Start(t, subscription.Config(sink.Protobuf(), `
receivers:
  qualysvmdr:
    vulnerabilities: {page_size: 7}
    knowledge_base: {page_size: 50}
`))
	collector.Await(t, "all detections arrived", func() bool { return sink.Count(vulnerabilityLogs) >= len(expected) })
	collector.AwaitStatus(t, "StatusOK")
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))

	assert.Equal(t, expected, detectionsOf(t, sink))
	assert.Empty(t, subscription.RequestsOf(qualyssim.HostList))
	assert.Equal(t, 1, calls.Most(qualyssim.Detections))
	assert.Equal(t, 1, calls.Most(qualyssim.KnowledgeBase))
	assert.Contains(t, collector.Output(), "concurrency_reserve", "what would let two run is said")
}

func TestACollectionOfOnePageIsOneCall(t *testing.T) {
	options := qualyssim.Options{Hosts: 60}
	require.True(t, qualyssim.Premium.Apply(&options))
	subscription := NewSubscription(t, options)
	sink := NewSink(t)
	collector := Start(t, subscription.Config(sink.Protobuf(), "receivers: {qualysvmdr: {vulnerabilities: {collection_interval: 1s}}}"))
	collections := func() int { return strings.Count(collector.Output(), "collection finished") }
	collector.Await(t, "four collections are finished", func() bool { return collections() >= 4 })
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))

	asked := len(subscription.RequestsOf(qualyssim.Detections))
	assert.GreaterOrEqual(t, asked, collections())
	assert.LessOrEqual(t, asked, strings.Count(collector.Output(), "collection started"))
	assert.Empty(t, subscription.RequestsOf(qualyssim.HostList))
}

func TestNothingIsSentAfterTheFirstRefusalOfARotatedPassword(t *testing.T) {
	const inFlight = 9
	options := qualyssim.Options{Hosts: 200}
	require.True(t, qualyssim.Premium.Apply(&options))
	subscription := NewSubscription(t, options)
	var once sync.Once
	var mu sync.Mutex
	held := 0
	listed, rotated := make(chan struct{}), make(chan struct{})
	subscription.Intercept(func(ctx context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		var hold <-chan struct{}
		switch {
		case r.API == qualyssim.HostList:
			serve(w)
			once.Do(func() { close(listed) })
			return true
		case r.API != qualyssim.Detections || !r.Form.Has("id_min"):
			return false
		case r.Form.Has("id_max"):
			mu.Lock()
			held++
			mu.Unlock()
			hold = rotated
		default:
			hold = listed // the ranges begin behind this page
		}
		select {
		case <-hold:
		case <-ctx.Done():
		}
		return false
	})
	underWay := func() int {
		mu.Lock()
		defer mu.Unlock()
		return held
	}

	config := subscription.Config(NewSink(t).Protobuf(), "receivers: {qualysvmdr: {vulnerabilities: {page_size: 10}}}")
	config.StateDir = t.TempDir()
	collector := Start(t, config)
	collector.Await(t, "nine requests are under way", func() bool { return underWay() == inFlight })
	before := len(subscription.RequestsOf(qualyssim.Detections))
	subscription.Rotate(qualyssim.Credentials{Password: "another one"})
	close(rotated)
	collector.AwaitStatus(t, "StatusPermanentError")
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))

	assert.Len(t, subscription.RequestsOf(qualyssim.Detections), before, "requests that were sent, in all")
	refused := 0
	for _, request := range subscription.RequestsOf(qualyssim.Detections) {
		if request.Status == http.StatusUnauthorized {
			refused++
		}
	}
	assert.Positive(t, refused)
	assert.LessOrEqual(t, refused, inFlight)
}
