// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

const collectHosts = `
receivers:
  qualysvmdr:
    hosts: {collection_interval: 1s, page_size: 50}
    batch_size: 50
    max_concurrent_requests: 5
    retry_on_failure: {initial_interval: 20ms, max_interval: 200ms}
`

// emptyList is a host list that holds nothing, as an account gets it that sees no host.
const emptyList = `<?xml version="1.0" encoding="UTF-8" ?>
<HOST_LIST_OUTPUT><RESPONSE><DATETIME>2026-11-20T09:15:00Z</DATETIME></RESPONSE></HOST_LIST_OUTPUT>`

// The ways in which lists of IDs go wrong.
const (
	whole int32 = iota
	cut
	failed
	empty
)

// spoilLists has lists of IDs go wrong as the result says.
func spoilLists(s *Subscription) *atomic.Int32 {
	how := &atomic.Int32{}
	s.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		if r.API != qualyssim.HostList || r.Form.Get("details") != "None" {
			return false
		}
		switch how.Load() {
		case cut:
			list := httptest.NewRecorder()
			serve(list)
			text := list.Body.String()
			_, _ = io.WriteString(w, text[:len(text)/2]) // the client may be gone
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case failed:
			w.WriteHeader(http.StatusInternalServerError)
		case empty:
			w.Header().Set("Content-Type", "text/xml")
			_, _ = io.WriteString(w, emptyList) // as above
		default:
			return false
		}
		return true
	})
	return how
}

// collectedHosts are the hosts of each collection, by when they came last.
type collectedHosts struct {
	mu          sync.Mutex // guards everything below
	collections []string
	hosts       map[string]map[int64]Delivery
	// lost are deliveries with a host that came again in the same collection.
	lost map[Delivery]bool
}

func (c *collectedHosts) take(delivery Delivery, log plog.LogRecord) {
	if attribute(log, "LogType") != hostLogs {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id, _ := log.Body().Map().Get("Id")
	collection := attribute(log, "qualys.collection.id")
	hosts := c.hosts[collection]
	if hosts == nil {
		hosts = map[int64]Delivery{}
		c.hosts[collection] = hosts
		c.collections = append(c.collections, collection)
	}
	if before, again := hosts[id.Int()]; again {
		c.lost[before] = true
	}
	hosts[id.Int()] = delivery
}

func TestHostsThatAreGoneAreToldOnceOverKillsAndSpoiltLists(t *testing.T) {
	const kills, gone = 10, 20
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 500, Concurrency: 30, NoGzip: true})
	list := spoilLists(subscription)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var all []int64
	for host := range subscription.Hosts() {
		all = append(all, host.ID)
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	toPurge, stay := slices.Clone(all[:gone]), slices.Sorted(slices.Values(all[gone:]))
	slices.Sort(all)

	collected := &collectedHosts{hosts: map[string]map[int64]Delivery{}, lost: map[Delivery]bool{}}
	sink := NewSink(t)
	sink.Watch(collected.take)
	config := subscription.Config(sink.Protobuf(), collectHosts)
	config.StateDir = t.TempDir()
	finished := func(c *Collector) int { return strings.Count(c.Output(), "collection finished") }

	var killed []int // runs
	purged := 0
	for kill := range kills {
		collector := Start(t, config)
		how := map[int]int32{3: cut, 5: failed, 7: empty}[kill]
		list.Store(how)
		if kill > 0 { // those that are gone before the first collection ends were never known
			for ; purged < gone*kill/(kills-1); purged++ {
				assert.NoError(t, subscription.PurgeHost(toPurge[purged]))
			}
		}
		if kill == 0 || how != whole {
			collector.Await(t, "a collection is finished", func() bool { return finished(collector) > 0 })
		}
		enough := sink.Taken() + random.IntN(3*len(all))
		collector.Await(t, "some records arrived", func() bool { return sink.Taken() >= enough })
		collector.Kill()
		killed = append(killed, collector.Run)
		t.Logf("killed after %d records, %d hosts are told to be gone", sink.Taken(), sink.Count(removedHostLogs))
	}
	list.Store(whole)
	collector := Start(t, config)
	collector.Await(t, "hosts that are gone are told", func() bool { return sink.Count(removedHostLogs) >= gone })
	before := finished(collector)
	collector.Await(t, "two more collections are finished", func() bool { return finished(collector) >= before+2 })
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))

	var told []int64
	for _, r := range sink.Records(removedHostLogs) {
		body := r.Log.Body().Map().AsRaw()
		told = append(told, body["Id"].(int64))
		assert.Equal(t, "not_listed", body["Reason"])
		assert.NotEmpty(t, body["LastListedDateTime"])
		assert.NotEmpty(t, body["TrackingMethod"])
	}
	assert.ElementsMatch(t, toPurge, told)

	collected.mu.Lock()
	defer collected.mu.Unlock()
	t.Logf("%d collections, %d batches came twice over %d kills", len(collected.collections), len(collected.lost), kills)
	for _, collection := range collected.collections[:len(collected.collections)-1] {
		var found []int64
		for id := range collected.hosts[collection] {
			if !slices.Contains(toPurge, id) {
				found = append(found, id)
			}
		}
		slices.Sort(found)
		assert.Equal(t, stay, found, "collection %s", collection)
	}
	lost := map[int]int{}
	for delivery := range collected.lost {
		lost[delivery.Run]++
	}
	for _, run := range killed {
		assert.LessOrEqual(t, lost[run], slots, "batches that came twice over a kill")
	}
	assert.Zero(t, lost[collector.Run], "batches that came twice without a kill")
}
