// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
)

const (
	// triesAlone is after how many requests that failed with it alone an entry is passed over, if others can be read.
	triesAlone = 3
	// triesBroken, triesFailed is how often a request must break off or time out, or fail without saying why, before its QIDs
	// are asked for in two halves.
	triesBroken, triesFailed = 2, 3
)

// group are QIDs that are asked for in one request.
type group struct {
	qids []uint32
	// collection is the ID that the entries' records carry.
	collection string
	// probe asks for an entry that was delivered, to see whether entries can be had at all.
	probe    bool
	failures int
	// failing, if not nil, ends the state of error that the group has led to.
	failing func()
	// whole is, of a suspect, how many requests had been answered whole when it became one.
	whole int
	// unanswered is whether no response came at last. Proven is whether suspects are asked for once more, together, as others
	// were answered: what they failed by before can have been an outage.
	unanswered, proven bool
}

// failure is how a request for a group failed.
type failure struct {
	// tries is how often it must fail like that before that counts against the group, 0: it does not.
	tries int
	// slow is whether fewer QIDs at once may be in time, unanswered whether no response came.
	slow, unanswered bool
	// within is whether the response broke in its bytes. Otherwise the gate holds up the next requests.
	within bool
}

// recovered ends the state of error that the group has led to.
func (g *group) recovered() {
	if g.failing != nil {
		g.failing()
		g.failing = nil
	}
}

// next returns what to ask for now, nil: nothing.
func (c *Catalog) next(ctx context.Context, now time.Time) *group {
	c.passOver(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.after) {
		return nil
	}
	if len(c.groups) > 0 {
		g := c.groups[0]
		c.groups = slices.Delete(c.groups, 0, 1)
		return g
	}
	if !c.ready() {
		return nil
	}
	g := &group{}
	if qids, first := c.entries.take(c.size); len(qids) > 0 {
		g.qids, g.collection = qids, c.state.Refresh
		if first {
			g.collection = c.state.Collection
		}
	} else if len(c.groups) == 0 && c.active.Load() == 0 {
		// Only suspects are left: an entry that could be read shows whether others can.
		qid, ok := c.entries.anyDelivered()
		if !ok {
			suspect := c.suspects[0]
			c.suspects = slices.Delete(c.suspects, 0, 1)
			return suspect
		}
		g.qids, g.probe = []uint32{qid}, true
	} else {
		return nil
	}
	if g.collection == "" {
		g.collection = uuid.NewString() // fields were lost before there was a refresh
	}
	if !c.collecting {
		c.collecting = true
		c.dataset.Begin(g.collection, window)
	}
	return g
}

// complete takes note that all of a group was answered.
func (c *Catalog) complete(g *group) {
	g.recovered()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole++
	c.tries.Reset()
	if len(g.qids) >= c.size {
		c.size = min(c.settings.PageSize, 2*c.size)
	}
}

// retry has what is left of a group asked for again, as it is or in two halves. Of a single entry, three failures make a
// suspect. Where a response broke, nothing is asked for until the back-off has ended: if all of them break, each QID comes to be
// in a group of its own.
func (c *Catalog) retry(g *group, left []uint32, f failure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(left) < len(g.qids) {
		c.tries.Reset()
	}
	g.qids = left
	if f.within {
		c.after = time.Now().Add(c.tries.NextBackOff())
	}
	if f.tries > 0 {
		g.failures++
		g.unanswered = f.unanswered
	}
	switch n := len(g.qids); {
	case g.probe:
		if qid, ok := c.entries.anyDelivered(); ok {
			g.qids = []uint32{qid} // that one may have become unreadable too
		}
		c.groups = append(c.groups, g)
	case f.tries == 0, n == 1 && g.failures < triesAlone, n > 1 && g.failures < f.tries:
		c.groups = append(c.groups, g)
	case n == 1:
		g.whole = c.whole
		c.suspects = append(c.suspects, g)
	default:
		g.recovered()
		if f.slow {
			c.size = max(1, min(c.size, n/2))
		}
		for _, half := range [][]uint32{g.qids[:n/2], g.qids[n/2:]} {
			c.groups = append(c.groups, &group{qids: half, collection: g.collection, proven: g.proven})
		}
	}
}

// passOver gives up the suspects of which it is known that others can be read, until the next refresh. A single one that breaks
// its responses is given up as well where there is no other that could tell.
func (c *Catalog) passOver(ctx context.Context) {
	c.mu.Lock()
	if len(c.suspects) == 0 {
		c.mu.Unlock()
		return
	}
	single := len(c.suspects) == 1 && len(c.groups) == 0 && c.entries.queued() == 0 && c.active.Load() == 0
	if _, others := c.entries.anyDelivered(); others {
		single = false
	}
	var given []uint32
	var together *group
	c.suspects = slices.DeleteFunc(c.suspects, func(g *group) bool {
		switch {
		case c.whole == g.whole && (!single || g.unanswered):
			return false
		case g.proven || single:
			given = append(given, g.qids...)
		case together == nil:
			together = &group{qids: slices.Clone(g.qids), collection: g.collection, proven: true, failures: triesAlone - 1}
			c.groups = append(c.groups, together)
		case g.collection != together.collection || len(together.qids) >= c.size:
			return false
		default:
			together.qids = append(together.qids, g.qids...)
		}
		g.recovered()
		return true
	})
	c.mu.Unlock()
	if len(given) == 0 {
		return
	}
	c.dataset.Log.Error("knowledge base entries passed over: they cannot be read; retrying them at the next refresh", zap.Uint32s("qids", given))
	now := time.Now()
	c.commit(ctx, func() {
		c.entries.update(given, now, func(e *entry) { e.state = unreadable })
	}, func(tx *checkpoint.Tx) { c.entries.write(tx, given) })
	c.fetching.progress()
	c.dataset.Gate.Collecting()
	c.tell()
}
