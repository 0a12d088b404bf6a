// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// collector measures the memory of the built collector, while it collects from the simulator and exports to a sink in this
// process.
type collector struct {
	binary, simulator string // the programs
	dir               string
}

// footprint is what a collection took.
type footprint struct {
	peak     int64 // bytes of resident memory
	received int64 // bytes of the pages
	exported int64 // bytes that came to the sink
	took     time.Duration
}

// collectorConfig collects once. The pages hold detections of all states, and the exporter has no queue, which would hold
// records that the receiver has delivered.
const collectorConfig = `
receivers:
  qualysvmdr:
    server: {endpoint: %[1]q, tls: {ca_file: %[5]q}}
    username: ${env:QUALYS_USERNAME}
    password: ${env:QUALYS_PASSWORD}
    initial_delay: 0s
    vulnerabilities: {initial_lookback: 87600h, page_size: %[4]d}
    storage: file_storage
exporters:
  otlp_http: {endpoint: %[2]q, compression: none, sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}
extensions:
  file_storage: {directory: %[3]q, create_directory: true}
service:
  extensions: [file_storage]
  pipelines:
    logs: {receivers: [qualysvmdr], exporters: [otlp_http]}
  telemetry:
    logs: {encoding: json}
    metrics: {level: none}
`

const (
	onePage    = 10_000 // hosts in a page: all that there are
	smallPages = 50     // pages of about 20 MB
	// bytesOfHost is what a host weighs, about.
	bytesOfHost = 20_000_000 / smallPages
)

// run collects at least so many bytes, in pages of so many hosts.
func (c *collector) run(ctx context.Context, size int64, hosts int) (footprint, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server, err := startAccount(ctx, c.simulator, "--total-bytes="+strconv.FormatInt(size/4*5, 10)) // which counts what is not asked for, too
	if err != nil {
		return footprint{}, err
	}
	return c.collect(ctx, server.url, "", hosts)
}

// runAtOnce collects eleven pages of so many bytes, nine of them at once, over TLS with HTTP/2.
func (c *collector) runAtOnce(ctx context.Context, page int64) (footprint, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server, err := newTLSSubscription(page/4*5*11, c.dir)
	if err != nil {
		return footprint{}, err
	}
	defer server.server.Close()
	f, err := c.collect(ctx, server.server.URL, server.caFile, int(page/bytesOfHost))
	if err == nil {
		err = server.check(9)
	}
	return f, err
}

// collect collects from a server in pages of so many hosts, until ctx ends or everything was collected.
func (c *collector) collect(ctx context.Context, server, caFile string, hosts int) (footprint, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var f footprint
	var exported atomic.Int64
	sink, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return f, err
	}
	backend := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body) // a request that breaks shows in what is missing
		exported.Add(n)
	})}
	defer backend.Close()
	go func() { _ = backend.Serve(sink) }() // until it is closed

	dir, err := os.MkdirTemp(c.dir, "collector")
	if err != nil {
		return f, err
	}
	config := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf(collectorConfig, server, "http://"+sink.Addr().String(), filepath.Join(dir, "storage"), hosts, caFile)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return f, err
	}
	cmd := exec.CommandContext(ctx, c.binary, "--config="+config)
	cmd.Env = []string{"QUALYS_USERNAME=user", "QUALYS_PASSWORD=pass"}
	log, err := cmd.StderrPipe()
	if err != nil {
		return f, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return f, err
	}
	f.received, err = awaitCollection(log, hosts)
	f.took = time.Since(began)
	if err != nil {
		cancel()
		return f, errors.Join(err, cmd.Wait())
	}
	f.peak, err = peakMemory(cmd.Process.Pid)
	f.exported = exported.Load()
	_ = cmd.Process.Signal(syscall.SIGINT)
	_, _ = io.Copy(io.Discard, log)
	return f, errors.Join(err, cmd.Wait())
}

// awaitCollection reads a collector's log through the summary of its collection, in pages of so many hosts, and returns how
// many bytes it received.
func awaitCollection(log io.Reader, hosts int) (int64, error) {
	lines := bufio.NewScanner(log)
	var read bytes.Buffer
	for lines.Scan() {
		var line struct {
			Message  string `json:"msg"`
			Level    string `json:"level"`
			Pages    int    `json:"pages"`
			Retries  int    `json:"retries"`
			Received int64  `json:"received_bytes"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		if line.Message == "collection finished" {
			if (line.Pages == 1) != (hosts == onePage) || line.Retries != 0 {
				return 0, fmt.Errorf("%d pages of %d hosts and %d retries", line.Pages, hosts, line.Retries)
			}
			return line.Received, nil
		}
		read.Write(lines.Bytes())
		read.WriteByte('\n')
	}
	return 0, fmt.Errorf("the collector ended: %s", read.Bytes())
}

// peakMemory is the highest resident memory that a running process has had, in bytes.
func peakMemory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kB, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kB << 10, err
		}
	}
	return 0, errors.New("the system does not tell the peak of a process' memory")
}
