// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// chunkOf is a chunk of n records of a unit; done is whether the unit ends in it.
func chunkOf(unit uint64, n, bytes int, done bool) Chunk {
	c := Chunk{Chunk: records.Chunk{Logs: plog.NewLogs(), Bytes: bytes}}
	if n > 0 {
		rl := c.Logs.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutInt("unit", int64(unit))
		sl := rl.ScopeLogs().AppendEmpty()
		for range n {
			sl.LogRecords().AppendEmpty().Body().SetStr(fmt.Sprint(unit))
			c.Items = append(c.Items, records.Item{Unit: unit})
		}
	}
	if done {
		c.UnitsDone, c.UnitDone = 1, unit
	}
	return c
}

// newTestBatches are batches of five records or 1000 bytes.
func newTestBatches(budget *Budget, together bool, deliver func(context.Context, *Batch) error) *Batches {
	return &Batches{maxRecords: 5, maxBytes: 1000, budget: budget, deliver: deliver, together: func() bool { return together }}
}

func TestBatchesAreWithinTheirLimits(t *testing.T) {
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprintf("with others %t", together), func(t *testing.T) {
			var sizes []int
			budget := NewBudget(mostBudget)
			b := newTestBatches(budget, together, func(_ context.Context, batch *Batch) error {
				sizes = append(sizes, len(batch.Items))
				assert.Len(t, batch.Items, batch.Logs.LogRecordCount())
				return nil
			})
			for _, c := range []Chunk{
				chunkOf(1, 2, 10, false), chunkOf(1, 2, 10, true), chunkOf(2, 2, 10, true), // two do not fit any more
				chunkOf(3, 1, 991, true),                          // nor do the bytes
				chunkOf(4, 7, 5000, true), chunkOf(5, 1, 1, true), // what is too large goes alone
			} {
				require.NoError(t, b.Add(t.Context(), c))
			}
			require.NoError(t, b.Flush(t.Context()))
			assert.Equal(t, []int{4, 2, 1, 7, 1}, sizes)
			assert.True(t, budget.fits(mostBudget), "everything was given back")
		})
	}
}

func TestUnitThatGoesOnInABatchKeepsOneResource(t *testing.T) {
	resources := 0
	b := newTestBatches(NewBudget(mostBudget), false, func(_ context.Context, batch *Batch) error {
		resources = batch.Logs.ResourceLogs().Len()
		assert.Equal(t, 2, batch.Units)
		assert.Equal(t, uint64(2), batch.UnitDone)
		return nil
	})
	for _, c := range []Chunk{chunkOf(1, 1, 1, false), chunkOf(1, 1, 1, true), chunkOf(2, 1, 1, false), chunkOf(2, 1, 1, true)} {
		require.NoError(t, b.Add(t.Context(), c))
	}
	require.NoError(t, b.Flush(t.Context()))
	assert.Equal(t, 2, resources)
}

func TestDuplicatesAreHandedOnTooWhereNothingIsNew(t *testing.T) {
	delivered := 0
	b := newTestBatches(NewBudget(mostBudget), false, func(_ context.Context, batch *Batch) error {
		delivered += len(batch.Duplicates)
		return nil
	})
	c := chunkOf(1, 0, 0, false)
	c.Duplicates = make([]records.Item, DuplicatesAtOnce/2)
	for range 2 {
		require.NoError(t, b.Add(t.Context(), c))
	}
	require.NoError(t, b.End())
	assert.Equal(t, DuplicatesAtOnce, delivered)
}

func TestNothingIsDeliveredBehindABatchThatFailed(t *testing.T) {
	failure := errors.New("a stage failed")
	var delivered []uint64
	budget := NewBudget(mostBudget)
	b := newTestBatches(budget, false, func(_ context.Context, batch *Batch) error {
		delivered = append(delivered, batch.Items[0].Unit)
		return failure
	})
	require.NoError(t, b.Add(t.Context(), chunkOf(1, 5, 10, true)))
	require.NoError(t, b.Add(t.Context(), chunkOf(2, 5, 10, true)), "the first one is on its way")
	require.ErrorIs(t, b.Add(t.Context(), chunkOf(3, 5, 10, true)), failure)
	require.ErrorIs(t, b.Flush(t.Context()), failure, "its cursor would pass what was not delivered")
	require.ErrorIs(t, b.End(), failure)
	assert.Equal(t, []uint64{1}, delivered)
	assert.True(t, budget.fits(mostBudget), "everything was given back")
}

func TestNothingIsSentAfterTheEndOfTheContext(t *testing.T) {
	b := newTestBatches(NewBudget(mostBudget), false, func(context.Context, *Batch) error {
		t.Error("a delivery began")
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	require.NoError(t, b.Add(ctx, chunkOf(1, 1, 10, true)))
	stop()
	require.ErrorIs(t, b.Flush(ctx), context.Canceled)
	require.NoError(t, b.End())
}

func TestPageIsHeldUpByWhatTakesLongOrRejects(t *testing.T) {
	for _, test := range []struct {
		name     string
		takes    time.Duration
		rejected int64
		want     bool
	}{
		{"a quick delivery", time.Second, 0, false},
		{"a slow one", 11 * time.Second, 0, true},
		{"a rejection", time.Second, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var rejected atomic.Int64
				b := newTestBatches(NewBudget(mostBudget), false, func(ctx context.Context, _ *Batch) error { return sleep(ctx, test.takes/2) })
				b.rejected = &rejected
				for unit := range uint64(3) {
					require.NoError(t, b.Add(t.Context(), chunkOf(unit+1, 5, 10, true)))
				}
				rejected.Store(test.rejected)
				require.NoError(t, b.Flush(t.Context()))
				assert.Equal(t, test.want, b.HeldUp())
			})
		})
	}
}

func TestTextOfAllShardsTogetherIsBoundedAndNobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(mostBudget)
		var mu sync.Mutex
		delivered, most := 0, 0
		var shards sync.WaitGroup
		const n, chunks = 9, 40
		for k := range n {
			shards.Go(func() {
				b := newTestBatches(budget, true, func(ctx context.Context, batch *Batch) error {
					mu.Lock()
					delivered += len(batch.Items)
					budget.mu.Lock()
					most = max(most, budget.taken)
					budget.mu.Unlock()
					mu.Unlock()
					return sleep(ctx, time.Second)
				})
				b.maxBytes = 8 << 20
				for i := range chunks {
					assert.NoError(t, sleep(t.Context(), time.Duration(k+i)*time.Millisecond))
					assert.NoError(t, b.Add(t.Context(), chunkOf(uint64(i+1), 1, 1<<20+k<<19, true)))
				}
				assert.NoError(t, b.Flush(t.Context()))
			})
		}
		shards.Wait()
		assert.Equal(t, n*chunks, delivered)
		assert.LessOrEqual(t, most, mostBudget)
		assert.Zero(t, budget.taken)
	})
}

func TestOneShardMayAlwaysGoOn(t *testing.T) {
	b := newTestBatches(NewBudget(mostBudget), false, func(context.Context, *Batch) error { return nil })
	require.NoError(t, b.Add(t.Context(), chunkOf(1, 1, 4*mostBudget, true)))
	require.NoError(t, b.Add(t.Context(), chunkOf(2, 1, 4*mostBudget, true)))
	require.NoError(t, b.Flush(t.Context()))
}

func TestShardThatNeedsMuchComesInItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(mostBudget)
		var order []string
		var mu sync.Mutex
		note := func(who string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, who)
		}
		ctx, stop := context.WithCancel(t.Context())
		var others sync.WaitGroup
		for k := range 4 { // they hold some at any time
			others.Go(func() {
				_ = sleep(ctx, time.Duration(k)*100*time.Millisecond)
				for ctx.Err() == nil {
					if !budget.try(4 << 20) {
						if budget.take(ctx, 4<<20) != nil {
							return
						}
					}
					_ = sleep(ctx, time.Second)
					budget.give(4 << 20)
					note("other")
				}
			})
		}
		assert.NoError(t, sleep(t.Context(), 10*time.Second+50*time.Millisecond)) // when none of them changes anything
		mu.Lock()
		order = nil
		mu.Unlock()
		require.NoError(t, budget.take(t.Context(), mostBudget))
		note("large")
		budget.give(mostBudget)
		stop()
		others.Wait()
		assert.LessOrEqual(t, slices.Index(order, "large"), 4)
		assert.Zero(t, budget.taken)
	})
}

func TestWaitForTheBudgetEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(mostBudget)
		require.True(t, budget.try(mostBudget))
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		require.ErrorIs(t, budget.take(ctx, 1), context.DeadlineExceeded)
		budget.give(mostBudget)
		require.True(t, budget.try(mostBudget), "who gave up holds nothing")
	})
}
