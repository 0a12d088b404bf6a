// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

const (
	// kills is how often the collector that collects is killed.
	kills = 10
	// takeover is how soon the other one must send its first request then.
	takeover = 10 * time.Second
)

// As soon as the collector that collects is gone, the one that stands by goes on at its position.
func TestWhenACollectorIsKilledTheOtherOneGoesOn(t *testing.T) {
	const batch, ranges = 20, 3 // simulated Qualys allows four requests at once, and one is left to others
	subscription := NewSubscription(t, qualyssim.Options{
		Hosts: 500, Concurrency: ranges + 1, NoGzip: true, Faults: qualyssim.Faults{BytesPerSecond: 150_000},
	})
	sink := NewSink(t)
	config := subscription.Config(sink.Protobuf(), `
receivers:
  qualysvmdr:
    vulnerabilities: {page_size: 10}
    batch_size: 20
`)
	config.StateDir = t.TempDir()
	standBy := func() *Collector {
		c := Start(t, config)
		c.AwaitOutput(t, "storage is in use by another collector")
		return c
	}
	active := Start(t, config)
	active.Await(t, "it collects", func() bool { return sink.Taken() > 0 })
	other := standBy()
	other.AwaitStatus(t, "StatusOK") // it is ready

	for range kills {
		taken := sink.Taken()
		active.Await(t, "a part of the collection arrives", func() bool { return sink.Taken() >= taken+5*batch })
		active.Kill()
		killed := time.Now()
		requests := len(subscription.Requests())
		other.Await(t, "the other one collects", func() bool { return len(subscription.Requests()) > requests })
		assert.Less(t, subscription.Requests()[requests].Time.Sub(killed), takeover)
		active, other = other, standBy()
	}
	require.NotContains(t, active.Output(), "collection finished", "it was to be killed before its end")

	require.NoError(t, subscription.SetFaults(qualyssim.Faults{}))
	expected := openDetections(t, subscription)
	active.AwaitOutput(t, "collection finished")
	assert.Equal(t, expected, detectionsOf(t, sink))
	assert.LessOrEqual(t, sink.Repeated(vulnerabilityLogs), kills*ranges*batch, "a kill may repeat one batch of each range")
	active.Interrupt(t)
	assert.Zero(t, active.ExitCode(t))
	other.Interrupt(t)
	assert.Zero(t, other.ExitCode(t))
}
