// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import "slices"

// required is a value that existing readers of the records need, added empty where it is missing.
type required struct {
	role role
	key  *key
	kind kind
}

// requirements returns what is required, in the order in which it is added.
func requirements(n *interner, keys []string, kinds map[string]kind) []required {
	list := make([]required, len(keys))
	for i, text := range keys {
		k := n.key(text)
		list[i] = required{role: k.role, key: k, kind: kinds[text]}
		if kinds[text] == null {
			list[i].kind = str
		}
	}
	return list
}

// complete adds what is missing to the end of a tape, which is one map.
func (t *tape) complete(list []required, at *places) {
	for _, r := range list {
		if at[r.role] == 0 {
			t.push(r.key, r.kind)
			t.nodes[0].num++
			t.nodes[0].size++
		}
	}
}

// insert adds values without children to the map that nodes are, before index at.
func insert(nodes []node, at int, values ...node) []node {
	nodes = slices.Insert(nodes, at, values...)
	nodes[0].num += int64(len(values))
	nodes[0].size += int32(len(values))
	return nodes
}
