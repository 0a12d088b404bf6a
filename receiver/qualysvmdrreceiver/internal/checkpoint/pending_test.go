// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// fullDisk is a storage that takes nothing while err is set.
type fullDisk struct {
	storage.Client
	err error
}

func (c *fullDisk) Batch(context.Context, ...*storage.Operation) error { return c.err }

// A disk that is full stops nothing at first: only the number of pending writes shows what a restart would repeat.
func TestPendingWritesAreCounted(t *testing.T) {
	disk := &fullDisk{Client: storage.NewNopClient()}
	store := New(disk)
	put := func(keys ...string) error {
		return store.Update(t.Context(), func(tx *Tx) {
			for _, key := range keys {
				tx.Put(key, 1, key)
			}
		})
	}
	require.NoError(t, put("a"))
	assert.Zero(t, store.Pending())
	disk.err = errors.New("disk is full")
	require.ErrorIs(t, put("a", "b"), disk.err)
	assert.Equal(t, int64(2), store.Pending())
	require.ErrorIs(t, put("b", "c"), disk.err)
	assert.Equal(t, int64(3), store.Pending(), "one for each key")
	disk.err = nil
	require.NoError(t, put())
	assert.Zero(t, store.Pending())
}

// A storage that takes nothing may give nothing either: what waits to be written is known all the same.
func TestPendingWritesAreReadWhereTheStorageIsDown(t *testing.T) {
	down := &fullDisk{Client: storage.NewNopClient(), err: errors.New("connection refused")}
	store := New(down)
	require.ErrorIs(t, store.Update(t.Context(), func(tx *Tx) {
		tx.Put("a", 1, "what was put")
		tx.Delete("b")
	}), down.err)
	var got string
	found, err := store.Load(t.Context(), "a", 1, &got)
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, "what was put", got)
	found, err = store.Load(t.Context(), "b", 1, &got)
	require.NoError(t, err)
	assert.False(t, found)
	_, err = store.Load(t.Context(), "c", 1, &got)
	require.ErrorIs(t, err, down.err)
}
