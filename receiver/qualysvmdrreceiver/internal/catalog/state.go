// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
)

const (
	stateVersion = 2
	stateKey     = "kb/state"
	journalName  = "kb/qids"
	// storageGrace is how long a write to the storage may take, also when the receiver stops meanwhile.
	storageGrace = 2 * time.Second
)

// state is where the catalog stands, besides the states of its QIDs.
type state struct {
	// Fingerprint is a hash of what is asked for: when that changes, all entries are delivered again.
	Fingerprint string `json:"fingerprint"`
	// Fields is a hash of the names of the fields that are kept of all entries, "": none are.
	Fields string `json:"fields,omitempty"`
	// Complete reports whether a full collection of detections has begun since there is a catalog, so that it knows all QIDs.
	Complete bool `json:"complete,omitempty"`
	// Since is the start of the last successful refresh by the server's clock, or that of the first collection.
	Since time.Time `json:"since,omitzero"`
	// Refreshed and Full are when entries were last looked for, and all delivered, by the local clock.
	Refreshed time.Time `json:"refreshed"`
	Full      time.Time `json:"full"`
	// Collection is the ID of the last collection of detections, Refresh that of the last refresh: entries carry them.
	Collection string `json:"collection,omitempty"`
	Refresh    string `json:"refresh,omitempty"`
}

// Forget has the next catalog ask for a full collection of detections: call it where no KnowledgeBase is configured, as the
// QIDs that are detected until it is configured again are not noted. Errors are those of the storage.
func Forget(ctx context.Context, store *checkpoint.Store) error {
	err := store.Update(ctx, func(tx *checkpoint.Tx) { tx.Delete(stateKey) })
	if err != nil {
		return fmt.Errorf("knowledge base: %w", err)
	}
	return nil
}

// Open reads what is stored, unless that was done before. Where it makes no sense Open says so, and entries are delivered once
// more. Nobody may call Detected or Enrich before. Errors are those of the storage.
func (c *Catalog) Open(ctx context.Context) error {
	c.opening.Lock()
	defer c.opening.Unlock()
	if c.opened {
		return nil
	}
	log := c.dataset.Log
	wanted, err := engine.Fingerprint(c.settings.Server.Host, c.settings.Parameters)
	if err != nil {
		return err
	}
	journal, data, err := c.dataset.Settings.Store.OpenJournal(ctx, journalName, entrySize)
	lost := damaged(err)
	switch {
	case lost:
		log.Error("stored QIDs cannot be read; starting a full collection of detections, entries are delivered again", zap.Error(err))
	case err != nil:
		return fmt.Errorf("reading the QIDs: %w", err)
	}
	var stored state
	found, err := c.dataset.Settings.Store.Load(ctx, stateKey, stateVersion, &stored)
	broken := damaged(err)
	switch {
	case broken:
		log.Error("stored state cannot be read; all entries are delivered again", zap.Error(err))
		stored = state{Complete: len(data) > 0}
	case err != nil:
		return fmt.Errorf("reading the state: %w", err)
	case found && stored.Fingerprint != wanted:
		log.Warn("query configuration changed; all entries are delivered again")
	}
	now := time.Now()
	c.entries.restore(journal, data, now)
	c.take(ctx, stored, wanted, lost, found || broken, now)
	c.opened = true
	return nil
}

// take goes on where the stored state left off.
func (c *Catalog) take(ctx context.Context, stored state, wanted string, lost, found bool, now time.Time) {
	kept := c.fields.hash
	var turned, dropped []uint32
	switch {
	case !found:
		turned = c.entries.turn(recheck, now, delivered, absent, unreadable)
	case stored.Fingerprint != wanted:
		turned = c.entries.turn(redeliver, now, delivered, recheck, absent, unreadable)
	case kept != "" && stored.Fields != kept:
		// Their fields are to be had.
		turned = c.entries.turn(recheck, now, delivered)
	}
	if stored.Fields != "" && stored.Fields != kept || kept == "" && stored.Fingerprint == "" {
		dropped = c.entries.all() // without a state it is not known whether there are any
	}
	changed := turned != nil || dropped != nil || stored.Fingerprint != wanted || stored.Fields != kept || lost
	if stored.Fingerprint != wanted {
		stored.Refreshed, stored.Full = now, now
	}
	if turned != nil {
		stored.Refresh = uuid.NewString()
	}
	stored.Fingerprint, stored.Fields = wanted, kept
	stored.Complete = stored.Complete && !lost
	c.mu.Lock()
	c.state = stored
	c.mu.Unlock()
	if changed {
		c.commit(ctx, nil, func(tx *checkpoint.Tx) {
			c.entries.write(tx, turned)
			for _, qid := range dropped {
				tx.Delete(fieldsKey(qid))
			}
			c.putState(tx)
		})
	}
}

// commit changes what is known and writes what belongs together: one write to the storage. Change and write may be nil. When
// the write fails, the collection goes on: what could not be written is written with the next one.
//
// The storage may not write all of it, but writes in the order of package checkpoint: entries of the journal, its head, the
// documents, then what is deleted. Whatever part of that is there after a crash, nothing is lost. Without the head, the states
// are as before: the entries are fetched and delivered once more. With states but without the fields, which are documents, or
// with those of before, which name another hash of the entry, it is fetched once more when a detection asks for its fields, and
// not delivered, as its hash is stored. Without
// kb/state, which is a document too, what was turned is turned again. And fields that are still there though they are to be
// deleted are not taken for those of now, as their hash is another one.
func (c *Catalog) commit(ctx context.Context, change func(), write func(tx *checkpoint.Tx)) {
	// Enrich looks at states while nothing is being written: what it sees is stored.
	c.committing.Lock()
	defer c.committing.Unlock()
	if change != nil {
		change()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageGrace)
	defer cancel()
	if err := c.dataset.Settings.Store.Update(ctx, write); err != nil {
		c.dataset.Log.Error("state could not be stored; a restart would deliver records again", zap.Error(err))
	}
}

// save commits a change of the state itself.
func (c *Catalog) save(ctx context.Context, change func(s *state)) {
	c.commit(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		change(&c.state)
	}, c.putState)
}

// putState writes the state as it is now.
func (c *Catalog) putState(tx *checkpoint.Tx) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tx.Put(stateKey, stateVersion, c.state)
}
