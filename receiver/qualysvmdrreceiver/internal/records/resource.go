// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"bytes"
	"net/netip"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// machine is what is known of the host or asset that records are about.
type machine struct {
	id, name  string
	addresses []string
	hostID    int64
	hasHostID bool
}

// reset forgets the machine. The memory of the addresses is kept.
func (m *machine) reset() { *m = machine{addresses: m.addresses[:0]} }

// know notes what the elements of the host with that ID say. A Hostname is one of them.
func (m *machine) know(a *arena, nodes []node, at *places, text []byte, id uint64) {
	m.reset()
	m.id = a.keep(cloudID(nodes, at, text))
	if m.id == "" {
		m.id = a.keep(textOf(nodes, at[roleQGHostID], text))
	}
	m.name = a.keep(textOf(nodes, at[roleHostname], text))
	for _, r := range [...]role{roleIP, roleIPv6} {
		m.addStrings(a, nodes, at[r], text)
	}
	if id != 0 {
		m.hostID, m.hasHostID = int64(id), true
	}
}

// cloudID returns the ID that a host has in its cloud, nil: it is in none.
func cloudID(nodes []node, at *places, text []byte) []byte {
	if id := textOf(nodes, at[roleEC2InstanceID], text); len(id) > 0 {
		return id
	}
	return textOf(nodes, at[roleCloudResourceID], text)
}

// addAddresses adds the addresses in text, which may be several between commas, without those that are known or none.
func (m *machine) addAddresses(b *arena, text []byte) {
	for address := range bytes.SplitSeq(text, []byte(",")) {
		address = trimRight(trimLeft(address))
		if len(address) == 0 {
			continue
		}
		if _, err := netip.ParseAddr(string(address)); err != nil {
			continue
		}
		known := false
		for _, have := range m.addresses {
			known = known || have == string(address)
		}
		if !known {
			m.addresses = append(m.addresses, b.keep(address))
		}
	}
}

// describe sets the attributes of a resource. What is unknown or switched off is left out.
func (b *builder) describe(attrs pcommon.Map, m *machine) {
	attrs.Clear()
	attrs.EnsureCapacity(6)
	on := b.settings.Resource
	if on.HostID && m.id != "" {
		attrs.PutStr("host.id", m.id)
	}
	if on.HostIP && len(m.addresses) > 0 {
		s := attrs.PutEmptySlice("host.ip")
		s.EnsureCapacity(len(m.addresses))
		for _, address := range m.addresses {
			s.AppendEmpty().SetStr(address)
		}
	}
	if on.HostName && m.name != "" {
		attrs.PutStr("host.name", m.name)
	}
	if on.QualysHostID && m.hasHostID {
		attrs.PutInt("qualys.host.id", m.hostID)
	}
	if on.QualysServer && b.settings.Server != "" {
		attrs.PutStr("qualys.server", b.settings.Server)
	}
	if on.QualysReceiver && b.settings.Receiver != "" {
		attrs.PutStr("qualys.receiver", b.settings.Receiver)
	}
}

// addStrings adds the addresses in a string, or in the strings of a list.
func (m *machine) addStrings(b *arena, nodes []node, at int32, text []byte) {
	if at == 0 {
		return
	}
	for _, n := range nodes[at : at+nodes[at].size] {
		if n.kind == str {
			m.addAddresses(b, text[n.off:n.off+n.len])
		}
	}
}
