// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

func TestFlags(t *testing.T) {
	f, err := parseFlags([]string{
		"--detections", "5-9", "--asset-size", "1.5MB", "--page-bytes", "20MB", "--hosts", "0", "--start", "2026-01-02T03:04:05Z",
		"--faults", `{"delay":"2s","next":[{"fault":"busy","count":3}]}`, "--cut-rate", "0.25", "--call-delay", "5s",
		"--total-bytes", "1GB", "--results-size", "900", "--cut-after", "100kB", "--bytes-per-second", "2MB",
	}, io.Discard)
	require.NoError(t, err)
	o := f.options
	assert.Equal(t, []int{5, 9}, []int{o.MinDetections, o.MaxDetections})
	assert.Equal(t, 1_500_000, o.AssetSize)
	assert.Equal(t, int64(20_000_000), o.PageBytes)
	assert.Equal(t, int64(1_000_000_000), o.TotalBytes)
	assert.Equal(t, 900, o.ResultsSize)
	assert.Equal(t, -1, o.Hosts)
	assert.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), o.Start)
	assert.Equal(t, qualyssim.Faults{
		Rates: map[qualyssim.Fault]float64{qualyssim.Cut: 0.25},
		Next:  []qualyssim.NextFault{{Fault: qualyssim.Busy, Count: 3}},
		Delay: qualyssim.Duration(5 * time.Second),

		CutAfter:       100_000,
		BytesPerSecond: 2_000_000,
	}, o.Faults)
}

func TestServiceLevelAndWhatFollowsIt(t *testing.T) {
	f, err := parseFlags([]string{"--service-level", "premium", "--rate-limit", "100", "--detections", "0-5", "--host-turnover", "0.1"}, io.Discard)
	require.NoError(t, err)
	o := f.options
	assert.Equal(t, []int{10, 100, -1, 5}, []int{o.Concurrency, o.RateLimit, o.MinDetections, o.MaxDetections})
	assert.InDelta(t, 0.1, o.HostTurnover, 0)
}

func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--detections", "9-5"},
		{"--asset-size", "big"},
		{"--bytes-per-second", "-2MB"},
		{"--hosts", "-3"},
		{"--cut-rate", "2"},
		{"--rate-headers", "loud"},
		{"--faults", `{"cuts":1}`},
		{"--start", "today"},
		{"serve"},
		{"--colour"},
		{"--service-level", "gold"},
	} {
		_, err := parseFlags(args, io.Discard)
		assert.Error(t, err, args)
	}
}

func TestUsageNamesTheFlags(t *testing.T) {
	var usage bytes.Buffer
	_, err := parseFlags([]string{"--help"}, &usage)
	assert.ErrorIs(t, err, errHelp)
	assert.Contains(t, usage.String(), "-cut-rate")
}

func TestProgramServesUntilItIsTold(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"--listen", "127.0.0.1:0", "--hosts", "3"}, in) }()

	greeting := make([]byte, 1000)
	n, err := out.Read(greeting)
	require.NoError(t, err)
	greeting = bytes.TrimSpace(greeting[:n])
	assert.Contains(t, string(greeting), `username "qualys_user"`)
	assert.Contains(t, string(greeting), "3 hosts")
	base := regexp.MustCompile(`http://[0-9.:]+`).FindString(string(greeting))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/simulator", nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	require.NoError(t, response.Body.Close())

	stop()
	assert.NoError(t, <-ended)
}
