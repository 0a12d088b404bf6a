// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

const (
	newPassword = "another pa+ss"
	newSecret   = "another s3cret"
)

// withAuthenticator has basicauth log in, with the password in a file.
const withAuthenticator = `
receivers:
  qualysvmdr:
    username: ""
    password: ""
    server: {auth: {authenticator: basicauth}}
extensions:
  basicauth: {client_auth: {username: %q, password_file: %q}}
service:
  extensions: [health_check, file_storage, basicauth]
`

// withReload has the receiver read a secret from a file when its configuration is read, and a second receiver that is none of
// its business.
const withReload = `
receivers:
  qualysvmdr: {%s}
  qualysvmdr/other: {server: {endpoint: %q}, username: "${env:QUALYS_USERNAME}", password: %q, activity_log: null}
service:
  pipelines:
    logs: {receivers: [qualysvmdr, qualysvmdr/other]}
`

// Credentials that somebody rotates come through without a restart of the collector: nothing is lost, and what was refused once is not
// sent again.
func TestRotatedCredentialsComeThrough(t *testing.T) {
	reload := func(t *testing.T, c *Collector) {
		t.Helper()
		require.NoError(t, c.command.Process.Signal(syscall.SIGHUP))
	}
	for _, test := range []struct {
		name   string
		secret string
		config func(s *Subscription, other *Subscription, file string) string
		rotate qualyssim.Credentials
		to     string
		reload func(*testing.T, *Collector)
	}{
		{
			name:   "a password in the file of an authenticator",
			secret: qualyssim.DefaultPassword,
			config: func(s, _ *Subscription, file string) string { return fmt.Sprintf(withAuthenticator, s.username, file) },
			rotate: qualyssim.Credentials{Password: newPassword},
			to:     newPassword,
			reload: func(*testing.T, *Collector) {},
		},
		{
			name:   "a password in a file of the configuration",
			secret: qualyssim.DefaultPassword,
			config: func(_, other *Subscription, file string) string {
				return fmt.Sprintf(withReload, "password: '${file:"+file+"}'", other.URL, other.password)
			},
			rotate: qualyssim.Credentials{Password: newPassword},
			to:     newPassword,
			reload: reload,
		},
		{
			name:   "the secret of an API client in a file of the configuration",
			secret: qualyssim.DefaultClientSecret,
			config: func(s, other *Subscription, file string) string {
				client := fmt.Sprintf("username: '', password: '', client_id: %s, client_secret: '${file:%s}', gateway: {endpoint: %q}", qualyssim.DefaultClientID, file, s.URL)
				return fmt.Sprintf(withReload, client, other.URL, other.password)
			},
			rotate: qualyssim.Credentials{ClientSecret: newSecret},
			to:     newSecret,
			reload: reload,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			subscription := NewSubscription(t, qualyssim.Options{Hosts: 60, Concurrency: 1})
			other := NewSubscription(t, qualyssim.Options{Activities: -1})
			expected := openDetections(t, subscription)
			sink := NewSink(t)
			file := filepath.Join(t.TempDir(), "secret")
			require.NoError(t, os.WriteFile(file, []byte(test.secret), 0o600))
			config := subscription.Config(sink.Protobuf(), collectDetections)
			config.StateDir = t.TempDir()
			config.Rest = []string{test.config(subscription, other, file)}
			config.Gates = []string{"service.partialReload"}
			sink.RefuseAfter(200, assert.AnError)
			c := Start(t, config)
			c.Await(t, "a part of the collection arrives", func() bool { return sink.Refused() > 0 })

			subscription.Rotate(test.rotate)
			subscription.RevokeTokens()
			subscription.ClearRequests()
			sink.Accept()
			c.Await(t, "Qualys refuses the old one", func() bool { return refused(subscription) > 0 })
			c.AwaitOutput(t, `"error.type": "ThirdPartyConfig"`)
			require.NoError(t, os.WriteFile(file, []byte(test.to), 0o600))
			test.reload(t, c)
			c.Await(t, "everything arrives", func() bool { return sink.Count(vulnerabilityLogs) == len(expected) })
			assert.Equal(t, expected, detectionsOf(t, sink))
			assert.Zero(t, sink.Repeated(vulnerabilityLogs))
			assert.Equal(t, 1, refused(subscription), "the old one was sent again after it was refused")
			if strings.Contains(config.Rest[0], "qualysvmdr/other") {
				assert.Equal(t, 1, startsOf(c, "qualysvmdr/other"), "only the receiver that has changed is started again")
				assert.Equal(t, 2, startsOf(c, "qualysvmdr"))
			}
			c.Interrupt(t)
			assert.Zero(t, c.ExitCode(t))
		})
	}
}

// refused is how many requests were answered with 401, but for those whose token had expired.
func refused(s *Subscription) (n int) {
	for _, r := range s.Requests() {
		if r.Status == http.StatusUnauthorized && r.Auth != qualyssim.BearerAuth {
			n++
		}
	}
	return n
}

// startsOf is how often a receiver was started.
func startsOf(c *Collector, receiver string) (n int) {
	for line := range strings.Lines(c.Output()) {
		if strings.Contains(line, "starting the receiver") && strings.Contains(line, fmt.Sprintf("%q", receiver)) {
			n++
		}
	}
	return n
}
