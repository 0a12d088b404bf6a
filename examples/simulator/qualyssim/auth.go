// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// AuthKind is how a request identified itself.
type AuthKind string

// The kinds of authentication. FormAuth is the login at /auth.
const (
	NoAuth     AuthKind = "none"
	BasicAuth  AuthKind = "basic"
	BearerAuth AuthKind = "bearer"
	FormAuth   AuthKind = "form"
)

func authKind(r *http.Request) AuthKind {
	if _, _, ok := r.BasicAuth(); ok {
		return BasicAuth
	}
	if _, ok := bearer(r); ok {
		return BearerAuth
	}
	return NoAuth
}

func bearer(r *http.Request) (token string, ok bool) {
	return strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// tokens are the bearer tokens that were handed out.
type tokens struct {
	options *Options

	mu     sync.Mutex
	serial int
	valid  map[string]*token
}

type token struct {
	expires time.Time
	uses    int
}

// issue makes a token of the shape of a JWT.
func (t *tokens) issue(now time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for text, known := range t.valid {
		if !now.Before(known.expires) {
			delete(t.valid, text)
		}
	}
	t.serial++
	expires := now.Add(t.options.TokenLifetime)
	claims, err := json.Marshal(map[string]any{
		"sub": t.options.Username, "iss": "simulator", "jti": "simulated-" + strconv.Itoa(t.serial),
		"iat": now.Unix(), "exp": expires.Unix(),
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." + encode(claims)
	key := sha256.Sum256([]byte(t.options.Password)) // FIPS 140-3 takes no short keys, as a password may be
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(signed))
	text := signed + "." + encode(mac.Sum(nil))
	t.valid[text] = &token{expires: expires}
	return text, nil
}

// use counts a call with a token, and says why it is refused: "" if it is not.
func (t *tokens) use(text string, now time.Time) (why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.valid[text]
	switch {
	case !ok && strings.Count(text, ".") != 2:
		return "Invalid JWT"
	case !ok, !now.Before(known.expires), t.options.TokenUses > 0 && known.uses >= t.options.TokenUses:
		return "JWT expired"
	}
	known.uses++
	return ""
}

// revoke makes every token an expired one.
func (t *tokens) revoke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.valid)
}

// authorized answers a call itself if its login is not right. The API server takes a password or a token, the gateway
// only a token.
func (c *call) authorized() bool {
	if text, ok := bearer(c.r); ok {
		if why := c.s.tokens.use(text, c.now); why != "" {
			c.unauthorized(why)
			return false
		}
		return true
	}
	if c.gateway() {
		c.unauthorized("Full authentication is required to access this resource")
		return false
	}
	user, password, ok := c.r.BasicAuth()
	if !ok || !c.s.accountIs(user, password) {
		c.w.Header().Set("WWW-Authenticate", `Basic realm="simulator"`)
		c.send(replies[BadLogin], 0)
		return false
	}
	return true
}

func (s *Server) accountIs(user, password string) bool {
	return hmac.Equal([]byte(user), []byte(s.options.Username)) && hmac.Equal([]byte(password), []byte(s.options.Password))
}

// serveAuth is POST /auth: a bare token with 201.
func serveAuth(c *call) {
	if c.r.Method != http.MethodPost {
		c.failed(http.StatusMethodNotAllowed, "Request method not supported")
		return
	}
	if !c.s.accountIs(c.form.Get("username"), c.form.Get("password")) {
		c.unauthorized("Invalid username or password")
		return
	}
	if c.form.Get("token") != "true" {
		c.failed(http.StatusBadRequest, "token=true is required")
		return
	}
	text, err := c.s.tokens.issue(c.now)
	if err != nil {
		c.failed(http.StatusInternalServerError, err.Error())
		return
	}
	c.w.Header().Set("Content-Type", "text/plain;charset=UTF-8")
	c.w.WriteHeader(http.StatusCreated)
	c.write([]byte(text))
}
