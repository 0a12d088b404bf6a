// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var lastListed = time.Date(2026, time.November, 18, 9, 15, 0, 0, time.UTC)

// removalsOf returns records of what is gone: known well, and hardly known.
func removalsOf(settings Settings) Chunk {
	r := NewRemovals(settings)
	r.Begin(collected, "5f0c6f0e")
	r.Host(&RemovedHost{
		Host: HostSummary{
			ID: 4100201, AssetID: 9100201, IP: "192.0.2.17", IPv6: "2001:db8::17", Hostname: "press-17.plant.example.test",
			TrackingMethod: "AGENT", QGHostID: "3a6f2b1e", CloudID: "i-0aa11bb2",
		},
		Reason: ReasonNotListed, LastListed: lastListed, ReplacedBy: 4100300,
	})
	r.Host(&RemovedHost{Host: HostSummary{ID: 4100202, QGHostID: "g"}, Reason: ReasonNotListed})
	r.Detection(&RemovedDetection{
		Unit: 4100201, AssetID: 9100201, Key: 880000000001, UniqueVulnID: 880000000001, QID: 105943, Reason: ReasonNotListed, LastListed: lastListed,
	})
	r.Detection(&RemovedDetection{Unit: 4100202, Key: 1 << 63, Reason: ReasonNotListed})
	return r.Take()
}

func TestRemovalsSayWhatWasKnown(t *testing.T) {
	out := removalsOf(inJSON(testSettings()))
	var bodies []string
	for i, lr := range recordsOf(out) {
		bodies = append(bodies, lr.Body().Str())
		assert.Len(t, lr.Body().Str(), int(out.Items[i].Bytes))
		assert.Equal(t, collected, lr.Timestamp().AsTime())
	}
	assert.Equal(t, []string{
		`{"LogType":"removedHostLogs","Reason":"not_listed","Id":4100201,"AssetId":9100201,"IP":"192.0.2.17","IPv6":"2001:db8::17",` +
			`"Hostname":"press-17.plant.example.test","TrackingMethod":"AGENT","QgHostId":"3a6f2b1e",` +
			`"LastListedDateTime":"2026-11-18T09:15:00Z","ReplacedById":4100300}`,
		`{"LogType":"removedHostLogs","Reason":"not_listed","Id":4100202,"QgHostId":"g"}`,
		`{"LogType":"removedDetectionLogs","Reason":"not_listed","Id":4100201,"AssetId":9100201,` +
			`"Detection":{"UniqueVulnId":880000000001,"Qid":105943},"LastListedDateTime":"2026-11-18T09:15:00Z"}`,
		`{"LogType":"removedDetectionLogs","Reason":"not_listed","Id":4100202,"Detection":{}}`,
	}, bodies)
	agree(t, removalsOf(testSettings()), out)
}

// A host that is gone for the second time is not a duplicate of its first removal.
func TestUIDOfARemovalCoversItsTime(t *testing.T) {
	r := NewRemovals(testSettings())
	seen := map[string]bool{}
	for _, told := range []time.Time{collected, collected.Add(24 * time.Hour)} {
		r.Begin(told, "")
		r.Host(&RemovedHost{Host: HostSummary{ID: 7}, Reason: ReasonNotListed, LastListed: lastListed})
		uid := uidOf(t, r.Take())
		assert.False(t, seen[uid])
		seen[uid] = true
	}
	r.Begin(collected, "")
	r.Host(&RemovedHost{Host: HostSummary{ID: 7}, Reason: ReasonNotListed, LastListed: lastListed})
	assert.True(t, seen[uidOf(t, r.Take())], "what a crash brings twice has the same one")
}

func TestManyRemovalsComeInChunks(t *testing.T) {
	settings := testSettings()
	settings.MaxRecords = 2
	r := NewRemovals(settings)
	r.Begin(collected, "")
	got := 0
	for i := range 5 {
		r.Detection(&RemovedDetection{Unit: 1, Key: uint64(i + 1), Reason: ReasonNotListed})
		if r.Full() {
			out := r.Take()
			require.LessOrEqual(t, len(out.Items), 2)
			got += len(out.Items)
		}
	}
	assert.Equal(t, 5, got+len(r.Take().Items))
}

func collectionEventOf(settings Settings) Chunk {
	return CollectionEventChunk(settings, &CollectionEvent{
		ID: "5f0c6f0e-1111-4222-8333-444455556666", Dataset: "vulnerabilities", Window: "New,Active,Re-Opened,Fixed detection_updated_since=2026-11-20T08:00:00Z",
		Started: collected.Add(-time.Minute), Finished: collected, Pages: 3, Hosts: 5, Records: 20, Duplicates: 1, Quarantined: 2, Retries: 4,
		Waited: 0, Duration: 1200 * time.Millisecond, Removed: 6, RemovalsWithheld: 7, Complete: true,
	})
}

func TestCollectionEvents(t *testing.T) {
	lr := onlyRecord(t, collectionEventOf(inJSON(testSettings())))
	assert.Equal(t, `{"LogType":"collectionEvents","id":"5f0c6f0e-1111-4222-8333-444455556666","dataset":"vulnerabilities",`+
		`"window":"New,Active,Re-Opened,Fixed detection_updated_since=2026-11-20T08:00:00Z","full":false,`+
		`"started":"`+collected.Add(-time.Minute).Format(time.RFC3339)+`","finished":"`+collected.Format(time.RFC3339)+`",`+
		`"pages":3,"hosts":5,"records":20,"duplicates":1,"quarantined":2,"retries":4,"waitedSeconds":0.0,"durationSeconds":1.2,`+
		`"removed":6,"removalsWithheld":7,"complete":true}`, lr.Body().Str())
	assert.Equal(t, "qualys.vmdr.collection", lr.EventName())
	assert.Equal(t, collected, lr.Timestamp().AsTime())
	assert.Equal(t, map[string]any{
		"LogType": "collectionEvents", "qualys.dataset": "vulnerabilities", "qualys.collection.id": "5f0c6f0e-1111-4222-8333-444455556666",
	}, withoutUID(t, lr))
	agree(t, collectionEventOf(testSettings()), collectionEventOf(inJSON(testSettings())))
}
