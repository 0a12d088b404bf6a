// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

const (
	// alwaysTold is how many may be gone at once whatever their share of those known is, unless that is all of them.
	alwaysTold = 10
	// carriedAtOnce is how many bytes of known hosts are written in one step.
	carriedAtOnce = 256 << 10
)

// listing is what a list of IDs tells of the known hosts.
type listing struct {
	// known are the IDs, in order; listed has a bit for each that the list holds.
	known  []uint64
	listed []uint64
	// complete is whether every host stands in the list that is there, and at when it was made, by the server's clock. Empty is
	// whether nothing is known to be there.
	complete, empty bool
	at              time.Time
}

func newListing(known []uint64) *listing {
	return &listing{known: known, listed: make([]uint64, len(known)/64+1)}
}

// mark takes note of a range of the list.
func (l *listing) mark(r qualys.IDRange) {
	i, _ := slices.BinarySearch(l.known, r.First)
	for ; i < len(l.known) && l.known[i] <= r.Last; i++ {
		l.listed[i/64] |= 1 << (i % 64)
	}
}

func (l *listing) has(i int) bool { return l.listed[i/64]&(1<<(i%64)) != 0 }

// comparison is what a complete list says of the known hosts.
type comparison struct {
	// missed are the hosts that the list lacks and that stay known; gone those that the list before lacked, too. Both are in
	// order.
	missed, gone []missedHost
	// told is how many of those that are gone were told before the collection was interrupted.
	told int
}

// compare says what became of the known hosts of a list. All slices are in order: the IDs of those that the collection has
// delivered, those that the last complete list lacked, and those that were told already. A host that the collection has delivered
// was there when it did, at a time; the others stood in the list before, if that did not lack them.
func (l *listing) compare(delivered []uint64, missed []missedHost, told []uint64, at, before int64) comparison {
	var c comparison
	for i, id := range l.known {
		for len(delivered) > 0 && delivered[0] < id {
			delivered = delivered[1:]
		}
		for len(missed) > 0 && missed[0].id < id {
			missed = missed[1:]
		}
		for len(told) > 0 && told[0] < id {
			told = told[1:]
		}
		switch {
		case len(told) > 0 && told[0] == id && (len(delivered) == 0 || delivered[0] != id):
			c.told++
		case l.has(i):
		case len(delivered) > 0 && delivered[0] == id:
			c.missed = append(c.missed, missedHost{id: id, listed: at})
		case len(missed) > 0 && missed[0].id == id:
			c.gone = append(c.gone, missed[0])
		default:
			c.missed = append(c.missed, missedHost{id: id, listed: before})
		}
	}
	return c
}

// tooMany reports whether so many of those known are gone at once that the account may just see less: or all of them, that it sees
// nothing any more.
func tooMany(gone, known int, share float64) bool {
	return (gone > alwaysTold || gone == known) && float64(gone) > share*float64(known)
}

// removals finishes a collection of hosts: it compares the known hosts with a list of all IDs, tells of those that are gone, and
// makes the hosts of the collection the known ones.
type removals struct {
	collector *engine.Collector
	known     *knownHosts
	records   records.Settings
	// share is the share of the known hosts that may be gone at once.
	share float64
	// list asks for the IDs of all hosts.
	list func(ctx context.Context, visit func(qualys.IDRange) error) (qualys.HostIDs, error)
	// reported is whether it is reported that removals were withheld.
	reported bool
}

// finish is called again after errors and restarts, until it returns nil. While it runs nothing is delivered.
func (r *removals) finish(ctx context.Context, run *engine.Run) error {
	k := r.known
	if k.document.Finished == run.ID {
		run.Removed, run.Withheld = int64(k.document.Removed), int64(k.document.Withheld)
		return nil
	}
	k.mu.Lock()
	begin := k.write(k.begin(run.ID))
	k.mu.Unlock()
	r.collector.Commit(ctx, begin)
	delivered, told := sortedIDs(k.delivered), sortedIDs(k.told)
	k.delivered, k.told, k.carried = delivered, told, sortedIDs(k.carried)
	before, old, err := r.before(ctx)
	if err != nil {
		return err
	}
	l, err := r.ask(ctx, union(delivered, before), len(delivered) > 0)
	if err != nil {
		return err
	}
	c := r.compare(l, delivered, run)
	gone, missed, withheld := r.decide(l, c)
	run.Withheld, run.Removed = int64(withheld), int64(c.told)
	if err := r.tell(ctx, run, gone); err != nil {
		return err
	}
	run.Removed += int64(len(gone))
	if err := r.carry(ctx, delivered, gone, told); err != nil {
		return err
	}
	r.commit(ctx, run, l, missed, old, len(l.known)-len(gone)-c.told)
	return nil
}

// decide says which hosts are told to be gone now, which stay among the missed ones, both in order, and how many are withheld. What
// a try before a crash has done with one is not undone, whatever the list says now. One that it has begun to tell of is told: somebody
// may have been told, and is told the same once more, and not something else by a later collection. One that it has carried is not:
// it would be told again.
func (r *removals) decide(l *listing, c comparison) (gone, missed []missedHost, withheld int) {
	k := r.known
	begun := sortedIDs(slices.Clone(k.telling))
	isBegun := func(one missedHost) bool { return contains(begun, one.id) && !contains(k.told, one.id) }
	for _, one := range k.missed {
		if isBegun(one) {
			gone = append(gone, one)
		}
	}
	if l.empty && !l.complete && k.document.Empty {
		withheld = len(l.known) - c.told - len(gone)
	}
	all := tooMany(len(c.gone)+c.told, len(l.known), r.share)
	for _, one := range c.gone {
		switch {
		case isBegun(one):
		case all:
			withheld++
			c.missed = append(c.missed, one)
		case contains(k.carried, one.id):
			c.missed = append(c.missed, one)
		default:
			gone = append(gone, one)
		}
	}
	missed = slices.DeleteFunc(c.missed, isBegun)
	sortMissed(gone)
	sortMissed(missed)
	return gone, missed, withheld
}

// before returns the IDs of the collection before, and its journal.
func (r *removals) before(ctx context.Context) ([]uint64, *checkpoint.Journal, error) {
	k := r.known
	if k.document.Finished == "" {
		return nil, nil, nil
	}
	ids := make([]uint64, 0, k.document.Hosts)
	journal, err := k.scan(ctx, k.document.Finished, func(_ byte, id uint64, _ []byte) error {
		ids = append(ids, id)
		return nil
	})
	return sortedIDs(ids), journal, err
}

// ask asks for the list of IDs. One that cannot be had tells nothing, and an empty one only that nothing is there, where all hosts
// may be gone at once and none was met. Errors are those that end the collection.
func (r *removals) ask(ctx context.Context, known []uint64, met bool) (*listing, error) {
	var l *listing
	err := r.collector.Ask(ctx, func(ctx context.Context) error {
		l = newListing(known)
		ids, err := r.list(ctx, func(one qualys.IDRange) error {
			l.mark(one)
			return nil
		})
		l.at, l.empty = ids.ServerTime, ids.Empty && !met
		l.complete = ids.Complete || l.empty && !tooMany(len(known), len(known), r.share)
		return err
	})
	if _, stopped := engine.IsStopped(err); stopped || ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		r.known.log.Warn("the list of host IDs cannot be had; hosts that are gone are told with a later collection", zap.Error(err))
	} else if !l.complete && (!l.empty || !r.known.document.Empty) {
		r.known.log.Warn("the list of host IDs is empty or not complete; hosts that are gone are told with a later collection")
	}
	return l, nil
}

// compare compares the known hosts with a list, or keeps them as they are if that is not complete.
func (r *removals) compare(l *listing, delivered []uint64, run *engine.Run) comparison {
	k := r.known
	if l.complete {
		return l.compare(delivered, k.missed, k.told, unixOf(run.Start), unixOf(k.document.Listed))
	}
	var c comparison
	for _, one := range k.missed {
		if _, again := slices.BinarySearch(delivered, one.id); !again {
			c.missed = append(c.missed, one)
		}
	}
	c.told = len(k.told)
	return c
}

// tell delivers a record of each host that is gone, with what the collection before knew of it.
func (r *removals) tell(ctx context.Context, run *engine.Run, gone []missedHost) error {
	if len(gone) == 0 {
		return nil
	}
	replaced, err := r.replacements(ctx, gone)
	if err != nil {
		return err
	}
	builder := records.NewRemovals(r.records)
	builder.Begin(orNow(run.Start), run.ID)
	var told []uint64
	deliver := func() error {
		ids := told
		told = nil
		r.known.telling = append(r.known.telling, ids...)
		r.collector.Commit(ctx, r.known.write(func(tx *checkpoint.Tx) { tx.Append(r.known.toldJournal, encodeIDs(ids, 0)) }))
		return r.collector.Deliver(ctx, run, engine.Chunk{Chunk: builder.Take()}, func() func(tx *checkpoint.Tx) {
			r.known.told = append(r.known.told, ids...)
			return r.known.write(func(tx *checkpoint.Tx) { tx.Append(r.known.toldJournal, encodeIDs(ids, toldBit)) })
		})
	}
	done := make([]bool, len(gone))
	_, err = r.known.scan(ctx, r.known.document.Finished, func(_ byte, id uint64, stored []byte) error {
		i, found := findMissed(gone, id)
		if !found || done[i] {
			return nil
		}
		done[i] = true
		summary, err := records.ParseHostSummary(stored)
		if err != nil {
			summary = records.HostSummary{ID: id}
		}
		builder.Host(&records.RemovedHost{
			Host: summary, Reason: records.ReasonNotListed, LastListed: timeOf(gone[i].listed), ReplacedBy: replaced[i],
		})
		told = append(told, id)
		if builder.Full() {
			return deliver()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(told) > 0 {
		return deliver()
	}
	return nil
}

// machineOf is a hash of what a machine is known by, of one of the hosts that are gone.
type machineOf struct {
	hash uint64
	host int
}

// machinesOf returns what the machine of a host is known by, whatever its ID is: its agent, and its ID in the cloud.
func machinesOf(stored []byte) []uint64 {
	summary, err := records.ParseHostSummary(stored)
	if err != nil {
		return nil
	}
	var hashes []uint64
	if summary.QGHostID != "" {
		hashes = append(hashes, xxhash.Sum64String("agent "+summary.QGHostID))
	}
	if summary.CloudID != "" {
		hashes = append(hashes, xxhash.Sum64String("cloud "+summary.CloudID))
	}
	return hashes
}

// replacements returns, for each of the hosts that are gone, the ID of the host that the collection has delivered of its machine, 0:
// there is none.
func (r *removals) replacements(ctx context.Context, gone []missedHost) ([]uint64, error) {
	var machines []machineOf
	_, err := r.known.scan(ctx, r.known.document.Finished, func(_ byte, id uint64, stored []byte) error {
		if i, found := findMissed(gone, id); found {
			for _, hash := range machinesOf(stored) {
				machines = append(machines, machineOf{hash, i})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(machines, func(a, b machineOf) int { return cmp.Compare(a.hash, b.hash) })
	replaced := make([]uint64, len(gone))
	if len(machines) == 0 {
		return replaced, nil
	}
	_, err = r.known.scan(ctx, r.known.document.Current, func(how byte, id uint64, stored []byte) error {
		if how != hostDelivered {
			return nil
		}
		for _, hash := range machinesOf(stored) {
			i, _ := slices.BinarySearchFunc(machines, hash, func(m machineOf, hash uint64) int { return cmp.Compare(m.hash, hash) })
			for ; i < len(machines) && machines[i].hash == hash; i++ {
				if host := machines[i].host; gone[host].id != id {
					replaced[host] = id
				}
			}
		}
		return nil
	})
	return replaced, err
}

// carry makes the hosts of the collection before that were not delivered and are not gone hosts of this one.
func (r *removals) carry(ctx context.Context, delivered []uint64, gone []missedHost, told []uint64) error {
	k := r.known
	if k.document.Finished == "" {
		return nil
	}
	before := k.carried
	var data []byte
	var ids []uint64
	flush := func() {
		stored := data
		k.carried = append(k.carried, ids...)
		data, ids = nil, nil
		r.collector.Commit(ctx, k.write(func(tx *checkpoint.Tx) { tx.Append(k.current, stored) }))
	}
	_, err := k.scan(ctx, k.document.Finished, func(_ byte, id uint64, summary []byte) error {
		_, left := findMissed(gone, id)
		if left || contains(delivered, id) || contains(told, id) || contains(before, id) {
			return nil
		}
		data, ids = appendStored(data, hostCarried, id, summary), append(ids, id)
		if len(data) >= carriedAtOnce {
			flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(data) > 0 {
		flush()
	}
	return nil
}

// commit makes the collection the finished one.
func (r *removals) commit(ctx context.Context, run *engine.Run, l *listing, missed []missedHost, old *checkpoint.Journal, hosts int) {
	k := r.known
	k.mu.Lock()
	document := knownDocument{
		Fingerprint: k.document.Fingerprint, Finished: run.ID, Hosts: hosts, Listed: k.document.Listed, Withheld: k.document.Withheld,
		Empty: l.empty || !l.complete && k.document.Empty,
	}
	if l.complete {
		document.Listed = orNow(l.at)
	}
	if l.complete || l.empty && k.document.Empty {
		document.Withheld = int(run.Withheld)
	}
	document.Removed = int(run.Removed)
	k.document, k.missed, k.told, k.telling, k.delivered, k.carried, k.current = document, missed, nil, nil, nil, nil, nil
	write := k.write(func(tx *checkpoint.Tx) {
		tx.Clear(k.missing)
		tx.Append(k.missing, encodeMissed(missed))
		tx.Clear(k.toldJournal)
		tx.Put(Hosts+"/known", knownVersion, document)
		if old != nil {
			tx.Clear(old)
		}
	})
	k.mu.Unlock()
	r.collector.Commit(ctx, write)
	r.report()
}

// report reports removals that were withheld, until they are not any more.
func (r *removals) report() {
	withheld := r.known.document.Withheld
	switch {
	case withheld > 0:
		r.collector.Trouble(fmt.Errorf("%d of %d hosts are no longer listed: purged, or outside of the account's scope; "+
			"nothing is told of them unless hosts::max_removed_share is raised", withheld, r.known.document.Hosts))
	case r.reported:
		r.collector.Trouble(nil)
	}
	r.reported = withheld > 0
}

// union returns the IDs of two slices in order, each once.
func union(a, b []uint64) []uint64 {
	if len(b) == 0 {
		return a
	}
	all := make([]uint64, 0, max(len(a), len(b)))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			all, a = append(all, a[0]), a[1:]
		case len(a) == 0 || b[0] < a[0]:
			all, b = append(all, b[0]), b[1:]
		default:
			all, a, b = append(all, a[0]), a[1:], b[1:]
		}
	}
	return all
}

// sortMissed puts hosts in order.
func sortMissed(hosts []missedHost) {
	slices.SortFunc(hosts, func(a, b missedHost) int { return cmp.Compare(a.id, b.id) })
}

func findMissed(missed []missedHost, id uint64) (int, bool) {
	return slices.BinarySearchFunc(missed, id, func(m missedHost, id uint64) int { return cmp.Compare(m.id, id) })
}

// unixOf is a time in Unix seconds, 0: unknown. timeOf is the other way round.
func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func timeOf(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}
