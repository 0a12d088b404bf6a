// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import "strconv"

// jsonBuilder appends JSON to a buffer, indented by one space or compact.
type jsonBuilder struct {
	buf    []byte
	pretty bool
	depth  int
	more   bool // something stands before on this level
	zone   string
}

// separate makes room for the next key or element.
func (j *jsonBuilder) separate() {
	if j.more {
		j.buf = append(j.buf, ',')
	}
	j.more = true
	j.newline()
}

func (j *jsonBuilder) newline() {
	if !j.pretty {
		return
	}
	j.buf = append(j.buf, '\n')
	for range j.depth {
		j.buf = append(j.buf, ' ')
	}
}

func (j *jsonBuilder) key(name string) {
	j.separate()
	j.buf = append(j.buf, '"')
	j.buf = append(j.buf, name...)
	j.buf = append(j.buf, '"', ':')
	if j.pretty {
		j.buf = append(j.buf, ' ')
	}
}

// open begins an object or an array, where a value stands.
func (j *jsonBuilder) open(bracket byte) {
	j.buf = append(j.buf, bracket)
	j.depth++
	j.more = false
}

func (j *jsonBuilder) close(bracket byte) {
	j.depth--
	if j.more {
		j.newline()
	}
	j.buf = append(j.buf, bracket)
	j.more = true
}

// object writes a key with an object.
func (j *jsonBuilder) object(name string, members func()) {
	j.key(name)
	j.open('{')
	members()
	j.close('}')
}

// list writes a key with an object that holds an array of n objects, as the inventory wraps its lists.
func (j *jsonBuilder) list(name, inner string, n int, members func(i int)) {
	j.object(name, func() {
		j.key(inner)
		j.open('[')
		for i := range n {
			j.separate()
			j.open('{')
			members(i)
			j.close('}')
		}
		j.close(']')
	})
}

func (j *jsonBuilder) text(name, value string) {
	j.key(name)
	j.buf = append(j.buf, '"')
	for i := range len(value) {
		switch c := value[i]; c {
		case '"', '\\':
			j.buf = append(j.buf, '\\', c)
		case '\n':
			j.buf = append(j.buf, '\\', 'n')
		case '\t':
			j.buf = append(j.buf, '\\', 't')
		default:
			j.buf = append(j.buf, c)
		}
	}
	j.buf = append(j.buf, '"')
}

func (j *jsonBuilder) int(name string, value int64) {
	j.key(name)
	j.buf = strconv.AppendInt(j.buf, value, 10)
}

// millis writes Unix seconds as milliseconds.
func (j *jsonBuilder) millis(name string, unix int64) { j.int(name, unix*1000) }

// time writes Unix seconds as 2006-01-02T15:04:05.000Z.
func (j *jsonBuilder) time(name string, unix int64) {
	j.key(name)
	j.buf = append(j.buf, '"')
	j.buf = appendTime(j.buf, unix)
	j.buf = append(append(append(j.buf[:len(j.buf)-1], ".000"...), j.zone...), '"')
}

func (j *jsonBuilder) bool(name string, value bool) {
	j.key(name)
	j.buf = strconv.AppendBool(j.buf, value)
}

func (j *jsonBuilder) null(names ...string) {
	for _, name := range names {
		j.key(name)
		j.buf = append(j.buf, "null"...)
	}
}

// texts writes keys and values in turn.
func (j *jsonBuilder) texts(pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		j.text(pairs[i], pairs[i+1])
	}
}
