// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/base64"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

func TestPasswordIsInNoOutput(t *testing.T) {
	const username, password = "emea_user", "s3cret+&%<ö word"
	subscription := NewSubscription(t, qualyssim.Options{Username: username, Password: password, Hosts: 3})

	for name, c := range map[string]struct {
		password string
		until    func(t *testing.T, collector *Collector, sink *Sink)
	}{
		"accepted": {password, func(t *testing.T, collector *Collector, sink *Sink) {
			t.Helper()
			collector.Await(t, "detections arrived", func() bool { return sink.Count(vulnerabilityLogs) > 0 })
			collector.AwaitStatus(t, "StatusOK")
		}},
		"refused": {"wr0ng+&%<ö word", func(t *testing.T, collector *Collector, _ *Sink) {
			t.Helper()
			collector.AwaitStatus(t, "StatusPermanentError")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			sink := NewSink(t)
			config := subscription.Config(sink.Protobuf(), "receivers: {qualysvmdr: {vulnerabilities: }}")
			config.Password = c.password
			config.LogLevel = "debug"
			collector := Start(t, config)
			c.until(t, collector, sink)
			collector.Interrupt(t)
			assert.Zero(t, collector.ExitCode(t))

			for form, secret := range map[string]string{
				"as given":        c.password,
				"in Basic":        base64.StdEncoding.EncodeToString([]byte(username + ":" + c.password)),
				"in a form":       url.QueryEscape(c.password),
				"in a URL's path": url.PathEscape(c.password),
			} {
				assert.NotContains(t, collector.Output(), secret, form)
			}
		})
	}
}
