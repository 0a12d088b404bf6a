// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package qualys speaks to the two Qualys hosts that the receiver collects from: the API server (XML, CSV) and the API gateway
// (JSON).
//
// A [Client] sends as many requests of an API at once as Qualys allows, keeps within the limits that Qualys announces, logs in no more often than
// needed, and returns every response as a page that is read while it arrives. Waiting for a limit happens inside the calls
// and is not an error; everything else that goes wrong is an [*Error], classed by what can be done about it.
//
// A page holds its API until it is closed. Everything a page hands out is read by one goroutine; to interrupt it, end the
// context that the page was asked for with.
package qualys

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"
)

// API is one of the Qualys APIs: each has limits of its own. Its value appears in metrics and messages.
type API string

// The APIs the client speaks.
const (
	Detections    API = "detections"
	HostList      API = "host_list"
	KnowledgeBase API = "knowledge_base"
	ActivityLog   API = "activity_log"
	Assets        API = "assets"
	Auth          API = "auth"
)

// EndpointName names one of the two Qualys hosts as the configuration does.
type EndpointName string

// The two hosts. A login is verified, or rejected, for each of them on its own.
const (
	Server  EndpointName = "server"
	Gateway EndpointName = "gateway"
)

// endpoints are the hosts that serve the APIs.
var endpoints = map[API]EndpointName{
	Detections:    Server,
	HostList:      Server,
	KnowledgeBase: Server,
	ActivityLog:   Server,
	Assets:        Gateway,
	Auth:          Gateway,
}

// Endpoint returns the host that serves the API.
func (a API) Endpoint() EndpointName { return endpoints[a] }

// Settings is all that a client needs to know.
type Settings struct {
	// Server and Gateway are the two hosts; one that is not used may be left empty.
	Server, Gateway Endpoint
	// APIClient logs in to both, in place of their user names and passwords, if it has an ID. The gateway must be there then.
	APIClient APIClient
	// Rejected is told, once each time, that credentials were rejected, and once that they work again; nil is allowed. It may take as
	// long as storing that does.
	Rejected func(Rejection)
	// UserAgent names the receiver and its version in every request. "": qualysvmdr.
	UserAgent string
	// ReadIdleTimeout is the silence after which a response is given up while bytes of it are waited for. 0: never.
	ReadIdleTimeout time.Duration
	// PageTimeout is the time spent waiting for bytes, without one host, entry, asset or row completed in it, after which
	// a response is given up. 0: never.
	PageTimeout time.Duration
	// Reserve is the number of calls in each window that are left to other users of the subscription. Unless ReserveSet, it is
	// a tenth of the limit at most.
	Reserve    int
	ReserveSet bool
	// MaxConcurrent is how many requests of one API of the server run at once, at most. 0: 10. Those of the gateway run one at a
	// time.
	MaxConcurrent int
	// ConcurrencyReserve is how many of the requests at once that Qualys allows are left to other users of the subscription.
	ConcurrencyReserve int
	// Observer is told what the client does; nil is allowed.
	Observer Observer
	// MaxInflated is the greatest size of a response in bytes after inflating. 0: 64 GiB.
	MaxInflated int64
}

const (
	defaultMaxInflated   = 64 << 30
	defaultMaxConcurrent = 10
)

// Client sends requests to Qualys. It is safe for concurrent use.
type Client struct {
	settings Settings
	server   *endpoint
	gateway  *endpoint
	tokens   *tokens
	limiters map[API]*limiter
}

// New makes a client. Nothing is sent before the first call.
func New(s Settings) *Client {
	if s.Observer == nil {
		s.Observer = noObserver{}
	}
	if s.UserAgent == "" {
		s.UserAgent = "qualysvmdr"
	}
	if s.MaxConcurrent <= 0 {
		s.MaxConcurrent = defaultMaxConcurrent
	}
	if s.MaxInflated <= 0 {
		s.MaxInflated = defaultMaxInflated
	}
	c := &Client{
		settings: s,
		limiters: make(map[API]*limiter),
	}
	c.server = newEndpoint(Server, s.Server, s.Rejected)
	c.gateway = newEndpoint(Gateway, s.Gateway, c.gatewayRejected)
	for api := range endpoints {
		c.limiters[api] = newLimiter(api, s)
	}
	c.tokens = newTokens(c.logIn)
	return c
}

// gatewayRejected passes a rejection on. One of an API client holds for both endpoints.
func (c *Client) gatewayRejected(r Rejection) {
	if c.forBoth() {
		c.server.login.recall(r)
	}
	if c.settings.Rejected != nil {
		c.settings.Rejected(r)
	}
}

// Recall makes calls to an endpoint return the error of a rejection without sending anything as long as it holds: one that is
// known from elsewhere, as from before a restart. One without an error allows requests again.
func (c *Client) Recall(r Rejection) {
	c.endpoint(r.Endpoint).login.recall(r)
	if r.Endpoint == Gateway && c.forBoth() {
		c.server.login.recall(r)
	}
}

// forBoth reports whether a rejection by the gateway holds for the server as well: the token of an API client does.
func (c *Client) forBoth() bool {
	return c.settings.APIClient.ID != "" && !c.server.authenticator
}

// Rejection returns the error for which nothing is sent to the endpoint now, or nil.
func (c *Client) Rejection(name EndpointName) *Error {
	return c.endpoint(name).login.rejectedWith()
}

// Close closes the connections that are not in use. Those of pages that are closed later are not kept either.
func (c *Client) Close() {
	for _, e := range []*endpoint{c.server, c.gateway} {
		e.http.CloseIdleConnections()
		if e.closeIdle != nil {
			e.closeIdle()
		}
	}
}

// Concurrency returns how many requests of an API may run at once now, at least one.
//
// It is one until Qualys has said how many it allows; then as many less those that are left to others, MaxConcurrent at most, and
// fewer for a while after one too many (1960).
func (c *Client) Concurrency(api API) int { return c.limiters[api].concurrency() }

// Allowance is what the responses of an API have told of its limits, which all users of the subscription share.
type Allowance struct {
	// Calls are allowed in each Window, Remaining of them are left. -1: Qualys has not said.
	Calls, Remaining int64
	Window           time.Duration
	// Concurrent is how many requests may run at once, whoever sends them. 0: Qualys has not said.
	Concurrent int
}

// Allowance returns what Qualys has told last of the limits of an API.
func (c *Client) Allowance(api API) Allowance { return c.limiters[api].allowance() }

func (c *Client) endpoint(name EndpointName) *endpoint {
	if name == Server {
		return c.server
	}
	return c.gateway
}

// exchange sends a request as soon as the limits of its API allow, and again after every response that says "not now". The
// response it returns has been accepted by r.open and holds a slot of the API until it is closed.
func (c *Client) exchange(ctx context.Context, r request) (*response, error) {
	l := c.limiters[r.api]
	r.login = c.loginOf(r.api)
	if err := c.endpoint(r.api.Endpoint()).login.held(ctx); err != nil {
		return nil, err
	}
	for {
		p, err := l.acquire(ctx)
		if err != nil {
			return nil, asError(r.api, 0, err)
		}
		r.permit = p
		a, err := c.authorized(ctx, r)
		if err == nil {
			l.succeeded(p)
			a.release = func() { l.release(p) }
			return a, nil
		}
		again := l.postponed(p, err)
		l.release(p)
		if !again {
			return nil, err
		}
	}
}

// errTokenRejected: the gateway does not take a token that it issued earlier.
var errTokenRejected = errors.New("token rejected")

// authorized sends a request with the token that it needs. A token that is rejected is replaced once: it can expire early.
func (c *Client) authorized(ctx context.Context, r request) (*response, error) {
	if r.login != loginBearer {
		return c.send(ctx, r)
	}
	for {
		token, err := c.tokens.get(ctx)
		if err != nil {
			return nil, err
		}
		r.token = token
		a, err := c.send(ctx, r)
		if !errors.Is(err, errTokenRejected) {
			return a, err
		}
		c.tokens.drop(ctx, token)
		r.renewed = true
		c.limiters[r.api].resend(r.permit)
	}
}

// loginOf is how requests of an API show who sends them.
func (c *Client) loginOf(api API) loginKind {
	e := c.endpoint(api.Endpoint())
	switch {
	case api == Auth, e.authenticator:
		return loginNone
	case c.settings.APIClient.ID != "":
		return loginBearer
	case e.username == "":
		return loginNone
	case api.Endpoint() == Gateway:
		return loginBearer
	}
	return loginBasic
}

// send sends a request once, through the login gate of its endpoint, and has its response opened.
func (c *Client) send(ctx context.Context, r request) (*response, error) {
	login := c.endpoint(r.api.Endpoint()).login
	pass, err := login.enter(ctx)
	if err != nil {
		return nil, asError(r.api, 0, err)
	}
	r.pass = pass
	a, sent, err := c.ask(ctx, r)
	login.leave(pass, sent, err)
	return a, err
}

// ask sends a request and opens its response: what is not a response to it is an *Error. sent is what an authenticator has sent.
func (c *Client) ask(ctx context.Context, r request) (_ *response, sent Secret, err error) {
	e := c.endpoint(r.api.Endpoint())
	a, err := c.begin(ctx, e, r)
	if err != nil {
		return nil, "", err
	}
	if e.authenticator {
		sent = a.credential
	}
	a.limits = readLimits(a.header)
	c.limiters[r.api].learn(r.permit, a.status, a.limits)
	if a.status/100 != 2 || r.api == Assets && a.status == http.StatusAccepted { // 202: the same is being asked already
		err = a.classified(nil)
	} else {
		err = r.open(a)
	}
	if err == nil {
		a.keepHead = false
		a.head = nil
		return a, sent, nil
	}
	if r.login == loginBearer && !r.renewed && a.status == 401 {
		err = errTokenRejected
	}
	a.end(outcomeOf(a.ctx, err))
	a.Close()
	return nil, sent, err
}

var apiVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

// versioned returns the path of an API of the server.
func versioned(api API, version, rest string) (string, error) {
	if !apiVersion.MatchString(version) {
		return "", &Error{API: api, Class: Config, Err: fmt.Errorf("API version %q is not a number", version)}
	}
	return "/api/" + version + rest, nil
}
