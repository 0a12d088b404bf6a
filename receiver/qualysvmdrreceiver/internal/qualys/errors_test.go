// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A page that a gateway gives up on never comes unless it becomes smaller.
func TestPagesThatAreTooLarge(t *testing.T) {
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for _, tt := range []struct {
		name     string
		handler  http.HandlerFunc
		status   int
		tooLarge bool
	}{
		{name: "our own time-out", handler: silent, tooLarge: true},
		{name: "in the response", handler: drip(listBegin+"<HOST>", "", time.Hour), status: 200, tooLarge: true},
		{name: "408", handler: respond(408, ""), status: 408, tooLarge: true},
		{name: "502", handler: respond(502, "<html></html>"), status: 502, tooLarge: true},
		{name: "504", handler: respond(504, ""), status: 504, tooLarge: true},
		{name: "524", handler: respond(524, ""), status: 524, tooLarge: true},
		{name: "504 with a code", handler: respond(504, simpleReturn(1999, "maintenance")), status: 504},
		{name: "500", handler: respond(500, ""), status: 500},
		{name: "503", handler: respond(503, ""), status: 503},
		{name: "403", handler: respond(403, ""), status: 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, tt.handler)
				e := requireError(t, detections(t.Context(), c))
				assert.Equal(t, tt.tooLarge, e.PageTooLarge())
				assert.Equal(t, tt.status, e.Status)
			})
		})
	}
}

// Only what Qualys calls a parameter may be left out; a text that happens to hold its name is none.
func TestUnsupportedParameters(t *testing.T) {
	for _, tt := range []struct {
		name string
		code int
		text string
		want string
	}{
		{name: "unrecognized", code: 1901, text: "Unrecognized parameter(s): host_metadata, show_qds", want: "show_qds"},
		{name: "clashing", code: 1922, text: "Please specify only one of id_max and ids", want: "id_max"},
		{name: "another one", code: 1901, text: "Unrecognized parameter(s): show_qds_factors"},
		{name: "not of parameters", code: 1999, text: "show_qds is down"},
		{name: "between the two ranges", code: 1910, text: "show_qds"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, respond(400, simpleReturn(tt.code, tt.text)))
				assert.Equal(t, tt.want, requireError(t, detections(t.Context(), c)).Unsupported("show_qds", "id_max", "host_metadata"))
			})
		})
	}
}
