// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e && prometheus

package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// prometheus is a real Prometheus, which scrapes one collector every second.
type prometheus struct {
	url string
}

// startPrometheus starts the Prometheus that the environment variable PROMETHEUS names, with alert rules.
func startPrometheus(t *testing.T, c *Collector, rules string) *prometheus {
	t.Helper()
	binary := os.Getenv("PROMETHEUS")
	require.NotEmpty(t, binary, "PROMETHEUS names no program: run make monitoring")
	collector, err := url.Parse(c.metricsURL)
	require.NoError(t, err)
	dir := t.TempDir()
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs: [{job_name: otelcol, static_configs: [{targets: [%q]}]}]
`, collector.Host)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yaml"), []byte(config), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte(rules), 0o600))
	address := freeAddress(t)
	written := &output{}
	command := exec.CommandContext(t.Context(), binary, "--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--web.listen-address="+address)
	command.Dir, command.Stdout, command.Stderr = dir, written, written
	require.NoError(t, command.Start())
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		// It is killed in the end, which is its error.
		_ = command.Wait()
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended
		<-exited
		if t.Failed() {
			t.Logf("the end of Prometheus' output:\n%s", written.tail(5000))
		}
	})
	return &prometheus{url: "http://" + address}
}

// query returns the labels of what an instant query finds, nothing while Prometheus does not answer. A query that is no good
// fails the test.
func (p *prometheus) query(t *testing.T, expression string) []map[string]string {
	t.Helper()
	body, err := get(t.Context(), p.url+"/api/v1/query?query="+url.QueryEscape(expression))
	if err != nil {
		return nil
	}
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Metric map[string]string }
		}
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil // it says that it is starting
	}
	require.Equal(t, "success", answer.Status, "%s: %s", expression, answer.Error)
	var found []map[string]string
	for _, series := range answer.Data.Result {
		found = append(found, series.Metric)
	}
	return found
}

// await waits until a query finds something.
func (p *prometheus) await(t *testing.T, expression string) {
	t.Helper()
	limit := time.NewTimer(waitLimit)
	defer limit.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for len(p.query(t, expression)) == 0 {
		select {
		case <-limit.C:
			require.FailNow(t, "never found: "+expression, "alerts: %v", p.query(t, "ALERTS"))
		case <-again.C:
		}
	}
}

// inSeconds are the alert rules with seconds in place of minutes, hours and days.
func inSeconds(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "examples", "monitoring", "alerts.yaml"))
	require.NoError(t, err)
	rules := string(text)
	for pattern, replacement := range map[string]string{
		`for: \d+[mhd]`:            "for: 2s",
		`\[\d+[mh]\]`:              "[10s]",
		`offset \d+[mh]`:           "offset 10s",
		`> (\d+ \* )?(3600|86400)`: "> 30",
	} {
		require.Regexp(t, pattern, rules)
		rules = regexp.MustCompile(pattern).ReplaceAllString(rules, replacement)
	}
	return rules
}

const collectOften = `
receivers:
  qualysvmdr:
    vulnerabilities: {collection_interval: 1s, overlap: 1h}
    knowledge_base: {refresh_interval: 1s}
    asset_inventory: {collection_interval: 1s}
    activity_log: {collection_interval: 1s}
    retry_on_failure: {initial_interval: 100ms, max_interval: 1s}
`

func TestAHealthyCollectorRaisesNoAlert(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 5, Assets: 5})
	sink := NewSink(t)
	c := Start(t, subscription.Config(sink.Protobuf(), collectOften))
	c.AwaitStatus(t, "StatusOK")
	p := startPrometheus(t, c, inSeconds(t))
	p.await(t, `count_over_time(otelcol_qualysvmdr_collection_lag{dataset="vulnerabilities"}[1m]) >= 20`)
	assert.Empty(t, p.query(t, "ALERTS"))
}

func TestAlertsFireInTheirSituations(t *testing.T) {
	for name, tt := range map[string]struct {
		options qualyssim.Options
		faults  qualyssim.Faults
		refusal error
		wrong   bool // the password
		killed  bool
		alerts  []string
	}{
		"a refused login":              {wrong: true, alerts: []string{"QualysRefusesRequests", "QualysDatasetInError"}},
		"a collector that is gone":     {killed: true, alerts: []string{"QualysReceiverGone"}},
		"a pipeline that is down":      {refusal: errRefused, alerts: []string{"QualysPipelineRefuses", "QualysDatasetInError"}},
		"a pipeline that refuses":      {refusal: consumererror.NewPermanent(errRefused), alerts: []string{"QualysRecordsDropped"}},
		"a Qualys that is down":        {faults: qualyssim.Faults{Rates: map[qualyssim.Fault]float64{qualyssim.Maintenance: 1}}, alerts: []string{"QualysRequestsFail", "QualysDatasetInError", "QualysFirstCollectionLong"}},
		"a limit that is used up":      {options: qualyssim.Options{RateLimit: 3, RateWindow: 5 * time.Second}, alerts: []string{"QualysLimitsTight"}},
		"a KnowledgeBase that is down": {faults: qualyssim.Faults{Rates: map[qualyssim.Fault]float64{qualyssim.Maintenance: 1}, APIs: []qualyssim.API{qualyssim.KnowledgeBase}}, alerts: []string{"QualysKnowledgeBaseWaits"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.options.Hosts, tt.options.Assets = 5, 5
			subscription := NewSubscription(t, tt.options)
			require.NoError(t, subscription.SetFaults(tt.faults))
			sink := NewSink(t)
			sink.Refuse(tt.refusal)
			config := subscription.Config(sink.Protobuf(), collectOften)
			if tt.wrong {
				config.Password = "not it"
			}
			c := Start(t, config)
			c.AwaitOutput(t, "Everything is ready")
			p := startPrometheus(t, c, inSeconds(t))
			p.await(t, "otelcol_qualysvmdr_state")
			if tt.killed {
				c.Kill()
			}
			for _, alert := range tt.alerts {
				p.await(t, `ALERTS{alertstate="firing",alertname="`+alert+`"}`)
			}
		})
	}
}

func TestTheDashboardShowsData(t *testing.T) {
	// Values above 4 MiB, which are cut; a limit that is told, and one that is met; control characters in every answer.
	subscription := NewSubscription(t, qualyssim.Options{
		Hosts: 1, MinDetections: 8, MaxDetections: 8, ResultsSize: 6 << 20, Assets: 5, RateLimit: 10_000,
		Faults: qualyssim.Faults{
			Rates: map[qualyssim.Fault]float64{qualyssim.ControlCharacters: 1},
			Next:  []qualyssim.NextFault{{Fault: qualyssim.RateLimited, API: qualyssim.Detections, Count: 2, Wait: 1}},
		},
	})
	sink := NewSink(t)
	sink.Refuse(consumererror.NewPermanent(errRefused))
	config := subscription.Config(sink.Protobuf(), collectOften)
	config.StateDir = t.TempDir() // how much waits to be stored is told where there is a storage
	c := Start(t, config)
	p := startPrometheus(t, c, inSeconds(t))
	p.await(t, "otelcol_qualysvmdr_records_dropped")
	sink.Accept()

	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "examples", "monitoring", "dashboard.json"))
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	variables := strings.NewReplacer("$job", ".*", "$instance", ".*", "$receiver", ".*", "$__rate_interval", "1m")
	shown := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			// No queue of a hundred health events overflows here, and no dataset fails.
			if strings.Contains(target.Expr, "health_events_dropped") || strings.Contains(target.Expr, "health_errors") {
				continue
			}
			shown++
			p.await(t, variables.Replace(target.Expr))
		}
	}
	assert.Greater(t, shown, 10)
}
