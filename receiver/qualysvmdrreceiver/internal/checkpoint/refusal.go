// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

const (
	refusalsKey     = "refusals"
	refusalsVersion = 1
	// RefusalHolds is how long refused credentials are not to be tried again: Qualys locks accounts after a few refusals,
	// and a supervisor that restarts the collector would get there fast.
	RefusalHolds = 15 * time.Minute
)

// Refusals remembers, over restarts, which credentials an endpoint refused. Of the credentials it stores only a keyed hash,
// with which they cannot be looked up in tables made in advance. It is safe for concurrent use. On a Store that is not
// persistent it remembers nothing.
type Refusals struct {
	store *Store
	mu    sync.Mutex // of reading, changing and writing the one document
}

// NewRefusals returns the refusals kept in the store.
func NewRefusals(store *Store) *Refusals {
	return &Refusals{store: store}
}

type refusalsDocument struct {
	Key       []byte             `json:"key"`
	Endpoints map[string]refusal `json:"endpoints"`
}

type refusal struct {
	Hash    []byte    `json:"hash"`
	Since   time.Time `json:"since"`
	Message string    `json:"message"`
}

// Remember stores that the endpoint refused these credentials at that time, instead of what was known of that endpoint.
// The message is stored as it is and may not hold the credentials.
func (r *Refusals) Remember(ctx context.Context, endpoint, username, password string, now time.Time, message string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	document, ok := r.load(ctx)
	if !ok {
		document = refusalsDocument{Key: make([]byte, sha256.Size), Endpoints: map[string]refusal{}}
		_, _ = rand.Read(document.Key) // never fails
	}
	document.Endpoints[endpoint] = refusal{Hash: document.hash(endpoint, username, password), Since: now.UTC(), Message: message}
	return r.put(ctx, document)
}

// Recent returns the message and the time of the refusal when the endpoint refused the same credentials less than 15
// minutes ago (or ahead, should the clock have been set back). What cannot be read counts as nothing remembered: it may
// not keep the receiver from working.
func (r *Refusals) Recent(ctx context.Context, endpoint, username, password string, now time.Time) (message string, since time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	document, ok := r.load(ctx)
	if !ok {
		return "", time.Time{}, false
	}
	known, ok := document.Endpoints[endpoint]
	if !ok || now.Sub(known.Since).Abs() >= RefusalHolds || !hmac.Equal(known.Hash, document.hash(endpoint, username, password)) {
		return "", time.Time{}, false
	}
	return known.Message, known.Since, true
}

func (r *Refusals) load(ctx context.Context) (document refusalsDocument, ok bool) {
	found, err := r.store.Load(ctx, refusalsKey, refusalsVersion, &document)
	return document, found && err == nil && len(document.Key) == sha256.Size && document.Endpoints != nil
}

func (r *Refusals) put(ctx context.Context, document refusalsDocument) error {
	return r.store.Update(ctx, func(tx *Tx) { tx.Put(refusalsKey, refusalsVersion, document) })
}

func (d *refusalsDocument) hash(parts ...string) []byte {
	mac := hmac.New(sha256.New, d.Key)
	for _, part := range parts {
		// The lengths keep ("ab", "c") and ("a", "bc") apart.
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}
