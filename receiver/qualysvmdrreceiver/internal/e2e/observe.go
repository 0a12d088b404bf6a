// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Status is what the health check says of a component, a pipeline or the collector.
type Status struct {
	Healthy    bool               `json:"healthy"`
	Status     string             `json:"status"`
	Error      string             `json:"error"`
	Attributes map[string]any     `json:"attributes"`
	Components map[string]*Status `json:"components"`
}

// ReceiverStatus is the status of the receiver, with its attributes. It is zero until the receiver has reported one.
func (c *Collector) ReceiverStatus(t testing.TB) Status {
	t.Helper()
	var all Status
	body, err := get(t.Context(), c.healthURL)
	if errors.Is(err, errNoAnswer) {
		return Status{}
	}
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(body, &all), "%s", body)
	if logs := all.Components["pipeline:logs"]; logs != nil && logs.Components["receiver:qualysvmdr"] != nil {
		return *logs.Components["receiver:qualysvmdr"]
	}
	return Status{}
}

// AwaitStatus waits until the receiver reports a status, such as StatusOK, and returns it.
func (c *Collector) AwaitStatus(t testing.TB, status string) Status {
	t.Helper()
	var last Status
	c.Await(t, "its receiver reports "+status, func() bool {
		last = c.ReceiverStatus(t)
		return last.Status == status
	})
	return last
}

// Metric is the sum of a metric's series that have all of the labels, each given as key="value". Names are those of the
// Prometheus endpoint. It is 0 while there is none.
func (c *Collector) Metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	body, err := get(t.Context(), c.metricsURL)
	if errors.Is(err, errNoAnswer) {
		return 0
	}
	require.NoError(t, err)
	var sum float64
	lines := bufio.NewScanner(strings.NewReader(string(body)))
	for lines.Scan() {
		series, value, _ := cutLast(lines.Text(), " ")
		if series != name && !strings.HasPrefix(series, name+"{") || !containsAll(series, labels) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		require.NoError(t, err, lines.Text())
		sum += n
	}
	require.NoError(t, lines.Err())
	return sum
}

var errNoAnswer = errors.New("no answer")

// get reads what a URL of the collector serves. Its error is errNoAnswer while, or after, nobody listens.
func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return body, nil
}

func cutLast(s, separator string) (before, after string, found bool) {
	at := strings.LastIndex(s, separator)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(separator):], true
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}
