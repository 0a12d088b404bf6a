// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

const (
	manyHosts = 1_000_000
	// oneIn hosts is gone after the first collection.
	oneIn = 10
)

// hostList is an account with many hosts, of which some are gone after the first collection.
type hostList struct {
	gone bool
	// asked is called when the IDs of all hosts are asked for.
	asked func()
}

// RoundTrip answers with a page of hosts, or with their IDs: none of them lies beside another one, which takes most memory.
func (l *hostList) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	out, in := io.Pipe()
	go func() { _ = in.CloseWithError(l.write(in, form)) }() // until it is read or closed
	header := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
	return &http.Response{StatusCode: http.StatusOK, Header: header, Body: out, Request: r}, nil
}

func (l *hostList) write(to io.Writer, form url.Values) error {
	w := bufio.NewWriterSize(to, 64<<10)
	fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><HOST_LIST_OUTPUT><RESPONSE><DATETIME>`, time.Now().UTC().Format(time.RFC3339), `</DATETIME>`)
	ids := form.Get("details") == "None"
	from, _ := strconv.Atoi(form.Get("id_min")) // 0: from the beginning
	limit, _ := strconv.Atoi(form.Get("truncation_limit"))
	list := "HOST_LIST"
	if ids {
		l.asked()
		list = "ID_SET"
	}
	fmt.Fprintf(w, "<%s>", list)
	next, written := 0, 0
	for i := max(0, from/2-1); i < manyHosts; i++ {
		id := 2 * (i + 1)
		switch {
		case id < from || l.gone && i%oneIn == 0:
			continue
		case ids:
			fmt.Fprintf(w, "<ID>%d</ID>", id)
			continue
		case written == limit:
			next = id
		default:
			written++
			fmt.Fprintf(w, "<HOST><ID>%d</ID><ASSET_ID>%d</ASSET_ID><IP>10.%d.%d.%d</IP><TRACKING_METHOD>AGENT</TRACKING_METHOD><DNS>host-%d.example.com</DNS>"+
				"<QG_HOSTID>4d4d4545-7a10-4e5c-9b1d-%012d</QG_HOSTID></HOST>", id, id+1, i>>16, i>>8&255, i&255, id, id)
			continue
		}
		break
	}
	fmt.Fprintf(w, "</%s>", list)
	if next != 0 {
		fmt.Fprintf(w, "<WARNING><CODE>1980</CODE><URL>https://%s/?id_min=%d</URL></WARNING>", serverName, next)
	}
	fmt.Fprint(w, "</RESPONSE></HOST_LIST_OUTPUT>")
	return w.Flush()
}

// heap is how much memory lives, or is not collected yet.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// comparing is what it takes to compare the known hosts with a list, and to tell of those that are gone.
type comparing struct {
	took time.Duration
	// bytes of the heap beyond what there was before the collections, at most.
	bytes uint64
	told  int
}

// compareKnownHosts collects many hosts three times, with a file storage, and measures the end of the third collection: there a
// tenth of the hosts is told to be gone.
func compareKnownHosts(ctx context.Context, dir string) (comparing, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, err := openFile(ctx, dir)
	if err != nil {
		return comparing{}, err
	}
	store := checkpoint.New(client)
	defer func() { _ = store.Close(context.WithoutCancel(ctx)) }() // of a folder that is thrown away

	runtime.GC()
	before := heap()
	var result comparing
	var began time.Time
	var sampling sync.WaitGroup
	stop := make(chan struct{})
	list := &hostList{}
	collections, done := 0, make(chan struct{})
	list.asked = func() {
		if collections < 2 {
			return
		}
		began = time.Now()
		sampling.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				if now := heap(); now > before {
					result.bytes = max(result.bytes, now-before)
				}
				select {
				case <-tick.C:
				case <-stop:
					return
				}
			}
		})
	}
	told := 0
	sink, err := consumer.NewLogs(func(_ context.Context, logs plog.Logs) error {
		if began.IsZero() {
			return nil
		}
		told += logs.LogRecordCount()
		return nil
	})
	if err != nil {
		return comparing{}, err
	}
	shared, err := settingsOf(ctx, store, sink)
	if err != nil {
		return comparing{}, err
	}
	shared.Client = qualys.New(qualys.Settings{
		Server:          qualys.Endpoint{URL: "http://" + serverName, HTTP: &http.Client{Transport: list}, Username: "user", Password: "pass"},
		ReadIdleTimeout: time.Hour, PageTimeout: time.Hour,
	})
	state := health.New(health.Settings{Logger: shared.Engine.Logger, Source: sourceName}, dataset.Hosts)
	collector := dataset.NewHosts(shared, dataset.HostSettings{
		Interval: time.Millisecond, Details: "All", Version: "5.0", PageSize: 10_000, ReportRemoved: true, MaxRemovedShare: 0.2, Account: "user",
	}, state.Dataset(dataset.Hosts), engine.Options{Finished: func(context.Context, *engine.Run, engine.Counts) error {
		switch collections++; collections {
		case 1:
			list.gone = true
		case 3:
			result.took = time.Since(began)
			close(stop)
			close(done)
			cancel()
		}
		return nil
	}})
	var running sync.WaitGroup
	running.Go(func() { collector.Run(ctx) })
	select {
	case <-done:
	case <-time.After(10 * time.Minute):
		err = errors.New("three collections of hosts took more than ten minutes")
	}
	cancel()
	running.Wait()
	sampling.Wait()
	result.told = told
	return result, err
}

// measureKnownHosts measures what comparing a million known hosts takes.
func (t *table) measureKnownHosts(ctx context.Context) error {
	took := t.row(row{name: "comparing 1,000,000 known hosts, a tenth of them gone", unit: seconds, atMost: true, required: 10, aim: 3})
	memory := t.row(row{name: "the same, memory beyond the program", unit: megabytes, atMost: true, required: 64, aim: 32})
	for range *hostRounds {
		dir, err := os.MkdirTemp(t.dir, "hosts")
		if err != nil {
			return err
		}
		c, err := compareKnownHosts(ctx, dir)
		if err != nil {
			return err
		}
		if c.told != manyHosts/oneIn {
			return fmt.Errorf("%d hosts were told to be gone instead of %d", c.told, manyHosts/oneIn)
		}
		took.measured = append(took.measured, c.took.Seconds())
		memory.measured = append(memory.measured, float64(c.bytes)/1e6)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkKnownHosts compares a million known hosts with a list of them, and tells of the tenth that is gone.
func BenchmarkKnownHosts(b *testing.B) {
	for b.Loop() {
		c, err := compareKnownHosts(b.Context(), b.TempDir())
		require.NoError(b, err)
		require.Equal(b, manyHosts/oneIn, c.told)
		b.ReportMetric(c.took.Seconds(), "s/comparing")
		b.ReportMetric(float64(c.bytes)/1e6, "MB/comparing")
	}
}
