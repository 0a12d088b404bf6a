// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const (
	pageHead = "<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><DATETIME>2026-11-20T09:15:00Z</DATETIME><HOST_LIST>"
	pageTail = "</HOST_LIST></RESPONSE></HOST_LIST_VM_DETECTION_OUTPUT>"
	goodHost = "<HOST><ID>7</ID><DETECTION_LIST><DETECTION><UNIQUE_VULN_ID>70</UNIQUE_VULN_ID></DETECTION></DETECTION_LIST></HOST>"
)

// detectionsOnly is a configuration for one server of detections.
func detectionsOnly(url string) *Config {
	cfg := configFor(url)
	cfg.KnowledgeBase = configoptional.None[KnowledgeBaseConfig]()
	cfg.AssetInventory = configoptional.None[AssetInventoryConfig]()
	return cfg
}

func TestHostileAnswersAreErrorsOfThatAnswer(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	text := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }
	}
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		says   string
	}{
		{"entity bomb", text("<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>" + pageHead + "<HOST><ID>&b;</ID></HOST>" + pageTail), "subset"},
		{"external entity", text("<!DOCTYPE x [<!ENTITY a SYSTEM \"" + other.URL + "\">]>" + pageHead + "<HOST><ID>&a;</ID></HOST>" + pageTail), "subset"},
		{"undeclared entity", text(pageHead + "<HOST><ID>1</ID><OS>&nbsp;</OS></HOST>" + pageTail), "entity"},
		{"depth of 100,000", text(pageHead + "<HOST>" + strings.Repeat("<A>", 100_000)), "deep"},
		{"tags that do not match", text(pageHead + "<HOST><ID>1</OS></HOST>" + pageTail), "inside element"},
		{"missing end", text(pageHead + goodHost), "unexpected EOF"},
		{"empty body", text(""), "empty"},
		{"garbage", text("\x00\x01\x02 nonsense"), ""},
		{"maintenance page under 200", text("<html><head><title>Maintenance</title></head><body>soon</body></html>"), "Maintenance"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }, "302"},
		{"gzip that is none", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "this is plain text that claims to be gzip")
		}, "gzip"},
		{"endless drip", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, pageHead)
			for r.Context().Err() == nil {
				fmt.Fprint(w, "<!-- keep-alive -->")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(glance):
				case <-r.Context().Done():
				}
			}
		}, "page_timeout"},
		{"silence", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, pageHead)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "read_idle_timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var healed atomic.Bool
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if healed.Load() {
					text(pageHead+goodHost+pageTail)(w, r)
					return
				}
				test.answer(w, r)
			}))
			t.Cleanup(server.Close)
			cfg := detectionsOnly(server.URL)
			cfg.ReadIdleTimeout, cfg.PageTimeout = 400*time.Millisecond, 300*time.Millisecond
			if test.says == "read_idle_timeout" {
				cfg.ReadIdleTimeout, cfg.PageTimeout = cfg.PageTimeout, time.Hour
			}
			sink, host := new(consumertest.LogsSink), &statusHost{}
			stop := start(t, cfg, sink, host, zap.NewNop())
			require.Eventually(t, func() bool {
				return host.last() != nil && host.last().Status() == componentstatus.StatusRecoverableError
			}, waitLimit, glance)
			assert.Equal(t, "ThirdPartyGeneric", host.last().Attributes().AsRaw()["error.type"])
			assert.ErrorContains(t, host.last().Err(), test.says)
			healed.Store(true)
			if test.name != "redirect" { // an ambiguous answer is tried again after minutes only
				require.Eventually(t, func() bool { return attributes(sink, "vulnerabilityLogs", "qualys.detection.id")["70"] >= 1 }, waitLimit, glance)
				require.Eventually(t, func() bool { return host.last().Status() == componentstatus.StatusOK }, waitLimit, glance)
			}
			stop()
			assert.Zero(t, elsewhere.Load(), "nothing is asked of another host")
		})
	}
}

func TestNextPageOnAnotherHostIsAskedForHere(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("id_min") == "8" {
			fmt.Fprint(w, pageHead+strings.NewReplacer("<ID>7<", "<ID>8<", "70", "80").Replace(goodHost)+pageTail)
			return
		}
		fmt.Fprint(w, pageHead+goodHost+"</HOST_LIST><WARNING><CODE>1980</CODE><URL><![CDATA["+other.URL+"/api?id_min=8&username=evil]]></URL></WARNING></RESPONSE></HOST_LIST_VM_DETECTION_OUTPUT>")
	}))
	t.Cleanup(server.Close)
	sink := new(consumertest.LogsSink)
	stop := start(t, detectionsOnly(server.URL), sink, &statusHost{}, zap.NewNop())
	require.Eventually(t, func() bool { return sink.LogRecordCount() == 2 }, waitLimit, glance)
	stop()
	assert.Equal(t, map[string]int{"70": 1, "80": 1}, attributes(sink, "vulnerabilityLogs", "qualys.detection.id"))
	assert.Zero(t, elsewhere.Load())
}

func TestHugeValueIsCutAndDeliveredInLittleMemory(t *testing.T) {
	const size = 256 << 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		fmt.Fprint(zip, pageHead+"<HOST><ID>7</ID><DETECTION_LIST><DETECTION><UNIQUE_VULN_ID>70</UNIQUE_VULN_ID><RESULTS><![CDATA[")
		block := strings.Repeat("0123456789abcdef", 1<<12)
		for range size / len(block) {
			fmt.Fprint(zip, block)
		}
		fmt.Fprint(zip, "]]></RESULTS><STATUS>Active</STATUS></DETECTION></DETECTION_LIST></HOST>"+pageTail)
		_ = zip.Close()
	}))
	t.Cleanup(server.Close)
	sink := new(consumertest.LogsSink)
	peak := watchHeap(t)
	stop := start(t, detectionsOnly(server.URL), sink, &statusHost{}, zap.NewNop())
	require.Eventually(t, func() bool { return sink.LogRecordCount() == 1 }, 2*time.Minute, glance)
	stop()
	record := sink.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	cut, ok := record.Attributes().Get("qualys.truncated")
	require.True(t, ok)
	assert.Equal(t, []any{"Detection.Results"}, cut.Slice().AsRaw())
	detection, _ := record.Body().Map().Get("Detection")
	results, _ := detection.Map().Get("Results")
	assert.Len(t, results.Str(), 4<<20)
	status, _ := detection.Map().Get("Status")
	assert.Equal(t, "Active", status.Str(), "what comes behind the value is kept")
	assert.Less(t, peak(), uint64(64<<20))
}

// The answer could be as large as it likes: what is kept in mind of an asset must not grow with it.
func TestManyTinyAssetsAreDeliveredInLittleMemory(t *testing.T) {
	const many = 600_000
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/auth" {
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, "token")
			return
		}
		body := bufio.NewWriter(w)
		fmt.Fprint(body, `{"responseCode":"SUCCESS","hasMore":0,"assetListData":{"asset":[`)
		for i := range many {
			fmt.Fprintf(body, `{"assetId":%d},`, i+1)
		}
		fmt.Fprint(body, "null]}}")
		_ = body.Flush()
	}))
	t.Cleanup(server.Close)
	cfg := configFor(server.URL)
	cfg.Vulnerabilities, cfg.KnowledgeBase = configoptional.None[VulnerabilitiesConfig](), configoptional.None[KnowledgeBaseConfig]()
	var delivered atomic.Int64
	sink, err := consumer.NewLogs(func(_ context.Context, logs plog.Logs) error {
		delivered.Add(int64(logs.LogRecordCount()))
		return nil
	})
	require.NoError(t, err)
	core, logged := observer.New(zap.WarnLevel)
	peak := watchHeap(t)
	stop := start(t, cfg, sink, &statusHost{}, zap.New(core))
	require.Eventually(t, func() bool { return delivered.Load() == many }, 2*time.Minute, glance)
	stop()
	assert.Less(t, peak(), uint64(64<<20))
	assert.Len(t, logged.FilterMessageSnippet("far more than was asked for").All(), 1)
}

// watchHeap samples how much memory is in use until the function that it returns is called, which tells the most.
func watchHeap(t *testing.T) (peak func() uint64) {
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan struct{})
	var most uint64
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(glance)
		defer ticker.Stop()
		for {
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
			select {
			case <-ticker.C:
			case <-done:
				return
			}
		}
	})
	stop := sync.OnceFunc(func() {
		close(done)
		watching.Wait()
	})
	t.Cleanup(stop)
	return func() uint64 {
		stop()
		return most
	}
}
