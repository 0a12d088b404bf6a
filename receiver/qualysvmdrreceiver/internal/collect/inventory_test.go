// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

func testInventory() InventorySettings {
	return InventorySettings{Interval: 24 * time.Hour, Full: 24 * time.Hour, Overlap: time.Hour, PageSize: 4}
}

func (b *bench) inventory(settings InventorySettings) running {
	ctx, cancel := context.WithCancel(context.Background())
	n := NewInventory(b.shared, settings, b.health.Dataset(AssetInventoryDataset))
	var working sync.WaitGroup
	working.Go(func() { n.Run(ctx) })
	return running{stop: func() {
		cancel()
		working.Wait()
	}}
}

func assets(n int, at time.Time) map[int64]time.Time {
	all := map[int64]time.Time{}
	for i := range n {
		all[int64(100+i)] = at
	}
	return all
}

func eachAsset(n, times int) map[string]int {
	counts := map[string]int{}
	for i := range n {
		counts[fmt.Sprintf("asset %d", 100+i)] = times
	}
	return counts
}

func TestEveryAssetArrivesOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.assets = assets(10, time.Now().Add(-24*time.Hour))
		run := newBench(t, fake, next, nil).inventory(testInventory())
		defer run.stop()
		passTime(time.Hour)
		assert.Equal(t, eachAsset(10, 1), next.counts())
		assert.Len(t, fake.asked("search"), 3)
		passTime(24 * time.Hour)
		assert.Equal(t, eachAsset(10, 2), next.counts(), "with both intervals at 24 hours every collection is a full one")
	})
}

func TestBetweenFullCollectionsOnlyChangedAssetsArrive(t *testing.T) {
	for _, refused := range []bool{false, true} {
		t.Run(fmt.Sprintf("filter refused %t", refused), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, next := newFake(), newSink()
				fake.assets = assets(10, time.Now().Add(-48*time.Hour))
				fake.assets[100] = time.Now().Add(-time.Minute)
				fake.fault = func(r *request, w http.ResponseWriter) bool {
					if !refused || !strings.Contains(r.body, assetUpdated) {
						return false
					}
					w.WriteHeader(http.StatusBadRequest)
					fmt.Fprint(w, `{"responseMessage":"Invalid field","responseCode":"FAILED"}`)
					return true
				}
				settings := testInventory()
				settings.Interval, settings.Full = time.Hour, 0
				run := newBench(t, fake, next, nil).inventory(settings)
				defer run.stop()
				passTime(30 * time.Minute)
				fake.change(func() { fake.assets[103] = time.Now() })
				passTime(10 * time.Hour)
				want := eachAsset(10, 1)
				want["asset 103"] = 2
				assert.Equal(t, want, next.counts())
			})
		})
	}
}

func TestCollectionOfAssetsGoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next, client := newFake(), newSink(), memoryClient()
		fake.assets = assets(10, time.Now())
		accepted := 0
		next.decide = func(context.Context, plog.Logs) error {
			if accepted++; accepted > 3 {
				return errors.New("backend is down")
			}
			return nil
		}
		b := newBench(t, fake, next, client)
		run := b.inventory(testInventory())
		passTime(time.Minute)
		assert.Len(t, next.texts(), 6)
		assert.Equal(t, health.Error, b.health.Snapshot()[AssetInventoryDataset])
		run.stop()
		asked := len(fake.asked("search"))
		next.decide = func(context.Context, plog.Logs) error { return nil }
		run = newBench(t, fake, next, client).inventory(testInventory())
		defer run.stop()
		passTime(time.Minute)
		assert.Equal(t, eachAsset(10, 1), next.counts())
		assert.Contains(t, fake.asked("search")[asked].path, "lastSeenAssetId=103", "the second page is asked for again, not the first")
	})
}

func TestExpiringTokensCostNoAsset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.assets = assets(30, time.Now())
		calls := 0
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if !strings.Contains(r.path, "search") {
				return false
			}
			if calls++; calls%3 != 0 {
				return false
			}
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"status":401,"error":"Unauthorized","message":"JWT expired"}`)
			return true
		}
		run := newBench(t, fake, next, nil).inventory(testInventory())
		defer run.stop()
		passTime(time.Minute)
		require.Equal(t, eachAsset(30, 1), next.counts())
		assert.Greater(t, len(fake.asked("/auth")), 1)
	})
}

// The account is in order, as the gateway logs it in: nothing else that uses it may be held up.
func TestTokensThatAreNotTakenAreNoRefusedLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if !strings.Contains(r.path, "search") {
				return false
			}
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"status":401,"error":"Unauthorized"}`)
			return true
		}
		b := newBench(t, fake, newSink(), nil)
		run := b.inventory(testInventory())
		defer run.stop()
		passTime(48 * time.Hour)
		asked := fake.asked("search")
		require.Len(t, asked, 6, "three tries, each also with a new token")
		assert.GreaterOrEqual(t, asked[5].at.Sub(asked[0].at), 10*time.Minute)
		assert.Empty(t, b.refused)
		assert.Equal(t, health.Error, b.health.Snapshot()[AssetInventoryDataset])
	})
}
