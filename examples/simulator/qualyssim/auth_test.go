// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTokenIsABareJWT(t *testing.T) {
	c := newClient(t, Options{TokenLifetime: time.Hour})
	c.login()
	parts := strings.Split(c.token, ".")
	require.Len(t, parts, 3)
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var claims struct{ Exp int64 }
	require.NoError(t, json.Unmarshal(payload, &claims))
	assert.Equal(t, start.Add(time.Hour), time.Unix(claims.Exp, 0).UTC())
}

func TestTokensExpire(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		expire  func(*client)
	}{
		"after a time":  {Options{TokenLifetime: time.Hour}, func(c *client) { c.clock.move(time.Hour) }},
		"after uses":    {Options{TokenUses: 2}, func(c *client) { c.assets("", "") }},
		"when revoked":  {Options{}, func(c *client) { c.server.RevokeTokens() }},
		"by the server": {Options{}, func(c *client) { c.server.Advance(4 * time.Hour) }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, test.options)
			c.login()
			c.assets("", "")
			test.expire(c)
			got := c.search("", "")
			assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
			assert.JSONEq(t, `{"status":401,"error":"Unauthorized","message":"JWT expired"}`, got.body)
			c.login()
			c.assets("", "")
		})
	}
}

func TestAPIServerTakesTokens(t *testing.T) {
	c := newClient(t, Options{})
	c.login()
	assert.NotEmpty(t, c.detections("").flat(t))
	requests := c.server.Requests()
	assert.Equal(t, BearerAuth, requests[len(requests)-1].Auth)
}

func TestBadLogins(t *testing.T) {
	c := newClient(t, Options{})
	form := url.Values{"username": {DefaultUsername}, "password": {"wrong"}, "token": {"true"}}
	assert.Equal(t, http.StatusUnauthorized, c.post("/auth", form.Encode()).StatusCode)

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url, nil)
	require.NoError(t, err)
	request.SetBasicAuth(DefaultUsername, "wrong")
	c.header.Set("Authorization", request.Header.Get("Authorization"))
	requireReturn(t, c.list(detectionPath, ""), http.StatusUnauthorized, codeBadLogin)
}

// A test can see how often a client logged in, and never the password.
func TestPasswordIsNotLogged(t *testing.T) {
	c := newClient(t, Options{})
	c.login()
	requests := c.server.Requests()
	require.Len(t, requests, 1)
	assert.Equal(t, Auth, requests[0].API)
	assert.Equal(t, DefaultUsername, requests[0].Form.Get("username"))
	assert.Equal(t, "***", requests[0].Form.Get("password"))
}
