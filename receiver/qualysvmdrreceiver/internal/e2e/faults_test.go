// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

const (
	batchSize = 200

	collectEverything = `
receivers:
  qualysvmdr:
    vulnerabilities: {page_size: 50}
    knowledge_base: {page_size: 100}
    asset_inventory: {page_size: 50}
    batch_size: 200
    retry_on_failure: {initial_interval: 20ms, max_interval: 200ms}
`
)

var (
	// mishaps do not last: nothing is given up for them. Any number of pages of hosts and assets goes wrong. A list of IDs that
	// fails three times, and an entry that does so alone, rightly are given up for a while: of these two go wrong.
	mishaps = qualyssim.Faults{
		Rates: map[qualyssim.Fault]float64{
			qualyssim.Cut:         0.10,
			qualyssim.CutCleanly:  0.05,
			qualyssim.ServerError: 0.05,
			qualyssim.BadGateway:  0.03,
			qualyssim.Maintenance: 0.03,
		},
		APIs: []qualyssim.API{qualyssim.Detections, qualyssim.Assets},
		Next: slices.Concat(limitsMet, []qualyssim.NextFault{
			{Fault: qualyssim.CutCleanly, API: qualyssim.KnowledgeBase},
			{Fault: qualyssim.ServerError, API: qualyssim.KnowledgeBase},
			{Fault: qualyssim.Cut, API: qualyssim.HostList},
			{Fault: qualyssim.Maintenance, API: qualyssim.HostList},
		}),
	}
	limitsMet = []qualyssim.NextFault{
		{Fault: qualyssim.Busy, API: qualyssim.Detections},
		{Fault: qualyssim.RateLimited, API: qualyssim.Detections, Wait: 1},
		{Fault: qualyssim.RateLimited, API: qualyssim.KnowledgeBase, Wait: 1},
		{Fault: qualyssim.TooManyRequests, API: qualyssim.Assets, Wait: 1},
	}
	errRefused = errors.New("out of disk")
)

func TestKillsLoseNothingAndRepeatABatchAtMost(t *testing.T) {
	const kills = 12
	subscription := NewSubscription(t, qualyssim.Options{
		Hosts: 1300, MinDetections: 10, MaxDetections: 30, Assets: 400, AssetSize: 5000, Faults: mishaps,
	})
	expected := inventoryOf(t, subscription)
	require.Greater(t, len(expected[vulnerabilityLogs]), 20_000)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	sink := NewSink(t)
	config := subscription.Config(sink.Protobuf(), collectEverything+"    max_concurrent_requests: 1\n")
	config.StateDir = t.TempDir()

	for range kills {
		collector := Start(t, config)
		if random.IntN(3) == 0 {
			sink.RefuseFor(t, errRefused, 500*time.Millisecond)
		}
		if random.IntN(3) == 0 {
			subscription.RevokeTokens()
		}
		enough := sink.Taken() + random.IntN(2*len(expected[vulnerabilityLogs])/kills)
		collector.Await(t, "some records arrived, or all", func() bool {
			return sink.Taken() >= enough || sink.hasAll(expected)
		})
		collector.Kill()
		t.Logf("killed after %d records", sink.Taken())
	}
	sink.Accept()
	collector := Start(t, config)
	collector.Await(t, "all records arrived", func() bool { return sink.hasAll(expected) })
	collector.AwaitStatus(t, "StatusOK")
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))

	assert.Equal(t, expected, inventoryIn(t, sink))
	repeated := 0
	for logType := range expected {
		repeated += sink.Repeated(logType)
	}
	assert.LessOrEqual(t, repeated, kills*batchSize, "a batch for each kill")
}

func TestCutsErrorsAndRefusalsLoseAndRepeatNothing(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{
		Hosts: 400, MinDetections: 10, MaxDetections: 30, Assets: 200, AssetSize: 5000, Faults: mishaps,
	})
	expected := inventoryOf(t, subscription)
	sink := NewSink(t)
	sink.RefuseAfter(2000, errRefused)

	collector := Start(t, subscription.Config(sink.Protobuf(), collectEverything))
	collector.Await(t, "the backend refused again and again", func() bool { return sink.Refused() >= 10 })
	sink.Accept()
	collector.Await(t, "all records arrived", func() bool { return sink.hasAll(expected) })
	collector.AwaitStatus(t, "StatusOK")
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))

	assert.Equal(t, expected, inventoryIn(t, sink))
	for logType := range expected {
		assert.Zero(t, sink.Repeated(logType), logType)
	}
}

func TestRestartAfterAKillGoesOnWhereTheBackendStopped(t *testing.T) {
	const pageSize, pages = 10, 5
	subscription := NewSubscription(t, qualyssim.Options{Hosts: pageSize * pages, MinDetections: 10, MaxDetections: 10})
	expected := openDetections(t, subscription)
	sink := NewSink(t)
	sink.RefuseAfter(len(expected)/2, errRefused)
	config := subscription.Config(sink.Protobuf(), `
receivers:
  qualysvmdr:
    vulnerabilities: {page_size: 10}
    batch_size: 20
    max_concurrent_requests: 1
    retry_on_failure: {initial_interval: 20ms, max_interval: 200ms}
`)
	config.StateDir = t.TempDir()
	first := Start(t, config)
	first.Await(t, "the backend refused in the middle of the third page", func() bool { return sink.Refused() >= 3 })
	first.Kill()

	delivered := hostsOf(detectionsOf(t, sink))
	whole, last := delivered[len(delivered)-2], delivered[len(delivered)-1] // the last one may have arrived in part only
	hosts := hostsOf(expected)
	next := hosts[slices.Index(hosts, last)+1]
	sink.Accept()
	subscription.ClearRequests()
	second := Start(t, config)
	second.Await(t, "all detections arrived", func() bool { return sink.Count(vulnerabilityLogs) >= len(expected) })

	idMin, err := strconv.ParseInt(subscription.RequestsOf(qualyssim.Detections)[0].Form.Get("id_min"), 10, 64)
	require.NoError(t, err)
	assert.Greater(t, idMin, whole)
	assert.LessOrEqual(t, idMin, next)
	assert.Equal(t, expected, detectionsOf(t, sink))
	assert.Zero(t, sink.Repeated(vulnerabilityLogs), "a refused batch was not delivered")
}

// inventory is what identifies the records of each LogType: detections by their ID, entries by QID, assets by ID.
type inventory map[string][]int64

// inventoryOf is what the first collections of all datasets must bring.
func inventoryOf(t *testing.T, s *Subscription) inventory {
	t.Helper()
	found, err := s.DetectionsFor(url.Values{"status": {"New,Active,Re-Opened"}})
	require.NoError(t, err)
	all := inventory{}
	detected := map[int64]bool{}
	for d := range found {
		all[vulnerabilityLogs] = append(all[vulnerabilityLogs], d.UniqueVulnID)
		detected[d.QID] = true
	}
	for entry := range s.QIDs() {
		if entry.Exists && detected[entry.QID] {
			all[knowledgeBaseLogs] = append(all[knowledgeBaseLogs], entry.QID)
		}
	}
	for asset := range s.Assets() {
		all[assetInventory] = append(all[assetInventory], asset.ID)
	}
	return all.sorted()
}

// inventoryIn is what the sink has.
func inventoryIn(t *testing.T, sink *Sink) inventory {
	t.Helper()
	all := inventory{}
	for logType, key := range map[string]string{
		vulnerabilityLogs: "qualys.detection.id",
		knowledgeBaseLogs: "qualys.qid",
		assetInventory:    "qualys.asset.id",
	} {
		for _, record := range sink.Records(logType) {
			id, found := record.Log.Attributes().Get(key)
			require.True(t, found, key)
			all[logType] = append(all[logType], id.Int())
		}
	}
	return all.sorted()
}

func (i inventory) sorted() inventory {
	for _, ids := range i {
		slices.Sort(ids)
	}
	return i
}

// hasAll reports whether as many different records have arrived as are expected.
func (s *Sink) hasAll(expected inventory) bool {
	for logType, ids := range expected {
		if s.Count(logType) < len(ids) {
			return false
		}
	}
	return true
}

// hostsOf are the IDs of the hosts of detections, ascending.
func hostsOf(detections map[int64]detection) []int64 {
	var hosts []int64
	for _, d := range detections {
		hosts = append(hosts, d.HostID)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
