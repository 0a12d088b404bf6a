// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/e2e"
)

const (
	lease = 3 * time.Second
	// takeover is how soon after the leader was killed the other one must send its first request.
	takeover = lease + 5*time.Second
	kills    = 10
)

// binary is the path of the built collector with leader election.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(repository, "bin", "otelcol-qualysvmdr-kubernetes"))
	require.NoError(t, err)
	return path
}

// The tests of the other distribution leave this example out.
func TestExampleWithElectionIsACompleteConfiguration(t *testing.T) {
	command := exec.CommandContext(t.Context(), binary(t), "validate", "--config="+filepath.Join(examples, "leader-election", "config.yaml"))
	command.Env = []string{"QUALYS_USERNAME=user", "QUALYS_PASSWORD=secret"}
	output, err := command.CombinedOutput()
	assert.NoError(t, err, string(output))
}

// As soon as the lease of a leader that was killed is over, the other one goes on at its position; also when the API server was
// away in between.
func TestWhenTheLeaderIsKilledTheOtherOneGoesOn(t *testing.T) {
	const batch = 20
	t.Setenv("OTELCOL", binary(t))
	leases := newLeaseServer(t)
	subscription := e2e.NewSubscription(t, qualyssim.Options{
		Hosts: 500, NoGzip: true, Concurrency: 1, Faults: qualyssim.Faults{BytesPerSecond: 150_000},
	})
	sink := e2e.NewSink(t)
	config := subscription.Config(sink.Protobuf(), `
receivers:
  qualysvmdr:
    vulnerabilities: {page_size: 10}
    batch_size: 20
    k8s_leader_elector: k8s_leader_elector
extensions:
  k8s_leader_elector:
    {auth_type: kubeConfig, lease_name: qualysvmdr, lease_namespace: default, lease_duration: 3s, renew_deadline: 2s, retry_period: 500ms}
service:
  extensions: [health_check, file_storage, k8s_leader_elector]
`)
	config.StateDir = t.TempDir()
	config.Environment = []string{"KUBECONFIG=" + leases.kubeconfig(t)}
	standBy := func() *e2e.Collector {
		c := e2e.Start(t, config)
		c.AwaitOutput(t, "dataset is Standby")
		return c
	}
	active := standBy()
	active.Await(t, "it collects", func() bool { return sink.Taken() > 0 })
	other := standBy()
	other.AwaitStatus(t, "StatusOK") // it is ready

	for kill := range kills {
		taken := sink.Taken()
		active.Await(t, "a part of the collection arrives", func() bool { return sink.Taken() >= taken+5*batch })
		if kill == kills/2 {
			leases.goAway(true)
			<-time.After(2 * lease)
			leases.goAway(false)
			requests := len(subscription.Requests())
			active.Await(t, "one of them collects again", func() bool { return len(subscription.Requests()) > requests })
			if strings.Contains(other.Output(), "dataset is Initialized") {
				active, other = other, active
			}
		}
		active.Kill()
		killed := time.Now()
		requests := len(subscription.Requests())
		other.Await(t, "the other one collects", func() bool { return len(subscription.Requests()) > requests })
		assert.Less(t, subscription.Requests()[requests].Time.Sub(killed), takeover)
		active, other = other, standBy()
	}
	require.NotContains(t, active.Output(), "collection finished", "it was to be killed before its end")

	require.NoError(t, subscription.SetFaults(qualyssim.Faults{}))
	expected := map[string]bool{}
	open, err := subscription.DetectionsFor(map[string][]string{"action": {"list"}, "status": {"New,Active,Re-Opened"}})
	require.NoError(t, err)
	for d := range open {
		expected[fmt.Sprint(d.UniqueVulnID)] = true
	}
	active.AwaitOutput(t, "collection finished")
	got := map[string]bool{}
	for _, record := range sink.Records("vulnerabilityLogs") {
		id, _ := record.Log.Attributes().Get("qualys.detection.id")
		got[id.AsString()] = true
	}
	assert.Equal(t, expected, got)
	assert.LessOrEqual(t, sink.Repeated("vulnerabilityLogs"), (kills+1)*batch, "a kill may repeat one batch, and a term that ends as well")
}
