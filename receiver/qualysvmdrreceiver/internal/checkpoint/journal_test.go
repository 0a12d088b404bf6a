// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sequence returns count entries that can be told from each other.
func sequence(entrySize, first, count int) []byte {
	var entries []byte
	for i := first; i < first+count; i++ {
		entry := binary.BigEndian.AppendUint64(make([]byte, max(0, entrySize-8)), uint64(i))
		entries = append(entries, entry[len(entry)-entrySize:]...)
	}
	return entries
}

func open(t *testing.T, c *client, entrySize int) (*Store, *Journal, []byte) {
	t.Helper()
	s := New(c)
	j, entries, err := s.OpenJournal(t.Context(), "delivered", entrySize)
	require.NoError(t, err)
	return s, j, entries
}

func update(t *testing.T, s *Store, fn func(tx *Tx)) {
	t.Helper()
	require.NoError(t, s.Update(t.Context(), fn))
}

func TestJournalKeepsEntriesInOrder(t *testing.T) {
	for _, entrySize := range []int{1, 4, 7, 16, 1000, chunkBytes/2 + 1, chunkBytes} {
		perChunk := chunkBytes / entrySize
		for _, appends := range [][]int{
			{1},
			{1, 1, 1},
			{perChunk},
			{perChunk, 1},
			{perChunk - 1, 1, 1},
			{perChunk + 1, perChunk},
			{3*perChunk + 2, 5, 2 * perChunk},
			{70 * perChunk},
		} {
			t.Run(fmt.Sprint(entrySize, appends), func(t *testing.T) {
				c := newClient()
				var want []byte
				count := 0
				for _, n := range appends {
					// A restart before every append: it goes on where the stored tail ends.
					s, j, entries := open(t, c, entrySize)
					require.Equal(t, string(want), string(entries))
					added := sequence(entrySize, count, n)
					update(t, s, func(tx *Tx) { tx.Append(j, added) })
					want = append(want, added...)
					count += n
				}
				_, _, entries := open(t, c, entrySize)
				assert.Equal(t, string(want), string(entries))
				assert.Len(t, c.data, (count+perChunk-1)/perChunk+1, "more keys than chunks and the head")
			})
		}
	}
}

func TestAppendWritesLittle(t *testing.T) {
	c := newClient()
	s, j, _ := open(t, c, 16)
	update(t, s, func(tx *Tx) { tx.Append(j, make([]byte, 1<<20)) })
	for range 2000 {
		update(t, s, func(tx *Tx) { tx.Append(j, make([]byte, 16)) })
		require.Less(t, c.written, chunkBytes+256, "an entry costs more than its chunk and the head")
	}
}

func TestAppendedEntriesAreCopied(t *testing.T) {
	c := newClient()
	s, j, _ := open(t, c, 4)
	entries := []byte("aaaa")
	c.writeErr = errDisk
	require.ErrorIs(t, s.Update(t.Context(), func(tx *Tx) { tx.Append(j, entries) }), errDisk)
	copy(entries, "bbbb")
	c.writeErr = nil
	update(t, s, func(*Tx) {})
	_, _, got := open(t, c, 4)
	assert.Equal(t, "aaaa", string(got), "the caller's buffer was written later")
}

func TestClear(t *testing.T) {
	full := sequence(16, 0, 3*chunkBytes/16+5)
	t.Run("frees everything", func(t *testing.T) {
		c := newClient()
		s, j, _ := open(t, c, 16)
		update(t, s, func(tx *Tx) { tx.Append(j, full) })
		update(t, s, func(tx *Tx) { tx.Clear(j) })
		assert.Empty(t, c.data)
		_, _, entries := open(t, c, 16)
		assert.Empty(t, entries)
	})
	t.Run("after a restart", func(t *testing.T) {
		c := newClient()
		s, j, _ := open(t, c, 16)
		update(t, s, func(tx *Tx) { tx.Append(j, full) })
		s, j, _ = open(t, c, 16)
		update(t, s, func(tx *Tx) { tx.Clear(j) })
		assert.Empty(t, c.data)
	})
	t.Run("and append in one Update replaces", func(t *testing.T) {
		c := newClient()
		s, j, _ := open(t, c, 16)
		update(t, s, func(tx *Tx) { tx.Append(j, full) })
		update(t, s, func(tx *Tx) {
			tx.Append(j, full)
			tx.Clear(j)
			tx.Append(j, full[:32])
		})
		_, _, entries := open(t, c, 16)
		assert.Equal(t, full[:32], entries)
		assert.Len(t, c.data, 2, "chunks of what was replaced stay")
	})
	t.Run("that could not be written", func(t *testing.T) {
		c := newClient()
		s, j, _ := open(t, c, 16)
		update(t, s, func(tx *Tx) { tx.Append(j, full) })
		c.writeErr = errDisk
		require.ErrorIs(t, s.Update(t.Context(), func(tx *Tx) { tx.Clear(j) }), errDisk)
		c.writeErr = nil
		update(t, s, func(tx *Tx) { tx.Append(j, full[:16]) })
		_, _, entries := open(t, c, 16)
		assert.Equal(t, full[:16], entries)
		assert.Len(t, c.data, 2)
	})
}

func TestDamagedJournal(t *testing.T) {
	const chunk1 = "journal/delivered/1"
	tests := map[string]struct {
		damage func(data map[string][]byte)
		want   error
	}{
		"chunk is missing": {func(data map[string][]byte) { delete(data, chunk1) }, ErrUnreadable},
		"last chunk is missing": {func(data map[string][]byte) {
			delete(data, "journal/delivered/3")
		}, ErrUnreadable},
		"chunk is short": {func(data map[string][]byte) {
			data[chunk1] = data[chunk1][:len(data[chunk1])-1]
		}, ErrUnreadable},
		"chunk has no header": {func(data map[string][]byte) { data[chunk1] = []byte{1} }, ErrUnreadable},
		"chunk is from before a Clear": {func(data map[string][]byte) {
			data[chunk1] = append(make([]byte, chunkHeader), data[chunk1][chunkHeader:]...)
		}, ErrUnreadable},
		"head is garbage": {func(data map[string][]byte) { data["journal/delivered/head"] = []byte("{") }, ErrUnreadable},
		"head of another version": {func(data map[string][]byte) {
			data["journal/delivered/head"] = []byte(`{"version":99,"document":{}}`)
		}, ErrVersion},
		"head counts below nothing": {func(data map[string][]byte) {
			data["journal/delivered/head"] = []byte(`{"version":1,"document":{"entries":-1,"entry_size":16}}`)
		}, ErrUnreadable},
		"head counts what cannot be": {func(data map[string][]byte) {
			data["journal/delivered/head"] = []byte(`{"version":1,"document":{"entries":9223372036854775807,"entry_size":16}}`)
		}, ErrUnreadable},
		"entries of another size": {func(data map[string][]byte) {
			data["journal/delivered/head"] = []byte(`{"version":1,"document":{"entries":1,"entry_size":8}}`)
		}, ErrVersion},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			damaged := func() (*client, *Store, *Journal) {
				c := newClient()
				s, j, _ := open(t, c, 16)
				update(t, s, func(tx *Tx) { tx.Append(j, sequence(16, 0, 3*chunkBytes/16+5)) })
				tt.damage(c.data)
				s = New(c)
				j, entries, err := s.OpenJournal(t.Context(), "delivered", 16)
				require.ErrorIs(t, err, tt.want)
				require.ErrorContains(t, err, `journal "delivered"`)
				require.Empty(t, entries, "a part of the entries is handed out as if it were all")
				return c, s, j
			}
			t.Run("can be cleared", func(t *testing.T) {
				c, s, j := damaged()
				update(t, s, func(tx *Tx) { tx.Clear(j) })
				assert.Empty(t, c.data, "the space is lost")
			})
			t.Run("can begin anew without", func(t *testing.T) {
				c, s, j := damaged()
				want := sequence(16, 7, 3)
				update(t, s, func(tx *Tx) { tx.Append(j, want) })
				s, j, entries := open(t, c, 16)
				assert.Equal(t, want, entries)
				// It grows over the chunks that were left.
				more := sequence(16, 10, chunkBytes/16)
				update(t, s, func(tx *Tx) { tx.Append(j, more) })
				s, j, entries = open(t, c, 16)
				assert.Equal(t, append(want, more...), entries)
				update(t, s, func(tx *Tx) { tx.Clear(j) })
				assert.Empty(t, c.data)
			})
		})
	}
}

func TestLeftOverChunksAreNotRead(t *testing.T) {
	c := newClient()
	s, j, _ := open(t, c, 16)
	update(t, s, func(tx *Tx) { tx.Append(j, sequence(16, 0, 2*chunkBytes/16)) })
	delete(c.data, "journal/delivered/head")
	_, _, entries := open(t, c, 16)
	assert.Empty(t, entries)
}

func TestOpenJournalReturnsErrorsOfTheStorage(t *testing.T) {
	c := newClient()
	c.readErr = errDisk
	_, _, err := New(c).OpenJournal(t.Context(), "delivered", 16)
	require.ErrorIs(t, err, errDisk)
	assert.NotErrorIs(t, err, ErrUnreadable)
}

func TestEntriesHaveASize(t *testing.T) {
	for _, entrySize := range []int{-1, 0, chunkBytes + 1} {
		_, _, err := New(nil).OpenJournal(t.Context(), "delivered", entrySize)
		require.ErrorContains(t, err, fmt.Sprintf("cannot have %d bytes", entrySize))
	}
}

func TestJournalIsReadInPartsThatAreNotKept(t *testing.T) {
	c := newClient()
	s, j, _ := open(t, c, 16)
	want := sequence(16, 0, 5000)
	update(t, s, func(tx *Tx) { tx.Append(j, want) })
	var read []byte
	parts := 0
	_, err := s.ReadJournal(t.Context(), "delivered", 16, func(entries []byte) error {
		assert.LessOrEqual(t, len(entries), chunkBytes)
		read = append(read, entries...)
		parts++
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, string(want), string(read))
	assert.Greater(t, parts, 1)

	_, err = s.ReadJournal(t.Context(), "delivered", 16, func([]byte) error { return errDisk })
	assert.Equal(t, errDisk, err)
	more := sequence(16, 5000, 1)
	update(t, s, func(tx *Tx) { tx.Append(j, more) })
	_, _, entries := open(t, c, 16)
	assert.Equal(t, string(append(want, more...)), string(entries), "what was only read has changed nothing")
}
