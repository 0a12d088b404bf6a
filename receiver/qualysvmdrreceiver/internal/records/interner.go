// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"strings"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// element is what there is to know of the elements of one name.
type element struct {
	text string
	key  *key
	// referenceKey is the key inside of a reference, where ID and URL stay as they are.
	referenceKey *key
	// emptyKey is the key of a wrapper with nothing in it.
	emptyKey *key
	value    valueType
	wrapper  bool // disappears around elements of one name
	repeats  bool // makes a list even when alone
	isMap    bool // a map even when empty
	byName   bool // its children have their attribute name as key
	refers   bool // is a reference
	cvss     bool
	host     bool
	root     bool // is the record itself
	body     bool // its children stand beside LogType
	kept     bool // is known to later records, too
	next     *element
	last     knownAttribute
}

// knownAttribute is the attribute that an element with the key of had last, if that is known to later records, too.
type knownAttribute struct {
	of    *key
	name  string
	found *attribute
}

// keyIn returns the key of the element as a child of parent.
func (n *element) keyIn(parent *element) *key {
	if parent.refers {
		return n.referenceKey
	}
	return n.key
}

// valueType is what the text of an element is if it can be.
type valueType uint8

const (
	stringValue valueType = iota
	intValue
	hostIntValue    // in a host only
	cvssDoubleValue // in a rating only
)

func valueTypeOf(element string) valueType {
	switch element {
	case "ASSET_ID", "NETWORK_ID", "TAG_ID", "UNIQUE_VULN_ID", "QID", "SEVERITY", "SEVERITY_LEVEL", "PORT", "SSL", "QDS",
		"TIMES_FOUND", "TIMES_REOPENED", "IS_IGNORED", "IS_DISABLED", "PATCHABLE", "PCI_FLAG", "AUTOMATIC_PCI_FAIL", "REMOTE",
		"ASSET_RISK_SCORE", "TRURISK_SCORE", "ASSET_CRITICALITY_SCORE", "VULN_COUNT":
		return intValue
	case "ID":
		return hostIntValue
	case "BASE", "TEMPORAL":
		return cvssDoubleValue
	}
	if strings.HasPrefix(element, "AFFECT_") || strings.HasSuffix(element, "_DURATION") {
		return intValue
	}
	return stringValue
}

// wrappers are the elements around repeated ones whose name does not end in _LIST.
var wrappers = map[string]bool{
	"CLOUD_PROVIDER_TAGS": true,
	"EXPLOITS":            true,
	"MALWARE":             true,
	"PCI_REASONS":         true,
	"TAGS":                true,
	"THREAT_INTELLIGENCE": true,
}

// repeating are the elements of which Qualys' document types allow more than one. (QDS_FACTOR and the clouds of METADATA
// make a map instead, and ID repeats in sets of IDs only, which are no records.)
var repeating = map[string]bool{
	"ATTRIBUTE":        true,
	"AUTH_TYPE":        true,
	"BUGTRAQ":          true,
	"CHANGE_LOG_INFO":  true,
	"CLOUD_TAG":        true,
	"COMPLIANCE":       true,
	"CVE":              true,
	"EXPLT":            true,
	"EXPLT_SRC":        true,
	"MW_INFO":          true,
	"MW_SRC":           true,
	"PCI_REASON":       true,
	"SOFTWARE":         true,
	"TAG":              true,
	"THREAT_INTEL":     true,
	"VENDOR_REFERENCE": true,
	"VULN_COUNT":       true,
}

func emptyKeyText(wrapper string) string {
	if wrapper == "THREAT_INTELLIGENCE" {
		return "ThreatIntel"
	}
	if single, ok := strings.CutSuffix(wrapper, "_LIST"); ok {
		return keyText(single)
	}
	return keyText(strings.TrimSuffix(wrapper, "S"))
}

// attribute is what there is to know of an attribute of one element.
type attribute struct {
	key   *key
	value valueType
}

// interner knows the names of elements and what becomes of them: there is one element, and one key, of each. What it has met
// once it knows by looking it up; what it keeps has an end, in case the names never do. Names that are not kept count towards
// the size of the record: they are memory, too, and can be megabytes long.
type interner struct {
	elements   interned[element]
	keys       interned[key]
	attributes interned[attribute]
	roles      map[string]role
	scratch    []byte
	passed     int // bytes of names that were met and are not kept, if the tape has not counted them yet
	last       *element
	start      *element // before the first element
	member     *key     // the last member's
	first      *key     // before the first member

	logType, qualysLogType             *key
	detection, qualysDetection         *key
	knowledgeBase, qualysKnowledgeBase *key
	mixed                              *key // text between elements
	empty                              *key // of no value in particular
}

func newInterner(roles map[string]role) *interner {
	n := &interner{roles: roles, start: new(element), first: new(key)}
	n.last, n.member = n.start, n.first
	n.logType = n.key("LogType")
	n.qualysLogType = n.key("QualysLogType")
	n.detection = n.key("Detection")
	n.qualysDetection = n.key("QualysDetection")
	n.knowledgeBase = n.key(knowledgeBaseKey)
	n.qualysKnowledgeBase = n.key("QualysKnowledgeBase")
	n.mixed = n.key("Text")
	n.empty = n.key("")
	return n
}

// forget forgets names that are not kept, and reports whether there were any. It is called when no record with them is being
// read.
func (n *interner) forget() (forgot bool) {
	forgot = n.elements.forget()
	forgot = n.keys.forget() || forgot
	forgot = n.attributes.forget() || forgot
	n.last, n.member = n.start, n.first
	n.passed = 0
	return forgot
}

// following returns what is known of the elements called b, if those followed last time. Which name follows which hardly
// ever changes, so that this saves most of the look-ups. Otherwise it returns nil, and element is for any.
func (n *interner) following(b []byte) *element {
	next := n.last.next
	if next == nil || next.text != string(b) {
		return nil
	}
	n.last = next
	return next
}

// element returns what is known of the elements called b.
func (n *interner) element(b []byte) *element {
	found := n.elements.get(b)
	if found == nil {
		found = n.newElement(string(b))
	}
	if !found.kept {
		n.passed += len(found.key.quoted)
		n.last = n.start
		return found
	}
	n.last.next = found
	n.last = found
	return found
}

// follower reads a start tag from x and returns what is known of its element, if that is the one which followed last time
// and has no attributes. Otherwise it returns nil.
func (n *interner) follower(x *xmlstream.Reader) *element {
	next := n.last.next
	if next == nil || !x.Expect(next.text) {
		return nil
	}
	n.last = next
	return next
}

func (n *interner) newElement(tag string) *element {
	found := &element{
		text:    tag,
		key:     n.key(keyText(tag)),
		value:   valueTypeOf(tag),
		wrapper: wrappers[tag] || strings.HasSuffix(tag, "_LIST"),
		repeats: repeating[tag],
		isMap:   tag == "QDS_FACTORS" || tag == "METADATA",
		byName:  tag == "QDS_FACTORS",
		refers:  tag == "CVE" || tag == "BUGTRAQ" || tag == "VENDOR_REFERENCE",
		cvss:    tag == "CVSS" || tag == "CVSS_V3",
	}
	found.referenceKey = found.key
	if tag == "ID" || tag == "URL" {
		found.referenceKey = n.key(tag)
	}
	if found.wrapper {
		found.emptyKey = n.key(emptyKeyText(tag))
	}
	keep := found.key.kept && found.referenceKey.kept && (!found.wrapper || found.emptyKey.kept)
	found.kept = n.elements.put(tag, found, keep)
	if !found.kept {
		n.passed += entrySize + len(tag)
	}
	return found
}

// key returns the key of that text.
func (n *interner) key(text string) *key {
	n.scratch = append(n.scratch[:0], text...)
	return n.keyOf(n.scratch)
}

// keyOf returns the key that text spells.
func (n *interner) keyOf(text []byte) *key {
	found := n.keys.get(text)
	if found == nil {
		s := string(text)
		found = newKey(s, n.roles[s])
		found.kept = n.keys.put(s, found, true)
		if !found.kept {
			n.passed += entrySize + len(s)
		}
	}
	if !found.kept {
		n.passed += len(found.quoted)
	}
	return found
}

// named returns the key of a member of that name: without looking it up, if it is the one that followed last time.
func (n *interner) named(text []byte) *key {
	if next := n.member.next; next != nil && next.text == string(text) {
		n.member = next
		return next
	}
	return n.memberOf(text)
}

// expected returns the key of a member whose name is written as raw, a JSON string, if that is the one that followed last
// time, as it nearly always is. Otherwise it returns nil, and memberOf is for what raw says.
func (n *interner) expected(raw []byte) *key {
	next := n.member.next
	if next == nil || len(next.quoted) != len(raw)+len(":") || next.quoted[:len(raw)] != string(raw) {
		return nil
	}
	n.member = next
	return next
}

// memberOf returns the key of a member of that name.
func (n *interner) memberOf(text []byte) *key {
	found := n.keyOf(text)
	if !found.kept {
		n.member = n.first
		return found
	}
	n.member.next = found
	n.member = found
	return found
}

// attribute returns what becomes of an attribute of the element that has the key k.
func (n *interner) attribute(of *element, k *key, attr []byte) *attribute {
	if of.last.of == k && of.last.name == string(attr) {
		return of.last.found
	}
	n.scratch = append(append(append(n.scratch[:0], k.text...), 0), attr...)
	found := n.attributes.get(n.scratch)
	if found == nil {
		id := string(n.scratch)
		found = &attribute{key: n.key(k.text + keyText(string(attr)))}
		if of.text == "THREAT_INTEL" && string(attr) == "id" {
			found.value = intValue
		}
		if !n.attributes.put(id, found, found.key.kept) {
			n.passed += entrySize + len(id)
		}
	}
	if !found.key.kept {
		n.passed += len(found.key.quoted)
	} else if k.kept && len(attr) <= maxName {
		of.last = knownAttribute{of: k, name: string(attr), found: found}
	}
	return found
}

const (
	// maxNames is how many entries are kept from record to record.
	maxNames = 4096
	// maxName is the longest text of which the entry is kept, in bytes: twice the longest that is known.
	maxName = 64
	// entrySize is about how much memory an entry takes besides its text.
	entrySize = 128
)

// interned finds what belongs to a text. The first maxNames entries of short texts are kept, others until the next forget.
type interned[T any] struct {
	kept, passing map[string]*T
}

func (t *interned[T]) get(text []byte) *T {
	if found := t.kept[string(text)]; found != nil {
		return found
	}
	return t.passing[string(text)]
}

// put adds an entry, and reports whether it is kept. One that refers to another that is not kept must not be: keep is false.
func (t *interned[T]) put(text string, entry *T, keep bool) (kept bool) {
	kept = keep && len(text) <= maxName && len(t.kept) < maxNames
	m := &t.passing
	if kept {
		m = &t.kept
	}
	if *m == nil {
		*m = make(map[string]*T)
	}
	(*m)[text] = entry
	return kept
}

func (t *interned[T]) forget() (forgot bool) {
	if len(t.passing) == 0 {
		return false
	}
	t.passing = nil
	return true
}
