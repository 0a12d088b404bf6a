// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"encoding/xml"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPagesReadAsTheStandardLibraryReadsThem(t *testing.T) {
	for _, pretty := range []bool{true, false} {
		page := detectionPage(100<<10, pretty)
		requireStandard(t, page, windowSize/16)
	}
}

func TestGeneratedDocumentsReadAsTheStandardLibraryReadsThem(t *testing.T) {
	for seed := range uint64(2000) {
		g := generator{rand: rand.New(rand.NewPCG(seed, 1))}
		doc := g.document()
		requireStandard(t, doc, 256+int(seed%16))
	}
}

// requireStandard requires that doc gives the tokens of the standard library,
// however it arrives, and with a window of the size narrowed as well.
func requireStandard(t *testing.T, doc []byte, narrowed int) {
	t.Helper()
	want, err := standardTokens(doc)
	require.NoError(t, err, "%q", doc)
	for _, f := range feeds {
		got, err := readAll(NewReader(f.feed(bytes.NewReader(doc))))
		require.NoError(t, err, "%s: %q", f.name, doc)
		require.Equal(t, want, got, "%s: %q", f.name, doc)
	}
	for _, n := range []int{0, len(doc) / 3, len(doc) - 1, len(doc)} {
		got, err := readAll(lent(doc, n))
		require.NoError(t, err, "first %d bytes in place: %q", n, doc)
		require.Equal(t, want, got, "first %d bytes in place: %q", n, doc)
	}
	got, err := readAll(narrow(NewReader(bytes.NewReader(doc)), narrowed))
	require.NoError(t, err, "window of %d: %q", narrowed, doc)
	require.Equal(t, want, got, "window of %d: %q", narrowed, doc)
}

func TestEveryNameOfTheStandardLibraryIsAName(t *testing.T) {
	r := NewReader(nil)
	for c := rune(0x80); c <= 0xFFFF; c++ {
		for _, doc := range []string{"<a" + string(c) + "/>", "<" + string(c) + "/>"} {
			if _, err := xml.NewDecoder(strings.NewReader(doc)).Token(); err != nil {
				continue
			}
			r.Reset(strings.NewReader(doc))
			if _, err := readAll(r); err != nil {
				assert.NoError(t, err, "%U", c)
			}
		}
	}
}

// generator makes documents that are XML, of everything that can stand in one.
type generator struct {
	rand *rand.Rand
	out  bytes.Buffer
}

// write writes one of some.
func (g *generator) write(some ...string) {
	g.out.WriteString(some[g.rand.IntN(len(some))])
}

func (g *generator) document() []byte {
	g.write("", "<?xml version='1.0'?>", "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n")
	g.misc()
	g.write("", "<!DOCTYPE a>", "<!DOCTYPE a SYSTEM \"x'>\">", "<!DOCTYPE\na PUBLIC 'x' \"y\" >")
	g.misc()
	g.element(0)
	g.misc()
	return g.out.Bytes()
}

func (g *generator) misc() {
	g.write("", "", "\n", "<!-- a > < & -->", "<?b c ? > d?>", "\r\n<!---->\t")
}

func (g *generator) element(depth int) {
	name := []string{"a", "b:c", "RESULTS", "d-1.e_", "größe", "日本"}[g.rand.IntN(6)]
	g.out.WriteString("<" + name)
	for _, attr := range []string{"x", "y:z", "ключ"} {
		if g.rand.IntN(4) == 0 {
			g.write(" ", "\n\t", " \r\n ")
			g.out.WriteString(attr)
			g.write("=", " =", "= ", "\n=\n")
			g.write("''", "\"\"", "'a\">b'", "\"'&lt;&#x41;\"", "'\r\n\r\t é'", "']]>'")
		}
	}
	g.write("", "", " ", "\n")
	if g.rand.IntN(5) == 0 {
		g.out.WriteString("/>")
		return
	}
	g.out.WriteString(">")
	for range g.rand.IntN(6) {
		switch g.rand.IntN(4) {
		case 0:
			if depth < 8 {
				g.element(depth + 1)
			}
		case 1:
			g.write("<![CDATA[]]>", "<![CDATA[<a> & ]] ]> ]]]>", "<![CDATA[\r\n\r]]>", "<![CDATA[größe\t日本]]>", "<![CDATA[]]]]>",
				"<![CDATA["+strings.Repeat("long ", g.rand.IntN(100))+"]]>")
		case 2:
			g.misc()
		default:
			g.text()
		}
	}
	g.out.WriteString("</" + name)
	g.write("", "", " ", "\r\n")
	g.out.WriteString(">")
}

func (g *generator) text() {
	for range g.rand.IntN(12) {
		g.write("a", "7", " ", "\n", "\t", "\r", "\r\n", "&lt;", "&amp;", "&quot;", "&#10;", "&#x1F600;", "é", "日", "\U0001F600", ">", "]", "'", "\"",
			" some more words ")
		if bytes.HasSuffix(g.out.Bytes(), []byte("]")) {
			g.out.WriteString("\n")
		}
	}
}
