// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rawAt reads on to the start of element number n of r's document, and takes it
// raw, in parts of limit bytes. before are the tokens up to the element,
// itself not included.
func rawAt(t *testing.T, r *Reader, n, limit int) (before []token, raw []byte) {
	t.Helper()
	for {
		kind, err := r.Next()
		require.NoError(t, err)
		if kind == StartElement {
			if n == 0 {
				break
			}
			n--
		}
		before = current(before, r, kind)
	}
	for {
		part, done, err := r.Raw(nil, limit)
		require.NoError(t, err)
		raw = append(raw, part...)
		if done {
			return before, raw
		}
		require.GreaterOrEqual(t, len(part), limit)
	}
}

func TestRawIsTheElementByteForByte(t *testing.T) {
	for _, test := range []struct{ name, element string }{
		{"empty", "<B></B>"},
		{"empty-element tag", "<B/>"},
		{"white space in its tags", "<B\n ></B\t>"},
		{"itself inside of itself", "<B><B><B></B></B><B/></B>"},
		{"names that begin as its own", "<B><BC>x</BC><B.a/><BB/><A></A></B>"},
		{"itself with attributes inside of itself", `<B><B c="/>"/><B c='>'></B ><B
/></B>`},
		{"! and ? that mean nothing", "<B>!? B /B<C>B!?</C></B>"},
		{"> in attribute values", `<B a='/>' b="/B>'>"><C a="'>"/><C a='"/>'></C></B>`},
		{"tags in CDATA", "<B><![CDATA[</B>]] ]]]></B>"},
		{"tags in comments", "<B><!-- </B> --><!----></B>"},
		{"tags in processing instructions", "<B><?a </B> ?></B>"},
		{"a slash before an attribute value", "<B><C a='b/'>x</C></B>"},
		{"what a reader would repair", "<B>\x00\xff\r\n&amp;&#0;</B>"},
		{"longer than the window", "<B>" + strings.Repeat("<C>x</C>\n", windowSize/4) + "</B>"},
		{"a value longer than the window", "<B>" + strings.Repeat("x", 2*windowSize) + "</B>"},
		{"CDATA longer than the window", "<B><![CDATA[" + strings.Repeat("]>", windowSize) + "]]></B>"},
		{"a comment longer than the window", "<B><!--" + strings.Repeat("->", windowSize) + "--></B>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			limits := []int{1, 7, 1 << 20}
			if len(test.element) > windowSize {
				limits = []int{1000, 1 << 20}
			}
			for _, limit := range limits {
				forEachFeed(t, "<A>1"+test.element+"2</A>", func(t *testing.T, src io.Reader) {
					r := NewReader(src)
					before, raw := rawAt(t, r, 1, limit)
					require.Equal(t, test.element, string(raw))
					require.Equal(t, []token{start("A"), chars("1")}, before)
					require.Equal(t, "B", string(r.Name()))
					require.Equal(t, 1, r.Depth())
					require.Equal(t, int64(len("<A>1")+len(raw)), r.Offset())
					after, err := readAll(r)
					require.NoError(t, err)
					require.Equal(t, []token{chars("2"), end("A")}, after)
				})
			}
		})
	}
}

func TestRawKeepsToItsLimit(t *testing.T) {
	r := NewReader(strings.NewReader("<A>" + strings.Repeat("<B>x</B>", 10_000) + "</A>"))
	_, err := r.Next()
	require.NoError(t, err)
	dst := []byte("kept ")
	dst, done, err := r.Raw(dst, 1000)
	require.NoError(t, err)
	assert.False(t, done)
	assert.GreaterOrEqual(t, len(dst), 1000)
	assert.Less(t, len(dst), 1010)
	assert.True(t, bytes.HasPrefix(dst, []byte("kept <A><B>x</B>")))
}

func TestRawLeavesWhatIsNoXMLToTheOtherReader(t *testing.T) {
	const element = "<B><!ELEMENT C ANY><C>&</D></B>"
	r := NewReader(strings.NewReader("<A>" + element + "</A>"))
	for range 2 {
		_, err := r.Next()
		require.NoError(t, err)
	}
	raw, err := readRaw(r, 100)
	require.NoError(t, err)
	assert.Equal(t, element, string(raw))
	_, err = readAll(NewFragmentReader(bytes.NewReader(raw)))
	requireSyntaxError(t, err, "unknown markup declaration", 3)
}

func TestRawOfACutElementHoldsWhatCame(t *testing.T) {
	const doc = "<A><B a='>'>x<![CDATA[y]]><!-- z --><C/></B></A>"
	broken := errors.New("connection reset")
	for n := len("<A><B a='>'>"); n < len(doc)-len("</A>"); n++ {
		for _, ending := range []struct{ src, want error }{{io.EOF, io.ErrUnexpectedEOF}, {broken, broken}} {
			r := NewReader(io.MultiReader(strings.NewReader(doc[:n]), iotest.ErrReader(ending.src)))
			for range 2 {
				_, err := r.Next()
				require.NoError(t, err)
			}
			out, done, err := r.Raw(nil, 1<<20)
			require.ErrorIs(t, err, ending.want)
			assert.False(t, done)
			assert.Equal(t, doc[len("<A>"):n], string(out))
			assert.Equal(t, int64(n), r.Offset())
			_, _, again := r.Raw(nil, 1<<20)
			assert.Equal(t, err, again)
			_, again = r.Next()
			assert.Equal(t, err, again)
		}
	}
}

func TestRawIsOnlyForElements(t *testing.T) {
	r := NewReader(strings.NewReader("<A>x<B/></A>"))
	_, _, err := r.Raw(nil, 100)
	require.Error(t, err, "before the first token")
	for _, want := range []Kind{StartElement, Text, StartElement, EndElement, EndElement} {
		got, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, want, got)
		if want != StartElement {
			_, _, err = r.Raw(nil, 100)
			require.Error(t, err)
		}
	}
}

func TestRawThatIsNotFinishedCannotBeReadOnOtherwise(t *testing.T) {
	r := NewReader(strings.NewReader("<A><B>" + strings.Repeat("x", 100) + "</B></A>"))
	for range 2 {
		_, err := r.Next()
		require.NoError(t, err)
	}
	_, done, err := r.Raw(nil, 10)
	require.NoError(t, err)
	require.False(t, done)
	_, err = r.Next()
	require.Error(t, err, "the middle of an element would pass for its parent's")
	require.Error(t, r.Skip())
}

func TestRawDoesNotBufferMoreThanItHandsOut(t *testing.T) {
	r := NewReader(endless("<A><!--", "- ", 16<<20, "--></A>"))
	_, err := r.Next()
	require.NoError(t, err)
	out := make([]byte, 0, 8<<10)
	n := int64(0)
	allocs := testing.AllocsPerRun(1, func() {
		for done := false; !done; {
			var err error
			out, done, err = r.Raw(out[:0], 4<<10)
			if err != nil {
				return
			}
			n += int64(len(out))
		}
	})
	assert.Zero(t, allocs)
	assert.Equal(t, r.Offset(), n)
}

func TestRawOfEveryElementReadsAsTheElementItself(t *testing.T) {
	page := detectionPage(20<<10, true)
	whole, err := readAll(NewReader(bytes.NewReader(page)))
	require.NoError(t, err)
	elements := 0
	for _, tok := range whole {
		if tok.kind == StartElement {
			elements++
		}
	}
	for n := 0; n < elements; n += 1 + n/2 {
		r := NewReader(bytes.NewReader(page))
		got, raw := rawAt(t, r, n, 100)
		inner, err := readAll(NewFragmentReader(bytes.NewReader(raw)))
		require.NoError(t, err)
		after, err := readAll(r)
		require.NoError(t, err)
		require.Equal(t, whole, append(append(got, inner...), after...))
	}
}

// A host of a page in another encoding is handed to another reader, which knows nothing of that encoding.
func TestRawIsUTF8WhateverThePageIsWrittenIn(t *testing.T) {
	const page = "<?xml version='1.0' encoding='windows-1252'?><A><B c='\xe4'>\x80</B><B/></A>"
	forEachFeed(t, page, func(t *testing.T, src io.Reader) {
		r := NewReader(src)
		for range 2 {
			_, err := r.Next()
			require.NoError(t, err)
		}
		raw, err := readRaw(r, 10)
		require.NoError(t, err)
		require.Equal(t, "<B c='ä'>€</B>", string(raw))
	})
}

// What breaks a page off is reported as it is, behind all that came before.
func TestADecodedPageThatIsCutIsNotTakenForAWholeOne(t *testing.T) {
	const page = "<?xml version='1.0' encoding='ISO-8859-1'?><A>\xe4"
	forEachFeed(t, page, func(t *testing.T, src io.Reader) {
		got, err := readAll(NewReader(src))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Equal(t, []token{start("A"), chars("ä")}, got)
	})
	lost := errors.New("connection lost")
	got, err := readAll(NewReader(io.MultiReader(strings.NewReader(page), iotest.ErrReader(lost))))
	require.ErrorIs(t, err, lost)
	require.Equal(t, []token{start("A"), chars("ä")}, got)
}
