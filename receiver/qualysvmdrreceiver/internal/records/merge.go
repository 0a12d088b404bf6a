// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import "fmt"

const (
	// seenBits is the size of the filter that tells nearly all keys of a map apart without comparing them.
	seenBits = 1024
	// maxCompared is how many keys are compared one by one, before a map takes over.
	maxCompared = 64
	// maxIndexed is how many keys that map may hold to be used again.
	maxIndexed = 256
)

// merger makes the keys of a map unique: values whose key repeats, or which are always in a list, become lists.
type merger struct {
	children []child
	groups   []group
	index    map[*key]int32 // the groups by their keys, when they are many
	out      []node
}

// child is one value among the siblings that are merged.
type child struct {
	at     int32
	next   int32 // the next one of the group, or -1
	parent int32 // of an attribute, the child whose attribute it is, else the child itself
	group  int32
}

// group is the values of one key.
type group struct {
	key         *key
	first, last int32
	list        bool
	beside      int32 // of attributes, the group they belong to, or -1
}

// mergeDuplicateKeys makes every key unique among the siblings from index from to the end of nodes, and returns the tape with
// what has become of them and how many they are now. Entries that are missing in a list of attributes get the key empty.
func (m *merger) mergeDuplicateKeys(nodes []node, from int, empty *key) ([]node, int, error) {
	n, unique := distinct(nodes, from)
	if !unique {
		m.gather(nodes, from)
		n = len(m.groups)
	}
	if n > maxKeys {
		return nodes, 0, fmt.Errorf("%d keys in one map: %w", n, ErrTooLarge)
	}
	if unique {
		return nodes, n, nil
	}
	m.out = m.out[:0]
	for i := range m.groups {
		m.emit(nodes, &m.groups[i], empty)
	}
	return append(nodes[:from], m.out...), n, nil
}

// distinct returns how many siblings there are from index from to the end, and reports whether each is seen at once to have a
// key of its own and to need no list around it. So have nearly all maps.
func distinct(nodes []node, from int) (n int, unique bool) {
	var seen [seenBits / 64]uint64
	for i := from; i < len(nodes); i += int(nodes[i].size) {
		this := &nodes[i]
		if this.repeats && this.kind != list {
			return 0, false
		}
		bit := this.key.hash % seenBits
		if seen[bit/64]&(1<<(bit%64)) != 0 && (n >= maxCompared || hasKey(nodes[from:i], this.key)) {
			return 0, false
		}
		seen[bit/64] |= 1 << (bit % 64)
		n++
	}
	return n, true
}

// hasKey reports whether one of siblings has that key.
func hasKey(siblings []node, k *key) bool {
	for i := 0; i < len(siblings); i += int(siblings[i].size) {
		if siblings[i].key == k {
			return true
		}
	}
	return false
}

// gather sorts the siblings into groups.
func (m *merger) gather(nodes []node, from int) {
	m.children, m.groups = m.children[:0], m.groups[:0]
	if len(m.index) > maxIndexed {
		m.index = nil
	}
	clear(m.index)
	parent := int32(-1)
	for i := from; i < len(nodes); i += int(nodes[i].size) {
		n := &nodes[i]
		this := int32(len(m.children))
		beside := int32(-1)
		if n.attr && parent >= 0 {
			beside = m.children[parent].group
		} else {
			parent = this
		}
		at := m.find(n.key)
		m.children = append(m.children, child{at: int32(i), next: -1, parent: parent, group: at})
		if int(at) == len(m.groups) {
			m.groups = append(m.groups, group{
				key: n.key, first: this, last: this, list: n.repeats || n.kind == list, beside: beside,
			})
			continue
		}
		in := &m.groups[at]
		m.children[in.last].next = this
		in.last = this
		in.list = true
		if in.beside != beside {
			in.beside = -1
		}
	}
}

// find returns the index of the group with that key. It is that of the next group if there is none yet.
func (m *merger) find(k *key) int32 {
	next := int32(len(m.groups))
	if next <= maxCompared {
		for i := range m.groups {
			if m.groups[i].key == k {
				return int32(i)
			}
		}
		return next
	}
	if len(m.index) == 0 {
		if m.index == nil {
			m.index = make(map[*key]int32)
		}
		for i := range m.groups {
			m.index[m.groups[i].key] = int32(i)
		}
	}
	if at, ok := m.index[k]; ok {
		return at
	}
	m.index[k] = next
	return next
}

// emit writes what has become of a group.
func (m *merger) emit(nodes []node, in *group, empty *key) {
	beside := in.beside >= 0 && m.groups[in.beside].list
	if !in.list && !beside {
		m.copy(nodes, m.children[in.first].at, false)
		return
	}
	at := len(m.out)
	m.out = append(m.out, node{key: in.key, kind: list})
	if beside {
		m.align(nodes, in, empty)
	} else {
		for k := in.first; k >= 0; k = m.children[k].next {
			m.copy(nodes, m.children[k].at, true)
		}
	}
	m.out[at].size = int32(len(m.out) - at)
	for i := at + 1; i < len(m.out); i += int(m.out[i].size) {
		m.out[at].num++
	}
}

// align writes the attributes of a list's entries, so that they stand where their entries do.
func (m *merger) align(nodes []node, in *group, empty *key) {
	k := in.first
	for entry := m.groups[in.beside].first; entry >= 0; entry = m.children[entry].next {
		if k < 0 || m.children[k].parent != entry {
			m.out = append(m.out, node{key: empty, kind: str, size: 1})
			continue
		}
		for ; k >= 0 && m.children[k].parent == entry; k = m.children[k].next {
			m.copy(nodes, m.children[k].at, true)
		}
	}
}

// copy writes the value at index at; flat leaves out a list around its entries.
func (m *merger) copy(nodes []node, at int32, flat bool) {
	from := len(m.out)
	if flat && nodes[at].kind == list {
		m.out = append(m.out, nodes[at+1:at+nodes[at].size]...)
		return
	}
	m.out = append(m.out, nodes[at:at+nodes[at].size]...)
	m.out[from].attr = false
	m.out[from].repeats = false
}
