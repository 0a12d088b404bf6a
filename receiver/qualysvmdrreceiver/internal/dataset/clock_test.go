// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

var datetime = regexp.MustCompile(`<DATETIME>[^<]*</DATETIME>`)

// clocks makes the responses to requests for detections tell other times: what their body and their header say, "" as they are.
// They are asked with the number of the request, from 1 on.
func clocks(h *harness.Harness, tell func(n int) (body, header string)) {
	n := 0
	h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		if r.API != qualyssim.Detections {
			return false
		}
		n++
		body, header := tell(n)
		recorder := httptest.NewRecorder()
		serve(recorder)
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		text := recorder.Body.String()
		if header != "" {
			w.Header().Set("Date", header)
		}
		if body != "" {
			text = datetime.ReplaceAllString(text, "<DATETIME>"+body+"</DATETIME>")
		}
		w.WriteHeader(recorder.Code)
		_, _ = w.Write([]byte(text))
		return true
	})
}

func TestServerClockThatIsWrongLosesNoChange(t *testing.T) {
	ahead := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(timeFormat) }
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	only := func(number int, body, header func() string) func(int) (string, string) {
		return func(n int) (b, h string) {
			if n == number {
				if body != nil {
					b = body()
				}
				if header != nil {
					h = header()
				}
			}
			return b, h
		}
	}
	for _, test := range []struct {
		name     string
		interval time.Duration
		tell     func(n int) (body, header string)
		warned   bool
	}{
		{name: "DATETIME five hours ahead", tell: func(int) (string, string) { return ahead(5 * time.Hour), "" }},
		{name: "DATETIME five hours behind", tell: func(int) (string, string) { return ahead(-5 * time.Hour), "" }},
		{name: "Date five hours ahead", tell: func(int) (string, string) { return "", date(5 * time.Hour) }},
		{name: "Date missing, DATETIME in the year 9999", tell: func(int) (string, string) { return "9999-12-31T23:59:59Z", "x" }, warned: true},
		{name: "DATETIME in the year 9999", tell: func(int) (string, string) { return "9999-12-31T23:59:59Z", "" }, warned: true},
		{name: "DATETIME that is no time", tell: func(int) (string, string) { return "soon", "" }},
		{name: "DATETIME once six hours ahead", tell: only(3, func() string { return ahead(6 * time.Hour) }, nil)},
		{name: "DATETIME once six hours behind", tell: only(3, func() string { return ahead(-6 * time.Hour) }, nil), warned: true},
		{name: "DATETIME of the first one six hours behind", tell: only(1, func() string { return ahead(-6 * time.Hour) }, nil)},
		{
			name: "both once six hours ahead", warned: true,
			tell: only(3, func() string { return ahead(6 * time.Hour) }, func() string { return date(6 * time.Hour) }),
		},
		{
			name: "both once six hours ahead, with a longer interval", interval: 3 * time.Hour, warned: true,
			tell: only(3, func() string { return ahead(6 * time.Hour) }, func() string { return date(6 * time.Hour) }),
		},
		{
			name: "both of the first one six hours ahead", interval: 3 * time.Hour, warned: true,
			tell: only(1, func() string { return ahead(6 * time.Hour) }, func() string { return date(6 * time.Hour) }),
		},
		{
			name: "both once six hours behind", warned: true,
			tell: only(3, func() string { return ahead(-6 * time.Hour) }, func() string { return date(-6 * time.Hour) }),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Hosts(60)
				clocks(h, test.tell)
				settings := harness.DetectionSettings()
				settings.PageSize = 100
				if test.interval > 0 {
					settings.Interval = test.interval
				}
				run(h, settings)
				const changes = 100
				for i := range changes {
					h.Advance(11 * time.Minute)
					fixed(h, i+1)
				}
				h.Advance(2 * settings.Interval)
				want := h.EachOnce()
				for i := range changes {
					assert.Equal(t, 1, arrived(h, i+1), "change %d", i+1)
				}
				for label := range want {
					assert.Equal(t, 1, h.Backend.Counts()[label], label)
				}
				if test.warned {
					assert.NotZero(t, h.Logs.FilterMessageSnippet("the server's clock cannot be trusted").Len())
				} else {
					h.ExpectLogged(0, "the server's clock cannot be trusted")
				}
				h.ExpectState(dataset.Vulnerabilities, health.Collecting)
			})
		})
	}
}

func TestLocalClockThatIsWrongLosesAndDoublesNoChange(t *testing.T) {
	for _, server := range []time.Duration{5 * time.Hour, -5 * time.Hour} {
		t.Run(server.String(), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Hosts(20)
				h.Sim.Advance(server)
				settings := harness.DetectionSettings()
				settings.PageSize = 100
				run(h, settings)
				const changes = 50
				for i := range changes {
					h.Advance(11 * time.Minute)
					h.Change(i+1, func(d *qualyssim.ScriptedDetection) { d.Status, d.Updated = qualyssim.StatusFixed, h.Sim.Now() })
				}
				h.Advance(2 * time.Hour)
				for i := range changes {
					assert.Equal(t, 1, arrived(h, i+1), "change %d", i+1)
				}
				h.ExpectLogged(0, "the server's clock cannot be trusted")
			})
		})
	}
}
