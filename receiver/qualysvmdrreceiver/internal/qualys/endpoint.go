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
	// Authenticator tells that HTTP adds credentials by itself.
	Authenticator bool
}

// endpoint is an Endpoint at work.
type endpoint struct {
	base          string
	http          *http.Client
	username      string
	password      string
	authenticator bool
	login         *login
}

func newEndpoint(e Endpoint) *endpoint {
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
		login:         newLogin(),
	}
}

// request is what is asked of an API.
type request struct {
	api     API
	path    string
	query   url.Values
	form    url.Values // sent as the body; its names are looked for in errors
	json    []byte     // sent as the body if there is no form
	basic   bool       // log in with HTTP Basic
	bearer  bool       // needs a token
	token   string
	renewed bool // the token is the second one
	// open reads as much of a response as shows that it is what was asked for.
	open func(*response) error
}

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
	if len(body) > 0 {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("User-Agent", userAgent)
	// Set by us, so that net/http leaves inflating, and its limit, to us.
	req.Header.Set("Accept-Encoding", "gzip")
	if r.api.Endpoint() == Server {
		// Mandatory with any value on /api/…/fo/ (Qualys API documentation).
		req.Header.Set("X-Requested-With", userAgent)
	}
	switch {
	case r.basic && !e.authenticator && e.username != "":
		req.SetBasicAuth(e.username, e.password)
	case r.token != "":
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
	return secrets
}
