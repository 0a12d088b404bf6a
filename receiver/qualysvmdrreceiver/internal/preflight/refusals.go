// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"strings"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// Refusals are the logins that hosts have refused, and what they said: receivers that are checked one after the other can
// have the same account, and repeated bad logins lock it.
type Refusals map[login]*qualys.Error

// login is what is sent to a host to log in.
type login struct {
	url, username, password string
}

// logins are those of cfg that do not come from an authenticator.
func logins(cfg *qualysvmdrreceiver.Config) map[qualys.EndpointName]login {
	all := map[qualys.EndpointName]login{}
	to := func(url string) login {
		return login{strings.ToLower(strings.TrimRight(url, "/")), cfg.Username, string(cfg.Password)}
	}
	serverURL, gatewayURL := cfg.Endpoints()
	if !cfg.Server.Auth.HasValue() {
		all[qualys.Server] = to(serverURL)
	}
	if !cfg.Gateway.Auth.HasValue() {
		all[qualys.Gateway] = to(gatewayURL)
	}
	return all
}

// recall keeps the client from sending what was refused.
func (r Refusals) recall(cfg *qualysvmdrreceiver.Config, client *qualys.Client) {
	for endpoint, l := range logins(cfg) {
		if err, known := r[l]; known {
			client.Refuse(endpoint, err)
		}
	}
}

// remember adds what the client was refused.
func (r Refusals) remember(cfg *qualysvmdrreceiver.Config, client *qualys.Client) {
	for endpoint, l := range logins(cfg) {
		if err := client.Refused(endpoint); err != nil {
			r[l] = err
		}
	}
}
