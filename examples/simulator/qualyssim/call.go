// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// call is one request while it is served.
type call struct {
	s       *Server
	w       *countingWriter
	r       *http.Request
	api     API
	number  int
	now     time.Time
	at      moment
	form    url.Values
	payload []byte // of the gateway's JSON requests
	mishap  mishap
	logged  *Request
	client  bool  // it came with the token of an API client
	err     error // the first error of writing the answer
}

var (
	// errCut is an answer whose connection is to break.
	errCut = errors.New("answer is cut")
	// errEnded is an answer that ends early without a sign of it.
	errEnded = errors.New("answer ended early")
)

const (
	longestQuery = 8 << 10
	longestBody  = 10 << 20
)

// endpoint wraps what all APIs have in common around the one that serves.
func (s *Server) endpoint(api API, serve func(*call)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{s: s, w: &countingWriter{ResponseWriter: w}, r: r, api: api, now: s.Now(), form: url.Values{}}
		c.at = s.at(c.now)
		w.Header().Set("Date", c.date())
		c.logged = s.log.begin(r, c.now)
		c.number = c.logged.Number
		unread := c.read()
		s.log.update(func() {
			c.logged.API, c.logged.Form, c.logged.Query, c.logged.Body = api, redacted(c.form), redacted(r.URL.Query()), string(c.payload)
			if api == Auth && c.form.Has("username") {
				c.logged.Auth = FormAuth
			}
		})
		broken := true // unless an Interceptor returns
		defer func() { c.end(broken) }()
		if unread != nil {
			broken = false
			c.html(http.StatusBadRequest, "<html><body><h1>400 Bad Request</h1></body></html>\n")
			return
		}
		c.intercepted(serve)
		broken = c.err != nil
		if c.err != nil && !errors.Is(c.err, errEnded) {
			// The documented way to break the connection instead of ending the answer.
			panic(http.ErrAbortHandler)
		}
	})
}

// gateway says whether the call is for the host that speaks JSON.
func (c *call) gateway() bool { return c.api == Auth || c.api == Assets }

// end notes how the call ended.
func (c *call) end(broken bool) {
	c.s.log.update(func() {
		c.logged.Status, c.logged.Bytes = c.w.status, c.w.written
		c.logged.Done, c.logged.Aborted = true, broken
		c.logged.DurationSeconds = c.s.Now().Sub(c.now).Seconds()
		c.logged.Faults = c.mishap.names()
	})
}

func (c *call) run(serve func(*call)) {
	if !strings.HasPrefix(c.r.URL.Path, "/api/") && !c.gateway() {
		serve(c)
		return
	}
	if c.gateway() {
		if c.api == Auth || c.authorized() {
			c.answer(serve)
		}
		return
	}
	switch {
	case len(c.r.URL.RawQuery) > longestQuery:
		c.html(http.StatusRequestURITooLong, "<html><body><h1>414 Request-URI Too Long</h1></body></html>\n")
		return
	case c.r.Method != http.MethodGet && c.r.Method != http.MethodPost:
		c.html(http.StatusMethodNotAllowed, "<html><body><h1>405 Method Not Allowed</h1></body></html>\n")
		return
	case c.r.Header.Get("X-Requested-With") == "":
		c.simpleReturn(http.StatusBadRequest, codeMissing, "missing required header: X-Requested-With", 0)
		return
	case !c.authorized():
		return
	}
	refused, entered := c.s.limits.enter(c.api, c.now, c.w.Header())
	if !entered {
		c.send(reply{status: http.StatusConflict, code: refused.code, text: limitText(refused.code)}, refused.wait)
		return
	}
	defer func() { c.s.limits.leave(c.api, c.s.Now(), c.err != nil) }()
	c.answer(serve)
}

func limitText(code int) string {
	if code == codeBusy {
		return replies[Busy].text
	}
	return replies[RateLimited].text
}

// answer serves the call unless a fault is to come instead.
func (c *call) answer(serve func(*call)) {
	if c.api != NoAPI {
		c.mishap = c.s.faults.draw(c.api)
	}
	c.w.replaced = c.mishap.faults.Headers
	c.w.Header().Set("Date", c.date())
	if c.pause(time.Duration(c.mishap.faults.Delay)) != nil {
		return
	}
	if c.mishap.reply != "" {
		c.fault(&c.mishap)
		return
	}
	if c.refusesParameter() {
		return
	}
	serve(c)
}

func (c *call) read() error {
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, longestBody)
	if c.api == Assets {
		c.form = c.r.URL.Query()
		payload, err := io.ReadAll(c.r.Body)
		c.payload = payload
		return err
	}
	err := c.r.ParseForm()
	c.form = c.r.Form
	return err
}

// base is the start of URLs inside answers.
func (c *call) base() string {
	if public := c.s.options.PublicURL; public != "" {
		return strings.TrimSuffix(public, "/")
	}
	scheme := "http://"
	if c.r.TLS != nil {
		scheme = "https://"
	}
	return scheme + c.r.Host
}

func (c *call) write(b []byte) {
	_, err := c.w.Write(b)
	c.note(err)
}

// note keeps the first error of the answer.
func (c *call) note(err error) {
	if c.err == nil {
		c.err = err
	}
}

// pause is a wait that is a part of the answer.
func (c *call) pause(d time.Duration) error {
	c.note(c.wait(d))
	return c.err
}

// wait lets time pass unless the client goes away.
func (c *call) wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.r.Context().Done():
		return c.r.Context().Err()
	}
}

// countingWriter remembers the status and the size of an answer.
type countingWriter struct {
	http.ResponseWriter

	status   int
	written  int64
	replaced map[string]string // headers, by faults
}

// Unwrap is for http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// flush sends what is held, where that is possible: a recorder holds everything.
func (w *countingWriter) flush() error {
	if err := http.NewResponseController(w.ResponseWriter).Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	for name, value := range w.replaced {
		w.Header().Del(name)
		if value != "" {
			w.Header().Set(name, value)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(b)
	w.written += int64(n)
	return n, err
}
