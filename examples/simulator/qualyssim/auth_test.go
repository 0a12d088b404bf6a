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

func (c *client) clientLogin(path, secret string) answer {
	c.t.Helper()
	c.token = ""
	c.header.Set("clientId", DefaultClientID)
	c.header.Set("clientSecret", secret)
	defer c.header.Del("clientId")
	defer c.header.Del("clientSecret")
	return c.post(path, "")
}

func TestAPIClientsGetTokensForBothHosts(t *testing.T) {
	for _, path := range []string{"/auth/oidc", "/auth/oauth"} {
		c := newClient(t, Options{})
		got := c.clientLogin(path, DefaultClientSecret)
		require.Equal(t, http.StatusCreated, got.StatusCode, got.body)
		c.token = got.body
		assert.NotEmpty(t, c.detections("").flat(t))
		assert.NotEmpty(t, c.assets("", "").List.Assets)
		assert.Equal(t, ClientAuth, c.server.Requests()[0].Auth)

		require.NoError(t, c.server.SetFaults(Faults{RejectClientTokens: true}))
		refused := c.search("", "")
		requireFailed(t, refused, http.StatusBadRequest)
		assert.Contains(t, refused.body, "Error validating customer from token")
		assert.NotEmpty(t, c.detections("").flat(t))
		c.login()
		assert.NotEmpty(t, c.assets("", "").List.Assets, "tokens of users are good")
	}
}

func TestTokenInJSONOrNone(t *testing.T) {
	c := newClient(t, Options{Faults: Faults{Next: []NextFault{{Fault: TokenJSON, API: Auth}, {Fault: NoToken, API: Auth}}}})
	got := c.clientLogin("/auth/oidc", DefaultClientSecret)
	assert.Equal(t, http.StatusOK, got.StatusCode)
	var document struct {
		Token string `json:"access_token"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &document))
	assert.Equal(t, 2, strings.Count(document.Token, "."))
	got = c.clientLogin("/auth/oidc", DefaultClientSecret)
	assert.Equal(t, http.StatusOK, got.StatusCode)
	assert.NotContains(t, got.body, "ey")
}

func TestCredentialsRotate(t *testing.T) {
	c := newClient(t, Options{})
	require.Equal(t, http.StatusNoContent, c.control(http.MethodPost, "/credentials", `{"password":"new one","client_secret":"another"}`).StatusCode)
	requireReturn(t, c.list(detectionPath, ""), http.StatusUnauthorized, codeBadLogin)
	assert.Equal(t, http.StatusUnauthorized, c.clientLogin("/auth/oauth", DefaultClientSecret).StatusCode)
	assert.Equal(t, http.StatusCreated, c.clientLogin("/auth/oauth", "another").StatusCode)
	form := url.Values{"username": {DefaultUsername}, "password": {"new one"}, "token": {"true"}}
	assert.Equal(t, http.StatusCreated, c.post("/auth", form.Encode()).StatusCode)
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
