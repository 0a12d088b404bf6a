// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

func TestEntriesAreAskedForOnceOverKills(t *testing.T) {
	const kills = 8
	subscription := NewSubscription(t, qualyssim.Options{
		Hosts: 1000, MinDetections: 10, MaxDetections: 30, Concurrency: 30,
		Faults: qualyssim.Faults{Delay: qualyssim.Duration(100 * time.Millisecond)},
	})
	expected := inventoryOf(t, subscription)
	delete(expected, assetInventory)
	exists := map[int64]bool{}
	for entry := range subscription.QIDs() {
		exists[entry.QID] = entry.Exists
	}
	calls := subscription.CountCalls()
	seed := rand.Uint64()
	t.Logf("seed %d, %d entries", seed, len(expected[knowledgeBaseLogs]))
	random := rand.New(rand.NewPCG(seed, 0))
	sink := NewSink(t)
	config := subscription.Config(sink.Protobuf(), `
receivers:
  qualysvmdr:
    vulnerabilities: {page_size: 10}
    knowledge_base: {page_size: 40}
    batch_size: 200
    max_concurrent_requests: 5
`)
	config.StateDir = t.TempDir()

	var asked []int // for entries, before each kill
	for range kills {
		calls.NewRun()
		collector := Start(t, config)
		collector.Await(t, "entries are asked for, or all are known", func() bool {
			return calls.UnderWay(qualyssim.KnowledgeBase) > 0 || sink.Count(knowledgeBaseLogs) == len(expected[knowledgeBaseLogs])
		})
		enough := sink.Taken() + random.IntN(len(expected[vulnerabilityLogs])/kills)
		collector.Await(t, "some records arrived", func() bool { return sink.Taken() >= enough })
		collector.Kill()
		asked = append(asked, len(entriesAsked(subscription)))
		t.Logf("killed after %d entries and %d detections", sink.Count(knowledgeBaseLogs), sink.Count(vulnerabilityLogs))
	}
	collector := Start(t, config)
	collector.Await(t, "all records arrived", func() bool { return sink.hasAll(expected) })
	collector.AwaitStatus(t, "StatusOK")
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))
	arrived := inventoryIn(t, sink)
	delete(arrived, assetInventory)
	assert.Equal(t, expected, arrived)
	assertEnriched(t, sink)

	// What is asked for once more was in flight at a kill, and that is at most so many requests.
	requests := entriesAsked(subscription)
	for i, until := range asked {
		since := 0
		if i > 0 {
			since = asked[i-1]
		}
		later := map[int64]bool{}
		for _, qids := range requests[until:] {
			for _, qid := range qids {
				later[qid] = exists[qid]
			}
		}
		again := 0
		for _, qids := range requests[since:until] {
			if slices.ContainsFunc(qids, func(qid int64) bool { return later[qid] }) {
				again++
			}
		}
		assert.LessOrEqual(t, again, slots, "requests of before kill %d whose entries were asked for again", i+1)
	}

	// All detections once more: what they carry was kept.
	subscription.ClearRequests()
	before := sink.Repeated(vulnerabilityLogs)
	again := config
	again.More += "    vulnerabilities: {full_after: " + time.Now().UTC().Format(time.RFC3339) + "}\n"
	again.More = strings.Replace(again.More, "    vulnerabilities: {page_size: 10}\n", "", 1)
	collector = Start(t, again)
	collector.Await(t, "all detections arrived again, as they were", func() bool {
		return sink.Repeated(vulnerabilityLogs) >= before+len(expected[vulnerabilityLogs])
	})
	collector.AwaitOutput(t, "collection finished")
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))
	assert.Empty(t, entriesAsked(subscription))
}

// entriesAsked are the QIDs of the requests for entries, in the order of the requests.
func entriesAsked(s *Subscription) (requests [][]int64) {
	for _, request := range s.RequestsOf(qualyssim.KnowledgeBase) {
		var qids []int64
		for text := range strings.SplitSeq(request.Form.Get("ids"), ",") {
			if qid, err := strconv.ParseInt(text, 10, 64); err == nil { // a list of what has changed names none
				qids = append(qids, qid)
			}
		}
		if len(qids) > 0 {
			requests = append(requests, qids)
		}
	}
	return requests
}
