// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

func TestBackendThatRefusesForAWhileGetsEverythingOnce(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 30})
	expected := openDetections(t, subscription)
	sink := NewSink(t)
	sink.Refuse(errors.New("out of disk"))

	collector := Start(t, subscription.Config(sink.Protobuf(), collectDetections+`
    retry_on_failure: {initial_interval: 100ms, max_interval: 500ms}
`))
	collector.Await(t, "a batch was refused again and again", func() bool { return sink.Refused() >= 3 })
	requests := len(subscription.RequestsOf(qualyssim.Detections))
	assert.LessOrEqual(t, requests, 3, "our own, the first page's and at most one read ahead")
	status := collector.AwaitStatus(t, "StatusRecoverableError")
	assert.Equal(t, "FirstPartyGenericError", status.Attributes["error.name"])
	assert.Equal(t, "vulnerabilities", status.Attributes["dataset"])
	sink.Accept()
	collector.Await(t, "all detections arrived", func() bool { return sink.Count(vulnerabilityLogs) >= len(expected) })
	collector.AwaitStatus(t, "StatusOK")
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))

	assert.Equal(t, expected, detectionsOf(t, sink))
	assert.Zero(t, sink.Repeated(vulnerabilityLogs))
}

func TestPooledRecordsThatAProcessorChangesArriveWholeAfterRefusals(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 30})
	expected := openDetections(t, subscription)
	sink := NewSink(t)
	sink.Refuse(errors.New("out of disk"))
	config := subscription.Config(sink.Protobuf(), collectDetections+`
    retry_on_failure: {initial_interval: 20ms, max_interval: 50ms}
processors:
  transform:
    log_statements:
      - set(log.attributes["changed"], "yes")
      - set(log.body["Changed"], "yes")
service:
  pipelines:
    logs: {processors: [transform]}
`)
	config.Gates = []string{"pdata.useProtoPooling"}
	collector := Start(t, config)
	collector.Await(t, "a batch was refused five times", func() bool { return sink.Refused() >= 5 })
	sink.Accept()
	collector.Await(t, "all detections arrived", func() bool { return sink.Count(vulnerabilityLogs) >= len(expected) })
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))

	assert.Equal(t, expected, detectionsOf(t, sink))
	assert.Zero(t, sink.Repeated(vulnerabilityLogs))
	for _, record := range sink.Records(vulnerabilityLogs) {
		assert.Equal(t, "yes", attribute(record.Log, "changed"))
	}
}
