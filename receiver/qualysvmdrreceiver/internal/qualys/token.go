// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxToken    = 64 << 10      // bytes
	defaultLife = 4 * time.Hour // of a token that does not tell (Qualys documentation)
	maxLife     = 7 * 24 * time.Hour
	renewBefore = time.Minute // the end of a token's life
)

// tokens holds the token of the gateway and gets a new one when it is needed. It is safe for concurrent use.
type tokens struct {
	logIn func(context.Context) (string, error)
	slot  chan struct{} // holds whoever uses the fields below

	token string
	until time.Time
	err   error // of the last login

	logins atomic.Uint64 // that have ended
}

func newTokens(logIn func(context.Context) (string, error)) *tokens {
	return &tokens{logIn: logIn, slot: make(chan struct{}, 1)}
}

// get returns a token that is good for a while, a new one if need be. Callers at the same time share one login, and its failure.
func (t *tokens) get(ctx context.Context) (string, error) {
	logins := t.logins.Load()
	if err := t.enter(ctx); err != nil {
		return "", asError(Auth, 0, err)
	}
	defer t.leave()
	if t.token != "" && time.Now().Before(t.until) {
		return t.token, nil
	}
	if t.err != nil && t.logins.Load() != logins {
		return "", t.err // of the login that this one has waited for
	}
	token, err := t.logIn(ctx)
	if t.err = err; ctx.Err() != nil {
		t.err = nil // it is the caller who gave up
	}
	t.logins.Add(1)
	if err != nil {
		return "", err
	}
	now := time.Now()
	life := lifetime(token, now)
	t.token = token
	t.until = now.Add(life - min(renewBefore, life/10))
	return token, nil
}

// drop forgets a token that the gateway has rejected, unless it was replaced meanwhile.
func (t *tokens) drop(ctx context.Context, token string) {
	if t.enter(ctx) != nil {
		return // get will say so
	}
	defer t.leave()
	if t.token == token {
		t.token = ""
	}
}

func (t *tokens) enter(ctx context.Context) error {
	select {
	case t.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *tokens) leave() { <-t.slot }

// lifetime is how long a token (a JWT) will be good, by the time in its payload. One that does not tell, or that our clock
// takes for expired, gets the usual time: if that is wrong, the gateway says so.
func lifetime(token string, now time.Time) time.Duration {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(payload, "="))
	if err != nil {
		return defaultLife
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(decoded, &claims) != nil {
		return defaultLife
	}
	left := claims.Exp - float64(now.Unix())
	if left <= 0 {
		return defaultLife
	}
	return time.Duration(min(left, maxLife.Seconds())) * time.Second
}

// logIn gets a new token from the gateway.
func (c *Client) logIn(ctx context.Context) (string, error) {
	var token string
	r, find := c.tokenRequest()
	r.open = func(a *response) (err error) {
		token, err = readToken(a, find)
		return err
	}
	a, err := c.exchange(ctx, r)
	if err != nil {
		return "", err
	}
	a.end(OutcomeOK)
	a.Close()
	return token, nil
}

// tokenRequest is the request for a token, with what finds it in the response (Qualys API documentation).
func (c *Client) tokenRequest() (r request, find func(body []byte) string) {
	client := c.settings.APIClient
	if client.ID == "" {
		return request{
			api:  Auth,
			path: "/auth",
			form: url.Values{"username": {c.gateway.username}, "password": {c.gateway.password}, "token": {"true"}},
		}, bareToken
	}
	path := "/auth/oidc"
	if client.Type == SubscriptionClient {
		path = "/auth/oauth"
	}
	return request{
		api:     Auth,
		path:    path,
		form:    url.Values{},
		headers: map[string]string{"clientId": client.ID, "clientSecret": client.Secret},
	}, findJWT
}

var errNoToken = errors.New("response is not a token")

// readToken reads the response of a login.
func readToken(a *response, find func([]byte) string) (string, error) {
	body, err := io.ReadAll(io.LimitReader(a, maxToken+1))
	if err != nil {
		return "", a.fail(err)
	}
	token := find(body)
	if len(body) > maxToken || !isToken(token) {
		return "", a.classified(errNoToken)
	}
	return token, nil
}

// bareToken returns a body that is nothing but a token. In quotes, as JSON would have it, it counts too.
func bareToken(body []byte) string {
	token := strings.TrimSpace(string(body))
	if strings.HasPrefix(token, `"`) {
		_ = json.Unmarshal([]byte(token), &token) // what is no JSON string is no token either
	}
	return token
}

// findJWT returns the JWT that a body is, or that is the only one among the strings of a JSON document; "": there is none, or
// more than one.
func findJWT(body []byte) string {
	if token := bareToken(body); isJWT(token) {
		return token
	}
	var document any
	if json.Unmarshal(body, &document) != nil {
		return ""
	}
	found := jwts(document, nil)
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// jwts appends the JWTs in a JSON document to found.
func jwts(document any, found []string) []string {
	switch value := document.(type) {
	case string:
		if isJWT(value) {
			found = append(found, value)
		}
	case []any:
		for _, element := range value {
			found = jwts(element, found)
		}
	case map[string]any:
		for _, element := range value {
			found = jwts(element, found)
		}
	}
	return found
}

// isJWT reports whether a text has the three parts of a JWT, of which the first is a JSON object.
func isJWT(text string) bool {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || !isToken(text) {
		return false
	}
	head, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[0], "="))
	return err == nil && json.Valid(head) && strings.HasPrefix(strings.TrimSpace(string(head)), "{")
}

// isToken reports whether a text can stand in an Authorization header as a bearer token (RFC 6750, section 2.1).
func isToken(text string) bool {
	for i := range len(text) {
		if c := text[i]; !inName(c) && !strings.ContainsRune("-.~+/=", rune(c)) {
			return false
		}
	}
	return text != ""
}
