// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

var errDown = errors.New("the storage is down")

// hurtStorage is a storage that can be down, or dies in the middle of a batch.
type hurtStorage struct {
	storage.Client
	down atomic.Bool
	// left is how many operations are still done that write; below 0: all of them.
	left atomic.Int64
}

func newHurtStorage(h *harness.Harness) *hurtStorage {
	s := &hurtStorage{Client: h.Storage}
	s.left.Store(-1)
	h.Storage = s
	return s
}

func (s *hurtStorage) Batch(ctx context.Context, ops ...*storage.Operation) error {
	if s.down.Load() {
		return errDown
	}
	if s.left.Load() < 0 {
		return s.Client.Batch(ctx, ops...)
	}
	for _, op := range ops {
		if op.Type != storage.Get && s.left.Add(-1) < 0 {
			s.left.Store(0)
			return errDown
		}
		if err := s.Client.Batch(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

func (s *hurtStorage) Close(context.Context) error { return nil }

func TestStorageThatCannotBeReadAtTheStartIsTriedAgain(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		client := newHurtStorage(h)
		for range 2 { // then with something to read
			client.down.Store(true)
			c := run(h, enriching())
			h.Advance(time.Minute)
			h.ExpectState(dataset.Vulnerabilities, health.Error)
			h.ExpectState(dataset.KnowledgeBase, health.Error)
			client.down.Store(false)
			h.Advance(30 * time.Minute)
			assert.NotEqual(t, health.Error, h.Health.Snapshot()[dataset.KnowledgeBase])
			h.ExpectDelivered(all(h, each(1, 1000, 1001, 1002, 1003)))
			known, _, _ := c.Entries()
			assert.Equal(t, 4, known)
			h.Stop()
		}
	})
}

// Not every storage writes a batch as a whole. Wherever it stops, no entry is lost, no detection is without its entry, and
// nothing comes a third time.
func TestAnyPartOfAWriteLosesNothing(t *testing.T) {
	for n := range 60 {
		bubble(t, func(h *harness.Harness) {
			detect(h, 4)
			client := newHurtStorage(h)
			client.left.Store(int64(n))
			run(h, enriching())
			h.Advance(10 * time.Minute)
			h.Stop()
			client.left.Store(-1)
			run(h, enriching())
			h.Advance(10 * time.Minute)
			counts := h.Backend.Counts()
			for label := range all(h, each(1, 1000, 1001, 1002, 1003)) {
				assert.GreaterOrEqual(t, counts[label], 1, "%s after %d operations", label, n)
				assert.LessOrEqual(t, counts[label], 2, "%s after %d operations", label, n)
			}
			assert.NotContains(t, known(h), "unavailable")
			assert.NotContains(t, known(h), "not_found")
		})
	}
}

// A storage that loses what it was given must not lead to requests without end.
func TestFieldsThatTheStorageLosesAreFetchedOnceMore(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		h.Storage = storage.NewNopClient()
		h.Shared = manyRecords
		settings := enriching()
		settings.PageSize = 4
		run(h, settings)
		h.Advance(30 * time.Minute)
		assert.Equal(t, 20, known(h)["unavailable"])
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h))
		assert.LessOrEqual(t, len(asked(h)), 2*h.Backend.Offers())
	})
}

func TestDamagedFieldsAreFetchedOnceMore(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, enriching())
		h.Advance(10 * time.Minute)
		h.Stop()
		require.NoError(t, h.Storage.Set(t.Context(), "document/kb/entry/1000", []byte("{")))
		h.Change(1, func(*qualyssim.ScriptedDetection) {})
		n := len(asked(h))
		run(h, enriching())
		h.Advance(time.Hour)
		assert.Equal(t, 6, known(h)["Entry 1000"])
		assert.Len(t, asked(h), n+1)
		assert.Equal(t, each(1, 1000, 1001, 1002, 1003), entries(h), "it is as it was delivered")
	})
}

func TestDamagedQIDsLeadToAFullCollection(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, enriching())
		h.Advance(10 * time.Minute)
		h.Stop()
		require.NoError(t, h.Storage.Set(t.Context(), "journal/kb/qids/head", []byte("{")))
		run(h, enriching())
		h.Advance(2 * time.Hour)
		assert.Equal(t, each(2, 1000, 1001, 1002, 1003), entries(h))
		h.ExpectLogged(1, "stored QIDs cannot be read")
	})
}

func TestDamagedStateDeliversEntriesAgain(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, enriching())
		h.Advance(10 * time.Minute)
		h.Stop()
		require.NoError(t, h.Storage.Set(t.Context(), "document/kb/state", []byte("{")))
		run(h, enriching())
		h.Advance(10 * time.Minute)
		assert.Equal(t, each(2, 1000, 1001, 1002, 1003), entries(h))
	})
}

func TestOtherParametersDeliverEntriesAgain(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, enriching())
		h.Advance(10 * time.Minute)
		h.Stop()
		settings := enriching()
		settings.Parameters = map[string]string{"show_pci_reasons": "1"}
		run(h, settings)
		h.Advance(10 * time.Minute)
		assert.Equal(t, each(2, 1000, 1001, 1002, 1003), entries(h))
		assert.Equal(t, "1", asked(h)[len(asked(h))-1].Form.Get("show_pci_reasons"))
	})
}

// A stored time that lies ahead must not hold up refreshes until the clock has come there again.
func TestClockThatWasSetBackHoldsNothingUp(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		detect(h, 4)
		run(h, plain())
		h.Advance(10 * time.Minute)
		h.Stop()
		stored, err := h.Storage.Get(t.Context(), "document/kb/state")
		require.NoError(t, err)
		var document map[string]any
		require.NoError(t, json.Unmarshal(stored, &document))
		document["document"].(map[string]any)["refreshed"] = time.Now().Add(30 * 24 * time.Hour)
		stored, err = json.Marshal(document)
		require.NoError(t, err)
		require.NoError(t, h.Storage.Set(t.Context(), "document/kb/state", stored))
		run(h, plain())
		h.Advance(10 * time.Minute)
		assert.Len(t, refreshes(h), 1)
		h.Advance(30 * time.Hour)
		assert.Len(t, refreshes(h), 2)
	})
}

// 30,000 entries and the fields of them must cost at most 64 MiB, also where there is no storage.
func TestManyEntriesCostLittleMemory(t *testing.T) {
	const qids = 30_000
	references := strings.Repeat(`<VENDOR_REFERENCE><ID><![CDATA[ADV-2024-1]]></ID><URL><![CDATA[https://vendor.example.com/advisory/ADV-2024-1]]></URL></VENDOR_REFERENCE>`, 3)
	bubble(t, func(h *harness.Harness) {
		for i := range qids {
			qid := int64(1000 + i)
			if i%1000 == 0 {
				h.Script.SetHost(int64(10+i/1000), manyDetections(qid, 1000))
			}
			h.Script.SetEntry(qid, qualyssim.ScriptedEntry{Modified: time.Now(), Elements: fmt.Sprintf("<CVE_LIST><CVE><ID>CVE-2024-%d</ID><URL>http://cve.mitre.org/cgi-bin/cvename.cgi?name=CVE-2024-%d</URL></CVE></CVE_LIST><VENDOR_REFERENCE_LIST>%s</VENDOR_REFERENCE_LIST>", i, i*7, references)})
		}
		h.Storage = nil
		h.Shared = func(shared *dataset.Settings) {
			manyRecords(shared)
			settings := receivertest.NewNopSettings(component.MustNewType("qualysvmdr"))
			obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: settings.ID, ReceiverCreateSettings: settings})
			require.NoError(t, err)
			shared.Engine.Deliverer = engine.NewDeliverer(context.Background(), consumertest.NewNop(), obs, harness.Retry())
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		settings := enriching()
		settings.PageSize = 500
		settings.EnrichFields = append(settings.EnrichFields, "Cve", "VendorReference", "Cvss", "CvssV3")
		c := run(h, settings)
		h.Advance(30 * time.Minute)
		runtime.GC()
		runtime.ReadMemStats(&after)
		known, _, _ := c.Entries()
		assert.Equal(t, qids, known)
		assert.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(64<<20))
		t.Logf("%d MiB", (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>20)
		runtime.KeepAlive(c)
	})
}
