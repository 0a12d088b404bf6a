// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

const (
	// refreshOverlap is how far a refresh reaches back behind the start of the previous one.
	refreshOverlap = time.Hour
	// modifiedAfter is the time filter of a refresh.
	modifiedAfter = "last_modified_after"
)

// KnowledgeBaseSettings are what is asked for in the dataset knowledge_base.
type KnowledgeBaseSettings struct {
	// Refresh is how often changed entries are looked for, Full after what time all are delivered again (0: never).
	Refresh, Full time.Duration
	// Version is the API's version, PageSize the number of QIDs asked for at once.
	Version  string
	PageSize int
	// Parameters are further parameters of the requests.
	Parameters map[string]string
}

// KnowledgeBase collects the entries of detected vulnerabilities.
type KnowledgeBase struct {
	*dataset
	settings KnowledgeBaseSettings
	builder  *records.KnowledgeBase
	qids     *qids
	// flushing asks for the entries that wait, though they do not fill a page.
	flushing atomic.Bool
	// began is the start of the first collection of detections by the server's clock, in Unix seconds.
	began    atomic.Int64
	position knowledgeBasePosition
	pages    pageSize
	// failed tells that the last try has failed.
	failed bool
	// unfiltered is whether the server refuses the filter of a refresh.
	unfiltered bool
}

// knowledgeBasePosition is where the dataset stands besides the states of its QIDs.
type knowledgeBasePosition struct {
	Fingerprint string `json:"fingerprint"`
	// Since is the start of the last successful refresh by the server's clock, or that of the first collection.
	Since time.Time `json:"since,omitzero"`
	// Refreshed and Full are when entries were last looked for, and all delivered, by the local clock.
	Refreshed time.Time `json:"refreshed"`
	Full      time.Time `json:"full"`
}

// NewKnowledgeBase returns the dataset knowledge_base.
func NewKnowledgeBase(shared Settings, settings KnowledgeBaseSettings, state *health.Dataset) *KnowledgeBase {
	shared.Records.Server = shared.Server.Hostname()
	k := &KnowledgeBase{
		dataset:  newDataset(shared, KnowledgeBaseDataset, state),
		settings: settings,
		builder:  records.NewKnowledgeBase(shared.Records),
		qids:     newQIDs(),
		pages:    newPageSize(settings.PageSize),
	}
	k.flushing.Store(true) // what waited before a restart waits no longer
	return k
}

// Run collects until the context ends, or an error stops the dataset for good.
func (k *KnowledgeBase) Run(ctx context.Context) {
	k.run(ctx, k)
}

// Entries returns how many detected QIDs were delivered, wait to be fetched, and have no entry.
func (k *KnowledgeBase) Entries() (delivered, toFetch, without int) {
	return k.qids.count()
}

// flush asks for all entries that wait: a collection of detections has ended.
func (k *KnowledgeBase) flush() {
	k.flushing.Store(true)
	k.rouse()
}

// detected wakes the dataset when the QIDs that wait fill a page.
func (k *KnowledgeBase) detected() {
	if _, toFetch, _ := k.qids.count(); toFetch >= k.settings.PageSize {
		k.rouse()
	}
}

// firstCollection tells when detections were first collected, by the server's clock: entries that change from then on
// are looked for.
func (k *KnowledgeBase) firstCollection(start time.Time) {
	k.began.CompareAndSwap(0, start.Unix())
}

// open reads which QIDs are known. Nobody may add to them before. Errors are those of the storage.
func (k *KnowledgeBase) open(ctx context.Context) error {
	return k.qids.open(ctx, k.Store, k.log)
}

// load implements work.
func (k *KnowledgeBase) load(ctx context.Context) error {
	if err := k.open(ctx); err != nil {
		return err
	}
	wanted, err := fingerprint(k.Server.Host, k.settings.Parameters)
	if err != nil {
		return err
	}
	var stored knowledgeBasePosition
	switch _, err := k.Store.Load(ctx, k.name, positionVersion, &stored); {
	case senseless(err):
		k.log.Error("The stored position cannot be read: all entries are delivered again.", zap.Error(err))
	case err != nil:
		return fmt.Errorf("reading the position: %w", err)
	case stored.Fingerprint == wanted:
		k.position = stored
		return nil
	case stored.Fingerprint != "":
		k.log.Warn("What is asked for has changed: all entries are delivered again.")
	}
	now := time.Now()
	k.position = knowledgeBasePosition{Fingerprint: wanted, Refreshed: now, Full: now}
	k.store(ctx, k.qids.turn(known, again, 0, math.MaxUint32))
	return nil
}

// next implements work.
func (k *KnowledgeBase) next() time.Time {
	if k.failed || k.ready() {
		return time.Time{}
	}
	next := due(k.position.Refreshed, k.settings.Refresh)
	if k.settings.Full > 0 {
		if full := due(k.position.Full, k.settings.Full); full.Before(next) {
			next = full
		}
	}
	return next
}

// ready tells whether entries are to be fetched now: a page of them, or the rest at the end of a collection.
func (k *KnowledgeBase) ready() bool {
	flushing := k.flushing.Swap(false)
	_, toFetch, _ := k.qids.count()
	if flushing && toFetch > 0 {
		k.flushing.Store(true)
	}
	return toFetch >= k.settings.PageSize || flushing && toFetch > 0
}

// collect implements work.
func (k *KnowledgeBase) collect(ctx context.Context) error {
	err := k.fetch(ctx)
	switch {
	case err != nil:
		k.flushing.Store(true) // what is left to fetch may not fill a page, and is tried again all the same
	case k.failed:
		k.health.Reach(health.Collecting) // there may have been nothing left to fetch that could tell
	}
	k.failed = err != nil
	return err
}

// fetch does what is to be done now: a refresh, and the entries that wait. Those do not wait for a refresh that may work
// later.
func (k *KnowledgeBase) fetch(ctx context.Context) error {
	window := "entries of detected QIDs"
	now := time.Now()
	if k.settings.Full > 0 && !now.Before(due(k.position.Full, k.settings.Full)) {
		k.position.Full = now
		k.flushing.Store(true)
		k.store(ctx, k.qids.turn(known, again, 0, math.MaxUint32))
	}
	var unrefreshed error
	if !now.Before(due(k.position.Refreshed, k.settings.Refresh)) {
		if err := k.refresh(ctx, now); err != nil {
			unrefreshed = fmt.Errorf("KnowledgeBase refresh: %w", err)
			if ctx.Err() != nil || classOf(err) != qualys.Generic {
				return unrefreshed
			}
		}
	}
	for k.ready() {
		k.progress.begin(window)
		asked := k.qids.take(k.pages.now, k.pages.guilty())
		if len(asked) == 0 {
			k.passOver(ctx)
			continue
		}
		if err := k.page(ctx, asked); err != nil {
			return fmt.Errorf("KnowledgeBase entries: %w", err)
		}
	}
	if k.progress.begun() {
		k.finish(ctx, window)
	}
	return unrefreshed
}

// query makes the parameters of a request.
func (k *KnowledgeBase) query(details string) url.Values {
	query := url.Values{"action": {"list"}, "details": {details}}
	for name, value := range k.settings.Parameters {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// refresh finds out which of the delivered entries have changed. Those that had none are asked for again.
func (k *KnowledgeBase) refresh(ctx context.Context, now time.Time) error {
	delivered, _, without := k.qids.count()
	if delivered+without == 0 {
		k.position.Refreshed = now
		k.store(ctx, nil)
		return nil
	}
	since := k.position.Since
	if since.IsZero() {
		// The start of the first collection was not stored before a restart. Nothing had been delivered by this time.
		since = k.position.Refreshed
	}
	if err := k.Pipeline.Ready(ctx); err != nil {
		return err
	}
	query := k.query("None")
	if !k.unfiltered {
		query.Set(modifiedAfter, since.Add(-refreshOverlap).UTC().Format(timeFormat))
	}
	listed := map[uint32]qidEntry{} // an answer can name an entry any number of times
	server, err := k.Client.KnowledgeBaseIDs(ctx, k.settings.Version, query, func(first, last uint32) error {
		for _, entry := range k.qids.turn(known, changed, first, last) {
			listed[entry.qid] = entry
		}
		return nil
	})
	if err != nil {
		if k.refusedParameter(err, query, modifiedAfter) == "" {
			return err
		}
		// Without the filter all entries are fetched, and those that are as delivered are left out here.
		k.unfiltered = true
		return k.refresh(ctx, now)
	}
	k.answered()
	if server.IsZero() {
		server = now
	}
	k.log.Info("KnowledgeBase refreshed.", zap.Time("since", since), zap.Int("changed", len(listed)), zap.Int("without_entry", without))
	turned := slices.AppendSeq(k.qids.turn(missing, waiting, 0, math.MaxUint32), maps.Values(listed))
	k.position.Since, k.position.Refreshed = server.UTC(), now
	k.flushing.Store(true)
	k.store(ctx, turned)
	return nil
}

// page fetches the entries of QIDs and delivers them. Those that the answer lacks have none.
func (k *KnowledgeBase) page(ctx context.Context, asked []uint32) error {
	if err := k.Pipeline.Ready(ctx); err != nil {
		return err
	}
	query := k.query("All")
	ids := make([]string, len(asked))
	for i, qid := range asked {
		ids[i] = strconv.FormatUint(uint64(qid), 10)
	}
	query.Set("ids", strings.Join(ids, ","))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer, err := k.Client.KnowledgeBase(ctx, k.settings.Version, query)
	if err != nil {
		k.pages.timedOut(err)
		return err
	}
	defer answer.Close()
	k.answered()

	unanswered := make(map[uint32]bool, len(asked))
	for _, qid := range asked {
		unanswered[qid] = true
	}
	batches := k.newBatches(k.deliver)
	err = k.read(ctx, answer, unanswered, batches)
	k.progress.received.Add(answer.Bytes())
	if failed := batches.flush(ctx); failed != nil {
		return failed
	}
	if err != nil {
		if ctx.Err() == nil && !k.heldUp(batches) {
			k.broken(unanswered)
		}
		return err
	}
	k.passOver(ctx)
	k.pages.whole()
	k.readWhole()
	var without []qidEntry
	for qid := range unanswered {
		without = append(without, qidEntry{qid: qid, state: missing})
	}
	if len(without) > 0 {
		k.log.Debug("QIDs have no KnowledgeBase entry.", zap.Int("qids", len(without)))
		k.store(ctx, without)
	}
	return nil
}

// broken judges a page that ended within its bytes: it becomes smaller, down to the one entry that breaks it.
func (k *KnowledgeBase) broken(unanswered map[uint32]bool) {
	var alone uint64
	if len(unanswered) == 1 {
		for qid := range unanswered {
			alone = uint64(qid)
		}
	}
	k.pages.broke(alone)
}

// passOver gives up entries that cannot be read, now that others could, until the next refresh.
func (k *KnowledgeBase) passOver(ctx context.Context) {
	guilty := k.pages.guilty()
	if len(guilty) == 0 {
		return
	}
	given := make([]qidEntry, len(guilty))
	for i, qid := range guilty {
		given[i] = qidEntry{qid: uint32(qid), state: missing}
		delete(k.pages.alone, qid)
	}
	k.log.Error("KnowledgeBase entries are passed over, as their answers cannot be read. They are asked for again at the next refresh.", zap.Uint64s("qids", guilty))
	k.store(ctx, given)
}

// read makes records of the entries of an answer and gathers them into batches. Those that it meets are taken from the
// unanswered: an answer can hold any number of others.
func (k *KnowledgeBase) read(ctx context.Context, answer *qualys.EntryPage, unanswered map[uint32]bool, batches *batches) error {
	var unchanged []records.Item
	k.builder.Begin(orNow(answer.ServerTime()), "", func(item *records.Item) bool {
		entry, detected := k.qids.get(item.QID)
		delete(unanswered, item.QID)
		switch {
		case !detected || entry.state == known:
			return false // it was not asked for, or the answer has it twice
		case entry.state == changed && entry.hash == item.Content:
			unchanged = append(unchanged, *item)
			return false
		}
		return true
	}, nil)
	return k.gather(ctx, k.builder, &unchanged, batches, func() error {
		xml, err := answer.Next()
		if err != nil {
			return err
		}
		return k.builder.Entry(xml)
	})
}

// deliver offers a batch until it is accepted, and notes what was delivered.
func (k *KnowledgeBase) deliver(ctx context.Context, b *batch) error {
	b.hosts = len(b.items) + len(b.suppressed)
	if err := k.offer(ctx, b); err != nil {
		return err
	}
	entries := make([]qidEntry, 0, b.hosts)
	for _, item := range slices.Concat(b.items, b.suppressed) {
		entries = append(entries, qidEntry{qid: item.QID, state: known, hash: item.Content})
	}
	k.store(ctx, entries)
	return nil
}

// store stores the position and what has become of QIDs.
func (k *KnowledgeBase) store(ctx context.Context, entries []qidEntry) {
	k.qids.update(entries)
	if began := k.began.Load(); began != 0 && k.position.Since.IsZero() {
		k.position.Since = time.Unix(began, 0).UTC()
	}
	ctx, cancel := storing(ctx)
	defer cancel()
	k.save(k.Store.Update(ctx, func(tx *checkpoint.Tx) {
		k.qids.write(tx, entries)
		tx.Put(k.name, positionVersion, k.position)
	}))
}
