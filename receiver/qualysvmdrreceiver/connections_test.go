// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// A connection that stays open until idle_conn_timeout costs a file, at each reload of the configuration.
func TestShutdownClosesConnections(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"as it is":                 func(*Config) {},
		"with headers and cookies": func(cfg *Config) { cfg.Server.Headers.Set("X-Team", "red") },
		"with an authenticator":    withAuth,
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			open, all := map[net.Conn]bool{}, 0
			sim := qualyssim.New(qualyssim.Options{Username: "user", Password: "pa+ss &%<ö", Hosts: 5})
			server := httptest.NewUnstartedServer(sim)
			server.Config.ConnState = func(c net.Conn, state http.ConnState) {
				mu.Lock()
				defer mu.Unlock()
				switch state {
				case http.StateNew:
					open[c] = true
					all++
				case http.StateClosed:
					delete(open, c)
				}
			}
			server.Start()
			t.Cleanup(server.Close)
			cfg := configFor(server.URL)
			cfg.KnowledgeBase, cfg.AssetInventory = configoptional.None[KnowledgeBaseConfig](), configoptional.None[AssetInventoryConfig]()
			change(cfg)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			require.NoError(t, err)
			request.SetBasicAuth("user", "pa+ss &%<ö")
			host := &statusHost{extensions: map[component.ID]component.Component{authID: &headerAuth{authorization: request.Header.Get("Authorization")}}}
			core, logged := observer.New(zap.InfoLevel)
			stop := start(t, cfg, consumertest.NewNop(), host, zap.New(core))
			require.Eventually(t, func() bool { return finished(logged) == 1 }, waitLimit, glance)
			stop()
			assert.Eventually(t, func() bool {
				mu.Lock()
				defer mu.Unlock()
				return all > 0 && len(open) == 0
			}, waitLimit, glance)
		})
	}
}
