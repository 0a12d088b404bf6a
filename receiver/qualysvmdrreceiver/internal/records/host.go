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
	body           sharedMap // with an empty value for the detection
	prefix, suffix []byte    // the same as JSON, around the detection
	bytes          int
	content        uint64 // hash of what the host says
	truncated      []string
	machine        machine
	assetID        int64
	hasAssetID     bool
	scanned        int64
}

// hostName stands for HOST.
var hostName = &element{host: true}

func newHost() host {
	h := host{tape: newTape(newInterner(elementRoles))}
	h.reset()
	return h
}

// reset begins a host.
func (h *host) reset() {
	if h.tape.reset(maxRecord) {
		h.nodes, h.prefix, h.suffix = nil, nil, nil
	}
	h.tape.push(h.tape.interner.empty, object)
	h.tape.pushText(h.tape.interner.logType, vulnerabilityLogs.logType)
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
	return h.added(before, h.tape.inside(x, h.tape.interner.element(x.Name())))
}

// mark is how far the tape of a host was.
type mark struct{ nodes, text, truncated int }

func (h *host) mark() mark { return mark{len(h.tape.nodes), len(h.tape.text), h.tape.truncated} }

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
		t.nodes, t.text, t.attrs, t.truncated = t.nodes[:from], t.text[:before.text], t.attrs[:0], before.truncated
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
		t.push(t.interner.detection, null)
		h.detected = true
	}
	nodes, n, err := t.merger.mergeDuplicateKeys(append(h.nodes[:0], t.nodes...), 1, t.interner.empty)
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
	h.truncated = h.truncated[:0]
	if t.truncated > 0 {
		h.truncated = truncatedPaths(h.truncated, nodes[1:], nil)
	}
	h.ready = true
	return nil
}

// complete adds what is missing: Hostname always, if the host has no such element itself, and IP and Id.
func (h *host) complete(nodes []node) []node {
	interner, text := h.tape.interner, h.tape.text
	var at places
	at.find(nodes, 1, len(nodes))
	hostname := hostnameOf(interner, nodes, text, &at)
	// From the back, so that indexes stay right.
	if at[roleID] == 0 {
		nodes = insert(nodes, int(at[roleDetection]), node{key: interner.key("Id"), kind: integer, size: 1})
	}
	ip := int(at[roleIP])
	after := int(at[roleDetection])
	if ip == 0 {
		nodes = insert(nodes, after, node{key: interner.key("IP"), kind: str, size: 1})
		after++
	} else {
		after = ip + int(nodes[ip].size)
	}
	if at[roleHostname] == 0 {
		nodes = insert(nodes, after, hostname)
	}
	return nodes
}

// hostnameOf returns the Hostname of a host, which is empty if it has no name.
func hostnameOf(interner *interner, nodes []node, text []byte, at *places) node {
	hostname := node{key: interner.key("Hostname"), kind: str, size: 1}
	if i := named(nodes, text, at); i != 0 {
		hostname.off, hostname.len = nodes[i].off, nodes[i].len
	}
	return hostname
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
		h.prefix = append(h.prefix, h.nodes[detection].key.member...)
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
	body := pcommon.NewMap()
	putMap(body, h.nodes, b.arena.keep(text))
	h.body = newSharedMap(body, b.share)
}

// know notes what the records say of the host around their bodies.
func (h *host) know(b *builder, at *places) {
	h.machine.know(&b.arena, h.nodes, at, h.tape.text, h.id)
	h.assetID, h.hasAssetID = intOf(h.nodes, at[roleAssetID])
	h.scanned = scannedAt(h.nodes, at, h.tape.text)
}

// scannedAt returns the newest of a host's scan dates, 0: it has none.
func scannedAt(nodes []node, at *places, text []byte) (newest int64) {
	for _, r := range [...]role{roleLastScan, roleLastVulnScan, roleLastVMScanned, roleLastVMAuthScanned, roleLastPCScanned} {
		if s, ok := parseTime(textOf(nodes, at[r], text)); ok {
			newest = max(newest, s)
		}
	}
	return newest
}
