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
	"time"
)

const (
	maxToken    = 64 << 10      // bytes
	defaultLife = 4 * time.Hour // of a token that does not tell (Qualys documentation)
	renewBefore = time.Minute   // the end of a token's life
)

// tokens holds the token of the gateway and gets a new one when it is needed. It is safe for concurrent use.
type tokens struct {
	logIn func(context.Context) (string, error)
	turn  chan struct{} // holds whoever uses the fields below

	token string
	until time.Time
}

func newTokens(logIn func(context.Context) (string, error)) *tokens {
	return &tokens{logIn: logIn, turn: make(chan struct{}, 1)}
}

// get returns a token that is good for a while, a new one if need be. Several callers share one login.
func (t *tokens) get(ctx context.Context) (string, error) {
	if err := t.enter(ctx); err != nil {
		return "", asError(Auth, 0, err)
	}
	defer t.leave()
	if t.token != "" && time.Now().Before(t.until) {
		return t.token, nil
	}
	token, err := t.logIn(ctx)
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
	case t.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *tokens) leave() { <-t.turn }

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
	return time.Duration(min(left, maxWait.Seconds())) * time.Second
}

// logIn gets a new token from the gateway.
func (c *Client) logIn(ctx context.Context) (string, error) {
	var token string
	a, err := c.exchange(ctx, request{
		api:  Auth,
		path: "/auth",
		form: url.Values{"username": {c.gateway.username}, "password": {c.gateway.password}, "token": {"true"}},
		open: func(a *response) (err error) {
			token, err = readToken(a)
			return err
		},
	})
	if err != nil {
		return "", err
	}
	a.end(OutcomeOK)
	a.Close()
	return token, nil
}

var errNoToken = errors.New("response is not a token")

// readToken reads the response of a login, which is nothing but the token. In quotes, as JSON would have it, it counts too.
func readToken(a *response) (string, error) {
	body, err := io.ReadAll(io.LimitReader(a, maxToken+1))
	if err != nil {
		return "", a.fail(err)
	}
	token := strings.TrimSpace(string(body))
	if strings.HasPrefix(token, `"`) {
		_ = json.Unmarshal([]byte(token), &token) // what is no JSON string is no token either
	}
	if len(body) > maxToken || !isToken(token) {
		return "", a.refused(errNoToken)
	}
	return token, nil
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
