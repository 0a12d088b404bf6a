// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	serverURL  = "https://qualysapi.test"
	gatewayURL = "https://gateway.test"
	username   = "quays3rt"
	password   = "s3cr+t&p%ss<wörd"
)

// call is a request that the fake has received.
type call struct {
	at     time.Time
	host   string
	path   string
	header http.Header
	query  url.Values
	form   url.Values
	body   string
}

// fake is both Qualys hosts, and every other host there is, in memory.
type fake struct {
	handler http.HandlerFunc

	mu    sync.Mutex
	calls []call
}

// newFake starts a fake that answers with handler. It ends with the test.
func newFake(t *testing.T, handler http.HandlerFunc) (*fake, *http.Client) {
	t.Helper()
	f := &fake{handler: handler}
	listener := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: f, ReadHeaderTimeout: time.Hour}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	transport := &http.Transport{
		// TLS would add nothing here: the fake is reached without it, under https addresses.
		DialTLSContext: listener.dial,
		DialContext:    listener.dial,
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Shutdown(context.WithoutCancel(t.Context())) // waits for the handlers
		serving.Wait()
	})
	return f, &http.Client{Transport: transport}
}

// responses makes a handler that gives the responses one after the other; the last one stays.
func responses(handlers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	next := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := handlers[min(next, len(handlers)-1)]
		next++
		mu.Unlock()
		h(w, r)
	}
}

// reply200 and respond make a handler that gives one response. headers are pairs of name and value.
func reply200(body string, headers ...string) http.HandlerFunc { return respond(200, body, headers...) }

func respond(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	form, _ := url.ParseQuery(string(body))
	f.mu.Lock()
	f.calls = append(f.calls, call{
		at: time.Now(), host: r.Host, path: r.URL.Path, header: r.Header, query: r.URL.Query(), form: form, body: string(body),
	})
	f.mu.Unlock()
	f.handler(w, r)
}

// received returns the requests received so far.
func (f *fake) received() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...)
}

// paths returns the paths of the requests received so far.
func (f *fake) paths() []string {
	var paths []string
	for _, c := range f.received() {
		paths = append(paths, c.path)
	}
	return paths
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "fake", Net: "pipe"} }

// observed is an Observer that writes everything down.
type observed struct {
	mu       sync.Mutex
	outcomes []string
	waits    []string
	slots    []string
	warned   []string
	bytes    int64
	limits   []int64
}

func (o *observed) Responded(api API, outcome string, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.outcomes = append(o.outcomes, fmt.Sprintf("%s %s", api, outcome))
}

func (o *observed) Received(_ API, bytes int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes += bytes
}

func (o *observed) Limit(_ API, remaining int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limits = append(o.limits, remaining)
}

func (o *observed) Slots(_ API, inUse, allowed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.slots = append(o.slots, fmt.Sprintf("%d/%d", inUse, allowed))
}

func (o *observed) NoRoom(api API, allowed, possible int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.warned = append(o.warned, fmt.Sprintf("%s no room %d %d", api, allowed, possible))
}

func (o *observed) Misread(api API, header, value string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.warned = append(o.warned, fmt.Sprintf("%s %s %s", api, header, value))
}

func (o *observed) Waiting(_ API, reason string, d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waits = append(o.waits, fmt.Sprintf("%s %s", reason, d))
}

func (o *observed) Waited(_ API, _ string, d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waits = append(o.waits, fmt.Sprintf("waited %s", d))
}

// start starts a fake that answers with handler, and makes a client of it. It belongs into a synctest bubble.
func start(t *testing.T, handler http.HandlerFunc, change ...func(*Settings)) (*fake, *Client, *observed) {
	t.Helper()
	f, client := newFake(t, handler)
	o := &observed{}
	s := Settings{
		Server:          Endpoint{URL: serverURL, HTTP: client, Username: username, Password: password},
		Gateway:         Endpoint{URL: gatewayURL, HTTP: client, Username: username, Password: password},
		UserAgent:       "qualysvmdr/test",
		ReadIdleTimeout: 5 * time.Minute,
		PageTimeout:     30 * time.Minute,
		Reserve:         10,
		Observer:        o,
	}
	for _, f := range change {
		f(&s)
	}
	return f, New(s), o
}

// pass lets time pass in the bubble.
func pass(d time.Duration) { <-time.After(d) }

// withAuthenticator makes both endpoints log in by themselves.
func withAuthenticator(s *Settings) {
	for _, e := range []*Endpoint{&s.Server, &s.Gateway} {
		e.Username, e.Password, e.Authenticator = "", "", true
	}
}

// detections asks for one page of detections and closes it.
func detections(ctx context.Context, c *Client) error {
	p, err := c.Detections(ctx, DetectionQuery{Version: "5.0", Limit: 1000})
	if err != nil {
		return err
	}
	defer p.Close()
	_, err = readAll(p)
	return err
}

// readAll reads a page to its end and returns its hosts.
func readAll(p *DetectionPage) (string, error) {
	var all strings.Builder
	var s Segment
	for {
		err := p.Next(&s)
		all.Write(s.Data)
		if err == io.EOF {
			return all.String(), nil
		}
		if err != nil {
			return all.String(), err
		}
	}
}

// hostList makes the response of the detection API.
func hostList(inner string) string {
	return `<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE HOST_LIST_VM_DETECTION_OUTPUT SYSTEM "https://qualysapi.test/list.dtd">
<!-- a test -->
<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><DATETIME>2026-11-20T09:15:00Z</DATETIME>
` + inner + `</RESPONSE></HOST_LIST_VM_DETECTION_OUTPUT>
<!-- the end -->
`
}

// hosts makes a HOST_LIST of hosts with one detection each.
func hosts(ids ...int) string {
	var b strings.Builder
	b.WriteString("<HOST_LIST>\n")
	for _, id := range ids {
		fmt.Fprintf(&b, "<HOST><ID>%d</ID><DETECTION_LIST><DETECTION><QID>38170</QID></DETECTION></DETECTION_LIST></HOST>\n", id)
	}
	b.WriteString("</HOST_LIST>")
	return b.String()
}

// simpleReturn makes the response that Qualys gives instead of what was asked for.
func simpleReturn(code int, text string, items ...string) string {
	var list strings.Builder
	for i := 0; i+1 < len(items); i += 2 {
		fmt.Fprintf(&list, "<ITEM><KEY>%s</KEY><VALUE>%s</VALUE></ITEM>", items[i], items[i+1])
	}
	return fmt.Sprintf(`<SIMPLE_RETURN><RESPONSE><DATETIME>2026-11-20T09:15:00Z</DATETIME><CODE>%d</CODE><TEXT>%s</TEXT>`+
		`<ITEM_LIST>%s</ITEM_LIST></RESPONSE></SIMPLE_RETURN>`, code, text, list.String())
}

// requireError returns err as an *Error.
func requireError(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	return e
}

// responseOf makes a response of bytes, without a request.
func responseOf(tb testing.TB, api API, body []byte) *response {
	tb.Helper()
	ctx, cancel := context.WithCancelCause(tb.Context())
	c := New(Settings{})
	a := &response{
		status: 200, client: c, endpoint: c.endpoint(api.Endpoint()), request: request{api: api},
		ctx: ctx, cancel: cancel, stall: newStallTimer(0, 0, cancel), keepHead: true, release: func() {},
	}
	a.wire = &wire{response: a, body: io.NopCloser(bytes.NewReader(body))}
	a.body = a.wire
	tb.Cleanup(a.Close)
	return a
}
