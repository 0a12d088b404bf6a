// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver"
)

// configuration reads the configuration of a receiver.
func configuration(t *testing.T, text string) *qualysvmdrreceiver.Config {
	t.Helper()
	cfg, err := Configuration(confOf(t, text))
	require.NoError(t, err)
	return cfg
}

func confOf(t *testing.T, text string) *confmap.Conf {
	t.Helper()
	retrieved, err := confmap.NewRetrievedFromYAML([]byte(text))
	require.NoError(t, err)
	conf, err := retrieved.AsConf()
	require.NoError(t, err)
	return conf
}

const (
	password = "pa+ss &w%rd"
	all      = "vulnerabilities:\nknowledge_base:\nhosts:\nasset_inventory:\nactivity_log:\n"
)

// simulated is a simulated subscription with a configuration of it.
func simulated(t *testing.T, options qualyssim.Options, more string) (*qualyssim.Server, *qualysvmdrreceiver.Config) {
	t.Helper()
	options.Username, options.Password = "user", password
	sim := qualyssim.New(options)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return sim, configuration(t, fmt.Sprintf("server: {endpoint: %[1]q}\ngateway: {endpoint: %[1]q}\nusername: user\npassword: %[2]q\n", server.URL, password)+more)
}

// sent is how many requests each API has received.
func sent(sim *qualyssim.Server) map[qualyssim.API]int {
	counts := map[qualyssim.API]int{}
	for _, r := range sim.Requests() {
		counts[r.API]++
	}
	return counts
}

// found are the findings of a check.
func found(t *testing.T, cfg *qualysvmdrreceiver.Config, timeout time.Duration, refusals Refusals) ([]Finding, error) {
	t.Helper()
	report, err := Run(t.Context(), cfg, timeout, refusals)
	return report.Findings, err
}

func texts(findings []Finding) []string {
	var lines []string
	for _, f := range findings {
		lines = append(lines, f.String())
	}
	return lines
}

func TestOneRequestForEachDataset(t *testing.T) {
	sim, cfg := simulated(t, qualyssim.Options{Hosts: 1000, Assets: 1000}, all)
	findings, err := found(t, cfg, time.Minute, Refusals{})
	require.NoError(t, err)
	assert.Equal(t, []string{"vulnerabilities: ok", "knowledge_base: ok", "hosts: ok", "asset_inventory: ok", "activity_log: ok"}, texts(findings))
	assert.Equal(t, map[qualyssim.API]int{
		qualyssim.Detections: 1, qualyssim.KnowledgeBase: 1, qualyssim.HostList: 2, qualyssim.Auth: 1, qualyssim.Assets: 2, qualyssim.ActivityLog: 1,
	}, sent(sim), "one more counts the hosts, and one the assets")
	for _, r := range sim.Requests() {
		switch {
		case r.API == qualyssim.Detections:
			assert.Equal(t, "1", r.Form.Get("truncation_limit"), "a cheap request")
		case r.API == qualyssim.HostList && r.Form.Get("details") == "None":
			assert.Equal(t, "0", r.Form.Get("truncation_limit"), "of IDs alone all come at once")
		case r.API == qualyssim.HostList, r.API == qualyssim.ActivityLog:
			assert.Equal(t, "100", r.Form.Get("truncation_limit"), "a small page")
		case r.API == qualyssim.KnowledgeBase:
			assert.Equal(t, "38170", r.Form.Get("ids"), "without ids Qualys would answer with everything it has")
		case r.API == qualyssim.Assets && strings.Contains(r.Path, "search"):
			assert.Equal(t, "1", r.Query.Get("pageSize"))
		}
	}
}

func TestOnlyConfiguredDatasetsAreChecked(t *testing.T) {
	sim, cfg := simulated(t, qualyssim.Options{}, "activity_log:\n")
	findings, err := found(t, cfg, time.Minute, Refusals{})
	require.NoError(t, err)
	assert.Equal(t, []string{"activity_log: ok"}, texts(findings))
	assert.Equal(t, map[qualyssim.API]int{qualyssim.ActivityLog: 1}, sent(sim))
}

// Repeated bad logins lock the account.
func TestRefusedLoginIsSentOnceToEachHost(t *testing.T) {
	sim, cfg := simulated(t, qualyssim.Options{}, all)
	cfg.Password = "wrong-s3cret"
	findings, err := found(t, cfg, time.Minute, Refusals{})
	require.NoError(t, err)
	require.Len(t, findings, 5)
	for _, f := range findings {
		assert.Equal(t, "login", f.Missing)
		assert.Contains(t, f.Advice, "platform")
		assert.NotContains(t, f.String(), "wrong-s3cret")
		assert.NotContains(t, f.String(), "\n")
	}
	assert.Equal(t, map[qualyssim.API]int{qualyssim.Detections: 1, qualyssim.Auth: 1}, sent(sim))
}

// Two receivers can have the same account, as with different filters.
func TestRefusedLoginIsNotSentForAnotherReceiver(t *testing.T) {
	sim, cfg := simulated(t, qualyssim.Options{}, all)
	refusals := Refusals{}
	check := func(more func(*qualysvmdrreceiver.Config)) []Finding {
		t.Helper()
		another := *cfg
		another.Password = "wrong-s3cret"
		more(&another)
		findings, err := found(t, &another, time.Minute, refusals)
		require.NoError(t, err)
		require.Len(t, findings, 5)
		return findings
	}
	first := check(func(*qualysvmdrreceiver.Config) {})
	once := sent(sim)
	assert.Equal(t, map[qualyssim.API]int{qualyssim.Detections: 1, qualyssim.Auth: 1}, once)
	for i, f := range check(func(c *qualysvmdrreceiver.Config) { c.Server.Endpoint += "/" }) {
		assert.Equal(t, "login", f.Missing)
		assert.Equal(t, first[i].Advice, f.Advice)
		assert.ErrorContains(t, f.Err, "HTTP 401")
	}
	assert.Equal(t, once, sent(sim), "the same login is sent again")

	for _, f := range check(func(c *qualysvmdrreceiver.Config) { c.Password = password }) {
		assert.NoError(t, f.Err, "another password may be right")
	}
	before := sent(sim)
	check(func(c *qualysvmdrreceiver.Config) { c.Username = "another" })
	assert.Equal(t, before[qualyssim.Detections]+1, sent(sim)[qualyssim.Detections], "another user may have that password")
}

// clientHandler takes an API client in place of the account of a simulated subscription.
func clientHandler(sim *qualyssim.Server, secret string, logins *atomic.Int64) http.HandlerFunc {
	const token = "eyJhbGciOiJub25lIn0.e30.c2ln"
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/auth/oauth":
			logins.Add(1)
			if r.Header.Get("clientId") != "client-1" || r.Header.Get("clientSecret") != secret {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprintf(w, `{"access_token":%q}`, token)
		case r.Header.Get("Authorization") == "Bearer "+token:
			r.SetBasicAuth("user", password)
			sim.ServeHTTP(w, r)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
}

func TestAPIClientsAreChecked(t *testing.T) {
	sim := qualyssim.New(qualyssim.Options{Username: "user", Password: password, Hosts: 5})
	var logins atomic.Int64
	server := httptest.NewServer(clientHandler(sim, "s3cret-pass", &logins))
	t.Cleanup(server.Close)
	cfg := func(secret string) *qualysvmdrreceiver.Config {
		return configuration(t, fmt.Sprintf("server: {endpoint: %[1]q}\ngateway: {endpoint: %[1]q}\nclient_id: client-1\nclient_secret: %[2]q\nclient_type: subscription\nvulnerabilities:\nknowledge_base:\n", server.URL, secret))
	}
	refusals := Refusals{}
	for range 2 {
		findings, err := found(t, cfg("wrong-s3cret"), time.Minute, refusals)
		require.NoError(t, err)
		require.Len(t, findings, 2)
		for _, f := range findings {
			assert.Equal(t, "login", f.Missing)
			assert.Contains(t, f.Advice, "client_secret")
			assert.NotContains(t, f.String(), "wrong-s3cret")
		}
	}
	assert.Equal(t, int64(1), logins.Load(), "the same secret is sent once, for both hosts and for another receiver")
	findings, err := found(t, cfg("s3cret-pass"), time.Minute, refusals)
	require.NoError(t, err)
	assert.Equal(t, []string{"vulnerabilities: ok", "knowledge_base: ok"}, texts(findings))
	assert.Equal(t, int64(2), logins.Load())
}

// A message of Qualys ends with a full stop, another error does not.
func TestFindingsAreSentences(t *testing.T) {
	for _, text := range []string{"code 2010: The user lacks a permission for this API.", "connection refused"} {
		line := Finding{Dataset: "knowledge_base", Missing: "permission", Err: errors.New(text), Advice: "Grant it."}.String()
		assert.Equal(t, "knowledge_base: permission: "+strings.TrimSuffix(text, ".")+". Grant it.", line)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	tests := []struct {
		name    string
		fault   qualyssim.NextFault
		dataset string
		missing string
		advice  string
	}{
		{"no KnowledgeBase permission", qualyssim.NextFault{Fault: qualyssim.Forbidden, API: qualyssim.KnowledgeBase}, "knowledge_base", "permission", "Download vulnerability data"},
		{"no module", qualyssim.NextFault{Fault: qualyssim.Forbidden, API: qualyssim.Assets}, "asset_inventory", "permission, module or address", "CSAM"},
		{"expired account", qualyssim.NextFault{Fault: qualyssim.AccountExpired, API: qualyssim.Detections}, "vulnerabilities", "account", "renewed"},
		{"second factor", qualyssim.NextFault{Fault: qualyssim.SecondFactor, API: qualyssim.ActivityLog}, "activity_log", "account", "second factor"},
		{"parameter", qualyssim.NextFault{Fault: qualyssim.InvalidParameter, API: qualyssim.Detections}, "vulnerabilities", "version", "api_version"},
		{"maintenance", qualyssim.NextFault{Fault: qualyssim.Maintenance, API: qualyssim.Detections}, "vulnerabilities", "no response that can be used", "status page"},
		{"rate limit", qualyssim.NextFault{Fault: qualyssim.RateLimited, API: qualyssim.ActivityLog, Wait: 7200}, "activity_log", "limit", "later"},
		{"busy", qualyssim.NextFault{Fault: qualyssim.Busy, API: qualyssim.Detections}, "vulnerabilities", "limit", "later"},
		{"rate limit of the gateway", qualyssim.NextFault{Fault: qualyssim.TooManyRequests, API: qualyssim.Auth, Wait: 60}, "asset_inventory", "limit", "later"},
		{"redirect", qualyssim.NextFault{Fault: qualyssim.Redirect, API: qualyssim.Detections}, "vulnerabilities", "permission, module or address", "proxy"},
		{"empty answer", qualyssim.NextFault{Fault: qualyssim.Empty, API: qualyssim.ActivityLog}, "activity_log", "no response that can be used", "in its place"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sim, cfg := simulated(t, qualyssim.Options{Faults: qualyssim.Faults{Next: []qualyssim.NextFault{tt.fault}}}, all)
			findings, err := found(t, cfg, time.Minute, Refusals{})
			require.NoError(t, err)
			for _, f := range findings {
				switch {
				case f.Dataset == tt.dataset:
					require.Error(t, f.Err)
					assert.Equal(t, tt.missing, f.Missing)
					assert.Contains(t, f.Advice, tt.advice)
				case tt.missing != "account": // which stops all of the host
					assert.NoError(t, f.Err, f.Dataset)
				}
			}
			assert.LessOrEqual(t, sent(sim)[tt.fault.API], 1, "what was refused is sent again")
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	cfg := configuration(t, "server: {endpoint: \"http://127.0.0.1:1\"}\nusername: u\npassword: p\nvulnerabilities:\n")
	findings, err := found(t, cfg, time.Minute, Refusals{})
	require.NoError(t, err)
	assert.Equal(t, "connection", findings[0].Missing)
	assert.Contains(t, findings[0].String(), "vulnerabilities: connection: detections: ")
}

func TestSlowServer(t *testing.T) {
	_, cfg := simulated(t, qualyssim.Options{Faults: qualyssim.Faults{Delay: qualyssim.Duration(time.Hour)}}, "activity_log:\n")
	findings, err := found(t, cfg, 50*time.Millisecond, Refusals{})
	require.NoError(t, err)
	assert.ErrorContains(t, findings[0].Err, "no response for 50ms")
}

func TestAuthenticatorsCannotBeChecked(t *testing.T) {
	sim, cfg := simulated(t, qualyssim.Options{}, "vulnerabilities:\nasset_inventory:\n")
	withAuth := configuration(t, fmt.Sprintf("server: {endpoint: %q, auth: {authenticator: oauth2client}}\ngateway: {endpoint: %q}\nusername: user\npassword: %q\nvulnerabilities:\nasset_inventory:\n", cfg.Server.Endpoint, cfg.Gateway.Endpoint, password))
	findings, err := found(t, withAuth, time.Minute, Refusals{})
	require.NoError(t, err)
	require.Len(t, findings, 2)
	assert.Equal(t, "not checked", findings[0].Missing)
	assert.NoError(t, findings[1].Err)
	assert.Zero(t, sent(sim)[qualyssim.Detections])
}

func TestBrokenClientSettings(t *testing.T) {
	for _, key := range []string{"server", "gateway"} {
		cfg := configuration(t, "platform: US1\nusername: u\npassword: p\nactivity_log:\n"+key+": {tls: {ca_file: /does/not/exist.pem}}\n")
		_, err := Run(t.Context(), cfg, time.Minute, Refusals{})
		assert.ErrorContains(t, err, key+": ")
	}
}

func TestReceiversOfACollector(t *testing.T) {
	const receiver = "{platform: EU1, username: u, password: p, activity_log: null}"
	ids, found, err := Receivers(confOf(t, "receivers: {qualysvmdr/emea: "+receiver+", otlp: {protocols: null}, qualysvmdr: "+receiver+", 0$: null}\nexporters: {debug: null}\n"))
	require.NoError(t, err)
	assert.Equal(t, []component.ID{component.MustNewID("qualysvmdr"), component.MustNewIDWithName("qualysvmdr", "emea")}, ids)
	assert.True(t, found[ids[1]].ActivityLog.HasValue())

	for text, says := range map[string]string{
		"exporters: {debug: null}":                 "no receiver qualysvmdr",
		"receivers: {qualysvmdr: {platform: EU1}}": "receivers::qualysvmdr: ",
		"receivers: {qualysvmdr: {page_sise: 1}}":  "page_sise",
		"receivers: {qualysvmdr: [1]}":             "receivers::qualysvmdr: ",
		"receivers: [1]":                           "receivers: ",
	} {
		_, _, err := Receivers(confOf(t, text))
		assert.ErrorContains(t, err, says, text)
	}
}
