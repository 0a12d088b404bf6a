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
