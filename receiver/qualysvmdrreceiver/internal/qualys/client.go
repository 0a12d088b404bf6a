// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package qualys speaks to the two Qualys hosts that the receiver collects from: the API server (XML, CSV) and the API gateway
// (JSON).
//
// A [Client] sends one request at a time per API, keeps within the limits that Qualys announces, logs in no more often than
// needed, and hands every response on as a page that is read while it arrives. Waiting for a limit happens inside the calls
// and is not an error; everything else that goes wrong is an [*Error], classed by what can be done about it.
//
// A page holds its API until it is closed. Everything a page hands out is read by one goroutine; to interrupt it, end the
// context that the page was asked for with.
package qualys

import (
	"context"
	"errors"
	"fmt"
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

// The two hosts. A login is verified, or refused, for each of them on its own.
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
	// UserAgent names the receiver and its version in every request. "": qualysvmdr.
	UserAgent string
	// ReadIdleTimeout is the silence after which a response is given up while bytes of it are waited for. 0: never.
	ReadIdleTimeout time.Duration
	// PageTimeout is the time spent waiting for bytes, without one host, entry, asset or row completed in it, after which
	// a response is given up. 0: never.
	PageTimeout time.Duration
	// Reserve is the number of calls in each window that are left to other users of the subscription; a tenth of the limit
	// at most.
	Reserve int
	// Observer is told what the client does; nil is allowed.
	Observer Observer
	// MaxInflated is the greatest size of a response in bytes after inflating. 0: 64 GiB.
	MaxInflated int64
}

// defaultMaxInflated caps the size of one response.
const defaultMaxInflated = 64 << 30

// Client sends requests to Qualys. It is safe for concurrent use.
type Client struct {
	settings  Settings
	server    *endpoint
	gateway   *endpoint
	tokens    *tokens
	governors map[API]*governor
}

// New makes a client. Nothing is sent before the first call.
func New(s Settings) *Client {
	if s.Observer == nil {
		s.Observer = noObserver{}
	}
	if s.UserAgent == "" {
		s.UserAgent = "qualysvmdr"
	}
	if s.MaxInflated <= 0 {
		s.MaxInflated = defaultMaxInflated
	}
	c := &Client{
		settings:  s,
		server:    newEndpoint(s.Server),
		gateway:   newEndpoint(s.Gateway),
		governors: make(map[API]*governor),
	}
	for api := range endpoints {
		c.governors[api] = newGovernor(api, s.Reserve, s.Observer)
	}
	c.tokens = newTokens(c.logIn)
	return c
}

// Refuse makes every further call to the endpoint return err at once, without sending anything: for a refusal that is known
// from elsewhere, as from before a restart. A nil err allows calls again.
func (c *Client) Refuse(name EndpointName, err *Error) {
	c.endpoint(name).login.refuse(err)
}

// Refused returns the error for which nothing is sent to the endpoint any more, or nil.
func (c *Client) Refused(name EndpointName) *Error {
	return c.endpoint(name).login.refusal()
}

// Concurrency returns how many requests of an API may run at once now, at least one.
func (c *Client) Concurrency(API) int { return 1 }

func (c *Client) endpoint(name EndpointName) *endpoint {
	if name == Server {
		return c.server
	}
	return c.gateway
}

// exchange sends a request as soon as the limits of its API allow, and again after every response that says "not now". The
// response it returns has been accepted by r.open and holds the API until it is closed.
func (c *Client) exchange(ctx context.Context, r request) (*response, error) {
	g := c.governors[r.api]
	if err := g.enter(ctx); err != nil {
		return nil, asError(r.api, 0, err)
	}
	for {
		if err := g.pause(ctx); err != nil {
			g.leave()
			return nil, asError(r.api, 0, err)
		}
		a, err := c.authorized(ctx, r)
		if err == nil {
			g.succeeded()
			a.release = g.leave
			return a, nil
		}
		if !g.postponed(err) {
			g.leave()
			return nil, err
		}
	}
}

// errTokenRejected: the gateway does not take a token that it issued earlier.
var errTokenRejected = errors.New("token rejected")

// authorized sends a request with the token that it needs. A token that is rejected is replaced once: it can expire early.
func (c *Client) authorized(ctx context.Context, r request) (*response, error) {
	if !r.bearer {
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
	}
}

// send sends a request once, through the login gate of its endpoint, and has its response opened.
func (c *Client) send(ctx context.Context, r request) (*response, error) {
	login := c.endpoint(r.api.Endpoint()).login
	alone, err := login.enter(ctx)
	if err != nil {
		return nil, asError(r.api, 0, err)
	}
	a, err := c.ask(ctx, r)
	login.leave(alone, err)
	return a, err
}

// ask sends a request and opens its response: what is not a response to it is an *Error.
func (c *Client) ask(ctx context.Context, r request) (*response, error) {
	e := c.endpoint(r.api.Endpoint())
	a, err := c.begin(ctx, e, r)
	if err != nil {
		return nil, err
	}
	c.governors[r.api].learn(a.header)
	if a.status/100 != 2 {
		err = a.refused(nil)
	} else {
		err = r.open(a)
	}
	if err == nil {
		a.keepHead = false
		a.head = nil
		return a, nil
	}
	if r.bearer && !r.renewed && a.status == 401 {
		err = errTokenRejected
	}
	a.end(outcomeOf(a.ctx, err))
	a.Close()
	return nil, err
}

var apiVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

// versioned returns the path of an API of the server.
func versioned(api API, version, rest string) (string, error) {
	if !apiVersion.MatchString(version) {
		return "", &Error{API: api, Class: Config, Err: fmt.Errorf("API version %q is not a number", version)}
	}
	return "/api/" + version + rest, nil
}
