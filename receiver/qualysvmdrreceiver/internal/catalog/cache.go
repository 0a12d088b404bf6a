// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"container/list"
	"sync"
)

// cache keeps what was used last by QID, up to a number of bytes. It is safe for concurrent use.
type cache[V any] struct {
	most int

	mu    sync.Mutex // guards everything below
	bytes int
	order list.List // of *cached[V], the one that was used last in front
	byQID map[uint32]*list.Element
}

type cached[V any] struct {
	qid   uint32
	bytes int
	value V
}

func newCache[V any](most int) *cache[V] {
	return &cache[V]{most: most, byQID: map[uint32]*list.Element{}}
}

// get returns what is kept of a QID.
func (c *cache[V]) get(qid uint32) (value V, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, found := c.byQID[qid]
	if !found {
		return value, false
	}
	c.order.MoveToFront(element)
	return element.Value.(*cached[V]).value, true
}

// put keeps a value that takes so many bytes, in place of the one of before.
func (c *cache[V]) put(qid uint32, value V, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.byQID[qid])
	c.byQID[qid] = c.order.PushFront(&cached[V]{qid: qid, bytes: bytes, value: value})
	for c.bytes += bytes; c.bytes > c.most && c.order.Len() > 1; {
		c.remove(c.order.Back())
	}
}

// delete forgets a QID.
func (c *cache[V]) delete(qid uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.byQID[qid])
}

// remove removes an element, if it is one. The caller holds mu.
func (c *cache[V]) remove(element *list.Element) {
	if element == nil {
		return
	}
	c.order.Remove(element)
	one := element.Value.(*cached[V])
	delete(c.byQID, one.qid)
	c.bytes -= one.bytes
}
