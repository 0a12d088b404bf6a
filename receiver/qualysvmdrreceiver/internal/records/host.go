// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// host is what is known of the host whose detections are being read, made ready for its records.
type host struct {
	id       uint64
	tape     tape // its elements as they came, and the place of its detections between them
	detected bool // that place is known
	ready    bool // what follows says all that the tape does

	nodes          []node
	body           pcommon.Map // with an empty value for the detection
	prefix, suffix []byte      // the same as JSON, around the detection
	bytes          int
	content        uint64 // hash of what the host says
	cut            []string
	machine        machine
	assetID        int64
	hasAssetID     bool
	scanned        int64
}

// hostName stands for HOST.
var hostName = &name{host: true}

func newHost() host {
	h := host{tape: newTape(newNames(elementRoles)), body: pcommon.NewMap()}
	h.reset()
	return h
}

// reset begins a host.
func (h *host) reset() {
	if h.tape.reset(maxRecord) {
		h.nodes, h.prefix, h.suffix = nil, nil, nil
	}
	h.tape.push(h.tape.names.empty, object)
	h.tape.pushText(h.tape.names.logType, vulnerabilityLogs.logType)
	h.id, h.detected, h.ready = 0, false, false
}

// read reads an element of the host. After an error it is as before.
func (h *host) read(x *xmlstream.Reader) error {
	before := h.mark()
	return h.added(before, h.tape.element(x, h.tape.begun(x), hostName))
}

// attributes reads the attributes of the element that x stands at, which is HOST or holds its detections. After an error it is
// as before. Their keys begin with the element's, so that the record itself uses none of them.
func (h *host) attributes(x *xmlstream.Reader) error {
	if x.Attrs() == 0 {
		return nil
	}
	before := h.mark()
	return h.added(before, h.tape.inside(x, h.tape.names.element(x.Name())))
}

// mark is how far the tape of a host was.
type mark struct{ nodes, text, cuts int }

func (h *host) mark() mark { return mark{len(h.tape.nodes), len(h.tape.text), h.tape.cuts} }

// added takes note of what was added since before, or takes it back if there was an error.
func (h *host) added(before mark, err error) error {
	t := &h.tape
	from := before.nodes
	if err == nil {
		t.limitLevels(from, before.text, memberLevels)
		t.reserve(from, true)
		if t.full() {
			err = ErrTooLarge
		}
	}
	if err != nil {
		t.nodes, t.text, t.attrs, t.cuts = t.nodes[:from], t.text[:before.text], t.attrs[:0], before.cuts
		return fmt.Errorf("host: %w", err)
	}
	for i := from; i < len(t.nodes); i += int(t.nodes[i].size) {
		if n := &t.nodes[i]; n.key.role == roleID && n.kind == integer && h.id == 0 {
			h.id = uint64(max(n.num, 0))
		}
	}
	h.ready = false
	return nil
}

// prepare makes what the host's records need of the elements that are known.
func (h *host) prepare(b *builder) error {
	if h.ready {
		return nil
	}
	t := &h.tape
	if !h.detected {
		t.push(t.names.detection, null)
		h.detected = true
	}
	nodes, n, err := t.merger.mergeDuplicateKeys(append(h.nodes[:0], t.nodes...), 1, t.names.empty)
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	nodes[0].num, nodes[0].size = int64(n), int32(len(nodes))
	nodes = h.complete(nodes)

	var at places
	at.find(nodes, 1, len(nodes))
	h.nodes = nodes
	h.content, _ = b.hasher.content(nodes, t.text)
	h.write(b, int(at[roleDetection]))
	h.know(b, &at)
	h.cut = h.cut[:0]
	if t.cuts > 0 {
		h.cut = cutPaths(h.cut, nodes[1:], nil)
	}
	h.ready = true
	return nil
}

// complete adds what is missing: Hostname always, if the host has no such element itself, and IP and Id.
func (h *host) complete(nodes []node) []node {
	names, text := h.tape.names, h.tape.text
	var at places
	at.find(nodes, 1, len(nodes))
	hostname := node{key: names.key("Hostname"), kind: str, size: 1}
	if i := named(nodes, text, &at); i != 0 {
		hostname.off, hostname.len = nodes[i].off, nodes[i].len
	}
	// From the back, so that indexes stay right.
	if at[roleID] == 0 {
		nodes = insert(nodes, int(at[roleDetection]), node{key: names.key("Id"), kind: integer, size: 1})
	}
	ip := int(at[roleIP])
	after := int(at[roleDetection])
	if ip == 0 {
		nodes = insert(nodes, after, node{key: names.key("IP"), kind: str, size: 1})
		after++
	} else {
		after = ip + int(nodes[ip].size)
	}
	if at[roleHostname] == 0 {
		nodes = insert(nodes, after, hostname)
	}
	return nodes
}

// named returns the index of the string that is the host's name, 0: it has none.
func named(nodes []node, text []byte, at *places) int32 {
	for _, r := range [...]role{roleDNS, roleDNSData, roleNetbios} {
		i := at[r]
		if i == 0 {
			continue
		}
		if r != roleDNSData {
			if len(textOf(nodes, i, text)) > 0 {
				return stringAt(nodes, i)
			}
			continue
		}
		if nodes[i].kind != object {
			continue
		}
		var in places
		in.find(nodes, int(i)+1, int(i+nodes[i].size))
		for _, r := range [...]role{roleFQDN, roleHostname} {
			if len(textOf(nodes, in[r], text)) > 0 {
				return stringAt(nodes, in[r])
			}
		}
	}
	return 0
}

// stringAt returns the index of the string that textOf has found.
func stringAt(nodes []node, at int32) int32 {
	if nodes[at].kind == list {
		return at + 1
	}
	return at
}

// write makes the bodies, around the detection at index detection.
func (h *host) write(b *builder, detection int) {
	text := h.tape.text
	if b.settings.JSON {
		h.prefix = appendMembers(append(h.prefix[:0], '{'), h.nodes[1:detection], text)
		h.prefix = append(append(h.prefix, ','), h.nodes[detection].key.quoted...)
		h.suffix = h.suffix[:0]
		if detection+1 < len(h.nodes) {
			h.suffix = appendMembers(append(h.suffix, ','), h.nodes[detection+1:], text)
		}
		h.suffix = append(h.suffix, '}')
		h.bytes = len(h.prefix) + len(h.suffix)
		return
	}
	h.bytes = -len(h.nodes[detection].key.text) // it counts with the detection
	for i := 1; i < len(h.nodes); i++ {
		h.bytes += len(h.nodes[i].key.text) + int(h.nodes[i].len)
	}
	h.body.Clear()
	putMap(h.body, h.nodes, b.blocks.cut(text))
}

// know notes what the records say of the host around their bodies.
func (h *host) know(b *builder, at *places) {
	text := h.tape.text
	h.machine.reset()
	for _, r := range [...]role{roleEC2InstanceID, roleCloudResourceID, roleQGHostID} {
		if id := textOf(h.nodes, at[r], text); len(id) > 0 {
			h.machine.id = b.blocks.cut(id)
			break
		}
	}
	h.machine.name = b.blocks.cut(textOf(h.nodes, at[roleHostname], text))
	for _, r := range [...]role{roleIP, roleIPv6} {
		h.machine.addStrings(&b.blocks, h.nodes, at[r], text)
	}
	if h.id != 0 {
		h.machine.hostID, h.machine.hasHostID = int64(h.id), true
	}
	h.assetID, h.hasAssetID = intOf(h.nodes, at[roleAssetID])
	h.scanned = 0
	for _, r := range [...]role{roleLastScan, roleLastVMScanned, roleLastVMAuthScanned, roleLastPCScanned} {
		if s, ok := parseTime(textOf(h.nodes, at[r], text)); ok {
			h.scanned = max(h.scanned, s)
		}
	}
}
