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
	ClientAuth AuthKind = "client" // headers clientId and clientSecret
)

func authKind(r *http.Request) AuthKind {
	if r.Header.Get("clientId") != "" {
		return ClientAuth
	}
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
	client  bool // of a Qualys API client
}

// issue makes a token of the shape of a JWT, for the account or for an API client.
func (t *tokens) issue(now time.Time, subject string, client bool) (string, error) {
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
		"sub": subject, "iss": "simulator", "jti": "simulated-" + strconv.Itoa(t.serial),
		"iat": now.Unix(), "exp": expires.Unix(),
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." + encode(claims)
	key := sha256.Sum256([]byte(subject)) // FIPS 140-3 takes no short keys
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(signed))
	text := signed + "." + encode(mac.Sum(nil))
	t.valid[text] = &token{expires: expires, client: client}
	return text, nil
}

// use counts a call with a token, and says whether it is an API client's, and why it is refused: "" if it is not.
func (t *tokens) use(text string, now time.Time) (client bool, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.valid[text]
	switch {
	case !ok && strings.Count(text, ".") != 2:
		return false, "Invalid JWT"
	case !ok, !now.Before(known.expires), t.options.TokenUses > 0 && known.uses >= t.options.TokenUses:
		return false, "JWT expired"
	}
	known.uses++
	return known.client, ""
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
		client, why := c.s.tokens.use(text, c.now)
		if why != "" {
			c.unauthorized(why)
			return false
		}
		c.client = client
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
	known := s.credentials.Load()
	return hmac.Equal([]byte(user), []byte(known.Username)) && hmac.Equal([]byte(password), []byte(known.Password))
}

func (s *Server) clientIs(id, secret string) bool {
	known := s.credentials.Load()
	return hmac.Equal([]byte(id), []byte(known.ClientID)) && hmac.Equal([]byte(secret), []byte(known.ClientSecret))
}

// Credentials are what the server takes: an account, and an API client.
type Credentials struct {
	Username     string `json:"username,omitempty"`
	Password     string `json:"password,omitempty"`
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
}

// Rotate replaces credentials from the next call on; what is empty stays. Tokens stay valid.
func (s *Server) Rotate(c Credentials) {
	s.rotating.Lock()
	defer s.rotating.Unlock()
	now := *s.credentials.Load()
	for _, one := range [...]struct{ to, from *string }{
		{&now.Username, &c.Username}, {&now.Password, &c.Password}, {&now.ClientID, &c.ClientID}, {&now.ClientSecret, &c.ClientSecret},
	} {
		if *one.from != "" {
			*one.to = *one.from
		}
	}
	s.credentials.Store(&now)
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
	c.sendToken(c.form.Get("username"), false)
}

// serveClientAuth is POST /auth/oidc and /auth/oauth: a token for a Qualys API client.
func serveClientAuth(c *call) {
	if c.r.Method != http.MethodPost {
		c.failed(http.StatusMethodNotAllowed, "Request method not supported")
		return
	}
	id := c.r.Header.Get("clientId")
	if !c.s.clientIs(id, c.r.Header.Get("clientSecret")) {
		c.unauthorized("Invalid client")
		return
	}
	c.sendToken(id, true)
}

// sendToken answers with a new token: as text with 201, or within JSON with 200 if that is the fault.
func (c *call) sendToken(subject string, client bool) {
	text, err := c.s.tokens.issue(c.now, subject, client)
	if err != nil {
		c.failed(http.StatusInternalServerError, err.Error())
		return
	}
	if c.mishap.answer[TokenJSON] {
		c.json(http.StatusOK, map[string]any{
			"access_token": text, "token_type": "Bearer", "expires_in": int(c.s.options.TokenLifetime / time.Second),
		})
		return
	}
	c.w.Header().Set("Content-Type", "text/plain;charset=UTF-8")
	c.w.WriteHeader(http.StatusCreated)
	c.write([]byte(text))
}
