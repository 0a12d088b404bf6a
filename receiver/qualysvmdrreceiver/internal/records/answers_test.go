// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// collected is when everything in these tests was collected.
var collected = time.Date(2026, time.November, 20, 10, 0, 0, 0, time.UTC)

func testSettings() Settings {
	return Settings{
		Receiver: "qualysvmdr/plant",
		Server:   "vmdr.example.test",
		Resource: Resource{
			HostID: true, HostName: true, HostIP: true, QualysHostID: true, QualysServer: true, QualysReceiver: true,
		},
		ScopeName:    "github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver",
		ScopeVersion: "1.2.3",
		MaxRecords:   1000,
		MaxBytes:     1 << 20,
	}
}

func inJSON(s Settings) Settings {
	s.JSON = true
	return s
}

func testdata(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return string(content)
}

// readHosts reads all hosts of an answer as the client hands them out, and calls each after every element.
func readHosts(d *Detections, answer io.Reader, each func()) error {
	x := xmlstream.NewReader(answer)
	in := false
	for {
		kind, err := x.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := string(x.Name())
		switch {
		case kind == xmlstream.StartElement && name == "HOST":
			in = true
			err = d.BeginHost(x)
		case kind == xmlstream.EndElement && name == "HOST":
			in = false
			err = d.EndHost()
		case kind != xmlstream.StartElement || !in:
			continue
		case name == "DETECTION_LIST":
			if x.Attrs() > 0 {
				err = d.DetectionList(x)
			}
		case name == "DETECTION":
			err = d.Detection(x)
		default:
			err = d.HostElement(x)
		}
		if err != nil {
			return err
		}
		if each != nil {
			each()
		}
	}
}

// detectionsOf returns the one Chunk that the hosts of an answer make.
func detectionsOf(t testing.TB, settings Settings, answer string) Chunk {
	t.Helper()
	d := NewDetections(settings)
	d.Begin(collected, "", nil)
	require.NoError(t, readHosts(d, strings.NewReader(answer), nil))
	return d.Take()
}

// oneHost is an answer of a host with these elements.
func oneHost(elements ...string) string {
	return "<HOST><ID>7</ID>" + strings.Join(elements, "") + "</HOST>"
}

func readEntries(k *KnowledgeBase, answer io.Reader) error {
	x := xmlstream.NewReader(answer)
	for {
		kind, err := x.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err == nil && kind == xmlstream.StartElement && string(x.Name()) == "VULN" {
			err = k.Entry(x)
		}
		if err != nil {
			return err
		}
	}
}

func entriesOf(t testing.TB, settings Settings, answer string) Chunk {
	t.Helper()
	k := NewKnowledgeBase(settings)
	k.Begin(collected, "", nil, nil)
	require.NoError(t, readEntries(k, strings.NewReader(answer)))
	return k.Take()
}

func newDecoder(r io.Reader) *jsontext.Decoder {
	return jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// readAssets reads the assets of an answer, or of a bare array of them.
func readAssets(a *Assets, answer io.Reader) error {
	dec := newDecoder(answer)
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if token.Kind() == '[' {
			break
		}
	}
	for dec.PeekKind() != ']' {
		if err := a.Asset(dec); err != nil {
			return err
		}
	}
	return nil
}

func assetsOf(t testing.TB, settings Settings, since time.Time, answer string) Chunk {
	t.Helper()
	a := NewAssets(settings)
	a.PortsSince(since)
	a.Begin(collected, "", nil)
	require.NoError(t, readAssets(a, strings.NewReader(answer)))
	return a.Take()
}

// recordsOf returns all records of an Chunk.
func recordsOf(out Chunk) []plog.LogRecord {
	var all []plog.LogRecord
	for _, rl := range out.Logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				all = append(all, lr)
			}
		}
	}
	return all
}

// onlyRecord returns the one record of an Chunk.
func onlyRecord(t testing.TB, out Chunk) plog.LogRecord {
	t.Helper()
	all := recordsOf(out)
	require.Len(t, all, 1)
	return all[0]
}

// hostJSON returns the body of the only record that a host with these elements makes, as JSON.
func hostJSON(t *testing.T, elements ...string) string {
	t.Helper()
	return onlyRecord(t, detectionsOf(t, inJSON(testSettings()), oneHost(elements...))).Body().Str()
}
