// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"
	"math"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// KnowledgeBase builds the records of KnowledgeBase entries.
type KnowledgeBase struct {
	builder
	tape     tape
	at       places // in the tape
	root     *element
	required []required
	fielded  map[string]bool // keys of the fields that are handed out
	fields   func(*Item, []byte)
	stored   []byte
}

// NewKnowledgeBase returns a builder of entries' records.
func NewKnowledgeBase(settings Settings) *KnowledgeBase {
	n := newInterner(elementRoles)
	wanted := map[string]bool{}
	for _, field := range settings.EnrichFields {
		wanted[field] = field != statusKey // which stands beside them
	}
	return &KnowledgeBase{
		fielded: wanted,
		builder: newBuilder(settings),
		tape:    newTape(n),
		root:    &element{text: "VULN", key: n.key("Vuln"), root: true, body: true},
		required: requirements(n,
			[]string{
				"Qid", "VulnerabilityType", "SeverityLevel", "Title", "Category", "Patchable", "Software", "VendorReference",
				"Cve", "Diagnosis", "Consequence", "Solution", "PciFlag", "ThreatIntel", "Discovery",
			},
			map[string]kind{
				"Qid": integer, "SeverityLevel": integer, "Patchable": integer, "PciFlag": integer,
				"Software": list, "VendorReference": list, "Cve": list, "ThreatIntel": list,
				"Discovery": object,
			}),
	}
}

// Begin says when what follows was collected, by the server's clock, and in which collection. Keep is called for every entry
// that has been read whole, as by [Detections.Begin]. Fields, unless it is nil, is called after it, whatever it returned, with
// the [Settings.EnrichFields] that were sent of the entry, in the order of its record: a JSON object for [ParseEntryFields],
// valid during the call.
func (k *KnowledgeBase) Begin(collected time.Time, collection string, keep func(*Item) bool, fields func(*Item, []byte)) {
	k.fields = fields
	k.begin(collected, collection, keep)
}

// Entry reads the VULN element that x stands at, through its end, and makes a record of it. Errors of x are returned
// wrapped; ErrTooLarge says that the entry is more than a record may hold. Nothing is kept of an entry with an error.
func (k *KnowledgeBase) Entry(x *xmlstream.Reader) error {
	repaired := x.Repaired()
	t := &k.tape
	t.reset(maxRecord)
	at := t.push(t.interner.empty, object)
	t.pushText(t.interner.logType, knowledgeBaseLogs.logType)
	if err := t.root(x, at, k.root); err != nil {
		return fmt.Errorf("entry: %w", err)
	}
	k.at.find(t.nodes, 1, len(t.nodes))
	k.identify()
	keep := k.wanted()
	if k.fields != nil {
		k.stored = appendFields(k.stored[:0], t.nodes, t.text, k.fielded)
		k.fields(&k.item, k.stored)
		if cap(k.stored) > retained {
			k.stored = nil
		}
	}
	if !keep {
		k.current.UnitsDone++
		return nil
	}
	t.complete(k.required, &k.at)
	k.write(t.nodes, t.text)
	if !k.fits() {
		k.finish()
	}
	k.current.UnitsDone++
	if !k.open {
		k.describe(k.resource(), &machine{})
	}
	lr := k.record(&knowledgeBaseLogs, k.item.Content, 1)
	if qid, ok := intOf(t.nodes, k.at[roleQID]); ok {
		lr.Attributes().PutInt(attrQID, qid)
	}
	k.body(lr, t.nodes, t.text)
	if t.truncated > 0 {
		nameTruncated(lr, truncatedPaths(nil, t.nodes[1:], nil))
	}
	k.current.Truncated += t.truncated
	k.current.Repaired += x.Repaired() - repaired
	return nil
}

// identify fills in the item.
func (k *KnowledgeBase) identify() {
	nodes, text := k.tape.nodes, k.tape.text
	content, size := k.hasher.content(nodes, text)
	k.item = Item{Content: content, Bytes: int32(size)}
	for _, r := range k.required {
		if k.at[r.role] == 0 {
			k.item.Bytes += int32(len(r.key.text))
		}
	}
	if qid, ok := intOf(nodes, k.at[roleQID]); ok && qid > 0 && qid <= math.MaxUint32 {
		k.item.QID, k.item.Key = uint32(qid), uint64(qid)
	}
	if s, ok := parseTime(textOf(nodes, k.at[roleLastServiceModification], text)); ok {
		k.item.Updated = s
	}
	if i := k.at[roleLastCustomization]; i != 0 && nodes[i].kind == object {
		var in places
		in.find(nodes, int(i)+1, int(i+nodes[i].size))
		if s, ok := parseTime(textOf(nodes, in[roleDatetime], text)); ok {
			k.item.Updated = max(k.item.Updated, s)
		}
	}
}

// Take returns the oldest Chunk, which goes over to the caller.
func (k *KnowledgeBase) Take() Chunk { return k.take() }
