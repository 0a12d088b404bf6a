// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

const (
	// maxLevels is how deep a body is nested at most, itself included. Collectors from v0.165 on refuse a request that
	// holds a deeper one, and so do the usual protobuf libraries.
	maxLevels = 30
	// memberLevels are those of the values of a map that may itself stand in a body or in a list of one.
	memberLevels = maxLevels - 2
)

// limitLevels makes the JSON of what is nested deeper than levels, among the siblings from index from to the end, a string
// in its place. Their text begins at index text.
func (t *tape) limitLevels(from, text, levels int) {
	// Around each map that was read there is a list at most.
	if 2*t.deepest <= levels {
		return
	}
	f := flattener{from: t.text, base: text}
	f.copy(t.nodes[from:], levels)
	if !f.flattened {
		return
	}
	t.nodes = append(t.nodes[:from], f.nodes...)
	t.text = append(t.text[:text], f.text...)
	t.truncated += f.truncated
}

// flattener copies values, the deepest ones as JSON.
type flattener struct {
	from      []byte // the text of what is copied
	base      int    // where the text of the copies will begin
	nodes     []node
	text      []byte
	flattened bool
	truncated int
}

// copy copies siblings, of which at most so many levels stay as they are.
func (f *flattener) copy(siblings []node, levels int) {
	for i := 0; i < len(siblings); i += int(siblings[i].size) {
		value := siblings[i : i+int(siblings[i].size)]
		at := len(f.nodes)
		f.nodes = append(f.nodes, value[0])
		begin := len(f.text)
		switch kind := value[0].kind; {
		case kind != object && kind != list:
			f.text = append(f.text, f.from[value[0].off:value[0].off+value[0].len]...)
		case levels > 0:
			f.copy(value[1:], levels-1)
			f.nodes[at].size = int32(len(f.nodes) - at)
			continue
		default:
			f.flattened = true
			f.text = appendValue(f.text, value, f.from)
			f.nodes[at] = node{key: value[0].key, kind: str, size: 1, repeats: value[0].repeats, attr: value[0].attr}
			if end := lastRune(f.text, begin+maxValue); end < len(f.text) {
				f.text = f.text[:end]
				f.nodes[at].truncated = true
				f.truncated++
			}
		}
		f.nodes[at].off, f.nodes[at].len = uint32(f.base+begin), uint32(len(f.text)-begin)
	}
}
