// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"fmt"
	"net/http"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/extension/extensionauth"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// endpoint makes the client of one of the two hosts, with the credentials for it.
func (r *vmdrReceiver) endpoint(ctx context.Context, host component.Host, key string, client *confighttp.ClientConfig, url string) (qualys.Endpoint, error) {
	httpClient, kept, err := newClient(ctx, r.config.MaxConcurrentRequests, client, host.GetExtensions(), r.settings.TelemetrySettings)
	if err != nil {
		return qualys.Endpoint{}, fmt.Errorf("%s: %w", key, err)
	}
	e := qualys.Endpoint{URL: url, HTTP: httpClient, CloseIdle: kept.closeIdle}
	if !client.Auth.HasValue() {
		e.Username, e.Password = r.config.Username, string(r.config.Password)
		return e, nil
	}
	e.Authenticator = true
	authenticator, err := client.Auth.Get().GetHTTPClientAuthenticator(ctx, host.GetExtensions())
	if err != nil {
		return qualys.Endpoint{}, fmt.Errorf("%s: %w", key, err)
	}
	e.Credential, err = supplied(authenticator, url)
	if err != nil {
		return qualys.Endpoint{}, fmt.Errorf("%s: %w", key, err)
	}
	return e, nil
}

// apiClient is the Qualys API client, without an ID if there is none.
func (c *Config) apiClient() qualys.APIClient {
	return qualys.APIClient{ID: c.ClientID, Secret: string(c.ClientSecret), Type: qualys.ClientType(c.ClientType)}
}

// supplied returns a function that tells what an authenticator would send: it is asked to authenticate a request that goes nowhere.
func supplied(authenticator extensionauth.HTTPClient, url string) (func(context.Context) qualys.Secret, error) {
	tripper, err := authenticator.RoundTripper(nowhere{})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) qualys.Secret {
		var authorization string
		request, err := http.NewRequestWithContext(context.WithValue(ctx, authorizationKey{}, &authorization), http.MethodPost, url, http.NoBody)
		if err != nil {
			return ""
		}
		response, err := tripper.RoundTrip(request)
		if err != nil {
			return ""
		}
		_ = response.Body.Close()
		return qualys.StableCredential(authorization)
	}, nil
}

// authorizationKey is the key of where nowhere puts the Authorization header that it was given.
type authorizationKey struct{}

// nowhere is a transport that sends nothing.
type nowhere struct{}

// RoundTrip takes note of the Authorization header.
func (nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	if into, ok := r.Context().Value(authorizationKey{}).(*string); ok {
		*into = r.Header.Get("Authorization")
	}
	return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}
