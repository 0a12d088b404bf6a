// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

func TestCutInAHostOfManySegmentsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.fault = func(_ *request, w http.ResponseWriter) bool {
			fmt.Fprint(w, "<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><HOST_LIST><HOST><ID>10</ID><DETECTION_LIST>")
			for i := range 30_000 {
				fmt.Fprintf(w, "<DETECTION><UNIQUE_VULN_ID>%d</UNIQUE_VULN_ID><STATUS>Active</STATUS></DETECTION>", i+1)
			}
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		b := newBench(t, fake, next, nil)
		b.shared.Records.MaxRecords = 1000
		_, _, run := b.vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		passTime(20 * time.Second)
		assert.Greater(t, len(fake.asked("detection")), 3)
		assert.Equal(t, health.Error, b.health.Snapshot()[VulnerabilitiesDataset])
		for name, times := range next.counts() {
			require.Equal(t, 1, times, name)
		}
	})
}

func TestSegmentIsGivenBackOnce(t *testing.T) {
	for range 20 {
		r := newHostReader(1, records.Settings{})
		ctx, cancel := context.WithCancel(t.Context())
		j := &job{
			collected: time.Now(), rest: make(chan *qualys.Segment), results: make(chan result, 1),
			first: &qualys.Segment{Data: []byte("<HOST><ID>1</ID>"), More: true},
		}
		cancel()
		r.work(ctx, r.workers[0], j, func(*records.Item) verdict { return take })
		first, second := r.segments.Get().(*qualys.Segment), r.segments.Get().(*qualys.Segment)
		require.NotSame(t, first, second, "two jobs would share one buffer")
	}
}

func TestJobThatWasGivenUpLeavesNoRecordToTheNextPage(t *testing.T) {
	host := func(id int) *qualys.Segment {
		detection := "<DETECTION><RESULTS>" + strings.Repeat("x", 200) + "</RESULTS></DETECTION>"
		return &qualys.Segment{Data: fmt.Appendf(nil, "<HOST><ID>%d</ID><DETECTION_LIST>%s%s</DETECTION_LIST></HOST>", id, detection, detection)}
	}
	all := func(*records.Item) verdict { return take }
	r := newHostReader(1, records.Settings{MaxBytes: 500}) // less than two records
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	givenUp := &job{first: host(1), results: make(chan result, 1)}
	givenUp.results <- result{} // nobody takes what the job makes any more
	r.work(ctx, r.workers[0], givenUp, all)

	next := &job{first: host(2), results: make(chan result, 10)}
	r.work(t.Context(), r.workers[0], next, all)
	var hosts []uint64
	for res := range next.results {
		require.NoError(t, res.err)
		for _, item := range res.output.Items {
			hosts = append(hosts, item.Unit)
		}
	}
	assert.Equal(t, []uint64{2, 2}, hosts, "the host of the page that was given up is read again")
}

// strictStorage refuses to work for contexts that have ended, as databases do, and while it is down.
type strictStorage struct {
	storage.Client
	down atomic.Bool
}

func (s *strictStorage) Batch(ctx context.Context, ops ...*storage.Operation) error {
	if s.down.Load() {
		return fmt.Errorf("no connection")
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Client.Batch(ctx, ops...)
}

func TestPositionOutlivesAStartThatIsCutShort(t *testing.T) {
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprintf("storage down %t", down), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &strictStorage{Client: memoryClient()}
				fake, next := newFake(), newSink()
				fake.hosts = detections(6, time.Now().Add(-24*time.Hour))
				_, _, run := newBench(t, fake, next, client).vulnerabilities(testVulnerabilities(), nil)
				passTime(time.Minute)
				run.stop()

				b := newBench(t, fake, next, client)
				ctx, cancel := context.WithCancel(t.Context())
				client.down.Store(down)
				v := NewVulnerabilities(b.shared, testVulnerabilities(), b.health.Dataset(VulnerabilitiesDataset), nil)
				var working sync.WaitGroup
				if !down {
					cancel() // another component failed to start
				}
				working.Go(func() { v.Run(ctx) })
				passTime(30 * time.Second)
				client.down.Store(false)
				cancel()
				working.Wait()

				_, _, run = newBench(t, fake, next, client).vulnerabilities(testVulnerabilities(), nil)
				defer run.stop()
				passTime(10 * time.Minute)
				assert.Equal(t, onceEach(6), next.counts(), "everything would be collected again")
			})
		})
	}
}

func TestStorageThatCannotBeReadAtTheStartIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &strictStorage{Client: memoryClient()}
		fake, next := newFake(), newSink()
		fake.hosts = detections(6, time.Now().Add(-24*time.Hour))
		for qid := 1000; qid < 1004; qid++ {
			fake.entries[qid] = time.Now().Add(-48 * time.Hour)
		}
		want := onceEach(6)
		for qid := range fake.entries {
			want[fmt.Sprintf("entry %d", qid)] = 1
		}
		for range 2 { // then with something to read
			client.down.Store(true)
			b := newBench(t, fake, next, client)
			_, k, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
			passTime(time.Minute)
			assert.Equal(t, health.Error, b.health.Snapshot()[VulnerabilitiesDataset])
			assert.Equal(t, health.Error, b.health.Snapshot()[KnowledgeBaseDataset])
			client.down.Store(false)
			passTime(2 * time.Hour)
			assert.NotEqual(t, health.Error, b.health.Snapshot()[VulnerabilitiesDataset])
			assert.NotEqual(t, health.Error, b.health.Snapshot()[KnowledgeBaseDataset])
			assert.Equal(t, want, next.counts())
			delivered, _, _ := k.Entries()
			assert.Equal(t, 4, delivered)
			run.stop()
		}
	})
}

func TestHostsSetAsideAreLeftOutInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, newFake(), newSink(), nil)
		v := NewVulnerabilities(b.shared, testVulnerabilities(), b.health.Dataset(VulnerabilitiesDataset), nil)
		require.NoError(t, v.load(t.Context()))
		v.begin(t.Context(), v.plan)
		v.passing = []uint64{6}
		v.acquit(v.position.Running.Passes[0], &change{})
		v.passing = []uint64{5}
		v.acquit(v.position.Running.Passes[0], &change{})
		v.position.Running.Resume = 5
		query, _ := v.query(v.position.Running.Passes[0])
		assert.Equal(t, "7", query.Get("id_min"))
		assert.Empty(t, query.Get("id_max"))
	})
}

func TestHostSetAsideThatOnceSaysNothingIsNotDoubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(9, time.Now().Add(-24*time.Hour))
		fake.broken[20] = true
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		passTime(30 * time.Minute)
		fake.change(func() {
			fake.fault = func(r *request, w http.ResponseWriter) bool {
				if r.form.Get("ids") != "20" {
					return false
				}
				fmt.Fprint(w, "<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><HOST_LIST><HOST><ID>20</ID><DETECTION_L")
				return true
			}
		})
		passTime(2 * time.Hour)
		fake.change(func() { fake.fault, fake.broken = nil, map[uint64]bool{} })
		passTime(2 * time.Hour)
		assert.Equal(t, onceEach(9), next.counts())
	})
}

func TestHostThatProvesThatOthersCanBeReadIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(9, time.Now().Add(-24*time.Hour)) // hosts 10 to 30
		fake.broken[20] = true
		cut := false
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if r.form.Get("id_min") != "21" || cut {
				return false
			}
			cut = true
			fake.cutShort(w, r, func(answer string) string { return answer[:strings.Index(answer, "</HOST>")+len("</HOST>")] })
			return true
		}
		settings := testVulnerabilities()
		settings.PageSize = 1
		v, _, run := newBench(t, fake, next, nil).vulnerabilities(settings, nil)
		defer run.stop()
		passTime(10 * time.Minute)
		want := onceEach(9)
		delete(want, "detection 6 Active") // the last one of host 20
		assert.Equal(t, want, next.counts())
		assert.True(t, cut)
		assert.Equal(t, 1, v.Aside())
	})
}

func TestHostReadInPartWhileOthersWerePassedOverIsNotRepeated(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %t", restart), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, next, client := newFake(), newSink(), memoryClient()
				fake.hosts = detections(9, time.Now().Add(-24*time.Hour)) // hosts 10 to 30
				fake.broken[20] = true
				cut := make(chan struct{})
				fake.fault = func(r *request, w http.ResponseWriter) bool {
					if r.form.Get("id_min") != "21" || !fake.broken[20] {
						return false
					}
					fake.cutShort(w, r, func(answer string) string { return answer[:strings.LastIndex(answer, "<DETECTION>")] })
					fake.broken[20] = false
					close(cut)
					return true
				}
				settings := testVulnerabilities()
				settings.PageSize = 1
				_, _, run := newBench(t, fake, next, client).vulnerabilities(settings, nil)
				if restart {
					<-cut
					synctest.Wait()
					run.stop()
					_, _, run = newBench(t, fake, next, client).vulnerabilities(settings, nil)
				}
				defer run.stop()
				passTime(10 * time.Minute)
				assert.Equal(t, onceEach(9), next.counts())
			})
		})
	}
}

func TestWhatIsKeptOfAHostSetAsideDoesNotGrowWithItsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(9, time.Now().Add(-24*time.Hour))
		fake.broken[20] = true // its last detection cannot be read, the other two can
		v, _, run := newBench(t, fake, next, nil).vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		passTime(30 * time.Minute)
		const changes = 20
		for i := range changes {
			fake.change(func() { fake.hosts[20][0].results = []string{"new", "r"}[i%2] })
			passTime(time.Hour)
		}
		assert.Equal(t, 1+changes, next.counts()["detection 4 Active"], "also when it becomes what it was before")
		assert.Equal(t, 1, next.counts()["detection 5 Active"])
		v.mu.Lock()
		defer v.mu.Unlock()
		require.Len(t, v.position.Aside, 1)
		assert.Len(t, decodeSeen(v.position.Aside[0].Delivered), 2)
	})
}

// setAside makes a host break the pages that hold it, and answers by tell when it is asked for alone after that.
func (f *fakeQualys) setAside(host uint64, tell func(http.ResponseWriter)) {
	f.broken[host] = true
	f.fault = func(r *request, w http.ResponseWriter) bool {
		if r.form.Get("ids") != strconv.FormatUint(host, 10) {
			return false
		}
		tell(w)
		return true
	}
}

func TestHostSetAsideThatIsNotAnsweredForHoldsNothingUp(t *testing.T) {
	for _, test := range []struct {
		name string
		tell func(http.ResponseWriter)
	}{
		{"errors", func(w http.ResponseWriter) { w.WriteHeader(http.StatusGatewayTimeout) }},
		{"answers without a head", func(w http.ResponseWriter) { fmt.Fprint(w, "<HOST_LIST_VM_DET") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, next := newFake(), newSink()
				fake.hosts = detections(9, time.Now().Add(-24*time.Hour))
				fake.setAside(20, test.tell)
				b := newBench(t, fake, next, nil)
				v, _, run := b.vulnerabilities(testVulnerabilities(), nil)
				defer run.stop()
				passTime(30 * time.Minute)
				require.Equal(t, 1, v.Aside())
				fake.change(func() { fake.hosts[10][0].status, fake.hosts[10][0].updated = "Fixed", time.Now() })
				passTime(3 * time.Hour)
				assert.Equal(t, 1, next.counts()["detection 1 Fixed"])
				assert.Equal(t, health.Collecting, b.health.Snapshot()[VulnerabilitiesDataset])
				alone := slices.DeleteFunc(fake.asked("detection"), func(r request) bool { return !r.form.Has("ids") })
				require.Len(t, alone, 3*hostTries, "some times in each collection")
				for i := range alone[1:] {
					assert.Greater(t, alone[i+1].at.Sub(alone[i].at), testRetry().InitialInterval/2, "with back-off")
				}

				fake.change(func() { fake.fault, fake.broken = nil, map[uint64]bool{} })
				passTime(time.Hour)
				assert.Equal(t, 1, next.counts()["detection 6 Active"], "the host is still set aside, and asked for again")
				assert.Zero(t, v.Aside())
			})
		})
	}
}

func TestHostSetAsideThatQualysDoesNotKnowAnyMoreStopsNothing(t *testing.T) {
	for _, code := range []int{1905, 1922} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, next := newFake(), newSink()
				fake.hosts = detections(9, time.Now().Add(-24*time.Hour))
				fake.setAside(20, func(w http.ResponseWriter) {
					w.WriteHeader(http.StatusBadRequest)
					fmt.Fprintf(w, "<SIMPLE_RETURN><RESPONSE><CODE>%d</CODE><TEXT>parameter ids has invalid value: 20</TEXT></RESPONSE></SIMPLE_RETURN>", code)
				})
				b := newBench(t, fake, next, nil)
				v, _, run := b.vulnerabilities(testVulnerabilities(), nil)
				defer run.stop()
				passTime(30 * time.Minute)
				require.Equal(t, 1, v.Aside())
				fake.change(func() { delete(fake.hosts, 20) }) // purged
				passTime(time.Hour)
				assert.Zero(t, v.Aside())
				assert.Len(t, b.logs.FilterMessageSnippet("is given up").All(), 1)
				fake.change(func() { fake.hosts[10][0].status, fake.hosts[10][0].updated = "Fixed", time.Now() })
				passTime(2 * time.Hour)
				assert.Equal(t, 1, next.counts()["detection 1 Fixed"])
				assert.Equal(t, health.Collecting, b.health.Snapshot()[VulnerabilitiesDataset])
			})
		})
	}
}

func TestOutageWhileHostsSetAsideAreAskedForLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(12, time.Now().Add(-24*time.Hour)) // hosts 10 to 40
		fake.broken[20], fake.broken[30] = true, true
		down := false
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			down = down || r.form.Get("ids") == "20"
			if down {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return down
		}
		b := newBench(t, fake, next, nil)
		v, _, run := b.vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		passTime(90 * time.Minute)
		require.Equal(t, 2, v.Aside())
		assert.True(t, down)
		asked := len(fake.asked("detection"))
		passTime(3 * time.Hour)
		assert.Equal(t, health.Error, b.health.Snapshot()[VulnerabilitiesDataset], "an ordinary page is asked for until it comes")
		assert.Greater(t, len(fake.asked("detection")), asked+100)
		fake.change(func() { fake.fault, fake.broken = nil, map[uint64]bool{} })
		passTime(time.Hour)
		assert.Equal(t, onceEach(12), next.counts())
		assert.Zero(t, v.Aside())
	})
}

func TestSuppressedRecordsAreHandedOnInParts(t *testing.T) {
	most := 0
	b := &batches{maxRecords: 10, maxBytes: 1 << 20, deliver: func(_ context.Context, b *batch) error {
		most = max(most, len(b.suppressed))
		return nil
	}}
	for i := range 1000 {
		out := output{suppressed: make([]records.Item, 100)}
		out.Logs = plog.NewLogs()
		out.UnitDone = uint64(i + 1)
		require.NoError(t, b.add(t.Context(), out))
	}
	require.NoError(t, b.flush(t.Context()))
	assert.Positive(t, most)
	assert.Less(t, most, 2*suppressedAtOnce)
}

// noRecords makes none: everything is suppressed.
type noRecords struct{}

func (noRecords) Full() bool          { return false }
func (noRecords) Take() records.Chunk { return records.Chunk{Logs: plog.NewLogs()} }

// An answer that brings nothing new fills no batch: what it repeats must not wait for one.
func TestSuppressedRecordsAreNotGatheredWithoutEnd(t *testing.T) {
	const answered = 10 * suppressedAtOnce
	b := newBench(t, newFake(), newSink(), nil)
	d := newDataset(b.shared, AssetInventoryDataset, b.health.Dataset(AssetInventoryDataset))
	var suppressed []records.Item
	handedOn, most, read := 0, 0, 0
	batches := d.newBatches(func(_ context.Context, b *batch) error {
		handedOn += len(b.suppressed)
		return nil
	})
	require.NoError(t, d.gather(t.Context(), noRecords{}, &suppressed, batches, func() error {
		if read++; read > answered {
			return io.EOF
		}
		suppressed = append(suppressed, records.Item{})
		most = max(most, len(suppressed))
		return nil
	}))
	require.NoError(t, batches.flush(t.Context()))
	assert.Equal(t, answered, handedOn)
	assert.Equal(t, suppressedAtOnce, most)
}

func TestCutPagesOfAssetsBecomeSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.assets = assets(20, time.Now().Add(-time.Hour))
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if !strings.Contains(r.path, "pageSize=10") {
				return false
			}
			recorder := &cutter{header: w.Header()}
			query, _ := url.ParseQuery(r.path[strings.Index(r.path, "?")+1:])
			fake.search(recorder, query, []byte(r.body))
			answer := recorder.body.String()
			fmt.Fprint(w, answer[:len(answer)*4/5]) // most of it, and so more than fits into the page that follows
			return true
		}
		settings := testInventory()
		settings.PageSize = 10
		run := newBench(t, fake, next, nil).inventory(settings)
		defer run.stop()
		passTime(30 * time.Minute)
		assert.Equal(t, eachAsset(20, 1), next.counts())
	})
}

func TestEntriesThatTakeTooLongAreAskedForInSmallerPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(12, time.Now().Add(-24*time.Hour))
		for qid := 1000; qid < 1004; qid++ {
			fake.entries[qid] = time.Now().Add(-48 * time.Hour)
		}
		fake.fault = func(r *request, _ http.ResponseWriter) bool {
			if strings.Count(r.form.Get("ids"), ",") >= 2 {
				fake.mu.Unlock()
				defer fake.mu.Lock()
				time.Sleep(2 * time.Minute) // the silence is given up after one
			}
			return false
		}
		settings := testKnowledgeBase()
		settings.PageSize = 4
		_, _, run := newBench(t, fake, next, nil).vulnerabilities(testVulnerabilities(), settings)
		defer run.stop()
		passTime(time.Hour)
		assert.Len(t, entries(next.counts()), 4)
	})
}

func TestRefreshWithoutTheFilterThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(12, time.Now().Add(-24*time.Hour))
		for qid := 1000; qid < 1004; qid++ {
			fake.entries[qid] = time.Now().Add(-48 * time.Hour)
		}
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if !r.form.Has(modifiedAfter) {
				return false
			}
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>1905</CODE><TEXT>parameter last_modified_after has invalid value</TEXT></RESPONSE></SIMPLE_RETURN>")
			return true
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(10 * time.Hour)
		fake.change(func() { fake.entries[1002] = time.Now() })
		passTime(40 * time.Hour)
		assert.Equal(t, map[string]int{"entry 1000": 1, "entry 1001": 1, "entry 1002": 2, "entry 1003": 1}, entries(next.counts()))
		assert.NotEqual(t, health.Error, b.health.Snapshot()[KnowledgeBaseDataset])
	})
}

// countingWork counts how often work is done.
type countingWork struct {
	work
	times int
}

func (c *countingWork) collect(ctx context.Context) error {
	c.times++
	return c.work.collect(ctx)
}

// The clock of a bubble stands still while work is done, so this one needs the real clock.
func TestClockThatWasSetBackHoldsNothingUp(t *testing.T) {
	b := newBench(t, newFake(), newSink(), memoryClient())
	wanted, err := fingerprint(b.shared.Server.Host, map[string]string(nil))
	require.NoError(t, err)
	ahead := time.Now().Add(30 * 24 * time.Hour).Round(0)
	require.NoError(t, b.shared.Store.Update(t.Context(), func(tx *checkpoint.Tx) {
		tx.Put(KnowledgeBaseDataset, positionVersion, knowledgeBasePosition{Fingerprint: wanted, Refreshed: ahead, Full: ahead})
	}))
	b.shared.InitialDelay = 0
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	k := NewKnowledgeBase(b.shared, KnowledgeBaseSettings{Refresh: 24 * time.Hour, Full: 168 * time.Hour, PageSize: 5, Version: "4.0"}, b.health.Dataset(KnowledgeBaseDataset))
	counting := &countingWork{work: k}
	k.run(ctx, counting)
	assert.Equal(t, 1, counting.times)

	n := NewInventory(b.shared, testInventory(), b.health.Dataset(AssetInventoryDataset))
	assert.True(t, n.plan(&position{Previous: time.Now().Add(-time.Hour), Full: ahead, Started: ahead}, time.Now()).Full)
}

func TestMetricsMayBeReadWhileThePositionIs(t *testing.T) {
	b := newBench(t, newFake(), newSink(), memoryClient())
	v := NewVulnerabilities(b.shared, testVulnerabilities(), b.health.Dataset(VulnerabilitiesDataset), nil)
	var loading sync.WaitGroup
	loading.Go(func() { assert.NoError(t, v.load(t.Context())) })
	for range 1000 {
		v.Lag()
		assert.Zero(t, v.Aside())
	}
	loading.Wait()
}
