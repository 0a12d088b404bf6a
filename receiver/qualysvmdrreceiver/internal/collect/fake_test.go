// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// detection is one of the fake's detections.
type detection struct {
	id      int
	qid     int
	status  string
	updated time.Time
	results string
}

// logRow is a row of the fake's activity log.
type logRow struct {
	at      time.Time
	details string
}

// fakeQualys answers as Qualys does, over connections in memory, by the bubble's clock.
type fakeQualys struct {
	mu       sync.Mutex
	hosts    map[uint64][]detection
	broken   map[uint64]bool     // hosts whose bytes cannot be read
	entries  map[int]time.Time   // QIDs that have an entry, by when it was modified
	assets   map[int64]time.Time // by when they were modified
	log      []logRow            // oldest first
	requests []request
	// fault may take over the answer to a request.
	fault func(*request, http.ResponseWriter) bool
}

// request is what was asked of the fake.
type request struct {
	at   time.Time
	path string
	form url.Values
	body string
}

func newFake() *fakeQualys {
	return &fakeQualys{hosts: map[uint64][]detection{}, broken: map[uint64]bool{}, entries: map[int]time.Time{}, assets: map[int64]time.Time{}}
}

// serve starts the fake and returns a client for it.
func (f *fakeQualys) serve(t *testing.T, observer qualys.Observer) *qualys.Client {
	listener := &pipeListener{connections: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: f}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return listener.dial(ctx) }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		serving.Wait()
	})
	endpoint := qualys.Endpoint{HTTP: &http.Client{Transport: transport}, Username: "user", Password: "pass"}
	server1, gateway := endpoint, endpoint
	server1.URL, gateway.URL = "http://server.test", "http://gateway.test"
	return qualys.New(qualys.Settings{Server: server1, Gateway: gateway, UserAgent: "test", ReadIdleTimeout: time.Minute, PageTimeout: time.Hour, Observer: observer})
}

func (f *fakeQualys) asked(path string) []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.requests), func(r request) bool { return !strings.Contains(r.path, path) })
}

func (f *fakeQualys) change(edit func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	edit()
}

func (f *fakeQualys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	form, _ := url.ParseQuery(string(body))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, request{at: time.Now(), path: r.URL.RequestURI(), form: form, body: string(body)})
	last := &f.requests[len(f.requests)-1]
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if f.fault != nil && f.fault(last, w) {
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/fo/asset/host/vm/detection/"):
		f.detections(w, form)
	case strings.HasSuffix(r.URL.Path, "/fo/knowledge_base/vuln/"):
		f.knowledgeBase(w, form)
	case strings.HasSuffix(r.URL.Path, "/fo/activity_log/"):
		f.activityLog(w, form)
	case r.URL.Path == "/auth":
		w.WriteHeader(http.StatusCreated)
		claims := fmt.Sprintf(`{"exp":%d}`, time.Now().Add(4*time.Hour).Unix())
		fmt.Fprintf(w, "e30.%s.c2ln", base64.RawURLEncoding.EncodeToString([]byte(claims)))
	case strings.HasSuffix(r.URL.Path, "/search/am/asset"):
		f.search(w, r.URL.Query(), body)
	default:
		http.NotFound(w, r)
	}
}

func (f *fakeQualys) detections(w http.ResponseWriter, form url.Values) {
	number := func(name string, otherwise uint64) uint64 {
		if n, err := strconv.ParseUint(form.Get(name), 10, 64); err == nil {
			return n
		}
		return otherwise
	}
	from, to, limit := number("id_min", 0), number("id_max", 1<<62), int(number("truncation_limit", 1000))
	if only := number("ids", 0); only != 0 {
		from, to = only, only
	}
	since, _ := time.Parse(timeFormat, form.Get("detection_updated_since"))
	statuses := strings.Split(form.Get("status"), ",")

	var page, next []uint64
	wanted := map[uint64][]detection{}
	for id, detections := range f.hosts {
		for _, d := range detections {
			if id >= from && id <= to && slices.Contains(statuses, d.status) && !d.updated.Before(since) {
				wanted[id] = append(wanted[id], d)
			}
		}
		if len(wanted[id]) > 0 {
			page = append(page, id)
		}
	}
	slices.Sort(page)
	if len(page) > limit {
		page, next = page[:limit], page[limit:]
	}
	fmt.Fprintf(w, "<?xml version=\"1.0\"?>\n<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><DATETIME>%s</DATETIME>", time.Now().UTC().Format(timeFormat))
	if len(page) > 0 {
		fmt.Fprint(w, "<HOST_LIST>")
	}
	for _, id := range page {
		fmt.Fprintf(w, "<HOST><ID>%d</ID><IP>10.0.0.1</IP><DETECTION_LIST>", id)
		for i, d := range wanted[id] {
			if f.broken[id] && i == len(wanted[id])-1 {
				fmt.Fprint(w, "<DETECTION><UNIQUE_VULN_ID>1</BROKEN>")
				continue
			}
			fmt.Fprintf(w, "<DETECTION><UNIQUE_VULN_ID>%d</UNIQUE_VULN_ID><QID>%d</QID><RESULTS>%s</RESULTS><STATUS>%s</STATUS><LAST_UPDATE_DATETIME>%s</LAST_UPDATE_DATETIME></DETECTION>",
				d.id, d.qid, d.results, d.status, d.updated.UTC().Format(timeFormat))
		}
		fmt.Fprint(w, "</DETECTION_LIST></HOST>")
	}
	if len(page) > 0 {
		fmt.Fprint(w, "</HOST_LIST>")
	}
	if len(next) > 0 {
		fmt.Fprintf(w, "<WARNING><CODE>1980</CODE><TEXT>more</TEXT><URL><![CDATA[https://elsewhere.test/api/?action=list&id_min=%d]]></URL></WARNING>", next[0])
	}
	fmt.Fprint(w, "</RESPONSE></HOST_LIST_VM_DETECTION_OUTPUT>")
}

// cutShort answers a request for detections with what cut leaves of the answer.
func (f *fakeQualys) cutShort(w http.ResponseWriter, r *request, cut func(answer string) string) {
	recorder := &cutter{header: w.Header()}
	f.detections(recorder, r.form)
	fmt.Fprint(w, cut(recorder.body.String()))
}

func (f *fakeQualys) knowledgeBase(w http.ResponseWriter, form url.Values) {
	fmt.Fprintf(w, "<?xml version=\"1.0\"?>\n<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><DATETIME>%s</DATETIME>", time.Now().UTC().Format(timeFormat))
	if form.Get("details") == "None" {
		since, _ := time.Parse(timeFormat, form.Get("last_modified_after"))
		fmt.Fprint(w, "<ID_SET>")
		for qid, modified := range f.entries {
			if modified.After(since) {
				fmt.Fprintf(w, "<ID>%d</ID>", qid)
			}
		}
		fmt.Fprint(w, "</ID_SET>")
	} else {
		fmt.Fprint(w, "<VULN_LIST>")
		for _, id := range strings.Split(form.Get("ids"), ",") {
			qid, _ := strconv.Atoi(id)
			if modified, ok := f.entries[qid]; ok {
				fmt.Fprintf(w, "<VULN><QID>%d</QID><TITLE>Entry %d</TITLE><LAST_SERVICE_MODIFICATION_DATETIME>%s</LAST_SERVICE_MODIFICATION_DATETIME></VULN>", qid, qid, modified.UTC().Format(timeFormat))
			}
		}
		fmt.Fprint(w, "</VULN_LIST>")
	}
	fmt.Fprint(w, "</RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>")
}

func (f *fakeQualys) search(w http.ResponseWriter, query url.Values, body []byte) {
	limit, _ := strconv.Atoi(query.Get("pageSize"))
	after, _ := strconv.ParseInt(query.Get("lastSeenAssetId"), 10, 64)
	var filter struct {
		Filters []struct{ Field, Operator, Value string }
	}
	var since time.Time
	if json.Unmarshal(body, &filter) == nil {
		for _, one := range filter.Filters {
			since, _ = time.Parse(timeFormat, one.Value)
		}
	}
	var found []int64
	for id, modified := range f.assets {
		if id > after && modified.After(since) {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	more := 0
	if len(found) > limit {
		found, more = found[:limit], 1
	}
	if len(found) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	assets := make([]string, len(found))
	for i, id := range found {
		assets[i] = fmt.Sprintf(`{"assetId":%d,"lastModifiedDate":%q,"agent":null}`, id, f.assets[id].UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	fmt.Fprintf(w, `{"responseCode":"SUCCESS","count":%d,"lastSeenAssetId":%d,"hasMore":%d,"assetListData":{"asset":[%s]}}`,
		len(found), found[len(found)-1], more, strings.Join(assets, ","))
}

// activityLog answers with the newest rows first, whose IDs are their places in the log, from 1 on.
func (f *fakeQualys) activityLog(w http.ResponseWriter, form url.Values) {
	since, _ := time.Parse(timeFormat, form.Get("since_datetime"))
	limit, _ := strconv.Atoi(form.Get("truncation_limit"))
	newest := len(f.log)
	if id, err := strconv.Atoi(form.Get("id_max")); err == nil {
		newest = min(newest, id)
	}
	fmt.Fprint(w, "Date,Action,Module,Details,User Name,User Role,User IP\n")
	for id := newest; id > 0 && !f.log[id-1].at.Before(since); id-- {
		row := f.log[id-1]
		if newest-id == limit {
			fmt.Fprintf(w, "WARNING\nCODE,TEXT,URL\n1980,more,https://elsewhere.test/api/?action=list&id_max=%d\n", id)
			return
		}
		fmt.Fprintf(w, "%s,login,auth,%s,user,Manager,192.0.2.1\n", row.at.UTC().Format(timeFormat), row.details)
	}
}

// pipeListener hands connections in memory to a server.
type pipeListener struct {
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.connections <- server:
		return client, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// bench is a set of datasets at work, in a bubble.
type bench struct {
	t       *testing.T
	fake    *fakeQualys
	next    *backend
	shared  Settings
	health  *health.Reporter
	logs    *observer.ObservedLogs
	refused []error // credentials
}

// newBench makes what datasets need. A nil storage keeps positions in memory.
func newBench(t *testing.T, fake *fakeQualys, next *backend, client storage.Client) *bench {
	core, logs := observer.New(zap.DebugLevel)
	settings := receivertest.NewNopSettings(component.MustNewType("qualysvmdr"))
	telemetry, err := metadata.NewTelemetryBuilder(settings.TelemetrySettings)
	require.NoError(t, err)
	b := &bench{t: t, fake: fake, next: next, logs: logs}
	waits := NewWaits("qualysvmdr", zap.New(core), telemetry)
	b.health = health.New(health.Settings{Logger: zap.New(core), Source: "qualysvmdr"}, VulnerabilitiesDataset, KnowledgeBaseDataset, AssetInventoryDataset, ActivityLogDataset)
	server, _ := url.Parse("http://server.test")
	gateway, _ := url.Parse("http://gateway.test")
	b.shared = Settings{
		Logger:       zap.New(core),
		Client:       fake.serve(t, waits),
		Store:        checkpoint.New(client),
		Telemetry:    telemetry,
		Pipeline:     newTestPipeline(context.Background(), t, next),
		Waits:        waits,
		Refused:      func(_ context.Context, _ qualys.EndpointName, err error) { b.refused = append(b.refused, err) },
		Retry:        testRetry(),
		InitialDelay: time.Second,
		Records:      records.Settings{MaxRecords: 2, MaxBytes: 1 << 20},
		Server:       server,
		Gateway:      gateway,
	}
	return b
}

// newSink returns a backend that takes all records.
func newSink() *backend {
	return newBackend(func(context.Context, plog.Logs) error { return nil })
}

// counts tells how often each record was accepted.
func (b *backend) counts() map[string]int {
	counts := map[string]int{}
	for _, text := range b.texts() {
		counts[text]++
	}
	return counts
}
