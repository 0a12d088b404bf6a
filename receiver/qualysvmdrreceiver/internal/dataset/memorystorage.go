// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// memoryStorage keeps in memory, in place of a storage that is not configured, what is too large to be kept otherwise.
type memoryStorage struct {
	mu     sync.Mutex // guards everything below
	values map[string][]byte
}

var _ storage.Client = (*memoryStorage)(nil)

func newMemoryStorage() *memoryStorage { return &memoryStorage{values: map[string][]byte{}} }

// Get implements storage.Client.
func (m *memoryStorage) Get(ctx context.Context, key string) ([]byte, error) {
	op := storage.GetOperation(key)
	err := m.Batch(ctx, op)
	return op.Value, err
}

// Set implements storage.Client.
func (m *memoryStorage) Set(ctx context.Context, key string, value []byte) error {
	return m.Batch(ctx, storage.SetOperation(key, value))
}

// Delete implements storage.Client.
func (m *memoryStorage) Delete(ctx context.Context, key string) error {
	return m.Batch(ctx, storage.DeleteOperation(key))
}

// Batch implements storage.Client.
func (m *memoryStorage) Batch(_ context.Context, ops ...*storage.Operation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = m.values[op.Key]
		case storage.Set:
			m.values[op.Key] = append([]byte(nil), op.Value...)
		case storage.Delete:
			delete(m.values, op.Key)
		}
	}
	return nil
}

// Close implements storage.Client.
func (m *memoryStorage) Close(context.Context) error { return nil }
