// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

func TestSanitizer(t *testing.T) {
	const limit = 1000
	long := strings.Repeat("ü", limit/2)
	tests := []struct {
		name, in, out string
		repaired      int64
		err           error
	}{
		{name: "nothing to do", in: `{"a":"\u0041\"\\","b":[1, true]}`, out: `{"a":"\u0041\"\\","b":[1, true]}`},
		{name: "byte order mark", in: "\uFEFF{}", out: "{}"},
		{name: "byte order mark and nothing", in: "\uFEFF", out: ""},
		{name: "byte order mark twice", in: "\uFEFF\uFEFF{}", out: "\uFEFF{}"},
		{name: "byte order mark that is cut", in: "\xEF\xBB", out: "\xEF\xBB"},
		{name: "byte order mark in a string", in: "[\"\uFEFF\"]", out: "[\"\uFEFF\"]"},
		{name: "one byte", in: "1", out: "1"},
		{name: "white space", in: "{ \n\t \"a b  c\" :\r\n 1  2 }", out: "{ \"a b  c\" :\r1 2 }"},
		{name: "control characters", in: "\"\x00\x1f\n\"", out: `"\u0000\u001f\u000a"`, repaired: 1},
		{name: "escaped control characters", in: "\"\\\n\\\\\t\"", out: `"\u000a\\\u0009"`, repaired: 1},
		{name: "several strings", in: "[\"a\t\t\",\"b\",\"\t\"]", out: `["a\u0009\u0009","b","\u0009"]`, repaired: 2},
		{name: "outside of strings", in: "[\x01]", out: "[\x01]"},
		{name: "cut escape", in: `"\u12"x`, out: `"\u12"x`},
		{name: "long string", in: `["` + long + `ab\u00e4\"c` + "\x01\\\n" + `",1]`, out: `["` + long + `",1]`},
		{name: "cut at a rune", in: `["x` + long + `ab"]`, out: `["x` + long + `"]`},
		{name: "deep", in: strings.Repeat("[", maxNesting+1), out: strings.Repeat("[", maxNesting), err: errNesting},
		{name: "wide", in: strings.Repeat("[]", maxNesting+1), out: strings.Repeat("[]", maxNesting+1)},
		{name: "long number", in: strings.Repeat("1", maxScalar+1), out: strings.Repeat("1", maxScalar), err: errScalar},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, src := range map[string]io.Reader{
				"at once":      strings.NewReader(tt.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tt.in)),
			} {
				g := newSanitizer(src)
				g.limit = limit
				out, err := io.ReadAll(g)
				require.ErrorIs(t, err, tt.err, name)
				require.Equal(t, tt.out, string(out), name)
				require.Equal(t, tt.repaired, g.repaired, name)
			}
			g := newSanitizer(strings.NewReader(tt.in))
			g.limit = limit
			small, err := io.ReadAll(iotest.OneByteReader(g))
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.out, string(small), "into a small buffer")
		})
	}
}

// Eight bytes are looked at in one go: each of them has to count, wherever it stands.
func TestSanitizerFindsEveryControlCharacter(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			text := []byte(strings.Repeat("\x80", 20))
			text[at] = byte(c)
			want := at
			if c >= ' ' && c != '"' && c != '\\' {
				want = len(text)
			}
			g := newSanitizer(nil)
			require.Equal(t, want, g.plain(text), "%q at %d", c, at)
		}
	}
}

func TestSanitizerHandsOnErrors(t *testing.T) {
	_, err := io.ReadAll(newSanitizer(iotest.ErrReader(io.ErrUnexpectedEOF)))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// BenchmarkSanitizer compares the sanitizer in front of the decoder with the decoder alone.
func BenchmarkSanitizer(b *testing.B) {
	var page strings.Builder
	page.WriteString(`{"assetListData":{"asset":[`)
	for i := range 2000 {
		fmt.Fprintf(&page, `{"assetId":%d,"name":"web-%d.example.com","softwareListData":{"software":[{"id":4294967296123,"fullName":"Example Runtime 8.0 (x64)","version":"8.0"}]}},`, i, i)
	}
	page.WriteString(`null]}}`)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"alone":     func(r io.Reader) io.Reader { return r },
		"sanitized": func(r io.Reader) io.Reader { return newSanitizer(r) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(page.Len()))
			for b.Loop() {
				d := jsontext.NewDecoder(wrap(strings.NewReader(page.String())), jsontext.AllowDuplicateNames(true))
				for {
					if _, err := d.ReadToken(); err != nil {
						break
					}
				}
			}
		})
	}
}
