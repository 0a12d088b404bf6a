// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"strings"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// Refusals are the credentials that hosts have rejected, and what they said: receivers that are checked one after the other can
// have the same account, and repeated bad logins lock it.
type Refusals map[login]*qualys.Error

// login is what is sent to a host to log in: a user name and a password, or the ID and the secret of an API client of that type.
type login struct {
	url, clientType, name, secret string
}

// logins are those of cfg that do not come from an authenticator.
func logins(cfg *qualysvmdrreceiver.Config) map[qualys.EndpointName]login {
	all := map[qualys.EndpointName]login{}
	serverURL, gatewayURL := cfg.Endpoints()
	to := func(url string) login {
		return login{host(url), "", cfg.Username, string(cfg.Password)}
	}
	if cfg.ClientID != "" {
		// The gateway finds out for both.
		to = func(string) login {
			return login{host(gatewayURL), cfg.ClientType, cfg.ClientID, string(cfg.ClientSecret)}
		}
	}
	if !cfg.Server.Auth.HasValue() {
		all[qualys.Server] = to(serverURL)
	}
	if !cfg.Gateway.Auth.HasValue() {
		all[qualys.Gateway] = to(gatewayURL)
	}
	return all
}

// host writes an endpoint as every other spelling of it.
func host(url string) string { return strings.ToLower(strings.TrimRight(url, "/")) }

// recall keeps the client from sending what was rejected.
func (r Refusals) recall(cfg *qualysvmdrreceiver.Config, client *qualys.Client) {
	for endpoint, l := range logins(cfg) {
		if err, known := r[l]; known {
			client.Recall(qualys.Rejection{Endpoint: endpoint, Err: err})
		}
	}
}

// remember adds what was rejected of the client's.
func (r Refusals) remember(cfg *qualysvmdrreceiver.Config, client *qualys.Client) {
	for endpoint, l := range logins(cfg) {
		if err := client.Rejection(endpoint); err != nil {
			r[l] = err
		}
	}
}
