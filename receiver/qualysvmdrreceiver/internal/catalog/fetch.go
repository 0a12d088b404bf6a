// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// gatheredFields is how many bytes of fields may be gathered before their entries are delivered and stored.
const gatheredFields = 4 << 20

// fetch asks for the entries of a group and delivers them. Those that the response lacks have none. Errors are a
// *engine.StoppedError, or the context's.
func (c *Catalog) fetch(ctx context.Context, g *group) error {
	r := &reading{catalog: c, group: g, unanswered: make(map[uint32]struct{}, len(g.qids)), fields: map[uint32][]byte{}}
	for _, qid := range g.qids {
		r.unanswered[qid] = struct{}{}
	}
	query := qualys.EntryQuery{Version: c.settings.Version, QIDs: g.qids, Parameters: c.settings.Parameters}
	for more := true; more; {
		page, v, err := c.ask(ctx, query, g)
		if err != nil {
			return err
		}
		if page == nil {
			c.retry(g, r.left(), failureOf(v))
			return nil
		}
		var rest qualys.Continuation
		rest, more, err = c.read(ctx, page, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.broken(r, err)
			return nil
		}
		// What follows is asked for with the same QIDs. Those that are not answered by a truncated response are not absent.
		if more = more && rest.ID <= math.MaxUint32 && len(r.unanswered) > 0; more {
			query.Min, query.Extra = uint32(rest.ID), rest.Extra
		}
	}
	c.complete(g)
	c.missing(ctx, r)
	c.dataset.Gate.Collecting()
	return nil
}

// failureOf is what a request without a response says about what it asked for.
func failureOf(v engine.Verdict) failure {
	switch {
	case v.NotAccepted:
		return failure{tries: 1}
	case v.Response == engine.TooSlow:
		return failure{tries: triesBroken, slow: true, unanswered: true}
	case v.Response == engine.Failed:
		return failure{tries: triesFailed, unanswered: true}
	}
	return failure{}
}

// ask sends a request. It returns neither a page nor an error when the request failed and is to be sent again.
func (c *Catalog) ask(ctx context.Context, query qualys.EntryQuery, g *group) (*qualys.EntryPage, engine.Verdict, error) {
	if err := c.dataset.Settings.Deliverer.Ready(ctx); err != nil {
		return nil, engine.Verdict{}, err
	}
	c.waits(&c.fetching)
	gate := c.dataset.Gate
	through, err := gate.Enter(ctx)
	if err != nil {
		c.fetching.end(false)
		return nil, engine.Verdict{}, err
	}
	ctx, span := c.dataset.StartPage(ctx)
	page, err := c.client.Entries(ctx, query)
	span.End(err)
	if err == nil {
		gate.Open(through)
		c.answered.Store(true)
		c.dataset.Health.Reach(health.Authenticated)
		return page, engine.Verdict{}, nil
	}
	c.fetching.end(false)
	if ctx.Err() != nil {
		gate.Leave(through)
		return nil, engine.Verdict{}, ctx.Err()
	}
	v := dataset.Judge(err)
	err = fmt.Errorf("knowledge base entries: %w", err)
	if v.NotAccepted && !g.probe {
		// It is the fault of one of them: the dataset does not stop for it.
		v.Class = engine.Generic
	}
	return nil, v, gate.Fail(through, v, err)
}

// waits takes note that a request waits for Qualys, and has the detections look for how long they wait.
func (c *Catalog) waits(o *outage) {
	o.begin()
	c.tell()
}

// read delivers a page. More is whether the list goes on at rest.
func (c *Catalog) read(ctx context.Context, page *qualys.EntryPage, r *reading) (rest qualys.Continuation, more bool, err error) {
	defer page.Close()
	builder := c.builders.Get().(*records.KnowledgeBase)
	defer c.builders.Put(builder)
	batches := c.dataset.NewBatches(r.group.collection, func() bool { return c.active.Load() > 1 }, r.deliver)
	r.begin(page, builder)
	err = engine.Gather(builder, &r.duplicates, func(chunk engine.Chunk) error {
		c.dataset.Repairs(ctx, &chunk)
		// Now it is this side that is waited for.
		c.fetching.end(true)
		defer c.waits(&c.fetching)
		if err := batches.Add(ctx, chunk); err != nil || !r.full() {
			return err
		}
		return batches.Flush(ctx)
	}, func() error {
		x, err := page.Next()
		if err != nil {
			return err
		}
		err = builder.Entry(x)
		if err == nil {
			c.fetching.progress()
		}
		return err
	})
	c.dataset.Received(page.Bytes(), err == nil)
	c.fetching.end(err == nil)
	if failed := batches.Flush(ctx); failed != nil {
		return rest, false, errors.Join(failed, batches.End())
	}
	if err == nil {
		if rest, more = page.Continue(); !more && page.Warning() != "" {
			c.dataset.Log.Warn("qualys warns", zap.String("warning", page.Warning()))
		}
	}
	if err != nil && batches.HeldUp() {
		err = fmt.Errorf("%w: %w", errHeldUp, err)
	}
	return rest, more, err
}

// errHeldUp is in the error of a response that may have broken because the pipeline did not accept what came before.
var errHeldUp = errors.New("reading was held up")

// broken takes note of a response that broke in its bytes.
func (c *Catalog) broken(r *reading, err error) {
	g, left := r.group, r.left()
	g.recovered()
	if len(left) == 0 {
		c.fetching.progress() // it broke behind the last entry
		return
	}
	var timeout *qualys.TimeoutError
	f := failure{tries: triesBroken, slow: errors.As(err, &timeout), within: true}
	if errors.Is(err, errHeldUp) {
		f.tries = 0
	}
	g.failing = c.dataset.Gate.Failing(fmt.Errorf("knowledge base entries: %w", err))
	c.retry(g, left, f)
}

// missing takes note of the entries that there are none of.
func (c *Catalog) missing(ctx context.Context, r *reading) {
	without := r.left()
	if r.group.probe || len(without) == 0 {
		return
	}
	c.dataset.Log.Debug("QIDs have no knowledge base entry", zap.Int("qids", len(without)))
	now := time.Now()
	var gone []uint32
	c.commit(ctx, func() {
		c.entries.update(without, now, func(e *entry) {
			if e.content != 0 {
				gone = append(gone, e.qid)
			}
			e.state, e.content = absent, 0
		})
	}, func(tx *checkpoint.Tx) {
		c.entries.write(tx, without)
		for _, qid := range gone {
			tx.Delete(fieldsKey(qid))
		}
	})
	for _, qid := range gone {
		c.fields.forget(qid)
	}
	c.tell()
}

// reading is what is known of the responses for a group. Entries are read by one goroutine, and delivered by another.
type reading struct {
	catalog *Catalog
	group   *group
	// unanswered are the QIDs that were asked for and not read.
	unanswered map[uint32]struct{}
	// duplicates are entries that are as they were delivered.
	duplicates []records.Item

	mu sync.Mutex // guards everything below
	// fields are those of entries that were read and not delivered yet, and bytes their size.
	fields map[uint32][]byte
	bytes  int
}

// left are the QIDs that were asked for and not read, in order.
func (r *reading) left() []uint32 { return slices.Sorted(maps.Keys(r.unanswered)) }

// begin has the builder make records of the entries that were asked for: a response can hold any number of others, and an
// entry twice.
func (r *reading) begin(page *qualys.EntryPage, builder *records.KnowledgeBase) {
	c, asked := r.catalog, false
	keep := func(item *records.Item) bool {
		page.Note(uint64(item.QID))
		_, asked = r.unanswered[item.QID]
		delete(r.unanswered, item.QID)
		if !asked || r.group.probe {
			asked = false
			return false
		}
		known := c.entries.get(item.QID)
		if known.state == recheck && known.content == item.Content {
			r.duplicates = append(r.duplicates, *item)
			return false
		}
		return true
	}
	var fields func(*records.Item, []byte)
	if c.fields.enabled() {
		fields = func(item *records.Item, json []byte) {
			if asked {
				r.add(item.QID, json)
			}
		}
	}
	collected := page.ServerTime()
	if collected.IsZero() {
		collected = time.Now()
	}
	builder.Begin(collected, r.group.collection, keep, fields)
}

// add keeps the fields of an entry until it is delivered.
func (r *reading) add(qid uint32, json []byte) {
	if len(json) > maxFields {
		r.catalog.dataset.Log.Warn("the fields of a knowledge base entry are too large for detections to carry them", zap.Uint32("qid", qid), zap.Int("bytes", len(json)))
		json = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fields[qid] = slices.Clone(json)
	r.bytes += len(json)
}

// full reports whether so many fields are kept that their entries are to be delivered.
func (r *reading) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes > gatheredFields
}

// deliver offers a batch until it is accepted, and then takes note of its entries and their fields, in one write.
func (r *reading) deliver(ctx context.Context, b *engine.Batch) error {
	c := r.catalog
	b.Units = len(b.Items) + len(b.Duplicates)
	if err := c.dataset.Offer(ctx, b); err != nil {
		return err
	}
	contents := make(map[uint32]uint64, b.Units)
	kept := make(map[uint32][]byte, b.Units)
	qids := qidsOf(b.Items, b.Duplicates)
	for _, items := range [][]records.Item{b.Items, b.Duplicates} {
		for i := range items {
			contents[items[i].QID] = items[i].Content
		}
	}
	r.mu.Lock()
	for _, qid := range qids {
		if json, ok := r.fields[qid]; ok {
			kept[qid] = json
			r.bytes -= len(json)
			delete(r.fields, qid)
		}
	}
	r.mu.Unlock()
	now := time.Now()
	c.commit(ctx, func() {
		for qid, json := range kept {
			c.fields.keep(qid, json)
		}
		c.entries.update(qids, now, func(e *entry) { e.state, e.content = delivered, contents[e.qid] })
	}, func(tx *checkpoint.Tx) {
		c.entries.write(tx, qids)
		for qid, json := range kept {
			c.fields.write(tx, qid, contents[qid], json)
		}
	})
	c.tell()
	return nil
}
