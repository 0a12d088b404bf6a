// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// maxWorkers is how many goroutines make records of one page at most: more than a few wait for the network.
const maxWorkers = 4

// hostTries is how often a host that was set aside is asked for in one collection if there are only errors instead of an
// answer. Then it waits for the next collection: it must not hold up what can be read.
const hostTries = 3

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
	*course
	settings VulnerabilitiesSettings
	windows  windows
	reader   *hostReader
	// knowledgeBase takes the QIDs of delivered detections, nil: nobody does.
	knowledgeBase *KnowledgeBase

	pages   pageSize
	passing []uint64          // the hosts that the last request passed over, to see whether others can be read
	parts   map[uint64][]seen // of the part delivered, what is known to be of which host
	removed map[string]bool   // parameters that the server refused and the receiver does not insist on
	extra   url.Values        // what the URL of the last next page added to the parameters
}

// NewVulnerabilities returns the dataset vulnerabilities. QIDs of what it delivers go to knowledgeBase, if not nil.
func NewVulnerabilities(shared Settings, settings VulnerabilitiesSettings, state *health.Dataset, knowledgeBase *KnowledgeBase) *Vulnerabilities {
	shared.Records.Server = shared.Server.Hostname()
	v := &Vulnerabilities{
		course:        newCourse(newDataset(shared, VulnerabilitiesDataset, state)),
		settings:      settings,
		windows:       windows{filter: filterOf(settings.Collect), status: settings.Status, overlap: settings.Overlap, lookback: settings.Lookback},
		reader:        newHostReader(min(runtime.GOMAXPROCS(0), maxWorkers), shared.Records),
		knowledgeBase: knowledgeBase,
		pages:         newPageSize(settings.PageSize),
		parts:         map[uint64][]seen{},
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

// Aside is the number of hosts set aside.
func (v *Vulnerabilities) Aside() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.position.Aside)
}

// load implements work.
func (v *Vulnerabilities) load(ctx context.Context) error {
	if v.knowledgeBase != nil {
		if err := v.knowledgeBase.open(ctx); err != nil {
			return err
		}
	}
	filtering := map[string]string{}
	for name, value := range v.settings.Parameters {
		if !strings.HasPrefix(name, "show_") && name != "host_metadata" && name != "vuln_detection_source" {
			filtering[name] = value
		}
	}
	return v.open(ctx, v.Server.Host, v.settings.Collect, slices.Sorted(slices.Values(v.settings.Status)), filtering)
}

// next implements work.
func (v *Vulnerabilities) next() time.Time { return v.nextAfter(v.settings.Interval) }

// collect implements work.
func (v *Vulnerabilities) collect(ctx context.Context) error {
	if v.position.Running == nil {
		v.extra = nil
		v.begin(ctx, v.plan)
	}
	running := v.position.Running
	window := describeAll(running.Passes)
	v.progress.begin(window)
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
	if v.knowledgeBase != nil {
		v.knowledgeBase.flush()
	}
	v.finish(ctx, window)
	return nil
}

// plan plans the collection that starts now, by the local clock.
func (v *Vulnerabilities) plan(p *position, now time.Time) *collection {
	full := !p.Full.IsZero() && v.settings.Full > 0 && !now.Before(due(p.Full, v.settings.Full))
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
	return &collection{Full: full, Passes: passes}
}

// nextPass goes on to the next list of the collection.
func (v *Vulnerabilities) nextPass(ctx context.Context) {
	v.mu.Lock()
	running := v.position.Running
	running.Pass++
	running.Resume, running.PartHost = 0, 0
	v.mu.Unlock()
	v.extra = nil
	clear(v.parts)
	v.store(ctx, change{restart: true})
}

// deliveredQIDs moves the position, together with what was delivered and the QIDs that belong to it.
func (v *Vulnerabilities) deliveredQIDs(ctx context.Context, c change, qids []uint32) {
	if v.knowledgeBase == nil {
		v.store(ctx, c)
		return
	}
	found := v.knowledgeBase.qids.add(qids)
	v.store(ctx, c, func(tx *checkpoint.Tx) { v.knowledgeBase.qids.write(tx, found) })
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
	answer, err := v.ask(reading, p, query)
	if err != nil {
		switch {
		case v.removeRefused(err, query):
			return true, nil
		case p.Host != 0:
			return false, v.unanswered(ctx, p.Host, err)
		}
		v.pages.timedOut(err)
		return false, err
	}
	defer answer.Close()

	batches := v.newBatches(v.deliver)
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
		return v.broken(ctx, p, v.heldUp(batches), err)
	}
	v.pages.whole()
	v.readWhole()
	return v.turnPage(ctx, p, answer, query, until)
}

// ask sends the request for a page; for a host that was set aside some more times if no answer comes.
func (v *Vulnerabilities) ask(ctx context.Context, p pass, query url.Values) (*qualys.DetectionPage, error) {
	waits := newBackOff(v.Retry)
	for try := 1; ; try++ {
		answer, err := v.Client.Detections(ctx, v.settings.Version, query)
		if err == nil || p.Host == 0 || try == hostTries || ctx.Err() != nil || classOf(err) != qualys.Generic {
			return answer, err
		}
		v.progress.retries.Add(1)
		if err := sleep(ctx, waits.NextBackOff()); err != nil {
			return nil, err
		}
		if err := v.Pipeline.Ready(ctx); err != nil {
			return nil, err
		}
	}
}

// unanswered judges an error in place of the answer for a host that was set aside, and returns it if the collection
// cannot go on.
func (v *Vulnerabilities) unanswered(ctx context.Context, host uint64, err error) error {
	var answer *qualys.Error
	switch {
	case ctx.Err() != nil:
		return err
	case errors.As(err, &answer) && answer.Class == qualys.Config && answer.Parameter == "ids":
		v.log.Warn("A host that was set aside is given up, as Qualys does not take its ID any more.", zap.Uint64("host", host), zap.Error(err))
		v.forget(ctx, host)
		return nil
	case classOf(err) == qualys.Generic:
		v.log.Warn("A host that was set aside is not answered for. It is asked for again in the next collection.", zap.Uint64("host", host), zap.Error(err))
		return nil
	default:
		return err
	}
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
	if !query.Has("id_max") {
		until = 0
	}
	return query, until
}

// removeRefused leaves out a parameter that the receiver added by itself and the server does not know.
func (v *Vulnerabilities) removeRefused(err error, query url.Values) bool {
	own := append(slices.Clone(v.settings.Defaults), updatedSince, processedAfter, scannedAfter, "id_max", "output_format")
	name := v.refusedParameter(err, query, own...)
	if name != "" {
		v.removed[name] = true
	}
	return name != ""
}

// read makes outputs of an answer and gathers them into batches.
func (v *Vulnerabilities) read(ctx context.Context, answer *qualys.DetectionPage, stop func(), p pass, batches *batches) error {
	part := newSeenSet(slices.Clone(v.delivered.part))
	var missed seenSet // what was delivered of a host that was set aside
	if a := v.asideHost(p.Host); a != nil {
		missed = newSeenSet(decodeSeen(a.Delivered))
	}
	judge := func(item *records.Item) verdict {
		one := seenOf(item)
		switch {
		case part.contains(one) || !v.matches(item, p):
			return ignore
		case p.Suppress && (v.delivered.before.contains(one) || missed.contains(one)):
			return suppress
		default:
			return take
		}
	}
	answered := false
	head := func() {
		if !answered {
			answered = true
			v.begun(answer.ServerTime())
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

// begun notes the server's clock of an answer that is good as far as its head.
func (v *Vulnerabilities) begun(server time.Time) {
	v.answered()
	if first := v.start(server); first && v.knowledgeBase != nil {
		v.knowledgeBase.firstCollection(v.position.Running.Start)
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
	newest := max(item.Updated, item.Found)
	switch filter {
	case processedAfter:
		return max(newest, item.Processed)
	case scannedAfter:
		return max(newest, item.Processed, item.Scanned)
	default:
		return newest
	}
}

// deliver offers a batch until it is accepted, and moves the position behind it.
func (v *Vulnerabilities) deliver(ctx context.Context, b *batch) error {
	if err := v.offer(ctx, b); err != nil {
		return err
	}
	running := v.position.Running
	p := running.Passes[running.Pass]
	c := change{part: unfinished(b)}
	for _, items := range [][]records.Item{b.items, b.suppressed} {
		for i := range items {
			if v.comesAgain(&items[i], p, running.Start) {
				c.coming = append(c.coming, seenOf(&items[i]))
			}
		}
	}
	if a := v.asideHost(p.Host); a != nil {
		// All of it comes again: comesAgain says so of what a host pass brings. What does not come this time is kept, as the
		// answer may only have broken before it.
		delivered := encodeSeen(renewed(decodeSeen(a.Delivered), c.coming))
		v.mu.Lock()
		a.Delivered = delivered
		v.mu.Unlock()
	}
	if b.hostDone != 0 {
		v.acquit(p, &c)
		v.resume(b.hostDone + 1)
		v.pages.passed(running.Resume)
		c.restart = running.PartHost < running.Resume
	}
	v.mu.Lock()
	if c.restart {
		running.PartHost = 0
		clear(v.parts)
	}
	if len(c.part) > 0 {
		host := b.items[len(b.items)-1].Unit
		running.PartHost = max(running.PartHost, host)
		v.parts[host] = append(v.parts[host], c.part...)
	}
	v.mu.Unlock()
	v.deliveredQIDs(ctx, c, qidsOf(b.items))
	return nil
}

// unfinished are the records of the host that goes on behind a batch.
func unfinished(b *batch) []seen {
	var part []seen
	for i := len(b.items) - 1; i >= 0; i-- {
		item := &b.items[i]
		if item.Unit == b.hostDone || item.Unit != b.items[len(b.items)-1].Unit {
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
		running.Resume = max(running.Resume, host+1)
		if v.asideHost(host) != nil {
			continue // the server does not leave it out
		}
		a := aside{Host: host, Status: p.Status, Filter: p.Filter, Since: p.Since}
		for _, other := range running.Passes {
			if other.Host == 0 {
				a.widen(other)
			}
		}
		a.Delivered = encodeSeen(v.partOf(host))
		v.position.Aside = append(v.position.Aside, a)
	}
	slices.SortFunc(v.position.Aside, func(a, b aside) int { return cmp.Compare(a.Host, b.Host) })
	v.mu.Unlock()
	c.coming = append(c.coming, v.partOf(v.passing...)...)
	v.log.Error("Hosts are set aside, as their answers cannot be read while others can. They are asked for again in every collection.", zap.Uint64s("hosts", v.passing))
	v.passing = nil
}

// partOf is the part delivered, without what is known to be of other hosts.
func (v *Vulnerabilities) partOf(hosts ...uint64) []seen {
	var others []seen
	for host, part := range v.parts {
		if !slices.Contains(hosts, host) {
			others = append(others, part...)
		}
	}
	return slices.DeleteFunc(slices.Clone(v.delivered.part), newSeenSet(others).contains)
}

// turnPage goes on behind a page that was read whole. More tells whether the pass has further pages.
func (v *Vulnerabilities) turnPage(ctx context.Context, p pass, answer *qualys.DetectionPage, query url.Values, until uint64) (more bool, err error) {
	if len(v.passing) > 0 {
		// No host follows, but the answer was good.
		c := change{restart: true}
		v.acquit(p, &c)
		v.store(ctx, c)
	}
	running := v.position.Running
	next, more := answer.NextPage()
	if warning := answer.Warning(); !more && warning != "" {
		v.log.Warn("Qualys warns.", zap.String("warning", warning))
	}
	switch {
	case p.Host != 0:
		v.log.Info("A host that was set aside could be read.", zap.Uint64("host", p.Host))
		v.forget(ctx, p.Host)
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

// resume moves the position within the pass. Behind a page it is stored with the next batch: until then nothing was
// delivered.
func (v *Vulnerabilities) resume(from uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.position.Running.Resume = max(v.position.Running.Resume, from)
}

// asideHost is a host that was set aside, nil: it was not. The result is valid until another one is set aside or read.
func (v *Vulnerabilities) asideHost(host uint64) *aside {
	for i := range v.position.Aside {
		if a := &v.position.Aside[i]; host != 0 && a.Host == host {
			return a
		}
	}
	return nil
}

// forget ends the setting aside of a host.
func (v *Vulnerabilities) forget(ctx context.Context, host uint64) {
	v.mu.Lock()
	v.position.Aside = slices.DeleteFunc(v.position.Aside, func(a aside) bool { return a.Host == host })
	v.mu.Unlock()
	v.store(ctx, change{})
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
