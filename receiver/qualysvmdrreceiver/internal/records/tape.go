// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import "unicode/utf8"

// kind is what a node holds.
type kind uint8

const (
	null kind = iota
	str
	integer
	double
	boolean
	number // a whole number beyond 64 bits: its digits are text
	object
	list
)

// node is a value of a record. A map's or list's children follow it.
type node struct {
	key  *key
	num  int64 // an integer, the bits of a double, 1 for true, or how many children there are
	off  uint32
	len  uint32 // of the text
	size int32  // nodes of this value, itself included
	kind kind
	// repeats says that the value belongs into a list even when it is alone.
	repeats bool
	// attr says that it is the attribute of the closest value before it that is none.
	attr bool
	// truncated says that text is missing at its end.
	truncated bool
}

// tape is a record, or a part of one, while it is read.
type tape struct {
	interner  *interner
	nodes     []node
	text      []byte
	attrs     []node // of the elements that are open, until those end
	merger    merger
	limit     int // of size, less what names have taken of it
	truncated int // values of which the end is missing
	// depth is how many elements, objects and arrays are being read, and deepest how many that have been at most.
	depth, deepest int
}

func newTape(n *interner) tape {
	return tape{interner: n, limit: maxRecord}
}

// retained is how much memory of text a tape keeps for the next record.
const retained = 1 << 20

// reset empties the tape for a record of at most limit bytes. It reports whether the tape has let go of its memory: whoever
// has nodes of it elsewhere has to do likewise, so that nothing keeps names that are to be forgotten.
func (t *tape) reset(limit int) (fresh bool) {
	fresh = t.interner.forget() || cap(t.text)+nodeSize*cap(t.nodes) > retained
	if fresh {
		t.nodes, t.text, t.attrs = nil, nil, nil
		t.merger = merger{}
	}
	t.nodes = t.nodes[:0]
	t.text = t.text[:0]
	t.attrs = t.attrs[:0]
	t.truncated, t.depth, t.deepest = 0, 0, 0
	t.limit = limit
	return fresh
}

func (t *tape) size() int { return len(t.text) + nodeSize*len(t.nodes) }

// full reports whether the record is larger than it may be.
func (t *tape) full() bool { return t.size() > t.limit }

// left is how much more the record may take.
func (t *tape) left() int { return t.limit - t.size() }

// charge counts what the names that were just looked up take. It lowers the limit, so that looking at the size, which is
// done all the time, costs no more than before.
func (t *tape) charge() {
	t.limit -= t.interner.passed
	t.interner.passed = 0
}

// push adds a value without text and returns its index.
func (t *tape) push(k *key, kind kind) int {
	t.nodes = append(t.nodes, node{key: k, kind: kind, size: 1})
	return len(t.nodes) - 1
}

// pushText adds a string.
func (t *tape) pushText(k *key, s string) {
	t.nodes = append(t.nodes, node{key: k, kind: str, size: 1, off: uint32(len(t.text)), len: uint32(len(s))})
	t.text = append(t.text, s...)
}

// pushFrom adds a string: the text from index from to the end, which is truncated if it is too long.
func (t *tape) pushFrom(k *key, from int) {
	at := t.push(k, str)
	if end := lastRune(t.text, from+maxValue); end < len(t.text) {
		t.text = t.text[:end]
		t.nodes[at].truncated = true
		t.truncated++
	}
	t.span(at, from)
}

// lastRune returns the index behind the last whole rune of text up to index end, or the end of a shorter text.
func lastRune(text []byte, end int) int {
	if len(text) <= end {
		return len(text)
	}
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return end
}

// enter counts an element, object or array that is being read; leave is called at its end.
func (t *tape) enter() {
	t.depth++
	t.deepest = max(t.deepest, t.depth)
}

func (t *tape) leave() { t.depth-- }

// span makes the text from index from to the end that of the node at.
func (t *tape) span(at, from int) {
	t.nodes[at].off, t.nodes[at].len = uint32(from), uint32(len(t.text)-from)
}

// close makes the values from index at+1 on the children of the map at, which has just become complete.
func (t *tape) close(at int) error {
	n, err := t.mergeDuplicateKeys(at + 1)
	if err != nil {
		return err
	}
	t.nodes[at].kind = object
	t.nodes[at].num = int64(n)
	t.nodes[at].size = int32(len(t.nodes) - at)
	return nil
}

// closeList makes the values from index at+1 on the entries of the list at, which has just become complete.
func (t *tape) closeList(at int) {
	t.nodes[at].num = 0
	for i := at + 1; i < len(t.nodes); i += int(t.nodes[i].size) {
		t.nodes[at].num++
	}
	t.nodes[at].size = int32(len(t.nodes) - at)
}

// mergeDuplicateKeys makes every key unique among the siblings from index from to the end, and returns how many they are.
func (t *tape) mergeDuplicateKeys(from int) (int, error) {
	nodes, n, err := t.merger.mergeDuplicateKeys(t.nodes, from, t.interner.empty)
	t.nodes = nodes
	return n, err
}

// intOf returns the whole number at index at, if there is one.
func intOf(nodes []node, at int32) (int64, bool) {
	if at == 0 || nodes[at].kind != integer {
		return 0, false
	}
	return nodes[at].num, true
}

// textOf returns the text of a string, and of a list that of its first entry. It is nil if there is none, or if
// at is 0.
func textOf(nodes []node, at int32, text []byte) []byte {
	if at == 0 {
		return nil
	}
	n := &nodes[at]
	if n.kind == list && n.num > 0 {
		n = &nodes[at+1]
	}
	if n.kind != str || n.len == 0 {
		return nil
	}
	return text[n.off : n.off+n.len]
}

// value is the text of an element while its pieces arrive.
type value struct {
	from      int
	keep      int // text up to here stays whatever white space follows
	truncated bool
}

func (t *tape) begin() value { return value{from: len(t.text), keep: len(t.text)} }

// add adds a piece of text. White space around a value is left out, unless it stands in a CDATA section.
func (t *tape) add(v *value, piece []byte, cdata bool) {
	if v.truncated {
		return
	}
	if !cdata && len(t.text) == v.from {
		piece = trimLeft(piece)
	}
	if over := len(t.text) - v.from + len(piece) - maxValue; over > 0 {
		n := len(piece) - over
		v.truncated = cdata || len(trimRight(piece[n:])) > 0
		if v.truncated {
			t.truncated++
		}
		for n > 0 && !utf8.RuneStart(piece[n]) {
			n--
		}
		piece = piece[:n]
	}
	t.text = append(t.text, piece...)
	if cdata || v.truncated {
		v.keep = len(t.text)
	} else {
		v.keep = max(v.keep, v.from+len(trimRight(t.text[v.from:])))
	}
}

func trimLeft(p []byte) []byte {
	for len(p) > 0 && isSpace(p[0]) {
		p = p[1:]
	}
	return p
}

func trimRight(p []byte) []byte {
	for len(p) > 0 && isSpace(p[len(p)-1]) {
		p = p[:len(p)-1]
	}
	return p
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
