// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

const (
	// maxWorkers is how many goroutines make records of one page at most: more than a few wait for the network.
	maxWorkers = 4
	// stalled is for how long a pipeline may hold up the reading of a page that is then cut, before it counts as the
	// reason: servers close connections from which nobody reads.
	stalled = 5 * time.Second
)

// VulnerabilitiesSettings are what is asked for in the dataset vulnerabilities.
type VulnerabilitiesSettings struct {
	// Interval is the time from start to start, Full that between full collections (0: never).
	Interval, Full time.Duration
	// Lookback limits the first collection to what changed since, 0: every open detection.
	Lookback time.Duration
	// Collect is the time filter of later collections: changed, processed, scanned or all.
	Collect string
	// Overlap is how far a collection reaches back behind the start of the previous one.
	Overlap time.Duration
	// Version is the API's version, PageSize the number of hosts asked for at once.
	Version  string
	PageSize int
	// Status are the states of the detections.
	Status []string
	// Parameters are further parameters of the requests, Defaults the names of those that the user did not choose.
	Parameters map[string]string
	Defaults   []string
}

// Vulnerabilities collects host detections.
type Vulnerabilities struct {
	*dataset
	settings VulnerabilitiesSettings
	windows  windows
	reader   *hostReader
	// knowledgeBase takes the QIDs of delivered detections, nil: nobody does.
	knowledgeBase *KnowledgeBase

	// mu guards the position, which deliveries change and metrics read. Between deliveries the loop reads it without.
	mu        sync.Mutex
	position  position
	delivered *delivered

	pages   pageSize
	passing []uint64        // the hosts that the last request passed over, to see whether others can be read
	removed map[string]bool // parameters that the server refused and the receiver does not insist on
	extra   url.Values      // what the URL of the last next page added to the parameters
}

// NewVulnerabilities returns the dataset vulnerabilities. QIDs of what it delivers go to knowledgeBase, if not nil.
func NewVulnerabilities(shared Settings, settings VulnerabilitiesSettings, state *health.Dataset, knowledgeBase *KnowledgeBase) *Vulnerabilities {
	shared.Records.Server = shared.Server.Hostname()
	v := &Vulnerabilities{
		dataset:       newDataset(shared, VulnerabilitiesDataset, state),
		settings:      settings,
		windows:       windows{filter: filterOf(settings.Collect), status: settings.Status, overlap: settings.Overlap, lookback: settings.Lookback},
		reader:        newHostReader(min(runtime.GOMAXPROCS(0), maxWorkers), shared.Records),
		knowledgeBase: knowledgeBase,
		pages:         newPageSize(settings.PageSize),
		removed:       map[string]bool{},
	}
	if knowledgeBase != nil {
		v.stopped = knowledgeBase.health.Stop
	}
	return v
}

// filterOf is the time filter of the later collections.
func filterOf(collect string) string {
	switch collect {
	case "processed":
		return processedAfter
	case "scanned":
		return scannedAfter
	case "all":
		return ""
	default:
		return updatedSince
	}
}

// Run collects until the context ends, or an error stops the dataset for good: the KnowledgeBase stops with it.
func (v *Vulnerabilities) Run(ctx context.Context) {
	v.run(ctx, v)
}

// Lag is the time since the start of the last finished collection by the server's clock; there is none before the first.
// Everything that had changed by then was delivered.
func (v *Vulnerabilities) Lag() (time.Duration, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return lag(v.position.Previous)
}

// Aside is the number of hosts set aside.
func (v *Vulnerabilities) Aside() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.position.Aside)
}

// load implements work.
func (v *Vulnerabilities) load(ctx context.Context) {
	filtering := map[string]string{}
	for name, value := range v.settings.Parameters {
		if !strings.HasPrefix(name, "show_") && name != "host_metadata" {
			filtering[name] = value
		}
	}
	v.position = v.loadPosition(ctx, v.Server.Host, v.settings.Collect, slices.Sorted(slices.Values(v.settings.Status)), filtering)
	v.delivered = openDelivered(ctx, v.Store, v.name, v.position.Generation, v.log)
	if v.position.Started.IsZero() {
		v.store(ctx, change{forget: true}, nil)
	}
}

// next implements work.
func (v *Vulnerabilities) next() time.Time {
	if v.position.Running != nil {
		return time.Time{}
	}
	return due(v.position.Started, v.settings.Interval)
}

// collect implements work.
func (v *Vulnerabilities) collect(ctx context.Context) error {
	if v.position.Running == nil {
		v.begin(ctx)
	}
	running := v.position.Running
	window := describeAll(running.Passes)
	v.progress.begin(window)
	defer v.progress.report(ctx)()
	for running.Pass < len(running.Passes) {
		more, err := v.page(ctx, running.Passes[running.Pass])
		if err != nil {
			return err
		}
		if !more {
			v.nextPass(ctx)
		}
	}
	v.complete(ctx)
	v.finish(ctx, window)
	return nil
}

// begin plans a collection and makes it the running one.
func (v *Vulnerabilities) begin(ctx context.Context) {
	now := time.Now()
	full := !v.position.Full.IsZero() && v.settings.Full > 0 && !now.Before(due(v.position.Full, v.settings.Full))
	v.mu.Lock()
	p := &v.position
	passes := v.windows.plan(now, p.Previous, full)
	for i := range p.Aside {
		for _, one := range passes {
			p.Aside[i].widen(one)
		}
	}
	for _, a := range p.Aside {
		passes = append(passes, pass{Status: a.Status, Filter: a.Filter, Since: a.Since, Host: a.Host, Suppress: true})
	}
	full = full || p.Previous.IsZero()
	if full {
		p.Full = now
	}
	p.Started = now
	p.Running = &collection{Full: full, Passes: passes}
	v.mu.Unlock()
	v.extra = nil
	v.store(ctx, change{restart: true}, nil)
}

// nextPass goes on to the next list of the collection.
func (v *Vulnerabilities) nextPass(ctx context.Context) {
	v.mu.Lock()
	running := v.position.Running
	running.Pass++
	running.Resume = 0
	v.mu.Unlock()
	v.extra = nil
	v.store(ctx, change{restart: true}, nil)
}

// complete makes the running collection the previous one.
func (v *Vulnerabilities) complete(ctx context.Context) {
	v.mu.Lock()
	p := &v.position
	p.Previous = p.Running.Start
	p.Running = nil
	p.Generation++
	v.mu.Unlock()
	v.store(ctx, change{finish: true}, nil)
	if v.knowledgeBase != nil {
		v.knowledgeBase.flush()
	}
}

// store moves the position, together with what was delivered and the QIDs that belong to it.
func (v *Vulnerabilities) store(ctx context.Context, c change, qids []uint32) {
	v.delivered.apply(c)
	var found []qidEntry
	if v.knowledgeBase != nil {
		found = v.knowledgeBase.qids.add(qids)
	}
	ctx, cancel := storing(ctx)
	defer cancel()
	v.save(v.Store.Update(ctx, func(tx *checkpoint.Tx) {
		v.delivered.write(tx, c)
		if v.knowledgeBase != nil {
			v.knowledgeBase.qids.write(tx, found)
		}
		tx.Put(v.name, positionVersion, v.position)
	}))
	if len(found) > 0 {
		v.knowledgeBase.detected()
	}
}

// page asks for one page of a pass and delivers it. More tells whether the pass has further pages.
func (v *Vulnerabilities) page(ctx context.Context, p pass) (more bool, err error) {
	if err := v.Pipeline.Ready(ctx); err != nil {
		return false, err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	query, until := v.query(p)
	answer, err := v.Client.Detections(reading, v.settings.Version, query)
	if err != nil {
		if v.removeRefused(err, query) {
			return true, nil
		}
		var timeout *qualys.TimeoutError
		if errors.As(err, &timeout) {
			v.pages.broke(0) // the server may need too long for so many hosts
		}
		return false, err
	}
	defer answer.Close()

	refused := v.progress.refused.Load()
	batches := &batches{maxRecords: v.Records.MaxRecords, maxBytes: v.Records.MaxBytes, deliver: v.deliver}
	err = v.read(ctx, answer, stop, p, batches)
	v.progress.received.Add(answer.Bytes())
	if ctx.Err() == nil {
		// What was read whole before an error is delivered before anything is asked for again.
		if failed := batches.flush(ctx); failed != nil {
			return false, failed
		}
	} else if failed := batches.wait(); failed != nil {
		return false, failed
	}
	if err != nil {
		innocent := batches.blocked > stalled || v.progress.refused.Load() != refused
		return v.broken(ctx, p, innocent, err)
	}
	v.pages.whole()
	v.readWhole()
	return v.turnPage(ctx, p, answer, query, until)
}

// query makes the parameters of the next request. Until is the host set aside before which it ends, 0: none.
func (v *Vulnerabilities) query(p pass) (query url.Values, until uint64) {
	query = p.values()
	for name, value := range v.settings.Parameters {
		if value != "" {
			query.Set(name, value)
		}
	}
	maps.Copy(query, v.extra)
	query.Set("action", "list")
	query.Set("output_format", "XML")
	query.Set("truncation_limit", strconv.Itoa(v.pages.now))
	if p.Host == 0 {
		from := v.position.Running.Resume
		if guilty := v.pages.guilty(); len(guilty) > 0 && len(v.passing) == 0 {
			v.passing = guilty
			from = guilty[len(guilty)-1] + 1
		} else {
			v.passing = nil
		}
		for _, a := range v.position.Aside {
			if a.Host == from {
				from++
			} else if a.Host > from && (until == 0 || a.Host < until) {
				until = a.Host
			}
		}
		if from > 0 {
			query.Set("id_min", strconv.FormatUint(from, 10))
		}
		if until > 0 {
			query.Set("id_max", strconv.FormatUint(until-1, 10))
		}
	}
	for name := range v.removed {
		query.Del(name)
	}
	return query, until
}

// removeRefused leaves out a parameter that the receiver added by itself and the server does not know.
func (v *Vulnerabilities) removeRefused(err error, query url.Values) bool {
	var answer *qualys.Error
	if !errors.As(err, &answer) || answer.Class != qualys.Config || answer.Code < 1901 || answer.Code > 1922 {
		return false
	}
	own := append(slices.Clone(v.settings.Defaults), updatedSince, processedAfter, scannedAfter, "id_max", "output_format")
	for _, name := range own {
		if query.Has(name) && answer.Names(name) {
			v.removed[name] = true
			v.log.Warn("Qualys refuses a parameter that the receiver adds by itself: it is left out from now on.", zap.String("parameter", name), zap.Error(err))
			return true
		}
	}
	return false
}

// read makes outputs of an answer and gathers them into batches.
func (v *Vulnerabilities) read(ctx context.Context, answer *qualys.DetectionPage, stop func(), p pass, batches *batches) error {
	part := newSeenSet(slices.Clone(v.delivered.part))
	judge := func(item *records.Item) verdict {
		one := seenOf(item)
		switch {
		case part.contains(one) || !v.matches(item, p):
			return ignore
		case p.Suppress && v.delivered.before.contains(one):
			return suppress
		default:
			return take
		}
	}
	answered := false
	head := func() {
		if !answered {
			answered = true
			v.start(answer.ServerTime())
		}
	}
	err := v.reader.read(ctx, answer, stop, judge, func(out output) error {
		head()
		v.count(ctx, &out)
		return batches.add(ctx, out)
	})
	if err == nil {
		head()
	}
	return err
}

// start takes the server's clock of a collection's first answer as its start.
func (v *Vulnerabilities) start(server time.Time) {
	v.answered()
	v.mu.Lock()
	defer v.mu.Unlock()
	running := v.position.Running
	if !running.Start.IsZero() {
		return
	}
	if server.IsZero() {
		server = time.Now()
	}
	running.Start = server.UTC()
	if v.knowledgeBase != nil {
		v.knowledgeBase.firstCollection(running.Start)
		v.knowledgeBase.answered()
	}
}

// matches tells whether a detection is in the window of a pass. It is asked where the server refused the time filter.
func (v *Vulnerabilities) matches(item *records.Item, p pass) bool {
	if p.Filter == "" || !v.removed[p.Filter] {
		return true
	}
	changed := changedAt(item, p.Filter)
	return changed == 0 || changed >= p.Since.Unix()
}

// changedAt is the time by which a time filter selects a detection, in Unix seconds, 0: unknown.
func changedAt(item *records.Item, filter string) int64 {
	switch filter {
	case processedAfter:
		return max(item.Updated, item.Processed)
	case scannedAfter:
		return max(item.Updated, item.Processed, item.Scanned)
	default:
		return item.Updated
	}
}

// deliver offers a batch until it is accepted, and moves the position behind it.
func (v *Vulnerabilities) deliver(ctx context.Context, b *batch) error {
	if err := v.offer(ctx, b); err != nil {
		return err
	}
	running := v.position.Running
	p := running.Passes[running.Pass]
	c := change{restart: b.hostDone != 0, part: unfinished(b)}
	for _, items := range [][]records.Item{b.items, b.suppressed} {
		for i := range items {
			if v.comesAgain(&items[i], p, running.Start) {
				c.coming = append(c.coming, seenOf(&items[i]))
			}
		}
	}
	if b.hostDone != 0 {
		v.acquit(p, &c)
		v.mu.Lock()
		running.Resume = max(running.Resume, b.hostDone+1)
		v.mu.Unlock()
	}
	v.store(ctx, c, qidsOf(b.items))
	return nil
}

// unfinished are the records of the host that goes on behind a batch.
func unfinished(b *batch) []seen {
	var part []seen
	for i := len(b.items) - 1; i >= 0; i-- {
		item := &b.items[i]
		if item.Host == b.hostDone || item.Host != b.items[len(b.items)-1].Host {
			break
		}
		part = append(part, seenOf(item))
	}
	return part
}

// comesAgain tells whether the next collection can bring a record again unchanged.
func (v *Vulnerabilities) comesAgain(item *records.Item, p pass, start time.Time) bool {
	if p.Host != 0 {
		return true // its window does not move on before it can be read
	}
	if v.windows.filter == "" {
		return false
	}
	changed := changedAt(item, v.windows.filter)
	return changed == 0 || changed >= start.Add(-v.windows.overlap).Unix()
}

// acquit sets aside the hosts that were passed over, now that others could be read. What was delivered of them is kept,
// as they are asked for again in later collections.
func (v *Vulnerabilities) acquit(p pass, c *change) {
	if len(v.passing) == 0 {
		return
	}
	running := v.position.Running
	v.mu.Lock()
	for _, host := range v.passing {
		a := aside{Host: host, Status: p.Status, Filter: p.Filter, Since: p.Since}
		for _, other := range running.Passes {
			if other.Host == 0 {
				a.widen(other)
			}
		}
		v.position.Aside = append(v.position.Aside, a)
		running.Resume = max(running.Resume, host+1)
	}
	v.mu.Unlock()
	c.restart = true
	c.coming = append(c.coming, v.delivered.part...)
	v.log.Error("Hosts are set aside, as their answers cannot be read while others can. They are asked for again in every collection.", zap.Uint64s("hosts", v.passing))
	v.passing = nil
}

// turnPage goes on behind a page that was read whole. More tells whether the pass has further pages.
func (v *Vulnerabilities) turnPage(ctx context.Context, p pass, answer *qualys.DetectionPage, query url.Values, until uint64) (more bool, err error) {
	if len(v.passing) > 0 {
		// No host follows, but the answer was good.
		c := change{}
		v.acquit(p, &c)
		v.store(ctx, c, nil)
	}
	running := v.position.Running
	next, more := answer.NextPage()
	if warning := answer.Warning(); !more && warning != "" {
		v.log.Warn("Qualys warns.", zap.String("warning", warning))
	}
	switch {
	case p.Host != 0:
		v.readAgain(ctx, p.Host)
		return false, nil
	case more:
		from, err := strconv.ParseUint(next.Get("id_min"), 10, 64)
		if before, _ := strconv.ParseUint(query.Get("id_min"), 10, 64); err != nil || from <= before {
			return false, &answerError{err: fmt.Errorf("the next page does not advance: id_min %q after %q", next.Get("id_min"), query.Get("id_min"))}
		}
		v.extra = url.Values{}
		for name, values := range next {
			if !query.Has(name) && name != "id_min" {
				v.extra[name] = values
			}
		}
		v.resume(from)
		return true, nil
	case until != 0:
		v.resume(until + 1)
		return true, nil
	default:
		running.Resume = 0
		return false, nil
	}
}

// resume moves the position within the pass. It is stored with the next batch: until then nothing was delivered.
func (v *Vulnerabilities) resume(from uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.position.Running.Resume = max(v.position.Running.Resume, from)
}

// readAgain ends the setting aside of a host that was read whole.
func (v *Vulnerabilities) readAgain(ctx context.Context, host uint64) {
	v.mu.Lock()
	v.position.Aside = slices.DeleteFunc(v.position.Aside, func(a aside) bool { return a.Host == host })
	v.mu.Unlock()
	v.log.Info("A host that was set aside could be read.", zap.Uint64("host", host))
	v.store(ctx, change{}, nil)
}

// broken judges a page that ended within its bytes, and returns its error if it is to be asked for again.
func (v *Vulnerabilities) broken(ctx context.Context, p pass, innocent bool, err error) (more bool, _ error) {
	var within *answerError
	if ctx.Err() != nil || innocent || !errors.As(err, &within) {
		return false, err
	}
	if p.Host != 0 {
		v.log.Warn("A host that was set aside still cannot be read.", zap.Uint64("host", p.Host), zap.Error(err))
		return false, nil
	}
	host := within.host
	if host < v.position.Running.Resume {
		host = 0 // it was read whole; the break came behind it
	}
	v.pages.broke(host)
	return false, err
}

// qidsOf are the QIDs of items, each once as long as they stand together.
func qidsOf(items []records.Item) []uint32 {
	qids := make([]uint32, 0, len(items))
	for i := range items {
		if items[i].QID != 0 {
			qids = append(qids, items[i].QID)
		}
	}
	slices.Sort(qids)
	return slices.Compact(qids)
}
