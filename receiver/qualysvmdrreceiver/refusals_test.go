// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// memory is a storage client that outlives what uses it.
type memory map[string][]byte

func (m memory) Get(_ context.Context, key string) ([]byte, error) { return m[key], nil }

func (m memory) Set(_ context.Context, key string, value []byte) error {
	m[key] = value
	return nil
}

func (m memory) Delete(_ context.Context, key string) error {
	delete(m, key)
	return nil
}

func (m memory) Batch(_ context.Context, ops ...*storage.Operation) error {
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = m[op.Key]
		case storage.Set:
			m[op.Key] = op.Value
		case storage.Delete:
			delete(m, op.Key)
		}
	}
	return nil
}

func (memory) Close(context.Context) error { return nil }

// headerAuth is an authenticator that adds an Authorization header.
type headerAuth struct{ authorization string }

func (*headerAuth) Start(context.Context, component.Host) error { return nil }

func (*headerAuth) Shutdown(context.Context) error { return nil }

func (a *headerAuth) RoundTripper(base http.RoundTripper) (http.RoundTripper, error) {
	return tripper(func(r *http.Request) (*http.Response, error) {
		with := r.Clone(r.Context())
		with.Header.Set("Authorization", a.authorization)
		return base.RoundTrip(with)
	}), nil
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var authID = component.MustNewID("headerauth")

func withAuth(cfg *Config) {
	cfg.Username, cfg.Password = "", ""
	cfg.Server.Auth = configoptional.Some(configauth.Config{AuthenticatorID: authID})
}

func refusalsIn(stored memory, cfg *Config) *refusals {
	r := &refusals{
		config: cfg, log: zap.NewNop(),
		urls: map[qualys.EndpointName]string{qualys.Server: "https://q.example.com", qualys.Gateway: "https://g.example.com"},
	}
	r.stored.Store(checkpoint.NewRefusals(checkpoint.New(stored)))
	return r
}

// The same credentials must not go out again because somebody restarts the collector.
func TestRejectedCredentialsAreKeptBackOverRestarts(t *testing.T) {
	password := func(cfg *Config) { cfg.Username, cfg.Password = "u", "s3cret-pass" }
	apiClient := func(cfg *Config) { cfg.ClientID, cfg.ClientSecret = "c", "s3cret-pass" }
	in := func(d time.Duration) time.Time { return time.Now().Add(d) }
	for _, tt := range []struct {
		name      string
		before    func(*Config)
		rejection qualys.Rejection
		after     func(*Config)
		held      bool
		tries     int
		retries   bool
	}{
		{name: "the same password", before: password, after: password, held: true, tries: 1},
		{name: "another password", before: password, after: func(cfg *Config) { cfg.Username, cfg.Password = "u", "another" }},
		{name: "an authenticator instead", before: password, after: withAuth},
		{name: "an API client instead", before: password, after: apiClient},
		{name: "the same API client", before: apiClient, after: apiClient, held: true, tries: 1},
		{name: "the API client is another one", before: apiClient, after: func(cfg *Config) { cfg.ClientID, cfg.ClientSecret = "c2", "s3cret-pass" }},
		{name: "the API client is of another type", before: apiClient, after: func(cfg *Config) {
			apiClient(cfg)
			cfg.ClientType = "subscription"
		}},
		{
			name: "an authenticator, for hours", before: withAuth, after: withAuth, held: true, tries: 3, retries: true,
			rejection: qualys.Rejection{Until: in(4 * time.Hour), Tries: 3, Credential: "Basic abc"},
		},
		{
			name: "an authenticator, its time has come", before: withAuth, after: withAuth, tries: 3, retries: true,
			rejection: qualys.Rejection{Until: in(-time.Second), Tries: 3, Credential: "Basic abc"},
		},
		{
			name: "another authenticator", before: withAuth,
			after: func(cfg *Config) {
				cfg.Server.Auth = configoptional.Some(configauth.Config{AuthenticatorID: component.MustNewID("other")})
			},
			rejection: qualys.Rejection{Until: in(4 * time.Hour), Tries: 3, Credential: "Basic abc"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stored := memory{}
			config := func(change func(*Config)) *Config {
				cfg := createDefaultConfig().(*Config)
				change(cfg)
				return cfg
			}
			rejection := tt.rejection
			rejection.Endpoint, rejection.Tries = qualys.Server, max(rejection.Tries, 1)
			rejection.Err = &qualys.Error{API: qualys.Detections, Status: 401, Class: qualys.Config, Login: true}
			before := refusalsIn(stored, config(tt.before))
			before.rejected(rejection)
			for _, value := range stored {
				assert.NotContains(t, string(value), "s3cret-pass")
				assert.NotContains(t, string(value), "abc")
			}

			after := refusalsIn(stored, config(tt.after))
			refusal, known := after.stored.Load().Recall(t.Context(), after.key(qualys.Server))
			require.True(t, known)
			recalled, same := after.rejection(qualys.Server, refusal, time.Now())
			assert.Equal(t, tt.tries > 0, same)
			if !same {
				return
			}
			assert.Equal(t, tt.tries, recalled.Tries)
			assert.Equal(t, tt.held, recalled.Until.After(time.Now()))
			assert.Equal(t, tt.retries, !recalled.Err.RetryAt.IsZero(), "a password counts as stopped for good")
			assert.True(t, recalled.Err.Login)
			assert.Contains(t, recalled.Err.Error(), "the same credentials were refused at ")
			assert.Contains(t, recalled.Err.Error(), "HTTP 401")
			if tt.retries {
				assert.True(t, recalled.Same("Basic abc"))
				assert.False(t, recalled.Same("Basic other"))
			}

			after.rejected(qualys.Rejection{Endpoint: qualys.Server})
			_, known = after.stored.Load().Recall(t.Context(), after.key(qualys.Server))
			assert.False(t, known, "they work again")
		})
	}
}

// What an authenticator supplies is looked at without sending anything.
func TestSuppliedCredentials(t *testing.T) {
	auth := &headerAuth{authorization: "Bearer abc"}
	credential, err := supplied(auth, "https://q.example.com")
	require.NoError(t, err)
	assert.Equal(t, qualys.Secret("Bearer abc"), credential(t.Context()))
	auth.authorization = "Bearer def"
	assert.Equal(t, qualys.Secret("Bearer def"), credential(t.Context()))
	auth.authorization = "AWS4-HMAC-SHA256 x"
	assert.Empty(t, credential(t.Context()), "a signature tells nothing")
}
