// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// reopenInterval is how often it is tried to open a storage that could not be opened, or that is closed as soon as it was.
const reopenInterval = 2 * time.Second

// openStorage opens the storage as soon as no other collector has it open. It returns false if the context ended before.
func (r *vmdrReceiver) openStorage(ctx context.Context) (*checkpoint.Store, bool) {
	told := false
	for ctx.Err() == nil {
		store, err := checkpoint.Open(ctx, r.host, r.config.Storage, r.settings.ID)
		switch {
		case err == nil:
			return store, true
		case !errors.Is(err, checkpoint.ErrLocked):
			r.health.Fail(health.FirstPartyGeneric, err)
		default:
			r.health.StandBy()
			if !told {
				r.settings.Logger.Info("storage is in use by another collector", zap.Stringer("storage", r.config.Storage))
				told = true
			}
		}
		pause(ctx, reopenInterval)
	}
	return nil, false
}

// pause waits for a while, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
	case <-ctx.Done():
	}
}

// term collects until the context ends, or every dataset has stopped for good: one session, and another one each time that the
// storage was closed under it. The first session has the store, which may be nil: then it waits for the storage, too. With the
// context everything ends at once; when the receiver stops, a delivery in flight may outlive that for a while.
func (r *vmdrReceiver) term(hard context.Context, store *checkpoint.Store) {
	hard, abort := context.WithCancel(hard)
	defer abort()
	defer context.AfterFunc(r.hard, abort)()
	run, stop := context.WithCancel(hard)
	defer stop()
	defer context.AfterFunc(r.run, stop)()

	for !r.health.Stopped() {
		if store == nil {
			var opened bool
			if store, opened = r.openStorage(run); !opened {
				break
			}
		}
		began := time.Now()
		closed := r.collect(hard, run, store)
		store = nil
		if run.Err() != nil || !closed {
			break
		}
		r.settings.Logger.Warn("the storage was closed; opening it again")
		r.health.StandBy()
		pause(run, time.Until(began.Add(reopenInterval)))
	}
	r.health.StandBy() // unless it stops, or has stopped for good
}

// collect runs a session over a store until the context ends, or every dataset has stopped for good, and closes the store. It
// reports whether it ended because the store was closed by somebody else.
func (r *vmdrReceiver) collect(hard, run context.Context, store *checkpoint.Store) (closed bool) {
	r.rejected.recall(run, store, r.client)
	s := newSession(r.config, r.sharedOver(hard, store), r.health)
	r.session.Store(s)
	defer r.session.Store(nil)
	r.health.Reach(health.Started)
	closed, err := s.run(run)
	if err != nil {
		r.settings.Logger.Error("the storage could not be closed", zap.Error(err))
	}
	return closed
}
