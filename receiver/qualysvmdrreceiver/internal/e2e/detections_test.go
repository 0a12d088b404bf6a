// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

const collectDetections = `
receivers:
  qualysvmdr:
    vulnerabilities: {page_size: 7}
    batch_size: 100
`

// detection is what a detection says in Qualys' words, and what its record must say.
type detection struct {
	UniqueVulnID int64  `xml:"UNIQUE_VULN_ID"`
	QID          int64  `xml:"QID"`
	Severity     int64  `xml:"SEVERITY"`
	Status       string `xml:"STATUS"`
	Results      string `xml:"RESULTS"`
	LastFound    string `xml:"LAST_FOUND_DATETIME"`

	HostID int64  `xml:"-"`
	HostIP string `xml:"-"`
}

func TestEveryDetectionOfEveryPageArrivesOnce(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{Hosts: 60, Pretty: true})
	expected := openDetections(t, subscription)
	require.Greater(t, len(expected), 300)

	for name, exporter := range map[string]func(*Sink) Exporter{
		"otlp_http protobuf": (*Sink).Protobuf,
		"otlp_http JSON":     (*Sink).JSON,
		"otlp_grpc":          (*Sink).GRPC,
	} {
		t.Run(name, func(t *testing.T) {
			sink := NewSink(t)
			collector := Start(t, subscription.Config(exporter(sink), collectDetections))
			collector.Await(t, "all detections arrived", func() bool {
				return sink.Count(vulnerabilityLogs) >= len(expected)
			})
			collector.Await(t, "the metrics count them", func() bool {
				return collector.Metric(t, "otelcol_qualysvmdr_records", `dataset="vulnerabilities"`) >= float64(len(expected))
			})
			collector.Interrupt(t)
			assert.Zero(t, collector.ExitCode(t))

			assert.Equal(t, expected, detectionsOf(t, sink))
			assert.Zero(t, sink.Repeated(vulnerabilityLogs), "detections that came again")
			for _, size := range sink.Batches() {
				assert.LessOrEqual(t, size, 100)
			}
		})
	}
	pages := 0
	for _, request := range subscription.RequestsOf(qualyssim.Detections) {
		if request.Form.Get("truncation_limit") == "7" {
			pages++
		}
	}
	assert.Equal(t, 3*9, pages, "9 pages of 7 hosts for each collector")
}

// openDetections asks the subscription for everything that a first collection must bring, in one answer, and reads it
// by other means than the receiver's. Flags are parameters that are 1.
func openDetections(t *testing.T, s *Subscription, flags ...string) map[int64]detection {
	t.Helper()
	form := url.Values{"action": {"list"}, "truncation_limit": {"0"}, "status": {"New,Active,Re-Opened"}}
	for _, flag := range flags {
		form.Set(flag, "1")
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		s.URL+"/api/5.0/fo/asset/host/vm/detection/", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("X-Requested-With", "e2e")
	request.SetBasicAuth(s.username, s.password)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)

	var answer struct {
		Hosts []struct {
			ID         int64       `xml:"ID"`
			IP         string      `xml:"IP"`
			Detections []detection `xml:"DETECTION_LIST>DETECTION"`
		} `xml:"RESPONSE>HOST_LIST>HOST"`
	}
	require.NoError(t, xml.NewDecoder(response.Body).Decode(&answer))
	detections := map[int64]detection{}
	for _, host := range answer.Hosts {
		for _, d := range host.Detections {
			d.HostID, d.HostIP = host.ID, host.IP
			detections[d.UniqueVulnID] = d
		}
	}
	return detections
}

// detectionsOf reads the records back.
func detectionsOf(t *testing.T, sink *Sink) map[int64]detection {
	t.Helper()
	detections := map[int64]detection{}
	for _, record := range sink.Records(vulnerabilityLogs) {
		body := record.Log.Body().Map().AsRaw()
		require.Equal(t, vulnerabilityLogs, body["LogType"])
		require.IsType(t, map[string]any{}, body["Detection"])
		fields := body["Detection"].(map[string]any)
		text := func(value any) string {
			s, _ := value.(string)
			return s
		}
		number := func(value any) int64 {
			n, _ := value.(int64)
			return n
		}
		d := detection{
			UniqueVulnID: number(fields["UniqueVulnId"]),
			QID:          number(fields["Qid"]),
			Severity:     number(fields["Severity"]),
			Status:       text(fields["Status"]),
			Results:      text(fields["Results"]),
			LastFound:    text(fields["LastFoundDateTime"]),
			HostID:       number(body["Id"]),
			HostIP:       text(body["IP"]),
		}
		detections[d.UniqueVulnID] = d
	}
	return detections
}
