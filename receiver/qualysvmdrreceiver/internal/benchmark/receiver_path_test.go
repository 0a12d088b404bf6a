// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// memory answers every request with a page in memory, in the place of a network.
type memory []byte

// RoundTrip implements http.RoundTripper.
func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	var body io.Reader = bytes.NewReader(m)
	if strings.HasSuffix(r.URL.Path, "/auth") {
		claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(time.Hour).Unix()))
		body = strings.NewReader("e30." + claims + ".c2ln")
	}
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Date": {collected.Format(http.TimeFormat)}},
		Body:       io.NopCloser(body),
		Request:    r,
	}, nil
}

// clientOf is a client that is answered with a page in memory.
func clientOf(page []byte) *qualys.Client {
	transport := &http.Client{Transport: memory(page)}
	return qualys.New(qualys.Settings{
		Server:          qualys.Endpoint{URL: "http://" + serverName, HTTP: transport, Username: "user", Password: "pass"},
		Gateway:         qualys.Endpoint{URL: "http://" + gatewayName, HTTP: transport, Username: "user", Password: "pass"},
		ReadIdleTimeout: time.Hour,
		PageTimeout:     time.Hour,
	})
}

func recordSettings(server string) records.Settings {
	return records.Settings{
		Receiver:     sourceName,
		Server:       server,
		Resource:     records.Resource{HostID: true, HostName: true, HostIP: true, QualysHostID: true, QualysServer: true, QualysReceiver: true},
		ScopeName:    scopeName,
		ScopeVersion: scopeVersion,
		MaxRecords:   batchSize,
		MaxBytes:     batchBytes,
	}
}

// detectionReader reads pages as a worker of a collection does, on one core.
type detectionReader struct {
	hosts   qualys.Hosts
	records *records.Detections
	segment qualys.Segment
}

func newDetectionReader(settings records.Settings) *detectionReader {
	return &detectionReader{records: records.NewDetections(settings)}
}

// read makes records of a page.
func (r *detectionReader) read(ctx context.Context, client *qualys.Client, take func(records.Chunk)) error {
	page, err := client.Detections(ctx, qualys.DetectionQuery{Version: "5.0"})
	if err != nil {
		return err
	}
	defer page.Close()
	more := func() (*qualys.Segment, error) { return &r.segment, page.Next(&r.segment) }
	for {
		if err := page.Next(&r.segment); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		r.records.Begin(page.ServerTime(), "", nil)
		r.hosts.Reset(&r.segment, more)
		for {
			err := r.step()
			if err == nil && !r.records.Full() {
				continue
			}
			take(r.records.Take())
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
	}
}

func (r *detectionReader) step() error {
	event, err := r.hosts.Next()
	if err != nil {
		return err
	}
	switch event {
	case qualys.BeginHost:
		return r.records.BeginHost(r.hosts.XML())
	case qualys.HostElement:
		return r.records.HostElement(r.hosts.XML())
	case qualys.DetectionList:
		return r.records.DetectionList(r.hosts.XML())
	case qualys.Detection:
		return r.records.Detection(r.hosts.XML())
	case qualys.EndHost:
		return r.records.EndHost()
	}
	return nil
}

// readTokens reads the tokens of a page.
func readTokens(reader *xmlstream.Reader, page io.Reader) error {
	reader.Reset(page)
	for {
		if _, err := reader.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// readAssets makes records of a page of assets.
func readAssets(ctx context.Context, client *qualys.Client, builder *records.Assets, take func(records.Chunk)) error {
	page, err := client.Assets(ctx, qualys.AssetQuery{})
	if err != nil {
		return err
	}
	defer page.Close()
	builder.Begin(collected, "", nil)
	for {
		decoder, err := page.Next()
		if err == nil {
			err = builder.Asset(decoder)
		}
		if err == nil && !builder.Full() {
			continue
		}
		take(builder.Take())
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
