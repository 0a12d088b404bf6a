// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configmiddleware"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
)

// readAhead is how much of a response HTTP/2 may hold that was not read yet, in bytes: with its 4 MiB by default the responses of
// ten requests at once were a large part of the collector's memory.
const readAhead = 1 << 20

// connections closes those that a client keeps for later. The round-trippers of the collector do not pass that on: it takes the
// place of a middleware, the innermost one, and so learns of the transport behind them.
type connections struct {
	transport http.RoundTripper
	// idle is how many connections to a host are kept at least: as many as requests may run at once.
	idle int
}

var _ component.Component = (*connections)(nil)

// newClient makes the HTTP client of a configuration, with the connections that it keeps: idle ones at least.
func newClient(ctx context.Context, idle int, cfg *confighttp.ClientConfig, extensions map[component.ID]component.Component, telemetry component.TelemetrySettings) (*http.Client, *connections, error) {
	id := component.MustNewIDWithName(metadata.Type.String(), "connections")
	c := &connections{idle: idle}
	with := maps.Clone(extensions)
	if with == nil {
		with = map[component.ID]component.Component{}
	}
	with[id] = c
	own := *cfg
	own.Middlewares = append(slices.Clone(cfg.Middlewares), configmiddleware.Config{ID: id})
	client, err := own.ToClient(ctx, with, telemetry)
	return client, c, err
}

// Start does nothing: it is no extension of the collector.
func (*connections) Start(context.Context, component.Host) error { return nil }

// Shutdown does nothing.
func (*connections) Shutdown(context.Context) error { return nil }

// GetHTTPRoundTripper takes note of the transport, and lets it keep enough connections.
func (c *connections) GetHTTPRoundTripper(context.Context) (func(context.Context, http.RoundTripper) (http.RoundTripper, error), error) {
	return func(_ context.Context, transport http.RoundTripper) (http.RoundTripper, error) {
		c.transport = transport
		if t, ok := transport.(*http.Transport); ok {
			t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, c.idle)
			if t.HTTP2 == nil {
				t.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: readAhead}
			}
		}
		return transport, nil
	}, nil
}

// closeIdle closes the connections that are not in use; those in use are closed when they are given back.
func (c *connections) closeIdle() {
	if transport, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		transport.CloseIdleConnections()
	}
}
