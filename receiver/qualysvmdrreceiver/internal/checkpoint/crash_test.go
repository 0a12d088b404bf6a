// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCrash replays a run with full disks and clears up to each of its Batches, as if the process had been killed then.
// What the document says of the journal has to be what the journal holds; else hosts are skipped or detections repeated.
func TestCrash(t *testing.T) {
	type window struct {
		First int `json:"first"`
		Count int `json:"count"`
	}
	const updates = 300
	random := rand.New(rand.NewPCG(1, 2))
	c := newClient()
	s, j, _ := open(t, c, 16)
	var now window
	for range updates {
		c.writeErr = nil
		if random.IntN(4) == 0 {
			c.writeErr = errDisk
		}
		err := s.Update(t.Context(), func(tx *Tx) {
			if random.IntN(40) == 0 {
				tx.Clear(j)
				now = window{First: now.First + now.Count}
			}
			n := random.IntN(300)
			tx.Append(j, sequence(16, now.First+now.Count, n))
			now.Count += n
			tx.Put("window", 1, now)
		})
		require.ErrorIs(t, err, c.writeErr)
	}
	require.Greater(t, len(c.history), updates/2)

	for batches, data := range c.history {
		after := newClient()
		after.data = maps.Clone(data)
		s, j, entries := open(t, after, 16)
		var stored window
		found, err := s.Load(t.Context(), "window", 1, &stored)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, string(sequence(16, stored.First, stored.Count)), string(entries), "after %d batches", batches+1)

		update(t, s, func(tx *Tx) { tx.Append(j, sequence(16, stored.First+stored.Count, 5)) })
		_, _, entries = open(t, after, 16)
		assert.Equal(t, string(sequence(16, stored.First, stored.Count+5)), string(entries), "going on after %d batches", batches+1)
	}
}
