// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
)

// maxError is how much of a response is looked at to find out what it says if it is not what was asked for, in bytes.
const maxError = 64 << 10

// response is the response to a request while it is read: inflated, and limited in size and in how long it may keep us waiting.
type response struct {
	status int
	header http.Header
	limits limits
	// credential is the Authorization header that was sent, as far as it stays the same from request to request.
	credential Secret

	client   *Client
	endpoint *endpoint
	request  request
	ctx      context.Context // of the request
	cancel   context.CancelCauseFunc
	stall    *stallTimer
	wire     *wire
	body     io.Reader
	inflated int64
	keepHead bool   // while it is not known whether the response is what was asked for
	head     []byte // the first bytes read, up to maxError
	outcome  string
	release  func() // lets the next request of the API begin
	closing  sync.Once
}

// begin sends a request and waits for the head of its response.
func (c *Client) begin(ctx context.Context, e *endpoint, r request) (*response, error) {
	own, cancel := context.WithCancelCause(ctx)
	a := &response{
		client:   c,
		endpoint: e,
		request:  r,
		ctx:      own,
		cancel:   cancel,
		stall:    newStallTimer(c.settings.ReadIdleTimeout, c.settings.PageTimeout, cancel),
		keepHead: true,
		outcome:  OutcomeIncomplete,
		release:  func() {},
	}
	var sent atomic.Bool
	req, err := e.build(httptrace.WithClientTrace(own, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}), r, c.settings.UserAgent)
	if err != nil {
		cancel(nil)
		return nil, &Error{API: r.api, Class: Config, Err: err}
	}
	begun := e.login.sending(r.pass, cancel)
	a.stall.wait()
	resp, err := e.http.Do(req) //nolint:bodyclose // response.Close does
	a.stall.received()
	begun()
	if err != nil {
		if own.Err() != nil {
			err = context.Cause(own)
		}
		cancel(nil)
		if known := (*Error)(nil); !errors.As(err, &known) {
			err = &Error{API: r.api, Err: withoutURL(err), Unsent: !sent.Load()}
		}
		outcome := outcomeOf(ctx, err)
		if rejection := (*Error)(nil); own.Err() != nil && errors.As(context.Cause(own), &rejection) {
			outcome = OutcomeCancelled // it is another request that was rejected
		}
		c.settings.Observer.Responded(r.api, outcome, a.stall.waited())
		return nil, err
	}
	a.status = resp.StatusCode
	a.header = resp.Header
	if resp.Request != nil {
		a.credential = StableCredential(resp.Request.Header.Get("Authorization"))
	}
	a.wire = &wire{response: a, body: resp.Body}
	a.body = inflate(a.wire, resp.Header.Get("Content-Encoding"))
	return a, nil
}

// withoutURL takes the address off an error of net/http: the API is named anyway.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// errTooLarge: the response exceeds Settings.MaxInflated.
var errTooLarge = errors.New("response is larger than the limit after inflating")

// Read reads inflated bytes.
func (a *response) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	a.inflated += int64(n)
	if a.keepHead {
		a.head = append(a.head, p[:min(n, maxError-len(a.head))]...)
	}
	if a.inflated > a.client.settings.MaxInflated {
		return 0, errTooLarge
	}
	return n, err
}

// readHead reads on until the head is complete or the response ends. What ends it early is returned.
func (a *response) readHead() error {
	if len(a.head) >= maxError {
		return nil
	}
	_, err := io.Copy(io.Discard, io.LimitReader(a, int64(maxError-len(a.head))))
	return err
}

// fail ends the request with an error of reading its response, which becomes an *Error.
func (a *response) fail(err error) error {
	a.end(outcomeOf(a.ctx, err))
	return asError(a.request.api, a.status, err)
}

// end notes how the request ended.
func (a *response) end(outcome string) { a.outcome = outcome }

// Close releases the connection and lets the next request of the API begin. It can be called more than once.
func (a *response) Close() {
	a.closing.Do(func() {
		// A connection whose response was read to its end is used again; another one is closed here.
		_ = a.wire.body.Close()
		if a.outcome == OutcomeIncomplete && a.ctx.Err() != nil {
			a.outcome = outcomeOf(a.ctx, context.Cause(a.ctx))
		}
		a.cancel(nil)
		a.wire.report()
		a.client.settings.Observer.Responded(a.request.api, a.outcome, a.stall.waited())
		a.release()
	})
}

// reportEvery is how many bytes come in between two reports to the observer.
const reportEvery = 1 << 20

// wire reads the bytes that come over the network.
type wire struct {
	response *response
	body     io.ReadCloser
	received int64 // not yet reported
}

// Read waits for bytes no longer than the stall timer allows.
func (w *wire) Read(p []byte) (int, error) {
	w.response.stall.wait()
	n, err := w.body.Read(p)
	w.response.stall.received()
	w.received += int64(n)
	if w.received >= reportEvery {
		w.report()
	}
	if err != nil && err != io.EOF && w.response.ctx.Err() != nil {
		err = context.Cause(w.response.ctx)
	}
	return n, err
}

func (w *wire) report() {
	if w.received > 0 {
		w.response.client.settings.Observer.Received(w.response.request.api, w.received)
		w.received = 0
	}
}
