// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package qualyssim is a Qualys API to run a client against: detections, KnowledgeBase, user activity log, login and asset
// inventory of a made-up subscription, with the limits, the errors and the mishaps of the real one.
//
// Content follows from Options.Seed and from the clock alone, is produced while it is sent, and can be listed
// (Server.DetectionsFor, Server.QIDs, Server.Assets, Server.Activities) to compare with what a client delivered.
package qualyssim

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server is the simulated platform, both API server and gateway. It is an http.Handler and safe for concurrent use.
type Server struct {
	*subscription

	content     content
	interceptor atomic.Pointer[Interceptor]

	credentials atomic.Pointer[Credentials]
	rotating    sync.Mutex // guards changes of credentials

	limits *limits
	tokens *tokens
	faults faultSource
	log    requestLog
	mux    *http.ServeMux
	ahead  atomic.Int64 // of Options.Clock, nanoseconds
}

// New makes a server. Options.Faults should be valid: a fault that is unknown is an answer that is right.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		subscription: newSubscription(o),
		limits:       newLimits(&o),
		tokens:       &tokens{options: &o, valid: map[string]*token{}},
		mux:          http.NewServeMux(),
	}
	s.credentials.Store(&Credentials{o.Username, o.Password, o.ClientID, o.ClientSecret})
	s.content = s.subscription
	if o.Script != nil {
		s.content = o.Script
	}
	s.faults.dice = newDice(o.Seed, purposeFaults, 0, 0)
	s.faults.set(o.Faults)

	s.mux.Handle("/api/{version}/fo/asset/host/vm/detection/{$}", s.endpoint(Detections, serveDetections))
	s.mux.Handle("/api/{version}/fo/asset/host/{$}", s.endpoint(HostList, serveHostList))
	s.mux.Handle("/api/{version}/fo/knowledge_base/vuln/{$}", s.endpoint(KnowledgeBase, serveKnowledgeBase))
	s.mux.Handle("/api/{version}/fo/activity_log/{$}", s.endpoint(ActivityLog, serveActivity))
	s.mux.Handle("/api/", s.endpoint(NoAPI, serveUnknownAPI))
	s.mux.Handle("/auth", s.endpoint(Auth, serveAuth))
	s.mux.Handle("/auth/oidc", s.endpoint(Auth, serveClientAuth))
	s.mux.Handle("/auth/oauth", s.endpoint(Auth, serveClientAuth))
	s.mux.Handle("/rest/2.0/search/am/asset", s.endpoint(Assets, serveAssetSearch))
	s.mux.Handle("/rest/2.0/count/am/asset", s.endpoint(Assets, serveAssetCount))
	s.mux.Handle("/", s.endpoint(NoAPI, serveUnknown))
	s.handleControl()
	return s
}

// ServeHTTP serves the API and, under /simulator, its control.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// SetFaults replaces what goes wrong from the next call on; the zero value heals everything.
func (s *Server) SetFaults(f Faults) error {
	if err := f.Validate(); err != nil {
		return err
	}
	s.faults.set(f)
	return nil
}

// Faults is what goes wrong at present. Next holds what no call has taken yet.
func (s *Server) Faults() Faults { return s.faults.current() }

// Requests lists the latest calls of the APIs, oldest first.
func (s *Server) Requests() []Request { return s.log.requests() }

// ClearRequests forgets the calls so far.
func (s *Server) ClearRequests() { s.log.clear() }

// RevokeTokens makes every bearer token an expired one.
func (s *Server) RevokeTokens() { s.tokens.revoke() }

// Now is the server's clock.
func (s *Server) Now() time.Time {
	return s.options.Clock().Add(time.Duration(s.ahead.Load())).UTC()
}

// Advance moves the server's clock forward.
func (s *Server) Advance(d time.Duration) { s.ahead.Add(int64(d)) }

func (s *Server) moment() moment { return s.at(s.Now()) }

func serveUnknownAPI(c *call) {
	c.genericReturn(http.StatusNotFound, "The requested API does not exist.")
}

func serveUnknown(c *call) {
	c.html(http.StatusNotFound, "<html><body><h1>404 Not Found</h1></body></html>\n")
}
