// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// What follows is for a [Finisher], while it finishes.

// Deliver offers the records of a chunk until they are accepted, and then writes what accepted returns.
func (c *Collector) Deliver(ctx context.Context, run *Run, chunk Chunk, accepted func() func(tx *checkpoint.Tx)) error {
	b := &Batch{Collection: run.ID, Logs: chunk.Logs, Items: chunk.Items, Bytes: chunk.Bytes}
	if err := c.dataset.Offer(ctx, b); err != nil {
		return err
	}
	c.Commit(ctx, accepted())
	return nil
}

// Commit writes what a source keeps in one step. What cannot be written is written with the next step.
func (c *Collector) Commit(ctx context.Context, write func(tx *checkpoint.Tx)) {
	c.state.commit(ctx, nil, write)
}

// Ask calls fn, which sends a request that the collection can do without, until it succeeds, and three times at most. Errors are
// those of fn, of the context, and a *StoppedError when credentials are rejected.
func (c *Collector) Ask(ctx context.Context, fn func(ctx context.Context) error) error {
	tries := newBackOff(c.dataset.Settings.Retry)
	for try := 1; ; try++ {
		through, err := c.dataset.Gate.Enter(ctx)
		if err != nil {
			return err
		}
		err = fn(ctx)
		if err == nil {
			c.dataset.Gate.Open(through)
			return nil
		}
		v := c.source.Judge(err)
		if v.Credentials && ctx.Err() == nil {
			if stopped := c.dataset.Gate.Fail(through, v, err); stopped != nil {
				return stopped
			}
			continue
		}
		c.dataset.Gate.Leave(through)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if v.Class == Config || try == listTries {
			return err
		}
		c.dataset.progress.retries.Add(1)
		if err := sleep(ctx, tries.NextBackOff()); err != nil {
			return err
		}
	}
}

// Trouble makes the dataset report an error that holds up no collection, until it is called with nil.
func (c *Collector) Trouble(err error) {
	c.trouble = err
	if c.recovered != nil {
		c.recovered()
		c.recovered = nil
	}
	if err == nil {
		c.dataset.Gate.Collecting()
		return
	}
	c.dataset.Log.Warn("collection needs attention", zap.Error(err))
	c.recovered = c.dataset.Gate.failed(health.ThirdPartyGeneric, err)
}
