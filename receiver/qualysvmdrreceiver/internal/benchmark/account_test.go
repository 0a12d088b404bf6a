// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

//go:embed peer.py
var peer string

// The login of the simulated accounts.
const (
	username = "user"
	password = "pass"
)

// account is a simulator in a process of its own.
type account struct {
	url         string
	collections atomic.Int64
}

// startAccount starts a simulator, which ends with ctx.
func startAccount(ctx context.Context, binary string, flags ...string) (*account, error) {
	cmd := exec.CommandContext(ctx, binary, append([]string{"--listen=127.0.0.1:0", "--username=" + username, "--password=" + password, "--no-gzip"}, flags...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, rest, found := strings.Cut(lines.Text(), "Qualys API at "); found {
			address, _, _ := strings.Cut(rest, ",")
			go func() {
				_, _ = io.Copy(io.Discard, out)
				_ = cmd.Wait() // it is killed with the context
			}()
			return &account{url: address}, nil
		}
	}
	return nil, errors.Join(errors.New("the simulator tells no address"), cmd.Wait())
}

// control sends a request to the simulator itself, and returns the body of the response.
func (a *account) control(ctx context.Context, method, path string, document any) ([]byte, error) {
	body, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("simulator: %s: %s", response.Status, text)
	}
	return text, err
}

// calls returns how many requests there were since the last call.
func (a *account) calls(ctx context.Context) (int, error) {
	text, err := a.control(ctx, http.MethodGet, "/simulator/requests", nil)
	if err != nil {
		return 0, err
	}
	if *requestsFile != "" && len(text) > 0 {
		err = os.WriteFile(fmt.Sprintf("%s.%d", *requestsFile, a.collections.Add(1)), text, 0o600)
		if err != nil {
			return 0, err
		}
	}
	_, err = a.control(ctx, http.MethodDelete, "/simulator/requests", nil)
	return bytes.Count(text, []byte("\n")), err
}

// change makes a detection change now.
func (a *account) change(ctx context.Context, detection int64) error {
	_, err := a.control(ctx, http.MethodPost, "/simulator/change", map[string]any{"detection": detection, "status": "Active"})
	return err
}

// wait lets time pass for the simulator, which tells times in seconds.
func (a *account) wait(ctx context.Context, d time.Duration) error {
	_, err := a.control(ctx, http.MethodPost, "/simulator/clock", map[string]any{"advance": d.String()})
	return err
}

// gathered is what a collection of an account took, and brought.
type gathered struct {
	took  time.Duration
	calls int

	mu      sync.Mutex // guards everything below
	records int
	// identities is the sum of the IDs of the detections, which tells whether two collections brought the same ones.
	identities uint64
	// ofHosts is one detection of each host.
	ofHosts map[int64]int64
}

func (g *gathered) sameAs(other *gathered) error {
	if g.records != other.records || g.identities != other.identities || g.records == 0 {
		return fmt.Errorf("%d records (%d), and %d records (%d)", g.records, g.identities, other.records, other.identities)
	}
	return nil
}

// runPeer collects an account with the Python program.
func (a *account) runPeer(ctx context.Context, hosts, threads int, out string) (*gathered, error) {
	printed, err := exec.CommandContext(ctx, "python3", "-c", peer, a.url, username, password, strconv.Itoa(hosts), strconv.Itoa(threads), out).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("peer: %w", err)
	}
	var told struct {
		Seconds    float64 `json:"seconds"`
		Records    int     `json:"records"`
		Identities uint64  `json:"identities"`
	}
	if err := json.Unmarshal(printed, &told); err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	calls, err := a.calls(ctx)
	return &gathered{took: time.Duration(told.Seconds * float64(time.Second)), calls: calls, records: told.Records, identities: told.Identities}, err
}

// follower collects an account as the receiver does, one collection after the other, with its checkpoints in file storage.
type follower struct {
	account *account
	client  *qualys.Client
	http    *http.Transport
	store   *checkpoint.Store
	// atOnce is max_concurrent_requests, hosts the page size.
	atOnce, hosts int
	status        []string
}

// follow opens the storage in a new folder.
func (a *account) follow(ctx context.Context, dir string, atOnce, hosts int) (*follower, error) {
	dir, err := os.MkdirTemp(dir, "account")
	if err != nil {
		return nil, err
	}
	client, err := openFile(ctx, dir)
	if err != nil {
		return nil, err
	}
	f := &follower{account: a, store: checkpoint.New(client), atOnce: atOnce, hosts: hosts, status: []string{"New", "Active", "Re-Opened", "Fixed"}}
	f.http = http.DefaultTransport.(*http.Transport).Clone()
	f.http.MaxIdleConnsPerHost = atOnce
	endpoint := qualys.Endpoint{URL: a.url, HTTP: &http.Client{Transport: f.http}, Username: username, Password: password}
	f.client = qualys.New(qualys.Settings{
		Server: endpoint, Gateway: endpoint, ReadIdleTimeout: time.Minute, PageTimeout: time.Hour, Reserve: 10,
		MaxConcurrent: atOnce, ConcurrencyReserve: 1,
	})
	return f, nil
}

func (f *follower) close(ctx context.Context) {
	f.client.Close()
	f.http.CloseIdleConnections()
	_ = f.store.Close(ctx) // of a folder that is thrown away
}

// collect runs the next collection: the first one, then one of what has changed, or of everything again. Its time ends when
// it was committed.
func (f *follower) collect(ctx context.Context, again bool) (*gathered, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	got := &gathered{ofHosts: map[int64]int64{}}
	take, err := consumer.NewLogs(func(_ context.Context, logs plog.Logs) error { return got.take(logs) })
	if err != nil {
		return nil, err
	}
	settings := receivertest.NewNopSettings(component.MustNewType("qualysvmdr"))
	settings.TelemetrySettings = componenttest.NewNopTelemetrySettings()
	telemetry, err := metadata.NewTelemetryBuilder(settings.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: settings.ID, Transport: "http", ReceiverCreateSettings: settings})
	if err != nil {
		return nil, err
	}
	server, err := url.Parse(f.account.url)
	if err != nil {
		return nil, err
	}
	retry := configretry.NewDefaultBackOffConfig()
	state := health.New(health.Settings{Logger: zap.NewNop(), Source: sourceName}, dataset.Vulnerabilities)
	shared := dataset.Settings{
		Engine: engine.Settings{
			Logger: zap.NewNop(), Store: f.store, Telemetry: telemetry, Deliverer: engine.NewDeliverer(ctx, take, obs, retry),
			Waits: &engine.Waits{}, Retry: retry, MaxRecords: batchSize, MaxBytes: batchBytes, Budget: engine.NewBudget(batchBytes),
		},
		Client: f.client, Records: recordSettings(serverName), Server: server, Gateway: server, MaxConcurrent: f.atOnce,
	}
	detections := dataset.DetectionSettings{
		Interval: time.Hour, Collect: "changed", Version: "5.0", PageSize: f.hosts,
		Status: f.status,
		Parameters: map[string]string{
			"show_asset_id": "1", "show_tags": "1", "show_qds": "1", "show_qds_factors": "1", "show_cloud_tags": "1",
			"show_reopened_info": "1", "host_metadata": "all", "vuln_detection_source": "1",
		},
	}
	if again {
		detections.FullAfter = time.Now()
	}
	collector := dataset.NewDetections(shared, detections, state.Dataset(dataset.Vulnerabilities), engine.Options{})
	if _, err := f.account.calls(ctx); err != nil { // those of before
		return nil, err
	}
	began := time.Now()
	if err := collector.Load(ctx); err != nil {
		return nil, err
	}
	if err := collector.Collect(ctx); err != nil {
		return nil, err
	}
	got.took = time.Since(began)
	got.calls, err = f.account.calls(ctx)
	return got, err
}

// take counts records.
func (g *gathered) take(logs plog.Logs) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, rl := range logs.ResourceLogs().All() {
		host, _ := rl.Resource().Attributes().Get("qualys.host.id")
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				id, ok := record.Attributes().Get("qualys.detection.id")
				if !ok {
					return errors.New("a record without the ID of its detection")
				}
				g.records++
				g.identities += uint64(id.Int())
				g.ofHosts[host.Int()] = id.Int()
			}
		}
	}
	return nil
}
