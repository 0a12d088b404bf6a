// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Request is what the server remembers of a call. The password of /auth is replaced by asterisks.
type Request struct {
	Number          int        `json:"number"`
	Time            time.Time  `json:"time"`
	Method          string     `json:"method"`
	Path            string     `json:"path"`
	API             API        `json:"api,omitempty"`
	Query           url.Values `json:"query,omitempty"` // of the URL alone
	Form            url.Values `json:"form,omitempty"`  // of the URL and the body
	Body            string     `json:"body,omitempty"`  // of the asset inventory
	Auth            AuthKind   `json:"auth"`
	UserAgent       string     `json:"user_agent,omitempty"`
	RequestedWith   string     `json:"x_requested_with,omitempty"`
	AcceptEncoding  string     `json:"accept_encoding,omitempty"`
	Faults          []Fault    `json:"faults,omitempty"`
	Status          int        `json:"status"` // 0 while there is no answer
	Bytes           int64      `json:"bytes"`  // of the body as it was sent
	Done            bool       `json:"done"`
	Aborted         bool       `json:"aborted,omitempty"` // the answer did not reach its end
	DurationSeconds float64    `json:"duration_seconds,omitempty"`
}

// loggedRequests is how many calls are remembered; the oldest are forgotten.
const loggedRequests = 20_000

// requestLog remembers the latest calls.
type requestLog struct {
	mu     sync.Mutex
	number int
	latest []*Request
}

func (l *requestLog) begin(r *http.Request, now time.Time) *Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	request := &Request{
		Number: l.number, Time: now, Method: r.Method, Path: r.URL.Path, Auth: authKind(r),
		UserAgent: r.UserAgent(), RequestedWith: r.Header.Get("X-Requested-With"),
		AcceptEncoding: r.Header.Get("Accept-Encoding"),
	}
	if len(l.latest) >= loggedRequests {
		l.latest = slices.Delete(l.latest, 0, loggedRequests/2)
	}
	l.latest = append(l.latest, request)
	return request
}

// update changes a remembered call while nobody reads it.
func (l *requestLog) update(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *requestLog) copyOf(r *Request) Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *r
}

func (l *requestLog) requests() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	requests := make([]Request, len(l.latest))
	for i, request := range l.latest {
		requests[i] = *request
	}
	return requests
}

func (l *requestLog) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest = nil
}

// redacted is form without the password.
func redacted(form url.Values) url.Values {
	if !form.Has("password") {
		return form
	}
	shown := url.Values{}
	for name, values := range form {
		shown[name] = values
	}
	shown.Set("password", "***")
	return shown
}
