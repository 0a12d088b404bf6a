// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

const componentStatusGate = "extension.healthcheck.useComponentStatus"

// Config says what is particular to a run of the collector. The rest is the same for all: the health check with the
// status of the components, metrics, and delivery without a queue or retries of the exporter, so that the receiver
// hears of every refusal.
type Config struct {
	// Qualys is the URL of the API server and of the gateway.
	Qualys string
	// Username and Password are given to the collector in its environment, as a user would.
	Username, Password string
	// Exporter is the exporter with its settings, such as Sink.Protobuf.
	Exporter Exporter
	// StateDir is where file_storage keeps checkpoints. The receiver has no storage if it is empty.
	StateDir string
	// LogLevel is the level of the collector's log, info if empty.
	LogLevel string
	// More is a configuration in YAML that is merged over the rest.
	More string
	// Rest are further ones, merged after More.
	Rest []string
	// Environment are further variables of the collector's environment, each as key=value.
	Environment []string
	// Gates are feature gates to open besides that of the component status.
	Gates []string
}

// Exporter is an exporter's component type, and its settings as YAML in flow style.
type Exporter struct {
	Type, Settings string
}

const common = `
receivers:
  qualysvmdr:
    server: {endpoint: %[1]q}
    gateway: {endpoint: %[1]q}
    username: ${env:QUALYS_USERNAME}
    password: ${env:QUALYS_PASSWORD}
    initial_delay: 0s
exporters:
  %[2]s: %[3]s
extensions:
  health_check:
    http: {endpoint: %[4]q, status: {path: /, include_attributes: true}}
service:
  extensions: [health_check]
  pipelines:
    logs: {receivers: [qualysvmdr], exporters: [%[2]s]}
  telemetry:
    logs: {level: %[5]s}
    metrics:
      readers:
        - pull: {exporter: {prometheus: {host: %[6]q, port: %[7]s}}}
`

const storage = `
receivers:
  qualysvmdr:
    storage: file_storage
extensions:
  file_storage: {directory: %q, create_directory: true}
service:
  extensions: [health_check, file_storage]
`

// arguments writes the configuration, and returns the arguments of a collector that reads it.
func (c Config) arguments(t testing.TB, health, metrics string) []string {
	t.Helper()
	level := c.LogLevel
	if level == "" {
		level = "info"
	}
	metricsHost, metricsPort, err := net.SplitHostPort(metrics)
	require.NoError(t, err)
	parts := []string{fmt.Sprintf(common, c.Qualys, c.Exporter.Type, c.Exporter.Settings, health, level, metricsHost, metricsPort)}
	if c.StateDir != "" {
		parts = append(parts, fmt.Sprintf(storage, c.StateDir))
	}
	if c.More != "" {
		parts = append(parts, c.More)
	}
	parts = append(parts, c.Rest...)
	arguments := []string{"--feature-gates=" + strings.Join(append([]string{componentStatusGate}, c.Gates...), ",")}
	dir := t.TempDir()
	for i, part := range parts {
		file := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		require.NoError(t, os.WriteFile(file, []byte(part), 0o600))
		arguments = append(arguments, "--config="+file)
	}
	return arguments
}

// environment is what a run of the collector is given: its number, and the credentials.
func (c Config) environment(run int) []string {
	return append([]string{"RUN=" + strconv.Itoa(run), "QUALYS_USERNAME=" + c.Username, "QUALYS_PASSWORD=" + c.Password}, c.Environment...)
}

// Addresses are given out from below the ports that systems choose for those who want any: an address that is free when it is given
// out stays free until a collector listens on it, however many connections and listeners the tests beside it open.
const (
	firstPort = 15000
	ports     = 15000
)

// nextPort begins at random, for tests of several packages run at once.
var nextPort = func() *atomic.Uint32 {
	var next atomic.Uint32
	next.Store(rand.Uint32N(ports))
	return &next
}()

// freeAddress is an address of this machine on which nobody listens, and that is given out only once.
func freeAddress(t testing.TB) string {
	t.Helper()
	var listen net.ListenConfig
	for range ports {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+int(nextPort.Add(1)%ports)))
		listener, err := listen.Listen(t.Context(), "tcp", address)
		if err == nil {
			require.NoError(t, listener.Close())
			return address
		}
	}
	require.FailNow(t, "no port is free")
	return ""
}
