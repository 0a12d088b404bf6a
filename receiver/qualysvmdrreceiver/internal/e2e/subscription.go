// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"net/http/httptest"
	"testing"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// Subscription is a simulated Qualys subscription in this process: it outlives every run of the collector.
type Subscription struct {
	*qualyssim.Server

	URL                string
	username, password string
}

// NewSubscription serves a subscription until the test ends.
func NewSubscription(t testing.TB, options qualyssim.Options) *Subscription {
	t.Helper()
	server := qualyssim.New(options)
	listener := httptest.NewServer(server)
	t.Cleanup(func() {
		listener.CloseClientConnections()
		listener.Close()
	})
	s := &Subscription{Server: server, URL: listener.URL, username: options.Username, password: options.Password}
	if s.username == "" {
		s.username, s.password = qualyssim.DefaultUsername, qualyssim.DefaultPassword
	}
	return s
}

// Config is a configuration that collects from this subscription. More holds the datasets, in YAML.
func (s *Subscription) Config(exporter Exporter, more string) Config {
	return Config{Qualys: s.URL, Username: s.username, Password: s.password, Exporter: exporter, More: more}
}

// RequestsOf are the requests that one API of the subscription got, in their order.
func (s *Subscription) RequestsOf(api qualyssim.API) []qualyssim.Request {
	var requests []qualyssim.Request
	for _, request := range s.Requests() {
		if request.API == api {
			requests = append(requests, request)
		}
	}
	return requests
}
