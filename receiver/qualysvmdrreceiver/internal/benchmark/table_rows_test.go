// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

const (
	pageSize   = 20_000_000
	assetCount = 300
	// collections is how often a page is collected in a round, on each number of cores.
	collections = 4
)

func form(pretty bool) string {
	if pretty {
		return "pretty"
	}
	return "compact"
}

// compare sees to it that what is compared in speed gives equal records.
func (t *table) compare(ctx context.Context) error {
	for _, pretty := range []bool{false, true} {
		if err := compareDetections(ctx, pageOf(pageSize, pretty)); err != nil {
			return fmt.Errorf("detections (%s): %w", form(pretty), err)
		}
		if err := compareJSONBodies(ctx, pageOf(pageSize, pretty)); err != nil {
			return fmt.Errorf("detections as JSON (%s): %w", form(pretty), err)
		}
		if err := compareAssets(ctx, assetPageOf(assetCount, pretty)); err != nil {
			return fmt.Errorf("assets (%s): %w", form(pretty), err)
		}
	}
	return nil
}

// detectionRows are the rows of one form of a page.
type detectionRows struct {
	page                                      []byte
	file                                      string
	path, parsing, building, python, twoCores *row
	parsed, made                              *row // allocations
	fields, detections                        int
}

func (t *table) detectionRows(pretty bool) (*detectionRows, error) {
	r := &detectionRows{page: pageOf(pageSize, pretty), file: filepath.Join(t.dir, form(pretty)+".xml")}
	if err := os.WriteFile(r.file, r.page, 0o600); err != nil {
		return nil, err
	}
	name := func(text string) string { return text + ", " + form(pretty) }
	r.path = t.row(row{name: name("page to log records, against encoding/xml"), required: 6, aim: 10})
	r.parsing = t.row(row{name: name("parsing alone, against encoding/xml"), required: 10, aim: 20})
	r.building = t.row(row{name: name("page to records, as a share of building them"), unit: share, required: 0.45, aim: 0.7})
	r.parsed = t.row(row{name: name("allocations a detection, parsing"), unit: objects, atMost: true, required: 0.1, aim: 0.05})
	r.made = t.row(row{name: name("allocations a detection beyond its fields"), unit: objects, atMost: true, required: 4, aim: 3})
	if hasPython() {
		r.python = t.row(row{name: name("page to log records, against python3 iterparse"), required: 3, aim: 6})
	}
	r.twoCores = t.row(row{name: name("collection on two cores, against one"), required: 1.3, aim: 1.8})
	err := decodeHosts(bytes.NewReader(r.page), func(h *xmlHost) { r.detections += len(h.Detections) })
	built := newDetectionRecords(false, func(logs plog.Logs) {
		for _, l := range flatten(logs) {
			r.fields += fieldsOf(l.record.Attributes()) + fieldsIn(l.record.Body())
		}
	})
	if err == nil {
		err = decodeHosts(bytes.NewReader(r.page), built.add)
	}
	built.flush()
	return r, err
}

// fieldsOf is how many objects pdata needs for the values of a map: one each, and for one that is a map or a list three,
// which are the value, what it holds and the memory for its entries.
func fieldsOf(m pcommon.Map) int {
	n := 0
	for _, v := range m.All() {
		n += fieldsIn(v)
	}
	return n
}

func fieldsIn(v pcommon.Value) int {
	switch v.Type() {
	case pcommon.ValueTypeMap:
		return 3 + fieldsOf(v.Map())
	case pcommon.ValueTypeSlice:
		n := 3
		for _, entry := range v.Slice().All() {
			n += fieldsIn(entry)
		}
		return n
	default:
		return 1
	}
}

func (t *table) measureDetections(ctx context.Context) error {
	if err := t.compare(ctx); err != nil {
		return err
	}
	for _, pretty := range []bool{true, false} {
		r, err := t.detectionRows(pretty)
		if err != nil {
			return err
		}
		for range *rounds {
			if err := r.round(ctx, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// round measures everything once, what is compared next to each other.
func (r *detectionRows) round(ctx context.Context, t *table) error {
	size := len(r.page)
	reader := newDetectionReader(recordSettings(serverName))
	client := clientOf(r.page)
	read := func() error { return reader.read(ctx, client, func(records.Chunk) {}) }
	tokens := xmlstream.NewReader(nil)
	parse := func() error { return readTokens(tokens, bytes.NewReader(r.page)) }

	baseline, ours, err := against(func() (time.Duration, error) {
		return timed(func() error {
			built := newDetectionRecords(false, func(plog.Logs) {})
			defer built.flush()
			return decodeHosts(bytes.NewReader(r.page), built.add)
		})
	}, read)
	if err != nil {
		return err
	}
	r.path.measured = append(r.path.measured, baseline.Seconds()/ours.Seconds())
	t.note("page to log records by encoding/xml", size, baseline)
	t.note("page to log records", size, ours)
	if r.python != nil {
		python, ours, err := against(func() (time.Duration, error) { return runPython(ctx, r.file) }, read)
		if err != nil {
			return err
		}
		r.python.measured = append(r.python.measured, python.Seconds()/ours.Seconds())
		t.note("page to JSON lines by python3", size, python)
	}

	standard, parsing, err := against(func() (time.Duration, error) {
		return timed(func() error { return readStandardTokens(bytes.NewReader(r.page)) })
	}, parse)
	if err != nil {
		return err
	}
	r.parsing.measured = append(r.parsing.measured, standard.Seconds()/parsing.Seconds())
	t.note("parsing alone", size, parsing)

	if err := r.buildRound(read, t); err != nil {
		return err
	}
	r.parsed.measured = append(r.parsed.measured, float64(allocations(parse))/float64(r.detections))
	r.made.measured = append(r.made.measured, float64(allocations(read)-r.fields)/float64(r.detections))
	return r.coresRound(ctx, t)
}

// buildRound compares with building the same records from values in memory. Those are in memory while either is measured.
func (r *detectionRows) buildRound(read func() error, t *table) error {
	var hosts []*xmlHost
	if err := decodeHosts(bytes.NewReader(r.page), func(h *xmlHost) { hosts = append(hosts, h) }); err != nil {
		return err
	}
	building, ours, err := against(func() (time.Duration, error) {
		took, err := timed(func() error {
			for range passes {
				built := newDetectionRecords(true, func(plog.Logs) {})
				for _, h := range hosts {
					built.add(h)
				}
				built.flush()
			}
			return nil
		})
		return took / passes, err
	}, read)
	runtime.KeepAlive(hosts)
	r.building.measured = append(r.building.measured, building.Seconds()/ours.Seconds())
	t.note("building records from values in memory", len(r.page), building)
	return err
}

func (r *detectionRows) coresRound(ctx context.Context, t *table) error {
	c := &collection{page: r.page, records: r.detections, overlap: time.Hour}
	var took [2]time.Duration
	for range collections {
		for cores := 1; cores <= len(took); cores++ {
			runtime.GC()
			d, err := c.run(ctx, cores)
			if err != nil {
				return err
			}
			took[cores-1] += d
		}
	}
	r.twoCores.measured = append(r.twoCores.measured, took[0].Seconds()/took[1].Seconds())
	t.note("collection on one core", len(r.page), took[0]/collections)
	t.note("collection on two cores", len(r.page), took[1]/collections)
	return nil
}

// allocations is how many objects f allocates.
func allocations(f func() error) int {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_ = f() // it was measured before, without an error
	runtime.ReadMemStats(&after)
	return int(after.Mallocs - before.Mallocs)
}

func (t *table) measureAssets(ctx context.Context) error {
	for _, pretty := range []bool{true, false} {
		page := assetPageOf(assetCount, pretty)
		r := t.row(row{name: "asset page to records, against encoding/json, " + form(pretty), required: 2, aim: 3})
		builder := records.NewAssets(recordSettings(gatewayName))
		client := clientOf(page)
		for range *rounds {
			standard, ours, err := against(func() (time.Duration, error) {
				return timed(func() error {
					return decodeAssets(bytes.NewReader(page), func(map[string]any) error { return nil })
				})
			}, func() error { return readAssets(ctx, client, builder, func(records.Chunk) {}) })
			if err != nil {
				return err
			}
			r.measured = append(r.measured, standard.Seconds()/ours.Seconds())
			t.note("asset page decoded by encoding/json", len(page), standard)
			t.note("asset page to records", len(page), ours)
		}
	}
	return nil
}

func (t *table) measureMemory(ctx context.Context) error {
	if *collectors == 0 {
		return nil
	}
	c := &collector{binary: *collectorBinary, simulator: *simulatorBinary, dir: t.dir}
	kinds := []struct {
		name  string
		size  int64
		hosts int
		row   *row
	}{
		{name: "page of 20 MB", size: 20e6, hosts: onePage},
		{name: "page of 200 MB", size: 200e6, hosts: onePage},
		{name: "page of 1 GB", size: 1e9, hosts: onePage},
		{name: "1 GB in pages of 20 MB", size: 1e9, hosts: smallPages},
	}
	for i := range kinds {
		kinds[i].row = t.row(row{name: "peak memory of the collector, " + kinds[i].name, unit: megabytes, atMost: true, required: 256, aim: 128})
	}
	pages := t.row(row{name: "the same, page of 1 GB against pages of 20 MB", unit: ratio, atMost: true, required: 1.2, aim: 1.05})
	for range *collectors {
		var peaks []float64
		for _, k := range kinds {
			f, err := c.run(ctx, k.size, k.hosts)
			if err != nil {
				return fmt.Errorf("collector, %s: %w", k.name, err)
			}
			if f.received < k.size {
				return fmt.Errorf("collector, %s: only %d bytes received", k.name, f.received)
			}
			if f.exported < f.received/2 {
				return fmt.Errorf("collector, %s: only %d bytes exported of %d received", k.name, f.exported, f.received)
			}
			peak := float64(f.peak) / 1e6
			peaks = append(peaks, peak)
			k.row.measured = append(k.row.measured, peak)
			t.note("whole collector, "+k.name, int(f.received), f.took)
		}
		small, large, inPages := peaks[0], peaks[2], peaks[3]
		t.growth = append(t.growth, large/small)
		pages.measured = append(pages.measured, large/inPages)
	}
	return nil
}

func (t *table) measureAtOnce(ctx context.Context) error {
	if *collectors == 0 {
		return nil
	}
	c := &collector{binary: *collectorBinary, simulator: *simulatorBinary, dir: t.dir}
	atOnce := t.row(row{name: "peak memory of the collector, nine pages of 200 MB at once over TLS with HTTP/2", unit: megabytes, atMost: true, required: 256, aim: 160})
	for range min(*collectors, 2) {
		f, err := c.runAtOnce(ctx, 200e6)
		if err != nil {
			return fmt.Errorf("nine pages at once: %w", err)
		}
		if f.exported < f.received/2 || f.received < 10*200e6 {
			return fmt.Errorf("nine pages at once: only %d bytes exported of %d received", f.exported, f.received)
		}
		atOnce.measured = append(atOnce.measured, float64(f.peak)/1e6)
		t.note("whole collector, nine pages of 200 MB at once", int(f.received), f.took)
	}
	return nil
}
