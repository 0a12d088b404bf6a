// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func jwt(payload string) string {
	return "eyJhbGciOiJIUzUxMiJ9." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2lnbmF0dXJl"
}

// bubbleStart is when time begins in a bubble.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestTokensAreRenewedInTime(t *testing.T) {
	for _, tt := range []struct {
		name    string
		token   string
		renewed time.Duration
	}{
		{name: "tells an hour", token: jwt(fmt.Sprintf(`{"exp":%d}`, bubbleStart.Add(time.Hour).Unix())), renewed: 59 * time.Minute},
		{name: "tells a minute", token: jwt(fmt.Sprintf(`{"exp":%d.5}`, bubbleStart.Add(time.Minute).Unix())), renewed: 54 * time.Second},
		{name: "tells nothing", token: jwt(`{}`), renewed: 239 * time.Minute},
		{name: "no payload", token: "opaque", renewed: 239 * time.Minute},
		{name: "payload is not JSON", token: jwt("{"), renewed: 239 * time.Minute},
		{name: "payload is not text", token: "a.=.b", renewed: 239 * time.Minute},
		{name: "expired by our clock", token: jwt(`{"exp":1}`), renewed: 239 * time.Minute},
		{name: "far away", token: jwt(`{"exp":1e300}`), renewed: maxLife - time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/auth" {
					respond(201, " "+tt.token+"\n")(w, r)
					return
				}
				respond(204, "")(w, r)
			}
			synctest.Test(t, func(t *testing.T) {
				f, c, _ := start(t, handler)
				ask := func() {
					_, err := readAssets(t.Context(), c, AssetQuery{})
					require.NoError(t, err)
				}
				ask()
				pass(tt.renewed - time.Second)
				ask()
				assert.Len(t, f.received(), 3, "one login, two calls")
				pass(time.Second)
				ask()
				assert.Len(t, f.received(), 5)
				login := f.received()[0]
				assert.Equal(t, "gateway.test", login.host)
				assert.Equal(t, url.Values{"username": {username}, "password": {password}, "token": {"true"}}, login.form)
				assert.Empty(t, login.header.Get("Authorization"))
				assert.Equal(t, "Bearer "+tt.token, f.received()[1].header.Get("Authorization"))
			})
		})
	}
}

func TestARejectedTokenIsReplacedOnce(t *testing.T) {
	expired := respond(401, `{"status":401,"error":"Unauthorized","message":"JWT expired"}`)
	for _, tt := range []struct {
		name      string
		responses []http.HandlerFunc
		paths     string
		outcomes  string
		err       string
		refused   bool // the login: nothing more is sent
	}{
		{
			name:      "accepted then",
			responses: []http.HandlerFunc{respond(201, "token-1"), expired, respond(200, "token-2"), respond(204, "")},
			paths:     "/auth asset /auth asset",
			outcomes:  "auth ok, assets new_token, auth ok, assets ok",
		},
		{
			name:      "rejected again",
			responses: []http.HandlerFunc{respond(201, "token-1"), expired, respond(201, "token-2"), expired},
			paths:     "/auth asset /auth asset",
			outcomes:  "auth ok, assets new_token, auth ok, assets ambiguous",
			err:       "assets: HTTP 401: Unauthorized: JWT expired",
		},
		{
			name:      "rejected again with Qualys's code",
			responses: []http.HandlerFunc{respond(201, "token-1"), expired, respond(201, "token-2"), respond(401, simpleReturn(2000, "Bad Login/Password"))},
			paths:     "/auth asset /auth asset",
			outcomes:  "auth ok, assets new_token, auth ok, assets ambiguous",
			err:       "assets: HTTP 401: code 2000: Bad Login/Password",
		},
		{
			name:      "login refused",
			responses: []http.HandlerFunc{respond(201, "token-1"), expired, respond(401, "")},
			paths:     "/auth asset /auth",
			outcomes:  "auth ok, assets new_token, auth config",
			err:       "auth: HTTP 401: empty response",
			refused:   true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c, o := start(t, responses(tt.responses...))
				_, err := readAssets(t.Context(), c, AssetQuery{})
				assert.Equal(t, tt.paths, strings.ReplaceAll(strings.Join(f.paths(), " "), "/rest/2.0/search/am/", ""))
				assert.Equal(t, tt.outcomes, strings.Join(o.outcomes, ", "))
				if tt.err == "" {
					require.NoError(t, err)
					assert.Equal(t, "Bearer token-2", f.received()[3].header.Get("Authorization"))
					return
				}
				e := requireError(t, err)
				assert.Equal(t, tt.err, e.Error())
				assert.Equal(t, tt.refused, e.Login)
				assert.Equal(t, tt.refused, c.Rejection(Gateway) != nil)
				if !tt.refused {
					assert.Equal(t, Ambiguous, e.Class, "/auth takes the login")
					return
				}
				assert.Equal(t, Config, e.Class)
				sent := len(f.received())
				_, again := readAssets(t.Context(), c, AssetQuery{})
				assert.Same(t, err, again)
				assert.Len(t, f.received(), sent)
			})
		})
	}
}

// A message ends in logs and in the status: no token may be in one, in whatever shape it comes.
func TestResponsesThatAreNoTokens(t *testing.T) {
	const issued = "eyJ0b2tlbiI6.c2VjcmV0.c2ln"
	for _, tt := range []struct {
		name, body, message string
		status              int
		class               Class
		login               bool
	}{
		{name: "HTML", status: 200, body: "<html><title>Welcome</title></html>", message: "HTML page: Welcome: response is not a token", class: Ambiguous},
		{name: "empty", status: 201, body: " \n", message: "empty response", class: Ambiguous},
		{name: "HTML with a token", status: 200, body: "<html><title>Welcome</title>" + issued + "</html>", message: "HTML page: Welcome", class: Ambiguous},
		{name: "two words", status: 201, body: "token " + issued, message: "auth: HTTP 201: response is not a token", class: Ambiguous},
		{name: "JSON", status: 201, body: `{"access_token":"` + issued + `","message":"` + issued + `"}`, message: "auth: HTTP 201: response is not a token", class: Ambiguous},
		{name: "JSON array", status: 201, body: `["` + issued + `"]`, class: Ambiguous},
		{name: "cut JSON", status: 201, body: `"` + issued, class: Ambiguous},
		{name: "quotes around nothing", status: 201, body: `""`, class: Ambiguous},
		{name: "XML", status: 201, body: "<token>" + issued + "</token>", class: Ambiguous},
		{name: "return without a code", status: 200, body: simpleReturn(0, issued), class: Ambiguous},
		{name: "maintenance, by Qualys's code", status: 200, body: simpleReturn(1999, "maintenance"), message: "auth: HTTP 200: code 1999: maintenance"},
		{name: "too long", status: 201, body: strings.Repeat("x", maxToken+1), class: Ambiguous},
		{name: "bad login", status: 401, body: `{"error":"Unauthorized"}`, class: Config, login: true, message: "auth: HTTP 401: Unauthorized"},
		{name: "wrong address", status: 404, class: Ambiguous},
		{name: "account locked, by Qualys's code", status: 409, body: simpleReturn(2002, "inactive"), class: Config, login: true},
		{name: "down", status: 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c, _ := start(t, respond(tt.status, tt.body))
				_, err := readAssets(t.Context(), c, AssetQuery{})
				e := requireError(t, err)
				assert.Equal(t, Auth, e.API)
				assert.Equal(t, tt.class.String(), e.Class.String())
				assert.Equal(t, tt.login, e.Login)
				assert.Contains(t, e.Error(), tt.message)
				assert.NotContains(t, e.Error(), password)
				assert.NotContains(t, e.Error(), issued)
				assert.Equal(t, []string{"/auth"}, f.paths())
			})
		})
	}
}

func TestTokensInQuotesAreTaken(t *testing.T) {
	handler := responses(respond(201, "\"token-1\"\n"), respond(204, ""))
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, handler)
		_, err := readAssets(t.Context(), c, AssetQuery{})
		require.NoError(t, err)
		assert.Equal(t, "Bearer token-1", f.received()[1].header.Get("Authorization"))
	})
}

func TestTokensAreShared(t *testing.T) {
	logins := 0
	tk := newTokens(func(context.Context) (string, error) {
		logins++
		return fmt.Sprintf("token-%d", logins), nil
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			token, err := tk.get(t.Context())
			assert.NoError(t, err)
			assert.Equal(t, "token-1", token)
		})
	}
	all.Wait()

	tk.drop(t.Context(), "token-0")
	token, err := tk.get(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "token-1", token, "another one was rejected")
	tk.drop(t.Context(), "token-1")
	token, err = tk.get(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "token-2", token)

	tk.slot <- struct{}{} // somebody logs in for ever
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = tk.get(ended)
	require.ErrorIs(t, err, context.Canceled)
	tk.drop(ended, "token-2")
}

// Nine requests that need a token must not become nine logins while the gateway is down.
func TestAFailedLoginIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := 0
		down := errors.New("down")
		tk := newTokens(func(context.Context) (string, error) {
			logins++
			pass(time.Minute)
			if logins < 3 {
				return "", down
			}
			return "token", nil
		})
		var all sync.WaitGroup
		for range 9 {
			all.Go(func() {
				_, err := tk.get(t.Context())
				assert.ErrorIs(t, err, down)
			})
		}
		all.Wait()
		assert.Equal(t, 1, logins)
		_, err := tk.get(t.Context())
		require.ErrorIs(t, err, down, "the next one tries again")
		_, err = tk.get(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 3, logins)
	})
}

// An authenticator adds its own credentials; ours would replace them.
func TestAuthenticatorsAreLeftAlone(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "gateway.test" {
			respond(204, "")(w, r)
			return
		}
		good(w, r)
	}
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, handler, withAuthenticator)
		require.NoError(t, detections(t.Context(), c))
		_, err := readAssets(t.Context(), c, AssetQuery{})
		require.NoError(t, err)
		require.Len(t, f.received(), 2, "no login of ours")
		for _, call := range f.received() {
			assert.Empty(t, call.header.Get("Authorization"))
		}
	})
}

// apiClient makes an API client log in to both endpoints.
func apiClient(kind ClientType) func(*Settings) {
	return func(s *Settings) {
		s.APIClient = APIClient{ID: "client-1", Secret: "s3cr&t", Type: kind}
		for _, e := range []*Endpoint{&s.Server, &s.Gateway} {
			e.Username, e.Password = "", ""
		}
	}
}

// A token of an API client is good for both endpoints.
func TestAPIClients(t *testing.T) {
	token := jwt(fmt.Sprintf(`{"exp":%d}`, bubbleStart.Add(time.Hour).Unix()))
	for _, tt := range []struct {
		name string
		kind ClientType
		path string
		body string
	}{
		{name: "of a user, as text", kind: UserClient, path: "/auth/oidc", body: token + "\n"},
		{name: "of a subscription, in JSON", kind: SubscriptionClient, path: "/auth/oauth", body: `{"token_type":"Bearer","data":[{"access_token":"` + token + `"}],"expires_in":14400}`},
		{name: "in quotes", kind: UserClient, path: "/auth/oidc", body: `"` + token + `"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasPrefix(r.URL.Path, "/auth"):
					respond(200, tt.body)(w, r)
				case r.Host == "gateway.test":
					respond(204, "")(w, r)
				default:
					good(w, r)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				f, c, _ := start(t, handler, apiClient(tt.kind))
				ask := func() {
					require.NoError(t, detections(t.Context(), c))
					_, err := readAssets(t.Context(), c, AssetQuery{})
					require.NoError(t, err)
				}
				ask()
				login := f.received()[0]
				assert.Equal(t, "gateway.test", login.host)
				assert.Equal(t, tt.path, login.path)
				assert.Equal(t, "client-1", login.header.Get("clientId"))
				assert.Equal(t, "s3cr&t", login.header.Get("clientSecret"))
				assert.Equal(t, "application/x-www-form-urlencoded", login.header.Get("Content-Type"))
				assert.Empty(t, login.body)
				for _, call := range f.received()[1:] {
					assert.Equal(t, "Bearer "+token, call.header.Get("Authorization"))
					assert.Empty(t, call.header.Get("clientSecret"), "the secret goes to the gateway only")
				}
				assert.Len(t, f.received(), 3, "one login for both")
				pass(time.Hour)
				ask()
				assert.Len(t, f.received(), 6, "the token has expired")
			})
		})
	}
}

// A refused client is refused for both endpoints: no second login finds that out.
func TestARefusedAPIClientStopsBothEndpoints(t *testing.T) {
	for _, status := range []int{400, 401} {
		synctest.Test(t, func(t *testing.T) {
			var rejections []Rejection
			f, c, _ := start(t, respond(status, `{"error":"invalid_client","message":"s3cr\u0026t is wrong"}`), apiClient(UserClient), func(s *Settings) {
				s.Rejected = func(r Rejection) { rejections = append(rejections, r) }
			})
			e := requireError(t, detections(t.Context(), c))
			assert.Equal(t, Config, e.Class)
			assert.True(t, e.Login)
			assert.NotContains(t, e.Error(), "s3cr")
			_, err := readAssets(t.Context(), c, AssetQuery{})
			assert.Same(t, e, requireError(t, err))
			assert.Same(t, e, requireError(t, detections(t.Context(), c)))
			assert.Equal(t, []string{"/auth/oidc"}, f.paths())
			assert.Len(t, rejections, 1)
			assert.Same(t, e, c.Rejection(Server))
		})
	}
}

// What is no token, or more than one, is not sent anywhere.
func TestResponsesThatAreNoJWT(t *testing.T) {
	token := jwt(`{}`)
	for name, body := range map[string]string{
		"opaque":        "0123456789abcdef",
		"two":           `{"access_token":"` + token + `","id_token":"` + jwt(`{"exp":1}`) + `"}`,
		"none":          `{"access_token":"0123"}`,
		"not JSON":      "token: " + token,
		"three words":   "not.a.token",
		"empty":         "",
		"array of none": "[1, null]",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c, _ := start(t, respond(200, body), apiClient(UserClient))
				e := requireError(t, detections(t.Context(), c))
				assert.Equal(t, Ambiguous, e.Class)
				assert.NotContains(t, e.Error(), token)
				assert.Equal(t, []string{"/auth/oidc"}, f.paths())
			})
		})
	}
}

// A token that the API server rejects is replaced once; then it is not the secret that is wrong.
func TestARejectedTokenOfAnAPIClient(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/auth") {
			respond(201, jwt(`{}`))(w, r)
			return
		}
		respond(401, simpleReturn(2000, "Bad Login/Password"))(w, r)
	}
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, handler, apiClient(UserClient))
		e := requireError(t, detections(t.Context(), c))
		assert.Equal(t, Ambiguous, e.Class)
		assert.False(t, e.Login)
		assert.Nil(t, c.Rejection(Server))
		assert.Equal(t, []string{"/auth/oidc", "/api/5.0/fo/asset/host/vm/detection/", "/auth/oidc", "/api/5.0/fo/asset/host/vm/detection/"}, f.paths())
	})
}
