// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package checkpoint keeps what has to survive a restart in a storage extension: documents, which are written whole, and
// journals, which grow at their end. What one Update writes is written in one Batch of the storage client, so that a
// crash leaves all of it or nothing of it.
package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	bbolt "go.etcd.io/bbolt/errors"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

const documentPrefix = "document/"

var errClosed = errors.New("the store is closed")

// Store keeps documents and journals in one storage client. It is safe for concurrent use; every key and every journal
// should have one owner.
type Store struct {
	client storage.Client

	unwritten atomic.Int64 // of pending, after the last write

	// mu guards everything below.
	mu sync.Mutex
	// pending is what the storage does not have yet, by key; nil deletes the key. More than one Update's is in it only
	// after a Batch failed. One entry a key bounds it by what the documents and journals hold.
	pending map[string][]byte
	closed  bool
	lost    chan struct{} // closed when the client has reported that it is closed
	isLost  bool
}

// New returns a Store on the client, which it owns from then on. With a nil client it keeps nothing: what is loaded is
// absent, and updates do nothing.
func New(client storage.Client) *Store {
	return &Store{client: client, pending: map[string][]byte{}, lost: make(chan struct{})}
}

// Persistent reports whether there is a storage client, so that what is written survives a restart.
func (s *Store) Persistent() bool {
	return s.client != nil
}

// Pending returns how many keys could not be written the last time, and wait for the next Update. It does not wait for one that
// is running.
func (s *Store) Pending() int64 { return s.unwritten.Load() }

// Lost returns a channel that is closed when the client reports that it is closed, though this Store has not closed it: as
// file_storage does after a compaction that could not open its database again. Nothing can be read or written from then on.
func (s *Store) Lost() <-chan struct{} {
	return s.lost
}

// batch has the client do ops, and takes note if it is closed.
func (s *Store) batch(ctx context.Context, ops []*storage.Operation) error {
	err := s.client.Batch(ctx, ops...)
	if err != nil && !s.isLost && reportsClosed(err) {
		s.isLost = true
		close(s.lost)
	}
	return err
}

// reportsClosed reports whether an error of a storage client says that it is closed. There is no common error for that: this
// is file_storage's, and what drivers of databases and networks say.
func reportsClosed(err error) bool {
	return errors.Is(err, bbolt.ErrDatabaseNotOpen) || strings.HasSuffix(err.Error(), " is closed")
}

// Load decodes the document of that key into the value that into points to. It returns false when there is none, and an
// error for which errors.Is finds ErrVersion when the document was written with another version, or ErrUnreadable when
// it cannot be decoded (into may then be filled in part). Other errors are the storage client's. What an earlier Update
// could not write yet is loaded as if it had.
func (s *Store) Load(ctx context.Context, key string, version int, into any) (found bool, err error) {
	found, err = s.load(ctx, documentPrefix+key, version, into)
	if err != nil {
		return false, fmt.Errorf("document %q: %w", key, err)
	}
	return found, nil
}

func (s *Store) load(ctx context.Context, key string, version int, into any) (bool, error) {
	values, err := s.read(ctx, key)
	if err != nil || values[0] == nil {
		return false, err
	}
	return true, decode(values[0], version, into)
}

// LoadBytes returns the documents of the keys, in one step, as they were written by [Tx.PutBytes]; nil: there is none. They are not
// to be changed. Errors are the storage client's. What an earlier Update could not write yet is loaded as if it had.
func (s *Store) LoadBytes(ctx context.Context, keys ...string) ([][]byte, error) {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = documentPrefix + key
	}
	return s.read(ctx, names...)
}

// read returns the values of the keys, nil for those that are absent. It asks the client once, for what is not pending: the file
// storage pays for every call with a transaction, and one that takes nothing may give nothing.
func (s *Store) read(ctx context.Context, keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	if s.client == nil {
		return values, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err // not every client looks, and a million keys take long
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}

	var ops []*storage.Operation
	var wanted []int // which of values
	for i, key := range keys {
		if value, ok := s.pending[key]; ok {
			values[i] = value
			continue
		}
		ops, wanted = append(ops, storage.GetOperation(key)), append(wanted, i)
	}
	if len(ops) == 0 {
		return values, nil
	}
	if err := s.batch(ctx, ops); err != nil {
		return nil, fmt.Errorf("reading the storage: %w", err)
	}
	for i, op := range ops {
		values[wanted[i]] = op.Value
	}
	return values, nil
}

// Update writes what fn does to the Tx in one Batch: all or nothing. When fn hands over something that cannot be
// written, the error is returned and nothing of this Update is kept. When the Batch fails (a full disk), the error is
// returned, but everything stays pending and is written by the next Update, together with its own; an Update that does
// nothing tries just that.
//
// Updates run one after the other, so that documents that several goroutines write are stored in the order in which
// their fn ran. Therefore fn may neither call the Store nor wait for somebody who does. Without a storage client fn is not
// called.
func (s *Store) Update(ctx context.Context, fn func(tx *Tx)) error {
	if s.client == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}

	var tx Tx
	fn(&tx)
	if tx.err != nil {
		return tx.err
	}
	for _, change := range tx.changes {
		change(s.pending)
	}
	return s.write(ctx)
}

func (s *Store) write(ctx context.Context) error {
	if len(s.pending) == 0 {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(s.pending), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.rank(a), s.rank(b)), cmp.Compare(a, b))
	})
	ops := make([]*storage.Operation, 0, len(keys))
	for _, key := range keys {
		if value := s.pending[key]; value != nil {
			ops = append(ops, storage.SetOperation(key, value))
		} else {
			ops = append(ops, storage.DeleteOperation(key))
		}
	}
	if err := s.batch(ctx, ops); err != nil {
		s.unwritten.Store(int64(len(s.pending)))
		return fmt.Errorf("writing to the storage: %w", err)
	}
	clear(s.pending)
	s.unwritten.Store(0)
	return nil
}

// rank orders what one Batch writes: chunks of journals, their heads, documents, then deletions. Not every storage writes a
// Batch as a whole; with this order what any part of it leaves behind repeats records and loses none, as nothing counts on
// what is not there yet, and nothing is gone that something still counts on.
func (s *Store) rank(key string) int {
	switch {
	case s.pending[key] == nil:
		return 3
	case strings.HasPrefix(key, documentPrefix):
		return 2
	case strings.HasSuffix(key, journalHead):
		return 1
	}
	return 0
}

// Close writes what is still pending and closes the client. Later calls of Close do nothing, those of other methods fail.
func (s *Store) Close(ctx context.Context) error {
	if s.client == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.write(ctx), s.client.Close(ctx))
}
