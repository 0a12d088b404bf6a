// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// Detections builds the records of host detections. Elements of a host are expected before its detections, as Qualys
// sends them. Those that come later stand at the end of the bodies of the host's further records only.
type Detections struct {
	builder
	host     host
	tape     tape
	at       places // in the tape
	root     *element
	required []required
}

// NewDetections returns a builder of detections' records.
func NewDetections(settings Settings) *Detections {
	n := newInterner(elementRoles)
	return &Detections{
		builder: newBuilder(settings),
		host:    newHost(),
		tape:    newTape(n),
		root:    &element{text: "DETECTION", key: n.detection, root: true},
		required: requirements(n,
			[]string{"Qid", "Type", "Severity", "Ssl", "Results", "Status", "LastFoundDateTime"},
			map[string]kind{"Qid": integer, "Severity": integer, "Ssl": integer}),
	}
}

// Begin says when what follows was collected, by the server's clock, and the ID of the collection, which each record
// carries if it is not empty. It ends the host that was being read, and drops what was
// made and not taken. Keep is called for every detection that has been read whole; if it returns false, no record is made of
// it. The Item is valid during the call, Bytes is not known yet. Without keep all records are made.
func (d *Detections) Begin(collected time.Time, collection string, keep func(*Item) bool) {
	d.host.reset()
	d.begin(collected, collection, keep)
}

// BeginHost begins the host whose HOST x stands at, and reads its attributes. Errors are as those of HostElement.
func (d *Detections) BeginHost(x *xmlstream.Reader) error {
	d.host.reset()
	d.open = false
	return d.host.attributes(x)
}

// Host returns the ID of the host that is being read, 0: there is none, or its ID is not known yet.
func (d *Detections) Host() uint64 { return d.host.id }

// HostElement reads the element of the host that x stands at, through its end. Errors of x are returned wrapped;
// ErrTooLarge says that the host's elements are more than a record may hold.
func (d *Detections) HostElement(x *xmlstream.Reader) error {
	repaired, truncated := x.Repaired(), d.host.tape.truncated
	if err := d.host.read(x); err != nil {
		return err
	}
	d.current.Repaired += x.Repaired() - repaired
	d.current.Truncated += d.host.tape.truncated - truncated
	d.open = false // further records say more of the host
	return nil
}

// DetectionList reads the attributes of the DETECTION_LIST that x stands at, which become the host's. Errors are as those of
// HostElement.
func (d *Detections) DetectionList(x *xmlstream.Reader) error {
	return d.host.attributes(x)
}

// Detection reads the detection that x stands at, through its end, and makes a record of it. Errors are as those of
// HostElement; nothing is kept of a detection with an error.
func (d *Detections) Detection(x *xmlstream.Reader) error {
	repaired := x.Repaired()
	t := &d.tape
	t.reset(d.host.tape.left())
	if err := t.root(x, t.push(t.interner.detection, object), d.root); err != nil {
		return fmt.Errorf("detection: %w", err)
	}
	if err := d.host.prepare(&d.builder); err != nil {
		return err
	}
	d.at.find(t.nodes, 1, len(t.nodes))
	d.identify()
	if !d.wanted() {
		return nil
	}
	t.complete(d.required, &d.at)
	if d.settings.JSON {
		d.json = append(d.buffer(), d.host.prefix...)
		d.json = appendValue(d.json, t.nodes, t.text)
		d.json = append(d.json, d.host.suffix...)
		d.item.Bytes = int32(len(d.json))
	}
	if !d.fits() {
		d.finish()
	}
	if !d.open {
		d.describe(d.resource(), &d.host.machine)
	}
	lr := d.record(&vulnerabilityLogs, d.hasher.pair(d.item.Content, d.host.content), 4)
	d.mark(lr)
	if d.settings.JSON {
		lr.Body().SetStr(d.arena.keep(d.json))
	} else {
		m := lr.Body().SetEmptyMap()
		d.host.body.put(m, 1) // Enrich adds one
		v, _ := m.Get(t.interner.detection.text)
		putMap(v.SetEmptyMap(), t.nodes, d.arena.keep(t.text))
	}
	if t.truncated > 0 || len(d.host.truncated) > 0 {
		nameTruncated(lr, truncatedPaths(slices.Clone(d.host.truncated), t.nodes, nil))
	}
	d.current.Truncated += t.truncated
	d.current.Repaired += x.Repaired() - repaired
	return nil
}

// identify fills in the item.
func (d *Detections) identify() {
	t := &d.tape
	content, size := d.hasher.content(t.nodes, t.text)
	for _, r := range d.required {
		if d.at[r.role] == 0 {
			size += len(r.key.text)
		}
	}
	d.item = Item{
		Unit:      d.host.id,
		Content:   content,
		Bytes:     int32(d.host.bytes + size),
		Status:    status(d.textOf(roleStatus)),
		Updated:   d.timeOf(roleLastUpdate),
		Found:     d.timeOf(roleLastFound),
		Processed: d.timeOf(roleLastProcessed),
		Scanned:   d.host.scanned,
	}
	d.item.Open = !strings.EqualFold(d.item.Status, fixed)
	if d.host.hasAssetID && d.host.assetID > 0 {
		d.item.AssetID = uint64(d.host.assetID)
	}
	if d.settings.Stable {
		d.item.Stable = d.hasher.stable(t.nodes, t.text)
	}
	if id, ok := intOf(t.nodes, d.at[roleUniqueVulnID]); ok && id > 0 {
		d.item.Key, d.item.Unique = uint64(id), true
	} else {
		d.item.Key = d.hasher.identity(d.host.id, t.nodes, t.text, &d.at)
	}
	if qid, ok := intOf(t.nodes, d.at[roleQID]); ok && qid > 0 && qid <= math.MaxUint32 {
		d.item.QID = uint32(qid)
	}
}

func (d *Detections) textOf(r role) []byte { return textOf(d.tape.nodes, d.at[r], d.tape.text) }

// timeOf returns the time with that role, 0: it is not known.
func (d *Detections) timeOf(r role) int64 {
	s, ok := parseTime(d.textOf(r))
	if !ok {
		return 0
	}
	return s
}

// fixed is the status of a detection that is no longer there.
const fixed = "Fixed"

// status returns text as a string, without allocating for those that Qualys has.
func status(text []byte) string {
	for _, s := range [...]string{"Active", "New", fixed, "Re-Opened"} {
		if s == string(text) {
			return s
		}
	}
	return string(text)
}

// severities are Qualys' levels of severity, from 1 on.
var severities = [...]struct {
	number plog.SeverityNumber
	text   string
}{
	1: {plog.SeverityNumberInfo, "Minimal"},
	2: {plog.SeverityNumberInfo2, "Medium"},
	3: {plog.SeverityNumberWarn, "Serious"},
	4: {plog.SeverityNumberError, "Critical"},
	5: {plog.SeverityNumberFatal, "Urgent"},
}

// mark sets the time, the severity and the attributes of the record in work.
func (d *Detections) mark(lr plog.LogRecord) {
	nodes := d.tape.nodes
	event := d.item.Found
	if !d.item.Open {
		event = cmp.Or(d.timeOf(roleLastFixed), d.item.Updated, d.item.Found)
		lr.SetSeverityNumber(plog.SeverityNumberInfo)
	}
	if event != 0 && !d.settings.Collected {
		lr.SetTimestamp(pcommon.Timestamp(event * int64(time.Second)))
	}
	if level, ok := intOf(nodes, d.at[roleSeverity]); ok && level > 0 && int(level) < len(severities) {
		lr.SetSeverityText(severities[level].text)
		if d.item.Open {
			lr.SetSeverityNumber(severities[level].number)
		}
	}
	attrs := lr.Attributes()
	if d.host.hasAssetID {
		attrs.PutInt(attrAssetID, d.host.assetID)
	}
	if id, ok := intOf(nodes, d.at[roleUniqueVulnID]); ok {
		attrs.PutInt(attrDetectionID, id)
	}
	if d.item.Status != "" {
		attrs.PutStr(attrDetectionStatus, d.item.Status)
	}
	if qid, ok := intOf(nodes, d.at[roleQID]); ok {
		attrs.PutInt(attrQID, qid)
	}
}

// EndHost ends the host.
func (d *Detections) EndHost() error {
	if d.host.id != 0 {
		d.current.UnitDone = d.host.id
	}
	d.current.UnitsDone++
	d.host.reset()
	d.open = false
	return nil
}

// Take returns the oldest Chunk, which goes over to the caller. The builder goes on with a fresh one, also within a
// host.
func (d *Detections) Take() Chunk { return d.take() }
