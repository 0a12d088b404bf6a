// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/storagetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

func testVulnerabilities() VulnerabilitiesSettings {
	return VulnerabilitiesSettings{
		Interval: time.Hour,
		Full:     7 * 24 * time.Hour,
		Collect:  "changed",
		Overlap:  time.Hour,
		Version:  "5.0",
		PageSize: 2,
		Status:   []string{"New", "Active", "Re-Opened", "Fixed"},
	}
}

// running is a dataset that runs until it is stopped.
type running struct {
	stop func()
}

// vulnerabilities runs the dataset, with a KnowledgeBase if settings are given for it.
func (b *bench) vulnerabilities(settings VulnerabilitiesSettings, knowledgeBase *KnowledgeBaseSettings) (*Vulnerabilities, *KnowledgeBase, running) {
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	var k *KnowledgeBase
	if knowledgeBase != nil {
		k = NewKnowledgeBase(b.shared, *knowledgeBase, b.health.Dataset(KnowledgeBaseDataset))
		working.Go(func() { k.Run(ctx) })
	}
	v := NewVulnerabilities(b.shared, settings, b.health.Dataset(VulnerabilitiesDataset), k)
	working.Go(func() { v.Run(ctx) })
	return v, k, running{stop: func() {
		cancel()
		working.Wait()
	}}
}

func memoryClient() storage.Client {
	return storagetest.NewInMemoryClient(component.KindReceiver, component.MustNewID("qualysvmdr"), "")
}

// passTime lets an amount of time go by, and everything that happens in it.
func passTime(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func detections(n int, at time.Time) map[uint64][]detection {
	hosts := map[uint64][]detection{}
	for i := range n {
		host := uint64(10 + i/3*10)
		hosts[host] = append(hosts[host], detection{id: i + 1, qid: 1000 + i%4, status: "Active", updated: at, results: "r"})
	}
	return hosts
}

func onceEach(n int) map[string]int {
	counts := map[string]int{}
	for i := range n {
		counts[fmt.Sprintf("detection %d Active", i+1)] = 1
	}
	return counts
}

func TestEveryDetectionOfEveryPageArrivesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(20, time.Now().Add(-24*time.Hour))
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		passTime(10 * time.Second)
		assert.Equal(t, onceEach(20), next.counts())
		asked := fake.asked("detection")
		require.Len(t, asked, 4, "7 hosts, two to a page")
		assert.Equal(t, "New,Active,Re-Opened", asked[0].form.Get("status"))
		assert.Empty(t, asked[0].form.Get("detection_updated_since"))
		assert.Equal(t, "30", asked[1].form.Get("id_min"))
		assert.Equal(t, "New,Active,Re-Opened", asked[1].form.Get("status"), "parameters that the next page's URL lacks are kept")
		assert.Equal(t, health.Collecting, b.health.Snapshot()[VulnerabilitiesDataset])
		assert.Len(t, b.logs.FilterMessage("Collection finished.").All(), 1)
	})
}

func TestLaterCollectionsDeliverOnlyWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		began := time.Now()
		fake.hosts = detections(6, began.Add(-24*time.Hour))
		fake.hosts[10][0].updated = began // within the overlap of the next collection
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		passTime(30 * time.Minute)
		fake.change(func() {
			fake.hosts[20][1].status = "Fixed"
			fake.hosts[20][1].updated = time.Now()
		})
		passTime(time.Hour)
		want := onceEach(6)
		want["detection 5 Fixed"] = 1
		assert.Equal(t, want, next.counts())
		asked := fake.asked("detection")
		last := asked[len(asked)-1]
		assert.Equal(t, began.Add(time.Second-time.Hour).UTC().Format(timeFormat), last.form.Get("detection_updated_since"))
		assert.Equal(t, began.Add(time.Second+time.Hour), last.at, "collections start an interval apart")
		assert.Equal(t, "New,Active,Re-Opened,Fixed", last.form.Get("status"))
	})
}

func TestFullCollectionDeliversAllAndLosesNothingFixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(6, time.Now().Add(-24*time.Hour))
		settings := testVulnerabilities()
		settings.Interval, settings.Full, settings.Overlap = 3*time.Hour, 5*time.Hour, 0
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(settings, nil)
		defer run.stop()
		passTime(4 * time.Hour) // the first one and a later one
		fake.change(func() {
			fake.hosts[10][0].status = "Fixed"
			fake.hosts[10][0].updated = time.Now()
		})
		passTime(8 * time.Hour) // a full one and a later one
		want := map[string]int{"detection 1 Active": 1, "detection 1 Fixed": 1}
		for i := 2; i <= 6; i++ {
			want[fmt.Sprintf("detection %d Active", i)] = 2
		}
		got := next.counts()
		for i := 2; i <= 6; i++ { // a second full one may have begun
			name := fmt.Sprintf("detection %d Active", i)
			assert.GreaterOrEqual(t, got[name], 2)
			want[name] = got[name]
		}
		assert.Equal(t, want, got)
	})
}

func TestRestartGoesOnBehindWhatWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next, client := newFake(), newSink(), memoryClient()
		fake.hosts = detections(20, time.Now().Add(-24*time.Hour))
		accepted := 0
		next.decide = func(ctx context.Context, _ plog.Logs) error {
			if accepted++; accepted > 4 {
				return sleep(ctx, time.Hour)
			}
			return nil
		}
		_, _, run := newBench(t, fake, next, client).vulnerabilities(testVulnerabilities(), nil)
		passTime(2 * time.Second)
		assert.Len(t, next.texts(), 8, "four batches of two were accepted before the crash")
		run.stop()

		next.decide = func(context.Context, plog.Logs) error { return nil }
		asked := len(fake.asked("detection"))
		b := newBench(t, fake, next, client)
		_, _, run = b.vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		passTime(10 * time.Second)
		assert.Equal(t, onceEach(20), next.counts())
		assert.Equal(t, "30", fake.asked("detection")[asked].form.Get("id_min"), "host 30 was delivered in part only")
	})
}

func TestFinishedCollectionIsNotRepeatedByARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next, client := newFake(), newSink(), memoryClient()
		fake.hosts = detections(6, time.Now())
		began := time.Now()
		_, _, run := newBench(t, fake, next, client).vulnerabilities(testVulnerabilities(), nil)
		passTime(20 * time.Minute)
		run.stop()
		asked := len(fake.asked("detection"))
		_, _, run = newBench(t, fake, next, client).vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		passTime(2 * time.Hour)
		assert.Equal(t, onceEach(6), next.counts(), "what the overlap brings again was delivered before the restart")
		assert.Equal(t, began.Add(time.Hour+time.Second), fake.asked("detection")[asked].at)
	})
}

func TestChangedQuestionBeginsAfresh(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*VulnerabilitiesSettings)
		afresh bool
	}{
		{"status", func(s *VulnerabilitiesSettings) { s.Status = []string{"Active"} }, true},
		{"filter", func(s *VulnerabilitiesSettings) { s.Collect = "scanned" }, true},
		{"filtering parameter", func(s *VulnerabilitiesSettings) { s.Parameters = map[string]string{"severities": "5"} }, true},
		{"what is shown", func(s *VulnerabilitiesSettings) {
			s.Parameters = map[string]string{"show_tags": "1", "host_metadata": "all"}
		}, false},
		{"page size and version", func(s *VulnerabilitiesSettings) { s.PageSize, s.Version = 7, "4.0" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, next, client := newFake(), newSink(), memoryClient()
				fake.hosts = detections(3, time.Now().Add(-24*time.Hour))
				_, _, run := newBench(t, fake, next, client).vulnerabilities(testVulnerabilities(), nil)
				passTime(time.Minute)
				run.stop()
				settings := testVulnerabilities()
				test.change(&settings)
				_, _, run = newBench(t, fake, next, client).vulnerabilities(settings, nil)
				defer run.stop()
				passTime(time.Minute)
				want := 1
				if test.afresh {
					want = 2
				}
				assert.Equal(t, want, next.counts()["detection 1 Active"])
			})
		})
	}
}

// cutAfter answers a request and breaks the connection after so many bytes.
func cutAfter(f *fakeQualys, w http.ResponseWriter, r *request, bytes int) bool {
	recorder := &cutter{header: w.Header()}
	f.detections(recorder, r.form)
	answer := recorder.body.String()
	w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
	_, _ = w.Write([]byte(answer[:min(bytes, len(answer))]))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

type cutter struct {
	header http.Header
	body   strings.Builder
}

func (c *cutter) Header() http.Header         { return c.header }
func (c *cutter) Write(p []byte) (int, error) { return c.body.Write(p) }
func (c *cutter) WriteHeader(int)             {}

func TestCutAnswerRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(20, time.Now().Add(-24*time.Hour))
		cuts := 0
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if cuts++; cuts%2 == 1 && cuts < 12 {
				fake.mu.Unlock() // the panic ends the handler, whose deferred unlock follows
				fake.mu.Lock()
				return cutAfter(fake, w, r, 300+cuts*100)
			}
			return false
		}
		settings := testVulnerabilities()
		settings.PageSize = 4
		b := newBench(t, fake, next, memoryClient())
		_, _, run := b.vulnerabilities(settings, nil)
		defer run.stop()
		passTime(10 * time.Minute)
		assert.Equal(t, onceEach(20), next.counts())
		assert.NotEmpty(t, b.logs.FilterMessage("Collection finished.").All())
	})
}

func TestHostThatCannotBeReadIsSetAsideAndAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next, client := newFake(), newSink(), memoryClient()
		fake.hosts = detections(18, time.Now().Add(-24*time.Hour)) // hosts 10 to 60
		fake.broken[30] = true
		settings := testVulnerabilities()
		settings.PageSize = 4
		b := newBench(t, fake, next, client)
		v, _, run := b.vulnerabilities(settings, nil)
		passTime(50 * time.Minute)
		want := onceEach(18)
		delete(want, "detection 9 Active") // the last one of host 30
		assert.Equal(t, want, next.counts(), "what stands before the faulty byte is delivered, once")
		assert.Equal(t, 1, v.Aside())
		assert.Len(t, b.logs.FilterMessage("Collection finished.").All(), 1)
		var sizes []string
		for _, r := range fake.asked("detection") {
			sizes = append(sizes, r.form.Get("truncation_limit"))
		}
		assert.Equal(t, []string{"4", "4", "2", "1", "1", "1", "1"}, sizes[:7], "the size is halved down to one host, which is then tried three times")
		run.stop()

		asked := len(fake.asked("detection"))
		b = newBench(t, fake, next, client)
		v, _, run = b.vulnerabilities(settings, nil)
		defer run.stop()
		passTime(time.Hour)
		assert.Equal(t, want, next.counts())
		assert.Equal(t, 1, v.Aside())
		later := fake.asked("detection")[asked:]
		require.Len(t, later, 3)
		assert.Equal(t, "29", later[0].form.Get("id_max"), "the host is left out")
		assert.Equal(t, "31", later[1].form.Get("id_min"))
		assert.Equal(t, "30", later[2].form.Get("ids"), "and asked for alone")
		assert.Empty(t, later[2].form.Get("detection_updated_since"), "with the window it missed")

		fake.change(func() { fake.broken[30] = false })
		passTime(time.Hour)
		assert.Equal(t, onceEach(18), next.counts())
		assert.Zero(t, v.Aside())
	})
}

func TestOutageIsHeldAgainstNoHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(6, time.Now().Add(-24*time.Hour))
		up := time.Now().Add(3 * time.Hour)
		fake.fault = func(_ *request, w http.ResponseWriter) bool {
			if time.Now().After(up) {
				return false
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "<html><title>Maintenance</title></html>")
			return true
		}
		b := newBench(t, fake, next, nil)
		v, _, run := b.vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		passTime(2 * time.Hour)
		assert.Equal(t, health.Error, b.health.Snapshot()[VulnerabilitiesDataset])
		passTime(90 * time.Minute)
		assert.Equal(t, onceEach(6), next.counts())
		assert.Zero(t, v.Aside())
		assert.Equal(t, "2", fake.asked("detection")[len(fake.asked("detection"))-1].form.Get("truncation_limit"))
		assert.Equal(t, health.Collecting, b.health.Snapshot()[VulnerabilitiesDataset])
	})
}

func TestBadPasswordIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.fault = func(_ *request, w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>2000</CODE><TEXT>Bad Login/Password</TEXT></RESPONSE></SIMPLE_RETURN>")
			return true
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), &KnowledgeBaseSettings{Refresh: time.Hour, PageSize: 10, Version: "4.0"})
		defer run.stop()
		passTime(48 * time.Hour)
		assert.Len(t, fake.asked(""), 1)
		assert.Len(t, b.refused, 1)
		assert.Equal(t, health.Error, b.health.Snapshot()[VulnerabilitiesDataset])
		assert.Equal(t, health.Error, b.health.Snapshot()[KnowledgeBaseDataset], "it stops with the detections")
	})
}

func TestAmbiguousAnswerStopsAfterThreeTriesOverTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.fault = func(_ *request, w http.ResponseWriter) bool {
			http.NotFound(w, nil)
			return true
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		passTime(48 * time.Hour)
		asked := fake.asked("")
		require.Len(t, asked, 3)
		assert.GreaterOrEqual(t, asked[2].at.Sub(asked[0].at), 10*time.Minute)
		assert.Greater(t, asked[2].at.Sub(asked[1].at), asked[1].at.Sub(asked[0].at))
		assert.Len(t, b.logs.FilterMessageSnippet("it is tried again").All(), 2, "not when it has stopped")
	})
}

func TestParameterThatQualysDoesNotKnowIsLeftOut(t *testing.T) {
	for _, name := range []string{"show_qds_factors", "detection_updated_since"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, next := newFake(), newSink()
				began := time.Now()
				fake.hosts = detections(3, began.Add(-24*time.Hour))
				fake.fault = func(r *request, w http.ResponseWriter) bool {
					if !r.form.Has(name) {
						return false
					}
					w.WriteHeader(http.StatusBadRequest)
					fmt.Fprintf(w, "<SIMPLE_RETURN><RESPONSE><CODE>1901</CODE><TEXT>Unrecognized parameter(s): %s</TEXT></RESPONSE></SIMPLE_RETURN>", name)
					return true
				}
				settings := testVulnerabilities()
				settings.Parameters = map[string]string{"show_qds_factors": "1"}
				settings.Defaults = []string{"show_qds_factors"}
				b := newBench(t, fake, next, nil)
				_, _, run := b.vulnerabilities(settings, nil)
				defer run.stop()
				passTime(30 * time.Minute)
				fake.change(func() { fake.hosts[10][0].updated = time.Now() })
				passTime(2 * time.Hour)
				want := onceEach(3)
				want["detection 1 Active"] = 2
				assert.Equal(t, want, next.counts(), "without the server's filter, results are filtered here")
				assert.Len(t, b.logs.FilterMessageSnippet("Qualys refuses a parameter").All(), 1)
			})
		})
	}
}

func TestParameterOfTheUserThatIsRefusedStopsTheDataset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.fault = func(_ *request, w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>1905</CODE><TEXT>parameter qids has invalid value: x</TEXT></RESPONSE></SIMPLE_RETURN>")
			return true
		}
		settings := testVulnerabilities()
		settings.Parameters = map[string]string{"qids": "x"}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(settings, nil)
		defer run.stop()
		passTime(24 * time.Hour)
		assert.Len(t, fake.asked(""), 1)
		assert.Empty(t, b.refused, "it is not the credentials that are wrong")
	})
}

func TestNothingIsFetchedWhileThePipelineRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(12, time.Now().Add(-24*time.Hour))
		for qid := 1000; qid < 1004; qid++ {
			fake.entries[qid] = time.Now().Add(-time.Hour)
		}
		up := time.Now().Add(10 * time.Minute)
		next.decide = func(context.Context, plog.Logs) error {
			if len(next.texts()) > 0 && time.Now().Before(up) {
				return errors.New("backend is down")
			}
			return nil
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), &KnowledgeBaseSettings{Refresh: 24 * time.Hour, PageSize: 1, Version: "4.0"})
		defer run.stop()
		passTime(9 * time.Minute)
		assert.Equal(t, health.Error, b.health.Snapshot()[VulnerabilitiesDataset])
		for _, r := range fake.asked("") {
			assert.WithinDuration(t, up.Add(-10*time.Minute), r.at, 3*time.Second, "only what was asked for when the refusal began")
		}
		passTime(10 * time.Minute)
		want := onceEach(12)
		for qid := 1000; qid < 1004; qid++ {
			want[fmt.Sprintf("entry %d", qid)] = 1
		}
		assert.Equal(t, want, next.counts())
		assert.Equal(t, health.Collecting, b.health.Snapshot()[VulnerabilitiesDataset])
	})
}

func TestBrokenHostDoesNotWaitForTheRestOfASlowPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(6, time.Now().Add(-24*time.Hour))
		release := make(chan struct{})
		first := true
		fake.fault = func(_ *request, w http.ResponseWriter) bool {
			if !first {
				return false
			}
			first = false
			fmt.Fprint(w, "<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><HOST_LIST><HOST><ID>10</ID><DETECTION_LIST><DETECTION></WRONG>")
			fmt.Fprint(w, strings.Repeat(" ", 3<<19))
			_ = http.NewResponseController(w).Flush()
			fake.mu.Unlock()
			defer fake.mu.Lock()
			<-release
			return true
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		defer close(release)
		passTime(20 * time.Second) // the silence would be given up after a minute
		assert.Equal(t, onceEach(6), next.counts())
	})
}

func TestLimitsArePausesAndNotErrors(t *testing.T) {
	limited := "<SIMPLE_RETURN><RESPONSE><CODE>1965</CODE><TEXT>limit</TEXT><ITEM_LIST><ITEM><KEY>SECONDS_TO_WAIT</KEY><VALUE>3</VALUE></ITEM></ITEM_LIST></RESPONSE></SIMPLE_RETURN>"
	busy := "<SIMPLE_RETURN><RESPONSE><CODE>1960</CODE><TEXT>another call</TEXT></RESPONSE></SIMPLE_RETURN>"
	for _, test := range []struct {
		name    string
		answers []string // before the first good one
		waits   []time.Duration
	}{
		{"rate limit of 3 seconds", []string{limited}, []time.Duration{3 * time.Second}},
		{"too many calls, twice", []string{busy, busy}, []time.Duration{5 * time.Second, 10 * time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, next := newFake(), newSink()
				fake.hosts = detections(6, time.Now().Add(-24*time.Hour))
				answers := test.answers
				fake.fault = func(_ *request, w http.ResponseWriter) bool {
					if len(answers) == 0 {
						return false
					}
					w.WriteHeader(http.StatusConflict)
					fmt.Fprint(w, answers[0])
					answers = answers[1:]
					return true
				}
				b := newBench(t, fake, next, nil)
				_, _, run := b.vulnerabilities(testVulnerabilities(), nil)
				defer run.stop()
				passTime(2 * time.Second)
				assert.NotEqual(t, health.Error, b.health.Snapshot()[VulnerabilitiesDataset])
				passTime(time.Minute)
				assert.Equal(t, onceEach(6), next.counts())
				asked := fake.asked("detection")
				for i, wait := range test.waits {
					assert.Equal(t, wait, asked[i+1].at.Sub(asked[i].at))
				}
				summary := b.logs.FilterMessage("Collection finished.").All()
				require.Len(t, summary, 1)
				assert.Positive(t, summary[0].ContextMap()["waited"])
				assert.Len(t, b.logs.FilterMessage("Waiting for a limit of Qualys.").All(), len(test.waits))
			})
		})
	}
}
