// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var refusedAt = time.Date(2025, 3, 4, 5, 6, 7, 0, time.FixedZone("CET", 3600))

// badLogin is a refusal that holds for a quarter of an hour.
var badLogin = Refusal{Message: "Bad Login/Password", Since: refusedAt, Next: refusedAt.Add(15 * time.Minute), Tries: 3}

func remember(t *testing.T, c *client) *Refusals {
	t.Helper()
	r := NewRefusals(New(c))
	require.NoError(t, r.Remember(t.Context(), "server", badLogin, "example_ab1", "correct horse"))
	return r
}

func TestRefusedCredentialsAreKnownAfterARestart(t *testing.T) {
	tests := map[string]struct {
		endpoint    string
		credentials []string
		want        bool
	}{
		"the same":         {"server", []string{"example_ab1", "correct horse"}, true},
		"another password": {"server", []string{"example_ab1", "correct horse2"}, false},
		"another user":     {"server", []string{"example_ab2", "correct horse"}, false},
		"the same letters": {"server", []string{"example_ab1c", "orrect horse"}, false},
		"one part":         {"server", []string{"example_ab1"}, false},
		"another endpoint": {"gateway", []string{"example_ab1", "correct horse"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient()
			remember(t, c)
			afterRestart := NewRefusals(New(c))
			refusal, known := afterRestart.Recall(t.Context(), tt.endpoint)
			assert.Equal(t, tt.endpoint == "server", known)
			assert.Equal(t, tt.want, refusal.Of(tt.credentials...))
			if known {
				assert.Equal(t, "Bad Login/Password", refusal.Message)
				assert.True(t, refusedAt.Equal(refusal.Since), "%s", refusal.Since)
				assert.True(t, badLogin.Next.Equal(refusal.Next), "%s", refusal.Next)
				assert.Equal(t, 3, refusal.Tries)
			}
		})
	}
}

func TestRefusalsHoldForAWhile(t *testing.T) {
	for name, tt := range map[string]struct {
		after time.Duration
		want  bool
	}{
		"at once":                   {0, true},
		"shortly before the end":    {15*time.Minute - 1, true},
		"after 15 minutes":          {15 * time.Minute, false},
		"clock was set back":        {-10 * time.Minute, true},
		"clock was set back by far": {-24 * time.Hour, false},
	} {
		assert.Equal(t, tt.want, badLogin.Holds(refusedAt.Add(tt.after)), name)
	}
}

func TestRefusalsOfBothEndpoints(t *testing.T) {
	c := newClient()
	r := remember(t, c)
	locked := badLogin
	locked.Message = "locked"
	require.NoError(t, r.Remember(t.Context(), "gateway", locked, "example_ab1", "correct horse"))
	server, _ := r.Recall(t.Context(), "server")
	assert.Equal(t, "Bad Login/Password", server.Message)
	gateway, _ := r.Recall(t.Context(), "gateway")
	assert.Equal(t, "locked", gateway.Message)

	require.NoError(t, r.Forget(t.Context(), "server"))
	require.NoError(t, r.Forget(t.Context(), "elsewhere"))
	_, known := r.Recall(t.Context(), "server")
	assert.False(t, known)
	_, known = r.Recall(t.Context(), "gateway")
	assert.True(t, known)
}

func TestCredentialsAreNotStored(t *testing.T) {
	first, second := newClient(), newClient()
	remember(t, first)
	remember(t, second)
	for _, value := range first.data {
		assert.NotContains(t, string(value), "example_ab1")
		assert.NotContains(t, string(value), "correct horse")
	}
	assert.NotEqual(t, first.data, second.data, "without a random key of its own the hash could be looked up")
}

func TestRefusalsThatCannotBeReadAreStartedAnew(t *testing.T) {
	for name, stored := range map[string]string{
		"garbage":         "{",
		"another version": `{"version":1,"document":{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","endpoints":{"server":{}}}}`,
		"no key":          `{"version":2,"document":{"endpoints":{}}}`,
		"no endpoints":    `{"version":2,"document":{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient()
			c.data["document/refusals"] = []byte(stored)
			r := NewRefusals(New(c))
			_, known := r.Recall(t.Context(), "server")
			assert.False(t, known)
			require.NoError(t, r.Forget(t.Context(), "server"))
			remember(t, c)
			_, known = r.Recall(t.Context(), "server")
			assert.True(t, known)
		})
	}
}

func TestRefusalsTellWhenTheyCannotBeStored(t *testing.T) {
	c := newClient()
	c.writeErr = errDisk
	require.ErrorIs(t, NewRefusals(New(c)).Remember(t.Context(), "server", badLogin, "example_ab1", "correct horse"), errDisk)
}

func TestRefusalsWithoutStorage(t *testing.T) {
	r := NewRefusals(New(nil))
	require.NoError(t, r.Remember(t.Context(), "server", badLogin, "example_ab1", "correct horse"))
	_, known := r.Recall(t.Context(), "server")
	assert.False(t, known)
}
