// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/storagetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// openFile opens a Store on the collector's file storage, found through a host as the receiver does it.
func openFile(tb testing.TB, directory string, maxSize int64) *Store {
	tb.Helper()
	factory := filestorage.NewFactory()
	config := factory.CreateDefaultConfig().(*filestorage.Config)
	config.Directory = directory
	config.MaxSize = maxSize
	id := component.NewID(factory.Type())
	settings := extension.Settings{ID: id, TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	ext, err := factory.Create(tb.Context(), settings, config)
	require.NoError(tb, err)
	host := storagetest.NewStorageHost().WithExtension(id, ext)
	s, err := Open(tb.Context(), host, &id, component.MustNewIDWithName("qualysvmdr", "emea"))
	require.NoError(tb, err)
	return s
}

func TestFileStorageKeepsPositionsOverRestarts(t *testing.T) {
	directory := t.TempDir()
	count := 0
	for restart := range 4 {
		s := openFile(t, directory, 0)
		j, entries, err := s.OpenJournal(t.Context(), "delivered", 16)
		require.NoError(t, err)
		require.Equal(t, string(sequence(16, 0, count)), string(entries), "after restart %d", restart)
		got, found := load(t, s, "vulnerabilities")
		assert.Equal(t, restart > 0, found)
		assert.EqualValues(t, count, got.Host)

		for range 5 {
			update(t, s, func(tx *Tx) {
				tx.Append(j, sequence(16, count, 700))
				count += 700
				tx.Put("vulnerabilities", 1, testDocument{Host: int64(count)})
			})
		}
		require.NoError(t, s.Close(t.Context()))
	}
}

func TestFileStorageThatIsFull(t *testing.T) {
	directory := t.TempDir()
	s := openFile(t, directory, 1<<20)
	put(t, s, "vulnerabilities", testDocument{Host: 1})
	large := make([]string, 1<<20) // 3 MB as JSON
	err := s.Update(t.Context(), func(tx *Tx) {
		tx.Put("vulnerabilities", 1, testDocument{Host: 2, Status: large})
		tx.Put("asset_inventory", 1, testDocument{Host: 3})
	})
	require.ErrorIs(t, err, storage.ErrStorageFull)
	put(t, s, "vulnerabilities", testDocument{Host: 4})
	require.NoError(t, s.Close(t.Context()))

	s = openFile(t, directory, 0)
	got, _ := load(t, s, "vulnerabilities")
	assert.EqualValues(t, 4, got.Host)
	got, _ = load(t, s, "asset_inventory")
	assert.EqualValues(t, 3, got.Host, "what could not be written with the large document is lost")
	require.NoError(t, s.Close(t.Context()))
}

func BenchmarkUpdate(b *testing.B) {
	s := openFile(b, b.TempDir(), 0)
	j, _, err := s.OpenJournal(b.Context(), "delivered", 16)
	require.NoError(b, err)
	entries := sequence(16, 0, 1000)
	b.SetBytes(int64(len(entries)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		err := s.Update(b.Context(), func(tx *Tx) {
			if i%1000 == 0 {
				// A million entries are what a large account has; then its window ends.
				tx.Clear(j)
			}
			tx.Put("vulnerabilities", 1, testDocument{Host: int64(i)})
			tx.Append(j, entries)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, s.Close(b.Context()))
}

func BenchmarkOpenJournal(b *testing.B) {
	directory := b.TempDir()
	s := openFile(b, directory, 0)
	j, _, err := s.OpenJournal(b.Context(), "delivered", 16)
	require.NoError(b, err)
	require.NoError(b, s.Update(b.Context(), func(tx *Tx) { tx.Append(j, make([]byte, 16_000_000)) }))
	b.SetBytes(16_000_000)
	for b.Loop() {
		if _, _, err := s.OpenJournal(b.Context(), "delivered", 16); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, s.Close(b.Context()))
}
