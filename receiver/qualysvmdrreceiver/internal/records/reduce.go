// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import "time"

// software reads softwareListData, of which the names of the software are kept, as a list.
func (a *Assets) software(k *key) error {
	m := &a.members
	switch m.dec.PeekKind() {
	case 'n':
		m.tape.push(k, list)
		return m.skip()
	case '[':
		return m.list(k, a.fullName)
	case '{':
	default:
		return m.value(k)
	}
	at := m.tape.push(k, list)
	if err := m.open(); err != nil {
		return err
	}
	for m.more('}') {
		member, err := m.key()
		if err != nil {
			return err
		}
		if member.role == roleSoftwareEntries && m.dec.PeekKind() == '[' {
			err = m.entries(k, a.fullName)
		} else {
			err = m.skip()
		}
		if err != nil {
			return err
		}
	}
	if err := m.shut(); err != nil {
		return err
	}
	m.tape.closeList(at)
	return nil
}

// fullName reads an entry of the software, and adds its name with the key k. One without a name is left out.
func (a *Assets) fullName(k *key) error {
	m := &a.members
	switch m.dec.PeekKind() {
	case '"':
		return m.value(k)
	case '{':
	default:
		return m.skip()
	}
	if err := m.open(); err != nil {
		return err
	}
	for named := false; m.more('}'); {
		member, err := m.key()
		if err != nil {
			return err
		}
		if member.role == roleFullName && !named && m.dec.PeekKind() == '"' {
			named = true
			err = m.value(k)
		} else {
			err = m.skip()
		}
		if err != nil {
			return err
		}
	}
	return m.shut()
}

// openPorts reads openPortListData, of which the ports that have not been seen for long are left out.
func (a *Assets) openPorts(k *key) error {
	m := &a.members
	if m.dec.PeekKind() != '{' || a.portsSince == 0 {
		return m.value(k)
	}
	return m.object(k, func(member *key) error {
		if member.role == roleOpenPort && m.dec.PeekKind() == '[' {
			return m.list(member, a.openPort)
		}
		return m.value(member)
	})
}

// openPort reads an entry of the open ports, and adds it if it is to be kept.
func (a *Assets) openPort(k *key) error {
	t := &a.members.tape
	from, text, truncated := len(t.nodes), len(t.text), t.truncated
	if err := a.members.value(k); err != nil {
		return err
	}
	if t.nodes[from].kind != object {
		return nil
	}
	var at places
	at.find(t.nodes, from+1, len(t.nodes))
	if seen, ok := timeAt(t.nodes, at[roleLastUpdated], t.text); ok && seen < a.portsSince {
		t.nodes, t.text, t.truncated = t.nodes[:from], t.text[:text], truncated
	}
	return nil
}

// timeAt returns the time at index at, a text or milliseconds, in seconds since 1970.
func timeAt(nodes []node, at int32, text []byte) (int64, bool) {
	if ms, ok := intOf(nodes, at); ok {
		return ms / time.Second.Milliseconds(), ms > 0
	}
	return parseTime(textOf(nodes, at, text))
}
