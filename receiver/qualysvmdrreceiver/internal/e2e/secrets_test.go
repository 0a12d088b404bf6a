// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/base64"
	"net/url"
	"strings"
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

func TestRefusedPasswordIsTriedOnceUntilItIsFixed(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 5, Assets: 5})
	expected := inventoryOf(t, subscription)
	sink := NewSink(t)
	good := subscription.Config(sink.Protobuf(), collectEverything)
	good.StateDir = t.TempDir()
	wrong := good
	wrong.Password = "not it"

	for _, sent := range []int{1, 0} { // the second run is a restart without a change
		subscription.ClearRequests()
		collector := Start(t, wrong)
		status := collector.AwaitStatus(t, "StatusPermanentError")
		assert.Equal(t, "ThirdPartyConfigError", status.Attributes["error.name"])
		collector.Interrupt(t)
		assert.Zero(t, collector.ExitCode(t))
		assert.Len(t, subscription.RequestsOf(qualyssim.Detections), sent)
		assert.Len(t, subscription.RequestsOf(qualyssim.Auth), sent)
		assert.Empty(t, subscription.RequestsOf(qualyssim.KnowledgeBase))
		assert.Empty(t, subscription.RequestsOf(qualyssim.Assets))
	}

	collector := Start(t, good)
	collector.Await(t, "all records arrived", func() bool { return sink.hasAll(expected) })
	collector.AwaitStatus(t, "StatusOK")
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))
	assert.Equal(t, expected, inventoryIn(t, sink))
}

func TestAPasswordWithDollarSignsIsWarnedOfAndCured(t *testing.T) {
	const username, password = "emea_user", "a$$b${HOME}c"
	subscription := NewSubscription(t, qualyssim.Options{Username: username, Password: password, Hosts: 3})
	for name, c := range map[string]struct{ variable, status string }{
		"as it is":                    {password, "StatusPermanentError"},
		"with each dollar sign twice": {strings.ReplaceAll(password, "$", "$$"), "StatusOK"},
	} {
		t.Run(name, func(t *testing.T) {
			sink := NewSink(t)
			config := subscription.Config(sink.Protobuf(), "receivers: {qualysvmdr: {vulnerabilities: }}")
			config.Password = c.variable
			collector := Start(t, config)
			collector.AwaitStatus(t, c.status)
			assert.Contains(t, collector.Output(), `"variable": "QUALYS_PASSWORD"`)
			assert.NotContains(t, collector.Output(), c.variable)
		})
	}
}
