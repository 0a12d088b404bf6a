// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readShortcuts reads all tokens, leaves by Leaf and start tags by Expect, if they have the name that followed last time. It
// must make no difference.
func readShortcuts(r *Reader) ([]token, error) {
	var tokens []token
	follower := map[string]string{}
	last := ""
	for {
		kind := StartElement
		if next, ok := follower[last]; !ok || !r.Expect(next) {
			var err error
			kind, err = r.Next()
			if err == io.EOF {
				return tokens, nil
			}
			if err != nil {
				return tokens, err
			}
		}
		if kind == StartElement {
			follower[last] = string(r.Name())
			last = string(r.Name())
		}
		tokens = current(tokens, r, kind)
		if kind == StartElement && r.Leaf() {
			tokens = current(appendText(tokens, string(r.Text())), r, EndElement)
		}
	}
}

// Something that is no leaf, and would be taken for one, would cost all that stands behind its first text.
func TestLeafReadsNothingElse(t *testing.T) {
	for _, test := range []struct {
		doc   string
		leaf  bool
		text  string
		cdata bool
	}{
		{"<A>text</A>", true, "text", false},
		{"<A> \n</A>", true, " \n", false},
		{"<A>größe\t>x</A>", true, "größe\t>x", false},
		{"<A></A>", true, "", false},
		{"<A/>", true, "", false},
		{"<A b='c'>text</A>", true, "text", false},
		{"<A><![CDATA[<B>&amp;</A>]]></A>", true, "<B>&amp;</A>", true},
		{"<A><![CDATA[]]></A>", true, "", true},
		{"<A><![CDATA[]]]]></A>", true, "]]", true},

		{"<A><B/></A>", false, "", false},
		{"<A>text<B/></A>", false, "", false},
		{"<A>text</A\n>", false, "", false},
		{"<A>a&lt;b</A>", false, "", false},
		{"<A>a\r\nb</A>", false, "", false},
		{"<A>a\x01b</A>", false, "", false},
		{"<A>a\xffb</A>", false, "", false},
		{"<A>text<!-- more --></A>", false, "", false},
		{"<A>a<![CDATA[b]]></A>", false, "", false},
		{"<A><![CDATA[a]]>b</A>", false, "", false},
		{"<A><![CDATA[a]]><![CDATA[b]]></A>", false, "", false},
		{"<A><![CDATA[a\rb]]></A>", false, "", false},
		{"<A><?b c?></A>", false, "", false},
		{"<A>" + strings.Repeat("x", windowSize) + "</A>", false, "", false},
	} {
		r := NewReader(strings.NewReader(test.doc))
		assert.False(t, r.Leaf(), "before the first token")
		_, err := r.Next()
		require.NoError(t, err)
		offset := r.Offset()
		require.Equal(t, test.leaf, r.Leaf(), test.doc)
		if !test.leaf {
			assert.Equal(t, offset, r.Offset(), test.doc)
			assert.Equal(t, 1, r.Depth(), test.doc)
		} else {
			assert.Equal(t, test.text, string(r.Text()), test.doc)
			assert.Equal(t, test.cdata, r.CDATA(), test.doc)
			assert.Equal(t, "A", string(r.Name()))
			assert.Equal(t, 0, r.Depth())
			assert.Equal(t, int64(len(test.doc)), r.Offset())
			assert.False(t, r.Leaf(), "after its end")
		}
		want, err := readAll(NewReader(strings.NewReader(test.doc)))
		require.NoError(t, err, test.doc)
		got, err := readShortcuts(NewReader(strings.NewReader(test.doc)))
		require.NoError(t, err, test.doc)
		assert.Equal(t, want, got)
	}
}

func TestLeafOfABrokenElementLeavesTheErrorToNext(t *testing.T) {
	for _, doc := range []string{"<A>text</B>", "<A>text</", "<A>text", "<A>]]></A>", "<A><![CDATA[x]]", "<A>&b;</A>", "<A>x<", "<A>"} {
		_, want := readAll(NewReader(strings.NewReader(doc)))
		require.Error(t, want, doc)
		r := NewReader(strings.NewReader(doc))
		_, err := r.Next()
		require.NoError(t, err, doc)
		require.False(t, r.Leaf(), doc)
		_, err = readAll(r)
		assert.Equal(t, want, err, doc)
		require.False(t, r.Leaf(), "after an error")
	}
}

func TestPagesReadByShortcutsAsByTokens(t *testing.T) {
	for _, pretty := range []bool{true, false} {
		page := detectionPage(100<<10, pretty)
		want, err := readAll(NewReader(bytes.NewReader(page)))
		require.NoError(t, err)
		forEachFeed(t, string(page), func(t *testing.T, src io.Reader) {
			got, err := readShortcuts(NewReader(src))
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestSkipSpaceReadsNothingElse(t *testing.T) {
	for _, test := range []struct{ doc, rest string }{
		{"<A> \r\n\t<B/></A>", "<B/></A>"},
		{"<A>\n</A>", "</A>"},
		{"<A>\n x \n</A>", "x \n</A>"},
		{"<A> &#32;</A>", "&#32;</A>"},
		{"<A> <![CDATA[ ]]></A>", "<![CDATA[ ]]></A>"},
		{"<A><B/></A>", "<B/></A>"},
	} {
		r := NewReader(strings.NewReader(test.doc))
		r.SkipSpace() // before the document, where the byte order mark has its place
		assert.Zero(t, r.Offset())
		_, err := r.Next()
		require.NoError(t, err)
		r.SkipSpace()
		assert.Equal(t, test.rest, test.doc[r.Offset():])
		assert.False(t, r.Leaf())
		_, _, err = r.Raw(nil, 100)
		require.Error(t, err, "the start tag is out of reach")
		want, err := readAll(NewReader(strings.NewReader("<A>" + test.rest)))
		require.NoError(t, err)
		got, err := readAll(r)
		require.NoError(t, err)
		assert.Equal(t, want[1:], got)
	}
	r := NewReader(strings.NewReader("<A> <B/> </A> "))
	for {
		_, err := r.Next()
		if err != nil {
			require.Equal(t, io.EOF, err)
			break
		}
		r.SkipSpace() // also within an empty-element tag and behind the root
	}
}

func TestExpectReadsNothingElse(t *testing.T) {
	for _, test := range []struct {
		doc  string
		want bool
	}{
		{"<A><B>x</B></A>", true},
		{"<A><BC/></A>", false},
		{"<A><B/></A>", false},
		{"<A><B c='d'></B></A>", false},
		{"<A><B ></B></A>", false},
		{"<A> <B></B></A>", false},
		{"<A>x<B></B></A>", false},
		{"<A></A>", false},
		{"<A/>", false},
	} {
		r := NewReader(strings.NewReader(test.doc))
		assert.False(t, r.Expect("A"), "the root is for Next")
		_, err := r.Next()
		require.NoError(t, err)
		offset := r.Offset()
		require.Equal(t, test.want, r.Expect("B"), test.doc)
		if !test.want {
			assert.Equal(t, offset, r.Offset(), test.doc)
			assert.Equal(t, 1, r.Depth(), test.doc)
			continue
		}
		assert.Equal(t, "B", string(r.Name()))
		assert.Zero(t, r.Attrs())
		assert.Equal(t, 2, r.Depth())
		raw, done, err := r.Raw(nil, 100)
		require.NoError(t, err)
		assert.True(t, done)
		assert.Equal(t, "<B>x</B>", string(raw))
	}
}

func TestExpectKeepsToTheDepth(t *testing.T) {
	r := NewReader(strings.NewReader(strings.Repeat("<A>", MaxDepth+1)))
	_, err := r.Next()
	require.NoError(t, err)
	for range MaxDepth - 1 {
		require.True(t, r.Expect("A"))
	}
	require.False(t, r.Expect("A"))
	_, err = r.Next()
	requireSyntaxError(t, err, "elements deep", int64(MaxDepth*len("<A>")))
}
