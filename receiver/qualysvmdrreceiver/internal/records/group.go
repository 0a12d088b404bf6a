// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import "fmt"

// grouper makes the keys of a map unique: values whose key repeats, or which are always in a list, become lists.
type grouper struct {
	stamp  uint64
	kids   []kid
	groups []group
	out    []node
}

// kid is one value among the siblings that are grouped.
type kid struct {
	at    int32
	next  int32 // the next one of the group, or -1
	owner int32 // of an attribute, the kid whose attribute it is
}

// group is the values of one key.
type group struct {
	key         *key
	first, last int32
	list        bool
	beside      int32 // of attributes, the group they belong to, or -1
}

// unite groups the siblings from index from to the end of nodes, and returns the tape with what has become of them and
// how many they are now. Entries that are missing in a list of attributes get the key empty.
func (g *grouper) unite(nodes []node, from int, empty *key) ([]node, int, error) {
	g.stamp++
	n, unique := 0, true
	for i := from; i < len(nodes); i += int(nodes[i].size) {
		k := nodes[i].key
		if k.stamp == g.stamp || nodes[i].repeats && nodes[i].kind != list {
			unique = false
		}
		k.stamp = g.stamp
		n++
	}
	if !unique {
		g.gather(nodes, from)
		n = len(g.groups)
	}
	if n > maxKeys {
		return nodes, 0, fmt.Errorf("%d keys in one map: %w", n, ErrTooLarge)
	}
	if unique {
		return nodes, n, nil
	}
	g.out = g.out[:0]
	for i := range g.groups {
		g.emit(nodes, &g.groups[i], empty)
	}
	return append(nodes[:from], g.out...), n, nil
}

// gather sorts the siblings into groups.
func (g *grouper) gather(nodes []node, from int) {
	g.stamp++
	g.kids, g.groups = g.kids[:0], g.groups[:0]
	owner := int32(-1)
	for i := from; i < len(nodes); i += int(nodes[i].size) {
		n := &nodes[i]
		this := int32(len(g.kids))
		beside := int32(-1)
		if n.attr && owner >= 0 {
			beside = nodes[g.kids[owner].at].key.group
		} else {
			owner = this
		}
		g.kids = append(g.kids, kid{at: int32(i), next: -1, owner: owner})
		if n.key.stamp != g.stamp {
			n.key.stamp = g.stamp
			n.key.group = int32(len(g.groups))
			g.groups = append(g.groups, group{
				key: n.key, first: this, last: this, list: n.repeats || n.kind == list, beside: beside,
			})
			continue
		}
		in := &g.groups[n.key.group]
		g.kids[in.last].next = this
		in.last = this
		in.list = true
		if in.beside != beside {
			in.beside = -1
		}
	}
}

// emit writes what has become of a group.
func (g *grouper) emit(nodes []node, in *group, empty *key) {
	beside := in.beside >= 0 && g.groups[in.beside].list
	if !in.list && !beside {
		g.copy(nodes, g.kids[in.first].at, false)
		return
	}
	at := len(g.out)
	g.out = append(g.out, node{key: in.key, kind: list})
	if beside {
		g.align(nodes, in, empty)
	} else {
		for k := in.first; k >= 0; k = g.kids[k].next {
			g.copy(nodes, g.kids[k].at, true)
		}
	}
	g.out[at].size = int32(len(g.out) - at)
	for i := at + 1; i < len(g.out); i += int(g.out[i].size) {
		g.out[at].num++
	}
}

// align writes the attributes of a list's entries, so that they stand where their entries do.
func (g *grouper) align(nodes []node, in *group, empty *key) {
	k := in.first
	for entry := g.groups[in.beside].first; entry >= 0; entry = g.kids[entry].next {
		if k < 0 || g.kids[k].owner != entry {
			g.out = append(g.out, node{key: empty, kind: str, size: 1})
			continue
		}
		for ; k >= 0 && g.kids[k].owner == entry; k = g.kids[k].next {
			g.copy(nodes, g.kids[k].at, true)
		}
	}
}

// copy writes the value at index at; flat leaves out a list around its entries.
func (g *grouper) copy(nodes []node, at int32, flat bool) {
	from := len(g.out)
	if flat && nodes[at].kind == list {
		g.out = append(g.out, nodes[at+1:at+nodes[at].size]...)
		return
	}
	g.out = append(g.out, nodes[at:at+nodes[at].size]...)
	g.out[from].attr = false
	g.out[from].repeats = false
}
