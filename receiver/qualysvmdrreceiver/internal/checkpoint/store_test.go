// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/storagetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
)

func TestDocumentSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	id := component.MustNewID("qualysvmdr")
	want := testDocument{Host: 6506432, Status: []string{"New", "Re-Opened"}}

	first := New(storagetest.NewFileBackedClient(component.KindReceiver, id, "", dir))
	require.True(t, first.Persistent())
	_, found := load(t, first, "vulnerabilities")
	assert.False(t, found, "a new storage knows document")
	put(t, first, "vulnerabilities", testDocument{Host: 1})
	put(t, first, "vulnerabilities", want)
	require.NoError(t, first.Close(t.Context()))

	second := New(storagetest.NewFileBackedClient(component.KindReceiver, id, "", dir))
	got, found := load(t, second, "vulnerabilities")
	assert.True(t, found)
	assert.Equal(t, want, got)
	require.NoError(t, second.Update(t.Context(), func(tx *Tx) { tx.Delete("vulnerabilities") }))
	_, found = load(t, second, "vulnerabilities")
	assert.False(t, found, "a deleted document is still there")
	require.NoError(t, second.Close(t.Context()))
}

func TestLoadTellsWhyADocumentIsOfNoUse(t *testing.T) {
	tests := map[string]struct {
		stored    string
		want, not error
	}{
		"newer version":       {`{"version":2,"document":{"host":1}}`, ErrVersion, ErrUnreadable},
		"newer version's own": {`{"version":2,"document":[true]}`, ErrVersion, ErrUnreadable},
		"without a version":   {`{"host":1}`, ErrVersion, ErrUnreadable},
		"cut":                 {`{"version":1,"document":{"ho`, ErrUnreadable, ErrVersion},
		"empty":               {``, ErrUnreadable, ErrVersion},
		"no document":         {`{"version":1}`, ErrUnreadable, ErrVersion},
		"another document":    {`{"version":1,"document":{"host":"web-01"}}`, ErrUnreadable, ErrVersion},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient()
			require.NoError(t, c.Set(t.Context(), "document/assets", []byte(tt.stored)))
			var p testDocument
			found, err := New(c).Load(t.Context(), "assets", 1, &p)
			assert.False(t, found)
			require.ErrorIs(t, err, tt.want)
			assert.ErrorContains(t, err, `document "assets"`)
			assert.NotErrorIs(t, err, tt.not)
		})
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := New(newClient()).Load(ctx, "assets", 1, &testDocument{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestLoadReturnsErrorsOfTheStorage(t *testing.T) {
	c := newClient()
	c.readErr = errDisk
	_, err := New(c).Load(t.Context(), "assets", 1, &testDocument{})
	require.ErrorIs(t, err, errDisk)
	assert.NotErrorIs(t, err, ErrUnreadable, "a disk that cannot be read now does not make the document worthless")
}

func TestUpdateIsOneBatch(t *testing.T) {
	c := newClient()
	s := New(c)
	j, _, err := s.OpenJournal(t.Context(), "delivered", 8)
	require.NoError(t, err)
	require.NoError(t, s.Update(t.Context(), func(tx *Tx) {
		tx.Put("vulnerabilities", 1, testDocument{Host: 1})
		tx.Put("knowledge_base", 1, testDocument{Host: 2})
		tx.Append(j, make([]byte, 3*chunkBytes))
	}))
	assert.Len(t, c.history, 1, "a crash between two Batches would leave half of it")
	assert.Len(t, c.data, 2+3+1)
}

func TestUpdateThatHasNothingToWriteDoesNotWrite(t *testing.T) {
	c := newClient()
	s := New(c)
	j, _, err := s.OpenJournal(t.Context(), "delivered", 8)
	require.NoError(t, err)
	require.NoError(t, s.Update(t.Context(), func(tx *Tx) { tx.Append(j, nil) }))
	assert.Empty(t, c.history)
}

func TestUpdateRefusesWhatCannotBeWrittenAsAWhole(t *testing.T) {
	tests := map[string]struct {
		bad  func(tx *Tx, j *Journal)
		want string
	}{
		"no JSON":         {func(tx *Tx, _ *Journal) { tx.Put("bad", 1, math.Inf(1)) }, `document "bad"`},
		"half an entry":   {func(tx *Tx, j *Journal) { tx.Append(j, make([]byte, 12)) }, `journal "delivered": 12 bytes`},
		"the first of it": {func(tx *Tx, j *Journal) { tx.Put("bad", 1, math.NaN()); tx.Append(j, []byte{1}) }, `document "bad"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient()
			s := New(c)
			j, _, err := s.OpenJournal(t.Context(), "delivered", 8)
			require.NoError(t, err)
			err = s.Update(t.Context(), func(tx *Tx) {
				tx.Append(j, make([]byte, 8))
				tx.Put("good", 1, testDocument{Host: 1})
				tt.bad(tx, j)
			})
			require.ErrorContains(t, err, tt.want)
			put(t, s, "next", testDocument{Host: 2})
			assert.Len(t, c.data, 1, "something of the refused Update was written by the next one")
		})
	}
}

func TestFailedBatchIsWrittenByTheNextUpdate(t *testing.T) {
	c := newClient()
	s := New(c)
	j, _, err := s.OpenJournal(t.Context(), "delivered", 4)
	require.NoError(t, err)
	put(t, s, "gone", testDocument{Host: 1})

	c.writeErr = errDisk
	require.ErrorIs(t, s.Update(t.Context(), func(tx *Tx) {
		tx.Put("kept", 1, testDocument{Host: 1})
		tx.Put("replaced", 1, testDocument{Host: 1})
		tx.Delete("gone")
		tx.Append(j, []byte("aaaa"))
	}), errDisk)
	require.ErrorIs(t, s.Update(t.Context(), func(tx *Tx) {
		tx.Put("replaced", 1, testDocument{Host: 2})
		tx.Append(j, []byte("bbbb"))
	}), errDisk)
	kept, found := load(t, s, "kept")
	assert.True(t, found, "what is pending cannot be loaded")
	assert.Equal(t, testDocument{Host: 1}, kept)
	_, found = load(t, s, "gone")
	assert.False(t, found, "a pending deletion is not seen")

	c.writeErr = nil
	put(t, s, "own", testDocument{Host: 3})
	assert.Len(t, c.history, 2, "pending and own writes have to be one Batch")

	after := New(c)
	for key, want := range map[string]int64{"kept": 1, "replaced": 2, "own": 3} {
		got, found := load(t, after, key)
		assert.True(t, found, key)
		assert.Equal(t, want, got.Host, key)
	}
	_, found = load(t, after, "gone")
	assert.False(t, found)
	_, entries, err := after.OpenJournal(t.Context(), "delivered", 4)
	require.NoError(t, err)
	assert.Equal(t, "aaaabbbb", string(entries))
}

func TestEmptyUpdateTriesWhatIsPending(t *testing.T) {
	c := newClient()
	s := New(c)
	c.writeErr = errDisk
	require.ErrorIs(t, s.Update(t.Context(), func(tx *Tx) { tx.Put("assets", 1, testDocument{Host: 1}) }), errDisk)
	c.writeErr = nil
	require.NoError(t, s.Update(t.Context(), func(*Tx) {}))
	_, found := load(t, New(c), "assets")
	assert.True(t, found)
}

func TestPendingIsBoundedByWhatIsKept(t *testing.T) {
	c := newClient()
	s := New(c)
	j, _, err := s.OpenJournal(t.Context(), "delivered", 16)
	require.NoError(t, err)
	c.writeErr = errDisk
	for range 100 {
		require.ErrorIs(t, s.Update(t.Context(), func(tx *Tx) {
			tx.Put("vulnerabilities", 1, testDocument{Host: 1})
			tx.Clear(j)
			tx.Append(j, make([]byte, chunkBytes+16))
		}), errDisk)
	}
	assert.Len(t, s.pending, 1+1+2, "a disk that stays full lets the memory grow")
}

func TestCloseWritesWhatIsPending(t *testing.T) {
	c := newClient()
	s := New(c)
	c.writeErr = errDisk
	require.ErrorIs(t, s.Update(t.Context(), func(tx *Tx) { tx.Put("assets", 1, testDocument{Host: 1}) }), errDisk)
	c.writeErr = nil
	require.NoError(t, s.Close(t.Context()))
	_, found := load(t, New(c), "assets")
	assert.True(t, found)
}

func TestCloseReturnsWhatWentWrong(t *testing.T) {
	c := newClient()
	c.writeErr = errDisk
	c.closeErr = fmt.Errorf("closing: %w", assert.AnError)
	s := New(c)
	require.ErrorIs(t, s.Update(t.Context(), func(tx *Tx) { tx.Put("assets", 1, testDocument{}) }), errDisk)
	err := s.Close(t.Context())
	require.ErrorIs(t, err, errDisk, "a document that could not be written is not told of")
	require.ErrorIs(t, err, assert.AnError)
	require.NoError(t, s.Close(t.Context()), "a second Close reports again")
}

func TestClosedStoreFails(t *testing.T) {
	s := New(newClient())
	require.NoError(t, s.Close(t.Context()))
	require.ErrorIs(t, s.Update(t.Context(), func(*Tx) {}), errClosed)
	_, err := s.Load(t.Context(), "assets", 1, &testDocument{})
	require.ErrorIs(t, err, errClosed)
	_, _, err = s.OpenJournal(t.Context(), "delivered", 8)
	require.ErrorIs(t, err, errClosed)
}

func TestStoreWithoutStorageKeepsNothing(t *testing.T) {
	s := New(nil)
	assert.False(t, s.Persistent())
	j, entries, err := s.OpenJournal(t.Context(), "delivered", 8)
	require.NoError(t, err)
	require.NotNil(t, j)
	assert.Empty(t, entries)
	require.NoError(t, s.Update(t.Context(), func(*Tx) { t.Error("work is done for an Update that goes nowhere") }))
	_, found := load(t, s, "vulnerabilities")
	assert.False(t, found)
	require.NoError(t, s.Close(t.Context()))
}

func TestDatasetsUpdateAtTheSameTime(t *testing.T) {
	const updates = 50
	c := newClient()
	s := New(c)
	var wg sync.WaitGroup
	for _, dataset := range []string{"vulnerabilities", "knowledge_base", "asset_inventory"} {
		wg.Go(func() {
			j, _, err := s.OpenJournal(t.Context(), dataset, 16)
			assert.NoError(t, err)
			for i := range updates {
				assert.NoError(t, s.Update(t.Context(), func(tx *Tx) {
					tx.Put(dataset, 1, testDocument{Host: int64(i + 1)})
					tx.Append(j, make([]byte, 100*16))
				}))
				var own testDocument
				_, err := s.Load(t.Context(), dataset, 1, &own)
				assert.NoError(t, err)
				assert.EqualValues(t, i+1, own.Host)
			}
		})
	}
	wg.Wait()

	after := New(c)
	for _, dataset := range []string{"vulnerabilities", "knowledge_base", "asset_inventory"} {
		got, _ := load(t, after, dataset)
		assert.EqualValues(t, updates, got.Host)
		_, entries, err := after.OpenJournal(t.Context(), dataset, 16)
		require.NoError(t, err)
		assert.Len(t, entries, updates*100*16)
	}
}
