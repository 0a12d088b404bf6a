// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// simulated is a simulated subscription with its account in the environment.
func simulated(t *testing.T, options qualyssim.Options) (*qualyssim.Server, string) {
	t.Helper()
	sim := qualyssim.New(options)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Setenv("QUALYS_USERNAME", qualyssim.DefaultUsername)
	t.Setenv("QUALYS_PASSWORD", qualyssim.DefaultPassword)
	return sim, server.URL
}

func TestCheckOfAConfiguration(t *testing.T) {
	options := qualyssim.Options{NoKnowledgeBasePermission: true}
	qualyssim.Standard.Apply(&options)
	sim, url := simulated(t, options)
	t.Setenv("QUALYS_TEST_URL", url)
	file := filepath.Join(t.TempDir(), "collector.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
receivers:
  otlp:
  qualysvmdr/emea:
    server: {endpoint: "${env:QUALYS_TEST_URL}"}
    gateway: {endpoint: "${env:QUALYS_TEST_GATEWAY:-http://127.0.0.1:1}"}
    username: ${env:QUALYS_USERNAME}
    password: ${env:QUALYS_PASSWORD}
    vulnerabilities:
    knowledge_base:
    activity_log:
`), 0o600))
	var out strings.Builder
	err := run(t.Context(), []string{"--config", file}, &out)
	require.ErrorIs(t, err, errMissing)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 11)
	assert.Equal(t, "qualysvmdr/emea vulnerabilities: ok", lines[0])
	assert.Contains(t, lines[1], "qualysvmdr/emea knowledge_base: permission: knowledge_base: HTTP 403: code 2010: ")
	assert.Contains(t, lines[1], "Download vulnerability data")
	assert.Equal(t, "qualysvmdr/emea activity_log: ok", lines[2])
	assert.Equal(t, []string{
		"qualysvmdr/emea, as Qualys tells this account:",
		"  limits of detections      300 calls an hour, 299 remaining, 2 at once (as service level Standard)",
		"  limits of knowledge_base  300 calls an hour, 299 remaining, 2 at once (as service level Standard)",
		"  limits of activity_log    300 calls an hour, 299 remaining, 2 at once (as service level Standard)",
		"  limits of host_list       300 calls an hour, 299 remaining, 2 at once (as service level Standard)",
		"  hosts                     20",
	}, lines[3:9])
	assert.Len(t, sim.Requests(), 4)
}

// Receivers that share an account would lock it, each with one more bad login.
func TestRefusedLoginIsSentOnceForAllReceivers(t *testing.T) {
	sim, url := simulated(t, qualyssim.Options{})
	t.Setenv("QUALYS_PASSWORD", "wrong-s3cret")
	t.Setenv("QUALYS_TEST_URL", url)
	file := filepath.Join(t.TempDir(), "collector.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
receivers:
  qualysvmdr/linux: &receiver
    server: {endpoint: "${env:QUALYS_TEST_URL}"}
    username: ${env:QUALYS_USERNAME}
    password: ${env:QUALYS_PASSWORD}
    vulnerabilities:
      parameters: {os_pattern: Linux}
  qualysvmdr/windows:
    <<: *receiver
    activity_log:
`), 0o600))
	var out strings.Builder
	require.ErrorIs(t, run(t.Context(), []string{"--config", file}, &out), errMissing)
	assert.Equal(t, 3, strings.Count(out.String(), ": login: "), out.String())
	assert.Len(t, sim.Requests(), 1)
}

func TestCheckByFlags(t *testing.T) {
	_, url := simulated(t, qualyssim.Options{})
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{"--server", url, "--gateway", url, "--datasets", "asset_inventory, activity_log"}, &out))
	assert.Contains(t, out.String(), "qualysvmdr asset_inventory: ok\nqualysvmdr activity_log: ok\nqualysvmdr, as Qualys tells this account:\n")
	assert.Regexp(t, `\n  assets +20\n`, out.String())
}

func TestPasswordIsNeverPrinted(t *testing.T) {
	sim, url := simulated(t, qualyssim.Options{})
	t.Setenv("QUALYS_PASSWORD", "wrong-s3cret")
	var out strings.Builder
	err := run(t.Context(), []string{"--server", url, "--gateway", url}, &out)
	require.ErrorIs(t, err, errMissing)
	assert.NotContains(t, out.String()+fmt.Sprint(err), "wrong-s3cret")
	assert.Equal(t, 5, strings.Count(out.String(), ": login: "))
	assert.Len(t, sim.Requests(), 2, "a rejected login is sent once to each host, whatever else is to be counted")
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	t.Setenv("QUALYS_USERNAME", "user")
	t.Setenv("QUALYS_PASSWORD", "s3cret-pass")
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--config", "/does/not/exist.yaml"}, "exist.yaml"},
		{[]string{"--config", "a.yaml", "--platform", "EU1"}, "--config"},
		{[]string{"--platform", "EU9"}, "unknown platform"},
		{[]string{"--platform", "EU1", "--datasets", "everything"}, "everything"},
		{[]string{"EU1"}, "unexpected argument"},
		{[]string{"--verbose"}, "verbose"},
		{nil, "endpoint"},
	} {
		err := run(t.Context(), test.args, &strings.Builder{})
		require.ErrorContains(t, err, test.says, test.args)
		assert.NotContains(t, err.Error(), "s3cret-pass")
	}
}
