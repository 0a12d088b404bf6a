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

func remember(t *testing.T, c *client) *Refusals {
	t.Helper()
	r := NewRefusals(New(c))
	require.NoError(t, r.Remember(t.Context(), "server", "example_ab1", "correct horse", refusedAt, "Bad Login/Password"))
	return r
}

func TestRecentRefusal(t *testing.T) {
	tests := map[string]struct {
		endpoint, username, password string
		after                        time.Duration
		want                         bool
	}{
		"at once":                   {"server", "example_ab1", "correct horse", 0, true},
		"shortly before the end":    {"server", "example_ab1", "correct horse", 15*time.Minute - 1, true},
		"after 15 minutes":          {"server", "example_ab1", "correct horse", 15 * time.Minute, false},
		"clock was set back":        {"server", "example_ab1", "correct horse", -10 * time.Minute, true},
		"clock was set back by far": {"server", "example_ab1", "correct horse", -24 * time.Hour, false},
		"another password":          {"server", "example_ab1", "correct horse2", 0, false},
		"another user":              {"server", "example_ab2", "correct horse", 0, false},
		"the same letters":          {"server", "example_ab1c", "orrect horse", 0, false},
		"another endpoint":          {"gateway", "example_ab1", "correct horse", 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient()
			remember(t, c)
			afterRestart := NewRefusals(New(c))
			message, since, ok := afterRestart.Recent(t.Context(), tt.endpoint, tt.username, tt.password, refusedAt.Add(tt.after))
			assert.Equal(t, tt.want, ok)
			if tt.want {
				assert.Equal(t, "Bad Login/Password", message)
				assert.True(t, refusedAt.Equal(since), "%s", since)
			} else {
				assert.Empty(t, message)
				assert.Zero(t, since)
			}
		})
	}
}

func TestRefusalsOfBothEndpoints(t *testing.T) {
	c := newClient()
	r := remember(t, c)
	require.NoError(t, r.Remember(t.Context(), "gateway", "example_ab1", "correct horse", refusedAt, "locked"))
	message, _, _ := r.Recent(t.Context(), "server", "example_ab1", "correct horse", refusedAt)
	assert.Equal(t, "Bad Login/Password", message)
	message, _, _ = r.Recent(t.Context(), "gateway", "example_ab1", "correct horse", refusedAt)
	assert.Equal(t, "locked", message)
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

func TestRefusalsThatCannotBeReadAreStartedAfresh(t *testing.T) {
	for name, stored := range map[string]string{
		"garbage":      "{",
		"no key":       `{"version":1,"document":{"endpoints":{}}}`,
		"no endpoints": `{"version":1,"document":{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient()
			c.data["document/refusals"] = []byte(stored)
			r := NewRefusals(New(c))
			_, _, ok := r.Recent(t.Context(), "server", "example_ab1", "correct horse", refusedAt)
			assert.False(t, ok)
			remember(t, c)
			_, _, ok = r.Recent(t.Context(), "server", "example_ab1", "correct horse", refusedAt)
			assert.True(t, ok)
		})
	}
}

func TestRefusalsTellWhenTheyCannotBeStored(t *testing.T) {
	c := newClient()
	c.writeErr = errDisk
	require.ErrorIs(t, NewRefusals(New(c)).Remember(t.Context(), "server", "example_ab1", "correct horse", refusedAt, "Bad Login/Password"), errDisk)
}

func TestRefusalsWithoutStorage(t *testing.T) {
	r := NewRefusals(New(nil))
	require.NoError(t, r.Remember(t.Context(), "server", "example_ab1", "correct horse", refusedAt, "Bad Login/Password"))
	_, _, ok := r.Recent(t.Context(), "server", "example_ab1", "correct horse", refusedAt)
	assert.False(t, ok)
}
