// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"context"
	"net/http"
)

// Interceptor may take over the answer to a call of an API. It reports whether it has answered; otherwise the call is
// served as always.
//
// The context ends when the client goes away. The request is as the log has it, without an answer. What serve does is all
// that would have happened without an Interceptor: login, limits, faults and content. It may be called once, with w or
// with a recorder (httptest.NewRecorder) whose content is then changed, cut or delayed; Options.NoGzip keeps it readable.
// A panic with http.ErrAbortHandler breaks the connection.
//
// It runs in the goroutine of the call, and several calls may be in it at once; it may change the content, the faults and
// the Interceptor itself.
type Interceptor func(ctx context.Context, r Request, w http.ResponseWriter, serve func(http.ResponseWriter)) (answered bool)

// Intercept lets an Interceptor see every call from the next one on; nil removes it.
func (s *Server) Intercept(f Interceptor) {
	s.interceptor.Store(&f)
}

// intercepted runs the call past the Interceptor.
func (c *call) intercepted(serve func(*call)) {
	f := c.s.interceptor.Load()
	if f == nil || *f == nil {
		c.run(serve)
		return
	}
	outer := c.w
	request := c.s.log.copyOf(c.logged)
	if (*f)(c.r.Context(), request, outer, func(w http.ResponseWriter) {
		if w != outer {
			c.w = &countingWriter{ResponseWriter: w}
		}
		c.run(serve)
		c.w = outer
	}) {
		return
	}
	c.run(serve)
}
