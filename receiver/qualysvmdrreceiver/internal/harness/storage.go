// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// Storage is a storage in memory that remembers every write as a single one, as of a storage whose Batch is not atomic. It is
// safe for concurrent use.
type Storage struct {
	mu      sync.Mutex // guards everything below
	values  map[string][]byte
	writes  []write
	written func()
}

var _ storage.Client = (*Storage)(nil)

// write sets a key, or deletes it if value is nil.
type write struct {
	key   string
	value []byte
}

// NewStorage returns an empty storage.
func NewStorage() *Storage { return &Storage{values: map[string][]byte{}} }

// Written makes a function be called after each single write from now on.
func (s *Storage) Written(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = fn
}

// After returns the storage as a crash after so many single writes would have left it.
func (s *Storage) After(writes int) *Storage {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := NewStorage()
	for _, w := range s.writes[:writes] {
		left.apply(w)
	}
	return left
}

// Copy returns a storage that holds the same now.
func (s *Storage) Copy() *Storage {
	s.mu.Lock()
	writes := len(s.writes)
	s.mu.Unlock()
	return s.After(writes)
}

// Keys returns the keys that hold something, in order.
func (s *Storage) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]string, 0, len(s.values))
	for key := range s.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (s *Storage) apply(w write) {
	s.writes = append(s.writes, w)
	if w.value == nil {
		delete(s.values, w.key)
	} else {
		s.values[w.key] = w.value
	}
}

// Get implements storage.Client.
func (s *Storage) Get(ctx context.Context, key string) ([]byte, error) {
	op := storage.GetOperation(key)
	err := s.Batch(ctx, op)
	return op.Value, err
}

// Set implements storage.Client.
func (s *Storage) Set(ctx context.Context, key string, value []byte) error {
	return s.Batch(ctx, storage.SetOperation(key, value))
}

// Delete implements storage.Client.
func (s *Storage) Delete(ctx context.Context, key string) error {
	return s.Batch(ctx, storage.DeleteOperation(key))
}

// Batch implements storage.Client.
func (s *Storage) Batch(ctx context.Context, ops ...*storage.Operation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = slices.Clone(s.values[op.Key])
			continue
		case storage.Set:
			s.apply(write{op.Key, append([]byte{}, op.Value...)})
		case storage.Delete:
			s.apply(write{key: op.Key})
		}
		if s.written != nil {
			s.written()
		}
	}
	return nil
}

// Close implements storage.Client.
func (s *Storage) Close(context.Context) error { return nil }
