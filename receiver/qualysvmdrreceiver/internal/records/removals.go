// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// ReasonNotListed is that a complete list did not hold it any more: Qualys tells nobody why.
const ReasonNotListed = "not_listed"

// Removals builds the records of hosts and detections that are gone.
type Removals struct {
	builder
	tape    tape
	machine machine
}

// RemovedHost is a host that is no longer listed.
type RemovedHost struct {
	// Host is what was known of it.
	Host HostSummary
	// Reason is why it is taken for gone: ReasonNotListed.
	Reason string
	// LastListed is when it was listed last, zero: unknown.
	LastListed time.Time
	// ReplacedBy is the ID of the host that has its agent or its machine in the cloud now, 0: none is known.
	ReplacedBy uint64
}

// RemovedDetection is a detection that was open and is no longer listed. What is unknown is 0.
type RemovedDetection struct {
	// Unit is the ID of the host, AssetID that of its asset.
	Unit, AssetID uint64
	// Key is the [Item.Key] of the detection's records.
	Key uint64
	// UniqueVulnID is Qualys' ID of the detection: of those that have one, it is the Key.
	UniqueVulnID uint64
	// QID is that of its entry in the KnowledgeBase.
	QID uint32
	// Reason is why it is taken for gone: ReasonNotListed.
	Reason string
	// LastListed is when it was listed last, zero: unknown.
	LastListed time.Time
}

// NewRemovals returns a builder of the records of what is gone.
func NewRemovals(settings Settings) *Removals {
	return &Removals{builder: newBuilder(settings), tape: newTape(newInterner(elementRoles))}
}

// Begin says when it was found out that what follows is gone, by the server's clock, and in which collection.
func (r *Removals) Begin(told time.Time, collection string) { r.begin(told, collection, nil) }

// Host makes a record of a host that is gone.
func (r *Removals) Host(gone *RemovedHost) {
	s := &gone.Host
	t := r.object(&removedHostLogs, gone.Reason)
	t.pushKnown("Id", s.ID)
	t.pushKnown("AssetId", s.AssetID)
	for _, member := range [...]struct{ key, text string }{
		{"IP", s.IP}, {"IPv6", s.IPv6}, {"Hostname", s.Hostname}, {"TrackingMethod", s.TrackingMethod}, {"QgHostId", s.QGHostID},
	} {
		if member.text != "" {
			t.pushText(t.interner.key(member.key), member.text)
		}
	}
	t.pushTime("LastListedDateTime", gone.LastListed)
	t.pushKnown("ReplacedById", gone.ReplacedBy)

	m := &r.machine
	m.reset()
	m.id, m.name = s.CloudID, s.Hostname
	if m.id == "" {
		m.id = s.QGHostID
	}
	m.addAddresses(&r.arena, []byte(s.IP))
	m.addAddresses(&r.arena, []byte(s.IPv6))
	m.hostID, m.hasHostID = int64(s.ID), s.ID != 0
	r.add(&removedHostLogs, Item{Unit: s.ID, Key: s.ID}, s.AssetID)
}

// Detection makes a record of a detection that is gone.
func (r *Removals) Detection(gone *RemovedDetection) {
	t := r.object(&removedDetectionLogs, gone.Reason)
	t.pushKnown("Id", gone.Unit)
	t.pushKnown("AssetId", gone.AssetID)
	detection := t.push(t.interner.detection, object)
	t.pushKnown("UniqueVulnId", gone.UniqueVulnID)
	t.pushKnown("Qid", uint64(gone.QID))
	t.closeMap(detection)
	t.pushTime("LastListedDateTime", gone.LastListed)

	m := &r.machine
	m.reset()
	m.hostID, m.hasHostID = int64(gone.Unit), gone.Unit != 0
	lr := r.add(&removedDetectionLogs, Item{Unit: gone.Unit, Key: gone.Key, QID: gone.QID}, gone.AssetID)
	if gone.UniqueVulnID != 0 {
		lr.PutInt(attrDetectionID, int64(gone.UniqueVulnID))
	}
	if gone.QID != 0 {
		lr.PutInt(attrQID, int64(gone.QID))
	}
}

// object begins the body of a record.
func (r *Removals) object(dataset *dataset, reason string) *tape {
	r.tape.beginBody(dataset)
	r.tape.pushText(r.tape.interner.key("Reason"), reason)
	return &r.tape
}

// add makes a record of the body on the tape, and returns its attributes.
func (r *Removals) add(dataset *dataset, item Item, assetID uint64) pcommon.Map {
	t := &r.tape
	t.closeMap(0)
	content, size := r.hasher.content(t.nodes, t.text)
	r.item = item
	r.item.Content, r.item.Bytes = content, int32(size)
	r.write(t.nodes, t.text)
	if !r.fits() {
		r.finish()
	}
	r.describe(r.resource(), &r.machine)
	// What is gone can come back, and be gone again: that is another record.
	lr := r.record(dataset, r.hasher.pair(content, uint64(r.collected)), 3)
	if assetID != 0 {
		lr.Attributes().PutInt(attrAssetID, int64(assetID))
	}
	r.body(lr, t.nodes, t.text)
	r.current.UnitsDone++
	return lr.Attributes()
}

// Take returns the oldest Chunk, which goes over to the caller.
func (r *Removals) Take() Chunk { return r.take() }
