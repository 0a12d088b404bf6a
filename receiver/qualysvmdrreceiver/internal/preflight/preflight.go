// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package preflight finds out, with one cheap request for each configured dataset, whether login, permission and module are
// there, and what the account sees. It is for people who set up a receiver; the receiver itself sends no extra request.
//
// Credentials that were rejected are not sent again for another dataset of the same host, nor for another receiver, and limits are
// not waited for. Where an authenticator (auth:) logs in, nothing can be found out: it is an extension, which runs in a
// collector only.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// knownQID is a QID that every KnowledgeBase has had for many years (SSL certificates whose name does not match).
const knownQID = 38170

// Finding is what was found out about one dataset.
type Finding struct {
	Dataset string
	// Err is why the dataset could not be collected, nil: everything is there. It holds no credentials.
	Err error
	// Missing is what is missing, in a word or two, and Advice what to do about it.
	Missing, Advice string
}

// String is the finding in one line.
func (f Finding) String() string {
	if f.Err == nil {
		return f.Dataset + ": ok"
	}
	// Qualys's messages are sentences, most of the others are not.
	return fmt.Sprintf("%s: %s: %s. %s", f.Dataset, f.Missing, strings.TrimSuffix(f.Err.Error(), "."), f.Advice)
}

// Report is what was found out about one receiver.
type Report struct {
	// Findings are those of the datasets, in their order.
	Findings []Finding
	// Facts are what the responses have told besides, to be compared with Qualys's console. There are none where nothing answered.
	Facts []Fact
}

// check is the request for one dataset.
type check struct {
	dataset  string
	api      qualys.API
	endpoint *confighttp.ClientConfig
	ask      func(context.Context) error
}

// errAuthenticator is why nothing can be said about a dataset.
var errAuthenticator = errors.New("an authenticator logs in, which runs in a collector only")

// Run sends one request for each dataset that cfg has, and up to three that count what the account sees, one after the other.
// Each may take as long as timeout. Logins in refusals are not sent; those that are rejected are added to them. With an error,
// which is that of ctx or of settings that make no client, the report holds what was found out until then.
func Run(ctx context.Context, cfg *qualysvmdrreceiver.Config, timeout time.Duration, refusals Refusals) (Report, error) {
	limit := &limits{}
	client, err := newClient(ctx, cfg, limit)
	if err != nil {
		return Report{}, err
	}
	defer client.Close()
	refusals.recall(cfg, client)
	defer refusals.remember(cfg, client)
	s := &survey{client: client, user: cfg.Username, within: func(ask func(context.Context) error) error {
		return limit.within(ctx, timeout, ask)
	}}
	var report Report
	good := map[string]bool{}
	for _, c := range s.checks(cfg) {
		f := Finding{Dataset: c.dataset, Err: errAuthenticator}
		if !c.endpoint.Auth.HasValue() {
			s.asked = append(s.asked, c.api)
			f.Err = s.within(c.ask)
		}
		good[c.dataset] = f.Err == nil
		f.Missing, f.Advice = advise(c.dataset, f.Err)
		report.Findings = append(report.Findings, f)
	}
	s.count(cfg, good)
	report.Facts = s.facts()
	return report, ctx.Err()
}

// checks are the requests for the datasets of cfg.
func (s *survey) checks(cfg *qualysvmdrreceiver.Config) []check {
	var all []check
	if v := cfg.Vulnerabilities.Get(); cfg.Vulnerabilities.HasValue() {
		all = append(all, check{dataset.Vulnerabilities, qualys.Detections, &cfg.Server, func(ctx context.Context) error {
			return opened(s.client.Detections(ctx, qualys.DetectionQuery{Version: v.APIVersion, Limit: 1}))
		}})
	}
	if k := cfg.KnowledgeBase.Get(); cfg.KnowledgeBase.HasValue() {
		all = append(all, check{dataset.KnowledgeBase, qualys.KnowledgeBase, &cfg.Server, func(ctx context.Context) error {
			return opened(s.client.Entries(ctx, qualys.EntryQuery{Version: k.APIVersion, QIDs: []uint32{knownQID}}))
		}})
	}
	if h := cfg.Hosts.Get(); cfg.Hosts.HasValue() {
		all = append(all, check{dataset.Hosts, qualys.HostList, &cfg.Server, func(ctx context.Context) error {
			return s.readHosts(ctx, h.APIVersion)
		}})
	}
	if cfg.AssetInventory.HasValue() {
		all = append(all, check{dataset.AssetInventory, qualys.Assets, &cfg.Gateway, func(ctx context.Context) error {
			return opened(s.client.Assets(ctx, qualys.AssetQuery{PageSize: 1}))
		}})
	}
	if a := cfg.ActivityLog.Get(); cfg.ActivityLog.HasValue() {
		all = append(all, check{dataset.ActivityLog, qualys.ActivityLog, &cfg.Server, func(ctx context.Context) error {
			return s.readActivity(ctx, a.APIVersion)
		}})
	}
	return all
}

// opened closes a page: that it began as it should is all there is to know.
func opened[P interface{ Close() }](page P, err error) error {
	if err != nil {
		return err
	}
	page.Close()
	return nil
}

// newClient makes a client as the receiver does, without what belongs to a collector.
func newClient(ctx context.Context, cfg *qualysvmdrreceiver.Config, observer qualys.Observer) (*qualys.Client, error) {
	telemetry := component.TelemetrySettings{
		Logger:         zap.NewNop(),
		TracerProvider: nooptrace.NewTracerProvider(),
		MeterProvider:  noopmetric.NewMeterProvider(),
		Resource:       pcommon.NewResource(),
	}
	endpoint := func(key, address string, client *confighttp.ClientConfig) (qualys.Endpoint, error) {
		if client.Auth.HasValue() {
			return qualys.Endpoint{}, nil
		}
		httpClient, err := client.ToClient(ctx, nil, telemetry)
		if err != nil {
			return qualys.Endpoint{}, fmt.Errorf("%s: %w", key, err)
		}
		return qualys.Endpoint{URL: address, HTTP: httpClient, Username: cfg.Username, Password: string(cfg.Password)}, nil
	}
	serverURL, gatewayURL := cfg.Endpoints()
	server, err := endpoint("server", serverURL, &cfg.Server)
	if err != nil {
		return nil, err
	}
	gateway, err := endpoint("gateway", gatewayURL, &cfg.Gateway)
	if err != nil {
		return nil, err
	}
	return qualys.New(qualys.Settings{
		Server: server, Gateway: gateway, UserAgent: "qualysvmdrcheck",
		APIClient:       qualys.APIClient{ID: cfg.ClientID, Secret: string(cfg.ClientSecret), Type: qualys.ClientType(cfg.ClientType)},
		ReadIdleTimeout: cfg.ReadIdleTimeout, PageTimeout: cfg.PageTimeout, Observer: observer,
	}), nil
}
