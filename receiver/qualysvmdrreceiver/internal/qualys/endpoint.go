// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// Endpoint is one of the two Qualys hosts, and the way to it.
type Endpoint struct {
	// URL has a scheme and a host, and no path; a slash at its end does no harm.
	URL string
	// HTTP sends the requests. The client works on a copy of it that follows no redirect.
	HTTP *http.Client
	// Username and Password log in; empty with an authenticator.
	Username, Password string
	// Authenticator is true if HTTP adds credentials by itself.
	Authenticator bool
	// Credential returns what the authenticator would send now, as StableCredential does, without sending it. It may be nil.
	Credential func(context.Context) Secret
	// CloseIdle closes the connections that are not in use, if HTTP cannot do so itself. It may be nil.
	CloseIdle func()
}

// ClientType is the kind of a Qualys API client.
type ClientType string

// The kinds of Qualys API clients (Qualys API documentation).
const (
	// UserClient is a client of a user: its tokens come from /auth/oidc.
	UserClient ClientType = "user"
	// SubscriptionClient is a client of a subscription: its tokens come from /auth/oauth.
	SubscriptionClient ClientType = "subscription"
)

// APIClient is a Qualys API client, which takes the place of user name and password for both hosts.
type APIClient struct {
	ID, Secret string
	Type       ClientType
}

// endpoint is an Endpoint at work.
type endpoint struct {
	base          string
	http          *http.Client
	username      string
	password      string
	authenticator bool
	closeIdle     func()
	login         *login
}

func newEndpoint(name EndpointName, e Endpoint, rejected func(Rejection)) *endpoint {
	client := http.Client{}
	if e.HTTP != nil {
		client = *e.HTTP
	}
	// Credentials are added on every hop by round-trippers: a redirect would carry them to another host.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &endpoint{
		base:          strings.TrimRight(e.URL, "/"),
		http:          &client,
		username:      e.Username,
		password:      e.Password,
		authenticator: e.Authenticator,
		closeIdle:     e.CloseIdle,
		login:         newLogin(name, e, rejected),
	}
}

// request is what is asked of an API.
type request struct {
	api     API
	path    string
	query   url.Values
	form    url.Values // sent as the body; its names are looked for in errors
	json    []byte     // sent as the body if there is no form
	headers map[string]string
	login   loginKind
	token   string
	renewed bool // the token is the second one
	permit  *permit
	pass    passage
	// open reads as much of a response as shows that it is what was asked for.
	open func(*response) error
}

// loginKind is how a request shows who sends it.
type loginKind uint8

const (
	loginNone   loginKind = iota // by what it holds, or by an authenticator
	loginBasic                   // HTTP Basic
	loginBearer                  // a token
)

// build makes the HTTP request. Its body can be sent again, which authenticators rely on.
func (e *endpoint) build(ctx context.Context, r request, userAgent string) (*http.Request, error) {
	target := e.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	body, contentType := r.json, "application/json"
	if r.form != nil {
		body, contentType = []byte(r.form.Encode()), "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range r.headers {
		req.Header.Set(name, value)
	}
	if len(body) > 0 || r.form != nil {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("User-Agent", userAgent)
	// Set by us, so that net/http leaves inflating, and its limit, to us.
	req.Header.Set("Accept-Encoding", "gzip")
	if r.api.Endpoint() == Server {
		// Mandatory with any value on /api/…/fo/ (Qualys API documentation).
		req.Header.Set("X-Requested-With", userAgent)
	}
	switch r.login {
	case loginBasic:
		req.SetBasicAuth(e.username, e.password)
	case loginBearer:
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	return req, nil
}

// secrets are the strings that must never appear in a message.
func (e *endpoint) secrets(r request) []string {
	var secrets []string
	if e.password != "" {
		basic := base64.StdEncoding.EncodeToString([]byte(e.username + ":" + e.password))
		secrets = append(secrets, basic, url.QueryEscape(e.password), e.password)
	}
	if r.token != "" {
		secrets = append(secrets, r.token)
	}
	for _, value := range r.headers {
		secrets = append(secrets, value)
	}
	return secrets
}
