// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
)

const (
	journalPrefix = "journal/"
	journalHead   = "/head"
	headVersion   = 1

	// chunkBytes of entries make a full chunk: an append rewrites no more than that of what it found, and a million entries
	// of 16 bytes are a thousand keys.
	chunkBytes = 16 << 10
	// chunkHeader bytes stand before the entries of a chunk: its generation, big endian.
	chunkHeader = 8
	// readChunks are asked for at once when a journal is opened: a megabyte.
	readChunks = 64
)

// Journal is a sequence of entries of one size that grows at its end, or is cleared. It is kept in chunks; the last one is
// written again by every append until it is full. A Journal is changed only by a Tx of the Store that opened it.
type Journal struct {
	name      string
	entrySize int
	perChunk  int // entries in a full chunk

	head head
	tail []byte // the last chunk as long as it is not full, else nil
	keys int    // chunk keys that the storage may hold: those of the head, and left-overs of an unreadable journal
}

// head says what a journal holds. Chunks of another generation are left-overs.
type head struct {
	Generation uint64 `json:"generation"` // random, so that it does not repeat after the head was deleted
	EntrySize  int    `json:"entry_size"`
	Entries    int    `json:"entries"`
}

// OpenJournal reads the journal of that name and returns it with its entries in order. A journal is opened once as long as
// the Store is in use. An entry has between 1 byte and 16 KiB.
//
// When the journal was written with entries of another size (ErrVersion) or something of it is missing or damaged
// (ErrUnreadable), the error comes with an empty Journal that can be used: what it held is gone with the next append;
// Clear also frees the space. The Journal of any other error, which is the storage client's, is of no use.
func (s *Store) OpenJournal(ctx context.Context, name string, entrySize int) (*Journal, []byte, error) {
	var entries []byte
	j, err := s.ReadJournal(ctx, name, entrySize, func(some []byte) error {
		entries = append(entries, some...)
		return nil
	})
	if err != nil {
		return j, nil, err
	}
	return j, entries, nil
}

// ReadJournal is OpenJournal for a journal that is larger than memory: visit is called for some entries after the other, which
// it may not keep, and whose number is such that they fit into a chunk. An error of visit ends the reading and is returned as it
// is, without a Journal. Of a journal that is damaged, visit has got the entries before the damage. A Journal that is only read
// may be read at any time.
func (s *Store) ReadJournal(ctx context.Context, name string, entrySize int, visit func(entries []byte) error) (*Journal, error) {
	if entrySize < 1 || entrySize > chunkBytes {
		return nil, fmt.Errorf("journal %q: entries cannot have %d bytes", name, entrySize)
	}
	j := &Journal{name: name, entrySize: entrySize, perChunk: chunkBytes / entrySize}
	j.reset()
	if s.client == nil {
		return j, nil
	}
	var refused error
	err := j.load(ctx, s, func(entries []byte) error {
		refused = visit(entries)
		return refused
	})
	switch {
	case refused != nil:
		return nil, refused
	case err != nil:
		return j, fmt.Errorf("journal %q: %w", name, err)
	}
	return j, nil
}

// NewJournal returns an empty journal of that name without reading what the storage may hold under it, which the first append
// makes unreadable. The name is one that was not used before; an entry has between 1 byte and 16 KiB.
func (s *Store) NewJournal(name string, entrySize int) *Journal {
	j := &Journal{name: name, entrySize: entrySize, perChunk: chunkBytes / entrySize}
	j.reset()
	return j
}

func (j *Journal) load(ctx context.Context, s *Store, visit func([]byte) error) error {
	var stored head
	found, err := s.load(ctx, j.headKey(), headVersion, &stored)
	switch {
	case found && err == nil && stored.EntrySize != j.entrySize:
		err = fmt.Errorf("%w: entries of %d bytes instead of %d", ErrVersion, stored.EntrySize, j.entrySize)
	case found && err == nil && stored.Entries < 0:
		err = fmt.Errorf("%w: %d entries", ErrUnreadable, stored.Entries)
	case !found && err != nil:
		return err
	}
	if err != nil {
		stored = head{}
	}

	last, damage := j.loadChunks(ctx, s, stored, visit)
	if err == nil {
		err = damage
	}
	if err != nil || !found {
		return err
	}
	j.head = stored
	if len(last) > 0 && len(last) < j.perChunk*j.entrySize {
		j.tail = append(j.newChunk(), last...)
	}
	return nil
}

// loadChunks calls visit for the entries that the head speaks of, chunk by chunk, and returns those of the last one. It looks
// beyond them, and beyond a damaged chunk, up to the first key that is absent, so that Clear can delete what is left over.
func (j *Journal) loadChunks(ctx context.Context, s *Store, stored head, visit func([]byte) error) (last []byte, damage error) {
	missing := stored.Entries
	for index := 0; ; {
		keys := make([]string, readChunks)
		for i := range keys {
			keys[i] = j.chunkKey(index + i)
		}
		chunks, err := s.read(ctx, keys...)
		if err != nil {
			return nil, err
		}
		for _, chunk := range chunks {
			if missing == 0 && chunk == nil {
				return last, damage
			}
			wanted := min(missing, j.perChunk)
			end := chunkHeader + wanted*j.entrySize
			switch {
			case wanted == 0:
			case len(chunk) < end || binary.BigEndian.Uint64(chunk) != stored.Generation:
				missing = 0
				damage = fmt.Errorf("%w: chunk %d is missing or not whole", ErrUnreadable, index)
			default:
				last = chunk[chunkHeader:end]
				missing -= wanted
				if err := visit(last); err != nil {
					return nil, err
				}
			}
			index++
			j.keys = index
		}
	}
}

func (j *Journal) append(pending map[string][]byte, entries []byte) {
	if len(entries) == 0 {
		return
	}
	for len(entries) > 0 {
		index := j.head.Entries / j.perChunk
		if j.tail == nil {
			j.tail = j.newChunk()
			j.keys = max(j.keys, index+1)
		}
		// Written chunks share the tail's memory: it only grows, and a new chunk gets its own.
		n := min(len(entries), cap(j.tail)-len(j.tail))
		j.tail = append(j.tail, entries[:n]...)
		pending[j.chunkKey(index)] = j.tail
		j.head.Entries += n / j.entrySize
		if len(j.tail) == cap(j.tail) {
			j.tail = nil
		}
		entries = entries[n:]
	}
	value, _ := encode(headVersion, j.head) // numbers can always be encoded
	pending[j.headKey()] = value
}

func (j *Journal) clear(pending map[string][]byte) {
	for index := range j.keys {
		pending[j.chunkKey(index)] = nil
	}
	pending[j.headKey()] = nil
	j.reset()
}

func (j *Journal) reset() {
	j.head = head{Generation: rand.Uint64(), EntrySize: j.entrySize}
	j.tail = nil
	j.keys = 0
}

// newChunk returns a chunk without entries, whose capacity is that of a full one.
func (j *Journal) newChunk() []byte {
	chunk := make([]byte, 0, chunkHeader+j.perChunk*j.entrySize)
	return binary.BigEndian.AppendUint64(chunk, j.head.Generation)
}

func (j *Journal) headKey() string {
	return journalPrefix + j.name + journalHead
}

func (j *Journal) chunkKey(index int) string {
	return journalPrefix + j.name + "/" + strconv.Itoa(index)
}
