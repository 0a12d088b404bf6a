// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/config/confighttp"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

const (
	// refusalHolds is how long a rejected password is not to be tried again after a restart: Qualys locks accounts after a few bad
	// logins, and a supervisor that restarts the collector would get there fast.
	refusalHolds = 15 * time.Minute
	// refusalStoring limits how long it may take to store that credentials were rejected.
	refusalStoring = 5 * time.Second
)

// refusals keeps credentials that were rejected from being sent again too soon, over restarts.
type refusals struct {
	config *Config
	log    *zap.Logger
	urls   map[qualys.EndpointName]string

	// stored is where they are kept: in the storage of the session that runs.
	stored atomic.Pointer[checkpoint.Refusals]
}

// rejected stores that an endpoint has rejected credentials, or that they work again.
func (r *refusals) rejected(rejection qualys.Rejection) {
	ctx, cancel := context.WithTimeout(context.Background(), refusalStoring)
	defer cancel()
	if rejection.Err == nil {
		if err := r.stored.Load().Forget(ctx, r.key(rejection.Endpoint)); err != nil {
			r.log.Warn("it could not be stored that the credentials work again", zap.Error(err))
		}
		return
	}
	now := time.Now()
	refusal := checkpoint.Refusal{Message: rejection.Err.Error(), Since: now, Next: rejection.Until, Tries: rejection.Tries}
	if refusal.Next.IsZero() {
		refusal.Next = now.Add(refusalHolds)
	}
	var credentials []string
	refusal.Kind, credentials = r.credentials(rejection.Endpoint, rejection.Credential)
	if err := r.stored.Load().Remember(ctx, r.key(rejection.Endpoint), refusal, credentials...); err != nil {
		r.log.Error("rejected credentials could not be stored; a restart would try them again", zap.Error(err))
	}
}

// recall keeps refusals in a store from now on, and tells the client which of its credentials were rejected before, by this
// collector or another one. Nothing is sent, not even by an authenticator. It may be called while no request is under way.
func (r *refusals) recall(ctx context.Context, store *checkpoint.Store, client *qualys.Client) {
	stored := checkpoint.NewRefusals(store)
	r.stored.Store(stored)
	for name := range r.urls {
		refusal, known := stored.Recall(ctx, r.key(name))
		if !known {
			continue
		}
		if rejection, same := r.rejection(name, refusal, time.Now()); same {
			client.Recall(rejection)
		}
	}
}

// rejection is what the client is to know of a refusal from before a restart, false: it does not concern today's credentials.
func (r *refusals) rejection(name qualys.EndpointName, refusal checkpoint.Refusal, now time.Time) (qualys.Rejection, bool) {
	kind, credentials := r.credentials(name, "")
	if refusal.Kind != kind {
		return qualys.Rejection{}, false
	}
	known := qualys.Rejection{Endpoint: name, Until: refusal.Next, Tries: refusal.Tries}
	if !refusal.Holds(now) {
		known.Until = now
	}
	e := &qualys.Error{API: qualys.API(name), Class: qualys.Config, Login: true}
	what := "change them, or restart after " + refusal.Next.UTC().Format(time.RFC3339)
	if r.endpoint(name).Auth.HasValue() {
		e.RetryAt = known.Until
		what = "they are tried again at " + known.Until.UTC().Format(time.RFC3339)
		if !refusal.Of(credentials...) {
			known.Same = func(credential qualys.Secret) bool { return refusal.Of(string(credential)) }
		}
	} else if !refusal.Of(credentials...) || !refusal.Holds(now) {
		return qualys.Rejection{}, false
	}
	e.Text = fmt.Sprintf("the same credentials were refused at %s, and may lock the account: %s (%s)", refusal.Since.UTC().Format(time.RFC3339), what, refusal.Message)
	known.Err = e
	return known, true
}

// credentials are those for an endpoint, with their kind. Of an authenticator only what it has sent is known, if at all.
func (r *refusals) credentials(name qualys.EndpointName, sent qualys.Secret) (kind string, parts []string) {
	switch client := r.endpoint(name); {
	case client.Auth.HasValue():
		return "authenticator " + client.Auth.Get().AuthenticatorID.String(), []string{string(sent)}
	case r.config.ClientID != "":
		return "client " + r.config.ClientType, []string{r.config.ClientID, string(r.config.ClientSecret)}
	default:
		return "password", []string{r.config.Username, string(r.config.Password)}
	}
}

func (r *refusals) endpoint(name qualys.EndpointName) *confighttp.ClientConfig {
	if name == qualys.Server {
		return &r.config.Server
	}
	return &r.config.Gateway
}

// key names an endpoint in the storage: credentials that another one rejects may be right here.
func (r *refusals) key(name qualys.EndpointName) string {
	return string(name) + " " + r.urls[name]
}
