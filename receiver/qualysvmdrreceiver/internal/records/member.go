// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"
)

var errTooDeep = errors.New("asset: nested deeper than 64")

// members reads the values of an asset into a tape, token by token.
type members struct {
	dec      *jsontext.Decoder
	tape     tape
	tokens   tokens
	scratch  []byte
	repaired int64
}

// begin begins an asset, which dec stands before.
func (m *members) begin(dec *jsontext.Decoder) {
	m.dec = dec
	m.tape.reset(maxRecord)
	m.tokens.reset()
	if cap(m.scratch) > retained {
		m.scratch = nil
	}
	m.repaired = 0
}

// key reads the name of a member.
func (m *members) key() (*key, error) {
	raw, err := m.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	m.tokens.add(':', raw)
	if k := m.tape.interner.expected(raw); k != nil {
		return k, nil
	}
	if len(raw) > m.tape.left() {
		return nil, ErrTooLarge
	}
	m.scratch = m.unquote(m.scratch[:0], raw)
	k := m.tape.interner.memberOf(m.scratch)
	m.tape.charge()
	if m.tape.full() {
		return nil, ErrTooLarge
	}
	return k, nil
}

// open reads the begin of an object or array, after which more reports whether there is another member or entry.
func (m *members) open() error {
	if m.tape.enter(); m.tape.depth > maxDepth {
		return errTooDeep
	}
	if m.tape.full() {
		return ErrTooLarge
	}
	return m.delimiter()
}

// more reports whether end is not next. It is also true if nothing can be read: the next call that reads gives the error.
func (m *members) more(end jsontext.Kind) bool { return m.dec.PeekKind() != end }

// shut reads the end of an object or array.
func (m *members) shut() error {
	m.tape.leave()
	return m.delimiter()
}

func (m *members) delimiter() error {
	token, err := m.dec.ReadToken()
	if err == nil {
		m.tokens.add(token.Kind(), nil)
	}
	return err
}

// value reads the next value and adds it with the key k.
func (m *members) value(k *key) error {
	t := &m.tape
	switch m.dec.PeekKind() {
	case '{':
		return m.object(k, m.value)
	case '[':
		return m.list(k, m.value)
	}
	raw, err := m.dec.ReadValue()
	if err != nil {
		return err
	}
	m.tokens.add(raw.Kind(), raw)
	switch raw.Kind() {
	case 'n':
		t.push(k, null)
	case 't':
		t.nodes[t.push(k, boolean)].num = 1
	case 'f':
		t.push(k, boolean)
	case '0':
		m.number(k, raw)
	default:
		m.string(k, raw)
	}
	if t.full() {
		return ErrTooLarge
	}
	return nil
}

// object reads an object, each of its members by read.
func (m *members) object(k *key, read func(*key) error) error {
	return m.into(m.tape.push(k, object), read)
}

// into reads an object into the map at index at.
func (m *members) into(at int, read func(*key) error) error {
	if err := m.open(); err != nil {
		return err
	}
	for m.more('}') {
		member, err := m.key()
		if err != nil {
			return err
		}
		if err := read(member); err != nil {
			return err
		}
	}
	if err := m.shut(); err != nil {
		return err
	}
	return m.tape.close(at)
}

// list reads an array, each of its entries by read, which adds one value with the key it is given, or none.
func (m *members) list(k *key, read func(*key) error) error {
	at := m.tape.push(k, list)
	if err := m.entries(k, read); err != nil {
		return err
	}
	m.tape.closeList(at)
	if !k.kept {
		// In the record's size a list's key counts once more for each entry.
		m.tape.limit -= int(m.tape.nodes[at].num) * len(k.text)
		if m.tape.full() {
			return ErrTooLarge
		}
	}
	return nil
}

// entries reads an array's entries.
func (m *members) entries(k *key, read func(*key) error) error {
	if err := m.open(); err != nil {
		return err
	}
	for m.more(']') {
		if err := read(k); err != nil {
			return err
		}
	}
	return m.shut()
}

// skip reads over a value.
func (m *members) skip() error {
	for depth := 0; ; {
		switch m.dec.PeekKind() {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		default:
			raw, err := m.dec.ReadValue()
			if err != nil {
				return err
			}
			m.tokens.add(raw.Kind(), raw)
			if depth == 0 {
				return nil
			}
			continue
		}
		if err := m.delimiter(); err != nil {
			return err
		}
		if depth == 0 {
			return nil
		}
	}
}

// number adds a number: a whole one to its last digit.
func (m *members) number(k *key, raw []byte) {
	t := &m.tape
	if i, ok := parseInt(raw); ok {
		t.nodes[t.push(k, integer)].num = i
		return
	}
	kind := number
	if bytes.ContainsAny(raw, ".eE") {
		if f, ok := parseDouble(raw); ok {
			t.nodes[t.push(k, double)].num = int64(math.Float64bits(f))
			return
		}
	}
	from := len(t.text)
	t.text = append(t.text, raw...)
	t.span(t.push(k, kind), from)
}

// string adds a string, which is truncated if it is too long.
func (m *members) string(k *key, raw []byte) {
	t := &m.tape
	from := len(t.text)
	t.text = m.unquote(t.text, raw)
	t.pushFrom(k, from)
}

// unquote appends what the JSON string raw says.
func (m *members) unquote(dst, raw []byte) []byte {
	plain := raw[1 : len(raw)-1]
	if bytes.IndexByte(plain, '\\') < 0 && utf8.Valid(plain) {
		return append(dst, plain...)
	}
	dst, err := jsontext.AppendUnquote(dst, raw)
	if err != nil {
		// It is a string, so that it can but have been repaired.
		m.repaired++
	}
	return dst
}

// maxTokens is how many bytes of tokens are gathered before they go into the hash.
const maxTokens = 4 << 10

// tokens makes a hash of the tokens that an asset consists of, without the white space between them.
type tokens struct {
	digest *xxhash.Digest
	buf    []byte
}

func newTokens() tokens { return tokens{digest: xxhash.New()} }

func (t *tokens) reset() {
	t.digest.Reset()
	t.buf = t.buf[:0]
}

// add adds a token.
func (t *tokens) add(kind jsontext.Kind, raw []byte) {
	b := binary.LittleEndian.AppendUint32(append(t.buf, byte(kind)), uint32(len(raw)))
	if len(b)+len(raw) > maxTokens {
		b = t.write(b)
		if len(raw) > maxTokens {
			raw = t.write(raw) // not copied, as it can be megabytes
		}
	}
	b = append(b, raw...)
	t.buf = b
}

// write puts tokens into the hash, and returns an empty slice of the same memory.
func (t *tokens) write(b []byte) []byte {
	_, _ = t.digest.Write(b) // never fails
	return b[:0]
}

func (t *tokens) sum() uint64 {
	t.buf = t.write(t.buf)
	return t.digest.Sum64()
}
