// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import "fmt"

// Tx collects what one Update writes. It is valid only while the function given to Update runs.
type Tx struct {
	changes []func(pending map[string][]byte)
	err     error
}

// Put writes the document, as JSON with its version, under the key. Whatever was there is replaced.
func (t *Tx) Put(key string, version int, document any) {
	value, err := encode(version, document)
	if err != nil {
		t.fail(fmt.Errorf("document %q: %w", key, err))
		return
	}
	t.change(func(pending map[string][]byte) { pending[documentPrefix+key] = value })
}

// PutBytes writes the document as it is under the key, for [Store.LoadBytes]. Whatever was there is replaced. The value is not
// changed afterwards.
func (t *Tx) PutBytes(key string, value []byte) {
	t.change(func(pending map[string][]byte) { pending[documentPrefix+key] = value })
}

// Delete removes the document of that key, if there is one.
func (t *Tx) Delete(key string) {
	t.change(func(pending map[string][]byte) { pending[documentPrefix+key] = nil })
}

// Append adds whole entries to the end of the journal. They are copied when Update writes, and not kept after it.
func (t *Tx) Append(j *Journal, entries []byte) {
	if len(entries)%j.entrySize != 0 {
		t.fail(fmt.Errorf("journal %q: %d bytes are not a number of entries of %d bytes", j.name, len(entries), j.entrySize))
		return
	}
	t.change(func(pending map[string][]byte) { j.append(pending, entries) })
}

// Clear removes all entries of the journal. What the same Tx appends afterwards replaces them.
func (t *Tx) Clear(j *Journal) {
	t.change(j.clear)
}

func (t *Tx) change(apply func(pending map[string][]byte)) {
	t.changes = append(t.changes, apply)
}

func (t *Tx) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}
