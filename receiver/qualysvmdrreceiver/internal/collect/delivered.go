// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
)

// delivered remembers which records of a dataset were delivered and can come again: because windows overlap, or because
// a host or a page was delivered in part. It is kept in memory, 16 bytes a record, and in journals.
type delivered struct {
	// before are the records of the window before that this one can bring again, coming those of this window that the
	// next one can.
	before seenSet
	coming []seen
	// part are the records of the host, or page, at which the position stands.
	part []seen

	windows     [2]*checkpoint.Journal // of before and coming: the journals change places
	turn        int                    // windows[turn] is that of before
	partJournal *checkpoint.Journal
}

// openDelivered reads what is stored under name. Where that makes no sense it says so, and some of it is delivered again.
// Errors are those of the storage.
func openDelivered(ctx context.Context, store *checkpoint.Store, name string, generation int, log *zap.Logger) (*delivered, error) {
	var failed error
	open := func(kind string) (*checkpoint.Journal, []seen) {
		journal, entries, err := store.OpenJournal(ctx, name+"/"+kind, seenSize)
		switch {
		case senseless(err):
			log.Error("What was delivered before cannot be read: some of it may be delivered again.", zap.String("journal", kind), zap.Error(err))
		case err != nil && failed == nil:
			failed = fmt.Errorf("reading what was delivered: %w", err)
		}
		return journal, decodeSeen(entries)
	}
	d := &delivered{turn: generation % 2}
	var entries [2][]seen
	d.windows[0], entries[0] = open("window/0")
	d.windows[1], entries[1] = open("window/1")
	d.partJournal, d.part = open("part")
	d.before, d.coming = newSeenSet(entries[d.turn]), entries[1-d.turn]
	return d, failed
}

// change is what a delivery adds to what was delivered.
type change struct {
	coming []seen
	// restart forgets the part before: its host, or page, is complete.
	restart bool
	part    []seen
	// finish ends the window: what is coming becomes what was before.
	finish bool
	// forget forgets everything.
	forget bool
}

// apply makes the change in memory.
func (d *delivered) apply(c change) {
	if c.forget {
		d.before, d.coming, d.part = nil, nil, nil
	}
	if c.restart {
		d.part = nil
	}
	d.part = append(d.part, c.part...)
	d.coming = append(d.coming, c.coming...)
	if c.finish {
		d.before, d.coming = newSeenSet(d.coming), nil
		d.turn = 1 - d.turn
	}
}

// write adds to a transaction what apply did.
func (d *delivered) write(tx *checkpoint.Tx, c change) {
	before, coming := d.windows[d.turn], d.windows[1-d.turn]
	if c.finish {
		before, coming = coming, before
	}
	if c.forget {
		tx.Clear(before)
		tx.Clear(coming)
	}
	if c.forget || c.restart {
		tx.Clear(d.partJournal)
	}
	if len(c.part) > 0 {
		tx.Append(d.partJournal, encodeSeen(c.part))
	}
	if len(c.coming) > 0 {
		tx.Append(coming, encodeSeen(c.coming))
	}
	if c.finish {
		tx.Clear(before)
	}
}
