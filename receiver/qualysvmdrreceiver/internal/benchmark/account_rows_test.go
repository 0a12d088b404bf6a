// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

const (
	// accountPages is how many pages of accountHosts hosts the simulated accounts have.
	accountPages = 100
	accountHosts = 20
)

// Each call waits half a second for its first byte, as those to Qualys do, and its page of 0.4 MB takes a fifth of a second.
var accountFlags = []string{
	fmt.Sprintf("--hosts=%d", accountPages*accountHosts), "--detections=5-15", "--call-delay=500ms", "--bytes-per-second=2MB", "--assets=0",
}

// manyCalls is for rounds that follow each other within the hour of the limit.
const manyCalls = "--rate-limit=1000000"

// serviceLevel is what a subscription allows, and the rows of what that gives.
type serviceLevel struct {
	name          string
	limit         int // calls at once
	account       *account
	first, second *row // against one at a time
	peer          *row
	secondPeer    *row
}

// atOnce is how many requests run at once, as one is left to others.
func (l *serviceLevel) atOnce() int { return l.limit - 1 }

// measureAccounts measures whole collections of accounts by the clock.
func (t *table) measureAccounts(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	levels := []*serviceLevel{{name: "premium", limit: 10}, {name: "enterprise", limit: 5}}
	required := map[string][2]float64{"premium": {6.5, 8}, "enterprise": {3.3, 3.8}}
	for _, l := range levels {
		var err error
		if l.account, err = startAccount(ctx, *simulatorBinary, append(slices.Clone(accountFlags), "--service-level="+l.name, manyCalls)...); err != nil {
			return err
		}
		name := func(text string) string { return fmt.Sprintf("%s, limit %d", text, l.limit) }
		r := required[l.name]
		l.first = t.row(row{name: name("first collection of 100 pages, against one request at a time"), required: r[0], aim: r[1]})
		l.second = t.row(row{name: name("second full collection, against one request at a time"), required: r[0], aim: r[1]})
		if hasPython() {
			l.peer = t.row(row{name: name("time of a threaded Python program, divided by ours"), required: 0.9, aim: 1.05})
			l.secondPeer = t.row(row{name: name("the same for a second full collection"), required: 1, aim: 1.08})
		}
	}
	beyond := t.row(row{name: "calls of a first collection beyond one a page", unit: calls, atMost: true, required: 3, aim: 1})
	again := t.row(row{name: "calls of a second full collection beyond one a page", unit: calls, atMost: true, required: 3, aim: 1})
	for range *accountRounds {
		alone, err := t.follow(ctx, levels[0].account, 1, 1)
		if err != nil {
			return err
		}
		for _, l := range levels {
			if err := l.round(ctx, t, alone[0], beyond, again); err != nil {
				return fmt.Errorf("limit %d: %w", l.limit, err)
			}
		}
	}
	return nil
}

// follow runs so many full collections of what is open in an account, as the Python program does: with Fixed among the states, one
// more call would ask for what was fixed since the collection before.
func (t *table) follow(ctx context.Context, a *account, atOnce, collections int) ([]*gathered, error) {
	f, err := a.follow(ctx, t.dir, atOnce, accountHosts)
	if err != nil {
		return nil, err
	}
	defer f.close(ctx)
	f.status = []string{"New", "Active", "Re-Opened"}
	var list []*gathered
	for i := range collections {
		got, err := f.collect(ctx, i > 0)
		if err != nil {
			return nil, err
		}
		list = append(list, got)
	}
	return list, nil
}

func (l *serviceLevel) round(ctx context.Context, t *table, alone *gathered, beyond, again *row) error {
	ours, err := t.follow(ctx, l.account, 10, 2)
	if err != nil {
		return err
	}
	for _, got := range ours {
		if err := got.sameAs(alone); err != nil {
			return fmt.Errorf("side by side and one at a time differ: %w", err)
		}
	}
	first, second := ours[0], ours[1]
	l.first.measured = append(l.first.measured, alone.took.Seconds()/first.took.Seconds())
	l.second.measured = append(l.second.measured, alone.took.Seconds()/second.took.Seconds())
	beyond.measured = append(beyond.measured, float64(first.calls-accountPages))
	again.measured = append(again.measured, float64(second.calls-accountPages))
	if l.peer == nil {
		return nil
	}
	peer, err := l.account.runPeer(ctx, accountHosts, l.atOnce(), filepath.Join(t.dir, "peer.jsonl"))
	if err != nil {
		return err
	}
	if err := peer.sameAs(first); err != nil {
		return fmt.Errorf("the Python program and the receiver differ: %w", err)
	}
	l.peer.measured = append(l.peer.measured, peer.took.Seconds()/first.took.Seconds())
	l.secondPeer.measured = append(l.secondPeer.measured, peer.took.Seconds()/second.took.Seconds())
	return nil
}

const smallPage = 20 // hosts

// measureCalls counts the calls of collections of what has changed.
func (t *table) measureCalls(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a, err := startAccount(ctx, *simulatorBinary, "--hosts=400", "--detections=5-15", "--service-level=premium", manyCalls, "--assets=0")
	if err != nil {
		return err
	}
	f, err := a.follow(ctx, t.dir, 10, smallPage)
	if err != nil {
		return err
	}
	defer f.close(ctx)
	first, err := f.collect(ctx, false)
	if err != nil {
		return err
	}
	hosts := slices.Sorted(maps.Keys(first.ofHosts))
	for _, window := range []struct {
		name          string
		pages         int
		required, aim float64
	}{
		{"calls of an hourly collection of one page", 1, 1, 1},
		{"calls of an hourly collection of three pages, of hosts far apart", 3, 4, 4},
	} {
		r := t.row(row{name: window.name, unit: calls, atMost: true, required: window.required, aim: window.aim})
		changed := window.pages*smallPage - smallPage/2
		if err := a.wait(ctx, 2*time.Second); err != nil { // what changes within the second of a collection comes again
			return err
		}
		for i := range changed {
			if err := a.change(ctx, first.ofHosts[hosts[i*len(hosts)/changed]]); err != nil {
				return err
			}
		}
		got, err := f.collect(ctx, false)
		if err != nil {
			return err
		}
		if got.records != changed {
			return fmt.Errorf("%s: %d records of %d that have changed", window.name, got.records, changed)
		}
		r.measured = append(r.measured, float64(got.calls))
	}
	return nil
}
