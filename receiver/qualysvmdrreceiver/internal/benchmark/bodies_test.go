// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// enrich enriches the records of a chunk, each with one of the entries. None: nothing is done.
func enrich(chunk records.Chunk, fields []*records.EntryFields, json bool) {
	if fields == nil {
		return
	}
	i := 0
	for _, rl := range chunk.Logs.ResourceLogs().All() {
		for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
			item := &chunk.Items[i]
			records.Enrich(lr, item, records.EntryFound, fields[int(item.QID)%len(fields)], json)
			i++
		}
	}
}

// readJSONBodies makes records of a page whose bodies are JSON, by encoding/xml and encoding/json.
func readJSONBodies(page []byte, take func(plog.Logs)) error {
	built := newDetectionRecords(false, take)
	built.json = true
	if err := decodeHosts(bytes.NewReader(page), built.add); err != nil {
		return err
	}
	built.flush()
	return built.err
}

// compareJSONBodies tells where bodies that are JSON differ from those of the baseline.
func compareJSONBodies(ctx context.Context, page []byte) error {
	settings := recordSettings(serverName)
	settings.JSON = true
	var got, want []located
	err := newDetectionReader(settings).read(ctx, clientOf(page), func(out records.Chunk) { got = append(got, flatten(out.Logs)...) })
	if err != nil {
		return err
	}
	if err := readJSONBodies(page, func(logs plog.Logs) { want = append(want, flatten(logs)...) }); err != nil {
		return err
	}
	for _, list := range [][]located{got, want} {
		for _, l := range list {
			if err := parseBody(l.record.Body()); err != nil {
				return err
			}
		}
	}
	return compare(got, want, sameMembers)
}

// parseBody puts what a body of JSON says in its place.
func parseBody(body pcommon.Value) error {
	if body.Type() != pcommon.ValueTypeStr {
		return fmt.Errorf("body is %s", body.Type())
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(body.Str()), &members); err != nil {
		return err
	}
	return body.FromRaw(members)
}

// enrichFields are those that detections carry by default.
var enrichFields = []string{
	"Title", "VulnerabilityType", "Category", "SeverityLevel", "Patchable", "PublishedDateTime", "LastServiceModificationDateTime", "Cve",
	"VendorReference", "Cvss", "CvssV3", "ThreatIntel", "PciFlag",
}
