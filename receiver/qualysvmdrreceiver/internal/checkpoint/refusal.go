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
	refusalsVersion = 2
)

// Refusals remembers, over restarts, which credentials an endpoint has rejected. Of the credentials it stores only a keyed hash,
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

// Refusal is what is kept of credentials that an endpoint has rejected.
type Refusal struct {
	// Kind is what kind of credentials they are, as their owner likes.
	Kind string `json:"kind"`
	// Message is what the endpoint said. It is stored as it is and may not hold the credentials.
	Message string `json:"message"`
	// Since is when they were rejected last, Next when they may be tried again.
	Since time.Time `json:"since"`
	Next  time.Time `json:"next"`
	// Tries is how often in a row they were rejected.
	Tries int `json:"tries"`
	// Hash is that of the endpoint and the credentials. Remember sets it.
	Hash []byte `json:"hash"`

	endpoint string
	key      []byte
}

// Holds reports whether the credentials may not be tried yet. A clock that was set back by more than they were to be kept back for
// cannot be trusted: they may.
func (r Refusal) Holds(now time.Time) bool {
	return now.Before(r.Next) && r.Since.Sub(now) < r.Next.Sub(r.Since)
}

// Of reports whether it were these credentials, given in the parts that Remember was given.
func (r Refusal) Of(credentials ...string) bool {
	return hmac.Equal(r.Hash, hashOf(r.key, r.endpoint, credentials))
}

type refusalsDocument struct {
	Key       []byte             `json:"key"`
	Endpoints map[string]Refusal `json:"endpoints"`
}

// Remember stores that the endpoint has rejected these credentials, instead of what was known of that endpoint.
func (r *Refusals) Remember(ctx context.Context, endpoint string, refusal Refusal, credentials ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	document, ok := r.load(ctx)
	if !ok {
		document = refusalsDocument{Key: make([]byte, sha256.Size), Endpoints: map[string]Refusal{}}
		_, _ = rand.Read(document.Key) // never fails
	}
	refusal.Since, refusal.Next = refusal.Since.UTC(), refusal.Next.UTC()
	refusal.Hash = hashOf(document.Key, endpoint, credentials)
	document.Endpoints[endpoint] = refusal
	return r.put(ctx, document)
}

// Forget removes what is known of an endpoint: its credentials work again.
func (r *Refusals) Forget(ctx context.Context, endpoint string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	document, ok := r.load(ctx)
	if _, known := document.Endpoints[endpoint]; !ok || !known {
		return nil
	}
	delete(document.Endpoints, endpoint)
	return r.put(ctx, document)
}

// Recall returns what is known of the credentials that the endpoint rejected last; whether it were the same ones, the refusal can
// tell. What cannot be read counts as nothing remembered: it may not keep the receiver from working.
func (r *Refusals) Recall(ctx context.Context, endpoint string) (Refusal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	document, _ := r.load(ctx)
	refusal, ok := document.Endpoints[endpoint]
	refusal.endpoint, refusal.key = endpoint, document.Key
	return refusal, ok
}

func (r *Refusals) load(ctx context.Context) (document refusalsDocument, ok bool) {
	found, err := r.store.Load(ctx, refusalsKey, refusalsVersion, &document)
	if !found || err != nil || len(document.Key) != sha256.Size || document.Endpoints == nil {
		return refusalsDocument{}, false
	}
	return document, true
}

func (r *Refusals) put(ctx context.Context, document refusalsDocument) error {
	return r.store.Update(ctx, func(tx *Tx) { tx.Put(refusalsKey, refusalsVersion, document) })
}

func hashOf(key []byte, endpoint string, credentials []string) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range append([]string{endpoint}, credentials...) {
		// The lengths keep ("ab", "c") and ("a", "bc") apart.
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}
