// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"
	"math"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// begun returns what is known of the element that x stands at.
func (t *tape) begun(x *xmlstream.Reader) *element {
	n := t.interner.following(x.Name())
	if n == nil {
		n = t.interner.element(x.Name())
		t.charge()
	}
	return n
}

// element reads the element that x stands at, of the name n and a child of parent, through its end. It adds the value and
// those of its attributes beside it.
func (t *tape) element(x *xmlstream.Reader, n, parent *element) error {
	k := n.keyIn(parent)
	first := len(t.attrs)
	if x.Attrs() > 0 {
		byName := parent.byName && !n.wrapper
		if byName {
			k = t.ownName(x, k)
		}
		if err := t.attributes(x, n, k, byName); err != nil {
			return err
		}
	}
	at := t.push(k, null)
	if x.Leaf() {
		t.leaf(at, x.Text(), x.CDATA(), n, parent)
	} else {
		t.enter()
		err := t.content(x, at, n, parent)
		t.leave()
		if err != nil {
			return err
		}
	}
	if len(t.attrs) > first {
		// A wrapper that has disappeared is no entry of its list: its attributes stand alone.
		beside := !n.wrapper || t.nodes[at].kind != list
		for i := first; i < len(t.attrs); i++ {
			t.attrs[i].attr = beside
		}
		t.nodes = append(t.nodes, t.attrs[first:]...)
		t.attrs = t.attrs[:first]
	}
	return nil
}

// root reads the element that x stands at, which is the record itself, into the map at, the first of the tape: its children,
// and before them its attributes.
func (t *tape) root(x *xmlstream.Reader, at int, n *element) error {
	if err := t.inside(x, n); err != nil {
		return err
	}
	if err := t.content(x, at, n, n); err != nil {
		return err
	}
	t.limitLevels(at+1, 0, memberLevels)
	t.nodes[at].size = int32(len(t.nodes) - at)
	return nil
}

// inside adds the attributes of the element that x stands at, which has nothing beside it.
func (t *tape) inside(x *xmlstream.Reader, n *element) error {
	if x.Attrs() == 0 {
		return nil
	}
	err := t.attributes(x, n, n.key, false)
	t.nodes = append(t.nodes, t.attrs...)
	t.attrs = t.attrs[:0]
	return err
}

// content reads what is inside of an element, through its end, and makes the node at of it.
func (t *tape) content(x *xmlstream.Reader, at int, n, parent *element) error {
	children := len(t.nodes) - at - 1
	v := t.begin()
	for {
		if len(t.text) == v.from {
			x.SkipSpace() // before a value, or between two elements
		}
		child := t.interner.follower(x)
		if child == nil {
			kind, err := x.Next()
			if err != nil {
				return err
			}
			switch kind {
			case xmlstream.Text:
				t.add(&v, x.Text(), x.CDATA())
			case xmlstream.StartElement:
				child = t.begun(x)
			case xmlstream.EndElement:
				if children == 0 && !n.root {
					t.lone(at, v, n, parent)
					return nil
				}
				t.between(v)
				return t.end(at, n)
			}
		}
		if child != nil {
			t.between(v)
			children++
			from := len(t.nodes)
			if err := t.element(x, child, n); err != nil {
				return err
			}
			if n.body {
				t.reserve(from, false)
			}
			v = t.begin()
		}
		if t.full() {
			return ErrTooLarge
		}
	}
}

// between keeps text that stands between elements, if there is any.
func (t *tape) between(v value) {
	t.text = t.text[:v.keep]
	if v.keep > v.from {
		at := t.push(t.interner.mixed, str)
		t.nodes[at].off, t.nodes[at].len, t.nodes[at].truncated = uint32(v.from), uint32(v.keep-v.from), v.truncated
	}
}

// leaf makes the node at the value of an element that holds one piece of text and nothing else.
func (t *tape) leaf(at int, text []byte, cdata bool, n, parent *element) {
	if !cdata {
		text = trimRight(trimLeft(text))
	}
	if t.plain(at, text, n, parent) {
		t.nodes[at].off, t.nodes[at].len = uint32(len(t.text)), uint32(len(text))
		t.text = append(t.text, text...)
	}
}

// lone makes the node at the value of an element that holds text in pieces, which has been added, and nothing else.
func (t *tape) lone(at int, v value, n, parent *element) {
	if t.plain(at, t.text[v.from:v.keep], n, parent) {
		t.nodes[at].off, t.nodes[at].len, t.nodes[at].truncated = uint32(v.from), uint32(v.keep-v.from), v.truncated
		v.from = v.keep
	}
	t.text = t.text[:v.from]
}

// plain makes the node at the value of an element without children. It reports whether that is a string.
func (t *tape) plain(at int, text []byte, n, parent *element) bool {
	to := &t.nodes[at]
	to.repeats = n.repeats
	switch {
	case len(text) == 0 && n.wrapper:
		to.key, to.kind = n.emptyKey, list
		return false
	case len(text) == 0 && n.isMap:
		to.kind = object
		return false
	case t.numeric(to, text, n.value, parent):
		return false
	}
	to.kind = str
	return true
}

// numeric makes n a number, if the text is to be one and is.
func (t *tape) numeric(n *node, text []byte, value valueType, parent *element) bool {
	switch {
	case value == intValue, value == hostIntValue && parent.host:
		i, ok := parseInt(text)
		if ok {
			n.kind, n.num = integer, i
		}
		return ok
	case value == cvssDoubleValue && parent.cvss:
		f, ok := parseDouble(text)
		if ok {
			n.kind, n.num = double, int64(math.Float64bits(f))
		}
		return ok
	}
	return false
}

// end makes the node at the value of an element whose children have been read.
func (t *tape) end(at int, n *element) error {
	if n.wrapper && t.uniform(at+1) {
		// The children become one list, which takes the place of the wrapper.
		t.nodes[at+1].repeats = true
		if _, err := t.mergeDuplicateKeys(at + 1); err != nil {
			return err
		}
		copy(t.nodes[at:], t.nodes[at+1:])
		t.nodes = t.nodes[:len(t.nodes)-1]
		return nil
	}
	t.nodes[at].repeats = n.repeats
	return t.close(at)
}

// uniform reports whether the siblings from index from to the end have one key, apart from attributes.
func (t *tape) uniform(from int) bool {
	for i := from; i < len(t.nodes); i += int(t.nodes[i].size) {
		if !t.nodes[i].attr && t.nodes[i].key != t.nodes[from].key {
			return false
		}
	}
	return true
}

// attributes notes the attributes of the element that x stands at, except the one that gave it its key.
func (t *tape) attributes(x *xmlstream.Reader, n *element, k *key, byName bool) error {
	for i := range x.Attrs() {
		attr, text := x.Attr(i)
		if byName && string(attr) == "name" && len(text) > 0 {
			continue
		}
		a := t.interner.attribute(n, k, attr)
		to := node{key: a.key, kind: str, size: 1}
		if !t.numeric(&to, text, a.value, n) {
			to.off, to.len = uint32(len(t.text)), uint32(len(text))
			t.text = append(t.text, text...)
		}
		t.attrs = append(t.attrs, to)
	}
	t.charge()
	if t.size()+nodeSize*len(t.attrs) > t.limit {
		return fmt.Errorf("attributes: %w", ErrTooLarge)
	}
	return nil
}

// ownName returns the key that an element gives itself by its attribute name, else k.
func (t *tape) ownName(x *xmlstream.Reader, k *key) *key {
	for i := range x.Attrs() {
		if attr, text := x.Attr(i); string(attr) == "name" && len(text) > 0 {
			return t.interner.named(text)
		}
	}
	return k
}

// reserve gives the siblings from index from to the end other keys than those that the record itself uses.
func (t *tape) reserve(from int, host bool) {
	for i := from; i < len(t.nodes); i += int(t.nodes[i].size) {
		switch k := t.nodes[i].key; {
		case k == t.interner.logType:
			t.nodes[i].key = t.interner.qualysLogType
		case host && k == t.interner.detection:
			t.nodes[i].key = t.interner.qualysDetection
		case host && k == t.interner.knowledgeBase:
			t.nodes[i].key = t.interner.qualysKnowledgeBase
		}
	}
}
