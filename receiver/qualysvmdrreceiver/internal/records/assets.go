// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"
)

// Assets builds the records of assets.
type Assets struct {
	builder
	members members
	at      places // in the members' tape
	machine machine
	// portsSince leaves out ports that were last seen before, in seconds since 1970. 0: none.
	portsSince int64

	agent, softwareList *key
}

// NewAssets returns a builder of assets' records.
func NewAssets(settings Settings) *Assets {
	n := newInterner(memberRoles)
	return &Assets{
		builder:      newBuilder(settings),
		members:      members{tape: newTape(n), tokens: newTokens()},
		agent:        n.key("agent"),
		softwareList: n.key("softwareListData"),
	}
}

// Begin says when what follows was collected, by the server's clock, and in which collection. Keep is called for every asset
// that has been read whole, as by [Detections.Begin].
func (a *Assets) Begin(collected time.Time, collection string, keep func(*Item) bool) {
	a.begin(collected, collection, keep)
}

// PortsSince makes the following records leave out the open ports that were last seen before start, the start of the
// previous collection by the server's clock, in whole seconds. Zero: all ports are kept, as at first.
func (a *Assets) PortsSince(start time.Time) {
	a.portsSince = 0
	if !start.IsZero() {
		a.portsSince = start.Unix()
	}
}

// Asset reads the asset that dec stands before, and makes a record of it. A null is read over. The decoder has to allow
// bytes that are not UTF-8 and names that come twice. Errors of dec are returned wrapped; ErrTooLarge says that the
// asset is more than a record may hold. Nothing is kept of an asset with an error.
func (a *Assets) Asset(dec *jsontext.Decoder) error {
	if dec.PeekKind() == 'n' {
		_, err := dec.ReadToken()
		return err
	}
	if err := a.read(dec); err != nil {
		return fmt.Errorf("asset: %w", err)
	}
	t := &a.members.tape
	a.complete()
	a.at.find(t.nodes, 1, len(t.nodes))
	a.identify()
	id := a.item.Unit
	if !a.wanted() {
		a.done(id)
		return nil
	}
	// Not the tokens' hash: with other ports left out, the same asset is another record, which readers that drop duplicates
	// must not lose.
	says, _ := a.hasher.content(t.nodes, t.text)
	a.write(t.nodes, t.text)
	if !a.fits() {
		a.finish()
	}
	a.done(id)
	a.know()
	a.describe(a.resource(), &a.machine)
	lr := a.record(&assetInventory, says, 1)
	if id, ok := intOf(t.nodes, a.at[roleAssetID]); ok {
		lr.Attributes().PutInt(attrAssetID, id)
	}
	a.body(lr, t.nodes, t.text)
	if t.truncated > 0 {
		nameTruncated(lr, truncatedPaths(nil, t.nodes[1:], nil))
	}
	a.current.Truncated += t.truncated
	a.current.Repaired += a.members.repaired
	return nil
}

func (a *Assets) done(id uint64) {
	a.current.UnitsDone++
	if id != 0 {
		a.current.UnitDone = id
	}
}

// read reads an asset into the tape.
func (a *Assets) read(dec *jsontext.Decoder) error {
	m := &a.members
	m.begin(dec)
	t := &m.tape
	at := t.push(t.interner.empty, object)
	t.pushText(t.interner.logType, assetInventory.logType)
	if kind := dec.PeekKind(); kind != '{' && kind != 0 {
		return fmt.Errorf("%v instead of an object", kind)
	}
	if err := m.into(at, a.member); err != nil {
		return err
	}
	t.limitLevels(at+1, 0, memberLevels)
	t.nodes[at].size = int32(len(t.nodes) - at)
	return nil
}

// member reads a member of the asset itself.
func (a *Assets) member(k *key) error {
	switch k.role {
	case roleSoftwareList:
		return a.software(k)
	case roleOpenPorts:
		return a.openPorts(k)
	}
	if k == a.members.tape.interner.logType {
		k = a.members.tape.interner.qualysLogType
	}
	return a.members.value(k)
}

// complete adds what existing readers look for, if the gateway has left it out: an empty list of software, and null for
// the agent of an asset without one. That does not stand at the end, where a reader would take the brace for its value.
func (a *Assets) complete() {
	t := &a.members.tape
	a.at.find(t.nodes, 1, len(t.nodes))
	if a.at[roleSoftwareList] == 0 {
		t.nodes = insert(t.nodes, len(t.nodes), node{key: a.softwareList, kind: list, size: 1})
	}
	if a.at[roleAgent] == 0 && len(textOf(t.nodes, a.at[roleAgentID], t.text)) == 0 {
		last := 1
		for i := 1; i < len(t.nodes); i += int(t.nodes[i].size) {
			last = i
		}
		t.nodes = insert(t.nodes, last, node{key: a.agent, kind: null, size: 1})
	}
}

// identify fills in the item.
func (a *Assets) identify() {
	nodes, text := a.members.tape.nodes, a.members.tape.text
	size := len(text)
	for i := range nodes {
		size += len(nodes[i].key.text)
	}
	a.item = Item{Content: a.members.tokens.sum(), Bytes: int32(size)}
	if s, ok := timeAt(nodes, a.at[roleLastModified], text); ok {
		a.item.Updated, a.item.Modified = s, s
	}
	if s, ok := timeAt(nodes, a.at[roleLastUpdatedDate], text); ok {
		a.item.Updated = s
	}
	uuid := textOf(nodes, a.at[roleAssetUUID], text)
	switch id, ok := intOf(nodes, a.at[roleAssetID]); {
	case ok && id > 0:
		a.item.Unit, a.item.Key = uint64(id), uint64(id)
	case len(uuid) > 0:
		a.item.Key = xxhash.Sum64(uuid)
	default:
		a.item.Key = a.item.Content
	}
}

// know notes what the record says of the asset around its body.
func (a *Assets) know() {
	nodes, text, m := a.members.tape.nodes, a.members.tape.text, &a.machine
	m.reset()
	m.id = a.instance()
	if m.id == "" {
		m.id = a.arena.keep(textOf(nodes, a.at[roleAgentID], text))
	}
	m.name = a.arena.keep(textOf(nodes, a.at[roleDNSName], text))
	m.addStrings(&a.arena, nodes, a.at[roleAddress], text)
	if i := a.at[roleNetworkInterfaces]; i != 0 {
		for _, n := range nodes[i : i+nodes[i].size] {
			if n.kind == str && n.key.role == roleInterfaceAddress {
				m.addAddresses(&a.arena, text[n.off:n.off+n.len])
			}
		}
	}
	m.hostID, m.hasHostID = intOf(nodes, a.at[roleHostID])
}

// instance returns the ID that the asset has in its cloud, "": it is in none.
func (a *Assets) instance() string {
	nodes, text := a.members.tape.nodes, a.members.tape.text
	i := a.at[roleCloudProvider]
	if i == 0 {
		return ""
	}
	for _, n := range nodes[i : i+nodes[i].size] {
		switch {
		case n.key.role != roleInstanceID:
		case n.kind == str && n.len > 0:
			return a.arena.keep(text[n.off : n.off+n.len])
		case n.kind == integer:
			return strconv.FormatInt(n.num, 10)
		}
	}
	return ""
}

// Take returns the oldest Chunk, which goes over to the caller.
func (a *Assets) Take() Chunk { return a.take() }
