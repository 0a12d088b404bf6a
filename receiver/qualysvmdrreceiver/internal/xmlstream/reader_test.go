// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDocumentsAreReadAsTheyAreMeant(t *testing.T) {
	for _, test := range []struct {
		name string
		doc  string
		want []token
	}{
		{
			"comments of a waiting server stand before, in and after the root",
			"<!-- a --><A><!-- keep-alive --><B/><!----></A><!-- b //-->\n",
			[]token{start("A"), start("B"), end("B"), end("A")},
		},
		{
			"a comment inside of a value does not split or end it",
			"<A>10.0<!-- <B> & ]]> -->.0.1</A>",
			[]token{start("A"), chars("10.0.0.1"), end("A")},
		},
		{
			"a comment with two hyphens in it is still one",
			"<A><!-- a -- b ---></A>",
			[]token{start("A"), end("A")},
		},
		{
			"results in CDATA are not markup",
			"<A><![CDATA[<B> && ]] ]> &amp; \t\n]]]></A>",
			[]token{start("A"), chars("<B> && ]] ]> &amp; \t\n]"), end("A")},
		},
		{
			"text around CDATA belongs to the value",
			"<A> x<![CDATA[y]]><![CDATA[]]><![CDATA[z]]> </A>",
			[]token{start("A"), chars(" xyz "), end("A")},
		},
		{
			"white space between elements is handed out",
			"<A>\n  <B>1</B>\n</A>",
			[]token{start("A"), chars("\n  "), start("B"), chars("1"), end("B"), chars("\n"), end("A")},
		},
		{
			"entities and character references are decoded",
			"<A>&lt;&gt;&amp;&apos;&quot;&#65;&#x42;&#x1F600;&#10;&#13;</A>",
			[]token{start("A"), chars("<>&'\"AB\U0001F600\n\r"), end("A")},
		},
		{
			"zeros before the number of a character change nothing",
			"<A>&#0000000000000000000065;</A>",
			[]token{start("A"), chars("A"), end("A")},
		},
		{
			"line ends are newlines, however the server writes them",
			"<A b='1\r\n2\r3'>1\r\n2\r3\r\r\n4<![CDATA[\r\n5\r]]>\r</A>",
			[]token{start("A", "b", "1\n2\n3"), chars("1\n2\n3\n\n4\n5\n\n"), end("A")},
		},
		{
			"attributes come in either quote, with white space and with > in them",
			"<A a=\"1'>\"\n b = '2\">/' c=\"\"/>",
			[]token{start("A", "a", "1'>", "b", "2\">/", "c", ""), end("A")},
		},
		{
			"attribute values are decoded, each for itself",
			"<A a='&lt;1&gt;' b='2' c='&#51;]]>'><B d='&amp;'/></A>",
			[]token{start("A", "a", "<1>", "b", "2", "c", "3]]>"), start("B", "d", "&"), end("B"), end("A")},
		},
		{
			"attributes do not stay for the next element",
			"<A a='1'><B></B></A>",
			[]token{start("A", "a", "1"), start("B"), end("B"), end("A")},
		},
		{
			"white space inside of tags means nothing",
			"<A\n  ><RESULTS\r\n\t><![CDATA[x]]></RESULTS\n ></A >",
			[]token{start("A"), start("RESULTS"), chars("x"), end("RESULTS"), end("A")},
		},
		{
			"processing instructions are read over",
			"<?a?><A><?b <C> ?x> ??></A><?xml-stylesheet href='x'?>",
			[]token{start("A"), end("A")},
		},
		{
			"a document can begin with all that may come before the root",
			"\uFEFF\n<?xml version='1.0' encoding='utf-8' standalone=\"yes\" ?>\n" +
				"<!DOCTYPE A SYSTEM \"https://example.com/a<b>[.dtd\" >\n<A/>\n",
			[]token{start("A"), end("A")},
		},
		{
			"comments and white space can stand before the XML declaration",
			"\n<!-- keep-alive -->\n\t<!----><?xml version='1.0' encoding='UTF-8'?><!DOCTYPE A><A/>",
			[]token{start("A"), end("A")},
		},
		{
			"an XML declaration can say US-ASCII",
			"<?xml version='1.0' encoding='us-ascii'?><A/>",
			[]token{start("A"), end("A")},
		},
		{
			"an XML declaration needs no encoding",
			"<?xml version='1.0'?><A/>",
			[]token{start("A"), end("A")},
		},
		{
			"a document type can be public",
			"<!DOCTYPE A PUBLIC '-//X//Y' \n 'a.dtd'><A/>",
			[]token{start("A"), end("A")},
		},
		{
			"a document type can be only a name",
			"<!DOCTYPE A><A/>",
			[]token{start("A"), end("A")},
		},
		{
			"names can have prefixes, signs and letters beyond ASCII",
			"<a:b-1._><größe ключ='1'/><名前>x</名前></a:b-1._>",
			[]token{
				start("a:b-1._"), start("größe", "ключ", "1"), end("größe"), start("名前"), chars("x"), end("名前"), end("a:b-1._"),
			},
		},
		{
			"text beyond ASCII stays as it is",
			"<A b='–'>größer – 日本語 \U0001F600 \uFFFD</A>",
			[]token{start("A", "b", "–"), chars("größer – 日本語 \U0001F600 \uFFFD"), end("A")},
		},
		{
			"brackets and > in text are not the end of CDATA",
			"<A>a > b ]> ]] ]]&gt; ]&#93;></A>",
			[]token{start("A"), chars("a > b ]> ]] ]]> ]]>"), end("A")},
		},
		{
			"the deepest element that is allowed is read",
			strings.Repeat("<A>", MaxDepth) + strings.Repeat("</A>", MaxDepth),
			func() (want []token) {
				for range MaxDepth {
					want = append(want, start("A"))
				}
				for range MaxDepth {
					want = append(want, end("A"))
				}
				return want
			}(),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			forEachFeed(t, test.doc, func(t *testing.T, src io.Reader) {
				r := NewReader(src)
				got, err := readAll(r)
				require.NoError(t, err)
				assert.Equal(t, test.want, got)
				assert.Equal(t, int64(len(test.doc)), r.Offset())
				assert.Zero(t, r.Repaired())
				assert.Zero(t, r.Depth())
			})
		})
	}
}

func TestWhatXMLForbidsInTextIsRepairedAndCounted(t *testing.T) {
	for _, test := range []struct {
		name     string
		doc      string
		want     string
		repaired int64
	}{
		{"control characters of a scanned host", "<A>a\x00b\x1b[0m\x0c</A>", "a\x00b\x1b[0m\x0c", 1},
		{"control characters in CDATA", "<A><![CDATA[\x01]]></A>", "\x01", 1},
		{"text in Latin-1 under the name of UTF-8", "<A>gr\xf6\xdfer</A>", "gr\uFFFD\uFFFDer", 1},
		{"bytes in CDATA that are not UTF-8", "<A><![CDATA[\x80]]></A>", "\uFFFD", 1},
		{"a rune cut off by the next tag", "<A>\xe2\x82</A>", "\uFFFD\uFFFD", 1},
		{"surrogates written as UTF-8", "<A>\xed\xa0\x80</A>", "\uFFFD\uFFFD\uFFFD", 1},
		{"code points that are no characters", "<A>\uFFFE\uFFFF</A>", "\uFFFE\uFFFF", 1},
		{"references to control characters", "<A>&#0;&#x1f;&#xFFFE;</A>", "\x00\x1f\uFFFE", 1},
		{"references to surrogates", "<A>&#xD800;&#57343;</A>", "\uFFFD\uFFFD", 1},
		{"references beyond Unicode", "<A>&#x110000;&#99999999999999999999999999;</A>", "\uFFFD\uFFFD", 1},
		{"each piece counts once", "<A>\x01\x02<!---->\x03<![CDATA[\x04]]></A>", "\x01\x02\x03\x04", 3},
		{"attribute values count too", "<A b='\xff' c='\x01' d='1'>\x01</A>", "\x01", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			forEachFeed(t, test.doc, func(t *testing.T, src io.Reader) {
				r := NewReader(src)
				got, err := readAll(r)
				require.NoError(t, err)
				require.Len(t, got, 3)
				assert.Equal(t, test.want, got[1].text)
				assert.Equal(t, test.repaired, r.Repaired())
			})
		})
	}
}

func TestAttributeValuesAreRepaired(t *testing.T) {
	r := NewReader(strings.NewReader("<A b='\xff' c='\x01' d='&#xD800;'/>"))
	got, err := readAll(r)
	require.NoError(t, err)
	assert.Equal(t, []token{start("A", "b", "\uFFFD", "c", "\x01", "d", "\uFFFD"), end("A")}, got)
	assert.Equal(t, int64(3), r.Repaired())
}

func TestWhatIsNotXMLIsRefused(t *testing.T) {
	long := strings.Repeat("x", 2*windowSize)
	for _, test := range []struct {
		name   string
		doc    string
		msg    string
		offset int64
	}{
		{"an end tag of another element", "<A><B></A></B>", `end tag "A" inside element "B"`, 6},
		{"an end tag whose name only begins alike", "<A></AB>", `end tag "AB" inside element "A"`, 3},
		{"an end tag that is too short", "<AB></A>", `end tag "A" inside element "AB"`, 4},
		{"an end tag without its element", "<A/></A>", `end tag "A" without its start tag`, 4},
		{"an end tag with an attribute", "<A></A b='1'>", "malformed end tag", 3},
		{"an end tag without a name", "<A></></A>", "malformed end tag", 3},
		{"two documents in one answer", "<A/><B/>", "second root element", 4},
		{"an error page in front of the document", "Error <A/>", "text outside of the root element", 0},
		{"text after the document", "<A/>\n more", "text outside of the root element", 6},
		{"a byte order mark in the middle", "<A/>\uFEFF", "text outside of the root element", 4},
		{"CDATA outside of the root", "<![CDATA[x]]><A/>", "CDATA section outside of the root element", 0},
		{"an entity that nobody declared", "<A>a &nbsp; b</A>", `undeclared entity "&nbsp;"`, 5},
		{"an ampersand that is none", "<A>R&D</A>", "& that begins no reference", 4},
		{"a reference without a name", "<A>&;</A>", `undeclared entity "&;"`, 3},
		{"a character reference without a number", "<A>&#;</A>", `malformed character reference "&#;"`, 3},
		{"a hexadecimal reference without a number", "<A>&#x;</A>", `malformed character reference "&#x;"`, 3},
		{"a character reference that is no number", "<A>&#1a;</A>", `malformed character reference "&#1a;"`, 3},
		{"a hexadecimal reference that is no number", "<A>&#xg;</A>", `malformed character reference "&#xg;"`, 3},
		{"a reference without an end", "<A>&" + long + ";</A>", "& that begins no reference", 3},
		{"an undeclared entity in an attribute", "<A b='1' c='x&y;'/>", `undeclared entity "&y;"`, 13},
		{"the end of CDATA in text", "<A>a ]]> b</A>", "]]> outside of a CDATA section", 7},
		{"an internal subset", "<!DOCTYPE A [<!ENTITY b 'c'>]><A/>", "internal subset", 12},
		{"a document type in a document type", "<!DOCTYPE A <B>><A/>", "malformed document type", 12},
		{"a document type without a name", "<!DOCTYPE ><A/>", "malformed document type", 0},
		{"a document type without white space", "<!DOCTYPEA><A/>", "malformed document type", 0},
		{"a document type with something else", "<!DOCTYPE A HTTP 'x'><A/>", "malformed document type", 0},
		{"a system identifier without quotes", "<!DOCTYPE A SYSTEM x><A/>", "malformed document type", 0},
		{"a system identifier without white space", "<!DOCTYPE A SYSTEM'x'><A/>", "malformed document type", 0},
		{"a public identifier alone", "<!DOCTYPE A PUBLIC 'x'><A/>", "malformed document type", 0},
		{"two document types", "<!DOCTYPE A><!DOCTYPE A><A/>", "document type elsewhere", 12},
		{"a document type after the root", "<A/><!DOCTYPE A>", "document type elsewhere", 4},
		{"an endless document type", "<!DOCTYPE A SYSTEM '" + long, "document type longer than 65536 bytes", 0},
		{"another declaration", "<A><!ELEMENT B></A>", "unknown markup declaration", 3},
		{"a comment that is none", "<A><!-></A>", "unknown markup declaration", 3},
		{"a section that is not CDATA", "<A><![INCLUDE[]]></A>", "unknown markup declaration", 3},
		{"an encoding that is not read", "<?xml version='1.0' encoding='UTF-16'?><A/>", `encoding "UTF-16" is not supported`, 0},
		{"a fault behind text in another encoding", "<?xml version='1.0' encoding='ISO-8859-1'?><A>\xe4</B>", `end tag "B" inside element "A"`, 48},
		{"an XML declaration inside of the document", "<A><?xml version='1.0'?></A>", "XML declaration elsewhere", 3},
		{"an XML declaration after an instruction", "<?a?><?xml version='1.0'?><A/>", "XML declaration elsewhere", 5},
		{"two XML declarations", "<?xml version='1.0'?><!----><?xml version='1.0'?><A/>", "XML declaration elsewhere", 28},
		{"an XML declaration that is not one", "<?xml version?><A/>", "malformed XML declaration", 0},
		{"an XML declaration with an open quote", "<?xml version='1?><A/>", "malformed XML declaration", 0},
		{"an XML declaration with more at its end", "<?xml version='1.0'>?><A/>", "malformed XML declaration", 0},
		{"an XML declaration with something unknown", "<?xml versio='1.0'?><A/>", "malformed XML declaration", 0},
		{"an endless XML declaration", "<?xml version='" + long, "XML declaration longer than 65536 bytes", 0},
		{"a processing instruction without a target", "<A><? b?></A>", "malformed processing instruction", 3},
		{"a < in text", "<A>1 < 2</A>", "< that begins no tag", 5},
		{"a name that begins with a digit", "<A><1/></A>", "< that begins no tag", 3},
		{"a name that begins with something beyond ASCII", "<A><\u00d7/></A>", "malformed element name", 4},
		{"a name that is not UTF-8", "<A><\xff/></A>", "malformed element name", 4},
		{"a name that goes on with something beyond ASCII", "<A><B\u00d7/></A>", "no white space before an attribute", 5},
		{"something else behind a name", "<A><B&></B></A>", "no white space before an attribute", 5},
		{"a slash in the middle of a tag", "<A / >", "malformed start tag", 3},
		{"a question mark in a tag", "<A ?>", "malformed start tag", 3},
		{"an attribute name that is none", "<A 1='2'>", "malformed attribute name", 3},
		{"an attribute without a value", "<A b>", "attribute without a value", 3},
		{"an attribute without quotes", "<A b=c>", "attribute value without quotes", 3},
		{"an attribute twice", "<A b='1' b='2'>", `attribute "b" twice`, -1},
		{"attributes without white space", "<A b='1'c='2'>", "no white space before an attribute", 8},
		{"a < in an attribute value", "<A b='<'>", "< inside a tag", 6},
		{"a < in a tag", "<A <B>", "< inside a tag", 3},
		{"one element too deep", strings.Repeat("<A>", MaxDepth+1), "more than 64 elements deep", 3 * MaxDepth},
		{"an element name too long", "<" + long[:MaxName+1] + ">", "element name longer than 1024 bytes", 0},
		{"an attribute name too long", "<A " + long[:MaxName+1] + "=''>", "attribute name longer than 1024 bytes", 3},
		{"a start tag too long", "<A><B b='" + long + "'>", "start tag longer than 65536 bytes", 3},
		{"an end tag too long", "<A></A" + strings.Repeat(" ", windowSize) + ">", "end tag longer than 65536 bytes", 3},
		{"too many attributes", "<A " + manyAttributes(MaxAttrs+1) + ">", "more than 256 attributes", -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			forEachFeed(t, test.doc, func(t *testing.T, src io.Reader) {
				r := NewReader(src)
				_, err := readAll(r)
				requireSyntaxError(t, err, test.msg, test.offset)
				_, again := r.Next()
				assert.Equal(t, err, again, "the error stays")
			})
		})
	}
}

func TestPagesInOtherEncodingsAreDecoded(t *testing.T) {
	for _, test := range []struct {
		name string
		doc  string
		want []token
	}{
		{
			"a page can be written in ISO-8859-1",
			"<!-- a --><?xml version='1.0' encoding='ISO-8859-1'?><A b='\xfc'><![CDATA[Stra\xdfe \xa4]]>\xa4 \xe4&#228;<\xc4/></A>",
			[]token{start("A", "b", "ü"), chars("Straße ¤¤ ää"), start("Ä"), end("Ä"), end("A")},
		},
		{
			"a page can be written in ISO-8859-15",
			"<?xml version='1.0' encoding='iso-8859-15'?><A>\xa4 \xe9</A>",
			[]token{start("A"), chars("€ é"), end("A")},
		},
		{
			"a page can be written in windows-1252",
			"<?xml version='1.0' encoding='Windows-1252'?><A>\x80 \x93a\x94</A>",
			[]token{start("A"), chars("€ “a”"), end("A")},
		},
		{
			"a byte order mark is right about the encoding, whatever the XML declaration says",
			"\uFEFF<?xml version='1.0' encoding='ISO-8859-1'?><A>é</A>",
			[]token{start("A"), chars("é"), end("A")},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			forEachFeed(t, test.doc, func(t *testing.T, src io.Reader) {
				r := NewReader(src)
				got, err := readAll(r)
				require.NoError(t, err)
				assert.Equal(t, test.want, got)
				assert.Zero(t, r.Repaired())
			})
		})
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("a" + strings.Repeat("b", i) + "='' ")
	}
	return b.String()
}

func TestSyntaxErrorsNameTheirPlace(t *testing.T) {
	_, err := readAll(NewReader(strings.NewReader("<A></B>")))
	require.EqualError(t, err, `xml: byte 3: end tag "B" inside element "A"`)
}

func TestCutDocumentsAreNotTakenForWholeOnes(t *testing.T) {
	const doc = "\uFEFF<?xml version='1.0'?><!DOCTYPE A SYSTEM 'b'><!-- c --><A d='e'>f&amp;\r<B/><![CDATA[g]]]]><?h?>é</A>"
	whole, err := readAll(NewReader(strings.NewReader(doc)))
	require.NoError(t, err)
	for n := range len(doc) {
		forEachFeed(t, doc[:n], func(t *testing.T, src io.Reader) {
			got, err := readAll(NewReader(src))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			requirePrefix(t, got, whole)
		})
	}
}

// requirePrefix requires that got is the beginning of whole; of a text, it may
// be the beginning of the text.
func requirePrefix(t *testing.T, got, whole []token) {
	t.Helper()
	require.LessOrEqual(t, len(got), len(whole))
	for i := range got {
		if i == len(got)-1 && got[i].kind == Text && whole[i].kind == Text {
			require.True(t, strings.HasPrefix(whole[i].text, got[i].text), "%q begins %q", got[i].text, whole[i].text)
			return
		}
		require.Equal(t, whole[i], got[i])
	}
}

func TestCutDocumentsSayWhere(t *testing.T) {
	_, err := readAll(NewReader(strings.NewReader("<A><B>x")))
	require.EqualError(t, err, `xml: byte 7: document ends inside element "B": unexpected EOF`)
	_, err = readAll(NewReader(strings.NewReader("<!-- -->")))
	require.EqualError(t, err, `xml: byte 8: document ends outside of an element: unexpected EOF`)
}

func TestTheErrorOfTheSourceIsNotHidden(t *testing.T) {
	broken := errors.New("connection reset")
	for _, doc := range []string{"", "<", "<A", "<A>", "<A>b", "<A><![CDATA[b", "<A><!", "<A><!-- ", "<A>\xe2", "<A/>"} {
		src := io.MultiReader(strings.NewReader(doc), iotest.ErrReader(broken))
		_, err := readAll(NewReader(src))
		require.ErrorIs(t, err, broken, "after %q", doc)
	}
}

func TestTokensBeforeAnErrorOfTheSourceAreHandedOut(t *testing.T) {
	broken := errors.New("connection reset")
	doc := "<A>1<B>2</B>3"
	src := iotest.DataErrReader(io.MultiReader(strings.NewReader(doc), iotest.ErrReader(broken)))
	got, err := readAll(NewReader(src))
	require.ErrorIs(t, err, broken)
	assert.Equal(t, []token{start("A"), chars("1"), start("B"), chars("2"), end("B"), chars("3")}, got)
}

func TestTheSourceIsNotReadFurtherThanTheTokenNeeds(t *testing.T) {
	// A server that still works has sent this much, and nothing more for minutes.
	src := io.MultiReader(strings.NewReader("<A><B>x</B>"), iotest.ErrReader(errors.New("read too far")))
	r := NewReader(src)
	for _, want := range []Kind{StartElement, StartElement, Text, EndElement} {
		got, err := r.Next()
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

type sourceFunc func(p []byte) (int, error)

func (f sourceFunc) Read(p []byte) (int, error) { return f(p) }

func TestASourceThatGivesNothingDoesNotHangTheReader(t *testing.T) {
	_, err := NewReader(sourceFunc(func([]byte) (int, error) { return 0, nil })).Next()
	require.ErrorIs(t, err, io.ErrNoProgress)
}

func TestASourceThatCountsWrongDoesNotCrashTheReader(t *testing.T) {
	for _, n := range []int{-1, windowSize + 1} {
		_, err := NewReader(sourceFunc(func([]byte) (int, error) { return n, nil })).Next()
		require.ErrorIs(t, err, errBadCount)
	}
}

func TestLongValuesComeInPiecesThatAreWhole(t *testing.T) {
	for _, test := range []struct{ name, unit, means string }{
		{"runes", "日本語", "日本語"},
		{"references", "x&amp;yz&#x41;", "x&yzA"},
		{"line ends", "abc\r\nd\r", "abc\nd\n"},
		{"brackets", "a]]b", "a]]b"},
		{"bytes that are not UTF-8", "ab\xe2\x82", "ab\uFFFD\uFFFD"},
		{"ampersands that are near the end", "a&lt;", "a<"},
	} {
		for _, cdata := range []bool{false, true} {
			if cdata && strings.Contains(test.unit, "&") {
				continue
			}
			t.Run(test.name, func(t *testing.T) {
				const times = 3*windowSize/4 + 1
				for shift := range len(test.unit) {
					pad := strings.Repeat("-", shift)
					value := pad + strings.Repeat(test.unit, times)
					if cdata {
						value = "<![CDATA[" + value + "]]>"
					}
					r := NewReader(strings.NewReader("<A>" + value + "</A>"))
					_, err := r.Next()
					require.NoError(t, err)
					var got strings.Builder
					pieces := 0
					for {
						kind, err := r.Next()
						require.NoError(t, err)
						if kind != Text {
							break
						}
						pieces++
						require.Equal(t, cdata, r.CDATA())
						got.Write(r.Text())
					}
					require.Greater(t, pieces, 1)
					require.Equal(t, pad+strings.Repeat(test.means, times), got.String())
				}
			})
		}
	}
}

func TestAPieceEndsWithTheWindowOnlyIfTheValueIsLonger(t *testing.T) {
	value := strings.Repeat("x", windowSize-1)
	r := NewReader(strings.NewReader("<A>" + value + "</A>"))
	_, err := r.Next()
	require.NoError(t, err)
	_, err = r.Next()
	require.NoError(t, err)
	assert.Equal(t, value, string(r.Text()))
}

func TestCDATASaysWhereTextStood(t *testing.T) {
	r := NewReader(strings.NewReader("<A>1<![CDATA[2]]>3<![CDATA[&\r]]></A>"))
	var got []bool
	for {
		kind, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if kind == Text {
			got = append(got, r.CDATA())
		}
	}
	assert.Equal(t, []bool{false, true, false, true}, got)
}

func TestDepthCountsTheElementAtItsStart(t *testing.T) {
	r := NewReader(strings.NewReader("<A>x<B/></A>"))
	var got []int
	for {
		if _, err := r.Next(); err != nil {
			require.Equal(t, io.EOF, err)
			break
		}
		got = append(got, r.Depth())
	}
	assert.Equal(t, []int{1, 1, 2, 1, 0}, got)
}

func TestSkipReadsThroughTheElement(t *testing.T) {
	r := NewReader(strings.NewReader("<A><B><C>1</C><B/>2</B><D/><E>3<F/>4</E></A>"))
	next := func(kind Kind, name string) {
		t.Helper()
		got, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, kind, got)
		require.Equal(t, name, string(r.Name()))
	}
	next(StartElement, "A")
	next(StartElement, "B")
	require.NoError(t, r.Skip())
	require.Equal(t, 1, r.Depth())
	next(StartElement, "D")
	require.NoError(t, r.Skip())
	next(StartElement, "E")
	next(Text, "E")
	require.NoError(t, r.Skip(), "the rest of the element it is in")
	next(EndElement, "A")
	require.NoError(t, r.Skip(), "nothing is open")
	_, err := r.Next()
	require.Equal(t, io.EOF, err)
}

func TestSkipChecksWhatItReadsOver(t *testing.T) {
	r := NewReader(strings.NewReader("<A><B></C></A>"))
	_, err := r.Next()
	require.NoError(t, err)
	requireSyntaxError(t, r.Skip(), "end tag", 6)
}

func TestFragmentsAreManyElementsOrNone(t *testing.T) {
	for _, test := range []struct {
		name string
		doc  string
		want []token
	}{
		{"none", "", nil},
		{"only what means nothing", " <!-- --><?a?>\n", nil},
		{"several", "<A/>\n<B>1</B><!-- --><A/>", []token{start("A"), end("A"), start("B"), chars("1"), end("B"), start("A"), end("A")}},
		{"with the beginning of a document", "<?xml version='1.0'?><!DOCTYPE A><A/><B/>", []token{start("A"), end("A"), start("B"), end("B")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			forEachFeed(t, test.doc, func(t *testing.T, src io.Reader) {
				got, err := readAll(NewFragmentReader(src))
				require.NoError(t, err)
				assert.Equal(t, test.want, got)
			})
		})
	}
	_, err := readAll(NewFragmentReader(strings.NewReader("<A/>x<B/>")))
	requireSyntaxError(t, err, "text outside of the root element", 4)
	_, err = readAll(NewFragmentReader(strings.NewReader("<A/><B>")))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestResetForgetsTheLastDocument(t *testing.T) {
	for _, first := range []string{"<A>", "<A b='&lt;'>\x01&lt;", "<A/>", "<A></B>", "<A><![CDATA[x", "", "<!DOCTYPE A><A/>"} {
		r := NewReader(strings.NewReader(first))
		_, _ = readAll(r)
		r.Reset(strings.NewReader("<?xml version='1.0'?><!DOCTYPE A><A>1</A>"))
		got, err := readAll(r)
		require.NoError(t, err, "after %q", first)
		assert.Equal(t, []token{start("A"), chars("1"), end("A")}, got)
		assert.Zero(t, r.Repaired())
	}
	r := NewFragmentReader(strings.NewReader("<A/>"))
	r.Reset(strings.NewReader("<A/><B/>"))
	_, err := readAll(r)
	require.NoError(t, err, "fragments stay fragments")
}

// endless repeats unit after head until size bytes have come, and then gives tail.
func endless(head, unit string, size int, tail string) io.Reader {
	block := []byte(strings.Repeat(unit, 1+(32<<10)/len(unit)))
	times := size / len(block)
	readers := []io.Reader{strings.NewReader(head)}
	for range times {
		readers = append(readers, bytes.NewReader(block))
	}
	return io.MultiReader(append(readers, strings.NewReader(tail))...)
}

func TestNothingEndlessGrowsMemory(t *testing.T) {
	for _, test := range []struct{ name, head, unit, tail string }{
		{"comment", "<A><!--", "- ", "--></A>"},
		{"comments of a waiting server", "<A>", "\n<!-- keep-alive -->", "</A>"},
		{"processing instruction", "<A><?b ", "? ", "?></A>"},
		{"white space before the root", "", " ", "<A/>"},
		{"white space in the root", "<A>", " ", "</A>"},
		{"text", "<A>", "é\r\n&lt;", "</A>"},
		{"CDATA", "<A><![CDATA[", "]]\x01\xff", "]]></A>"},
		{"elements", "<A>", "<B c='&lt;'>x</B>", "</A>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewReader(endless(test.head, test.unit, 4<<20, test.tail))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for {
				if _, err := r.Next(); err != nil {
					require.Equal(t, io.EOF, err)
					break
				}
			}
			runtime.ReadMemStats(&after)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
		})
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	page := detectionPage(1<<20, true)
	r := NewReader(bytes.NewReader(page))
	src := bytes.NewReader(nil)
	read := func() {
		src.Reset(page)
		r.Reset(src)
		for {
			if _, err := r.Next(); err != nil {
				return
			}
		}
	}
	assert.Zero(t, testing.AllocsPerRun(3, read))
}

// What is lent to a reader may be longer than its window. Limits and offsets must not depend on it.
func TestBytesInPlaceAreReadAsFromASource(t *testing.T) {
	for _, doc := range []string{
		"<A>" + strings.Repeat("x", 3*windowSize) + "</A>",
		"<A><![CDATA[" + strings.Repeat("ö", windowSize) + "]]><!--" + strings.Repeat("-> ", windowSize) + "--></A>",
		"<A>" + strings.Repeat(" ", windowSize-8) + "<B c='d'/>" + strings.Repeat("<C>y</C>", windowSize) + "</A>",
		"<A b='" + strings.Repeat("x", MaxTag) + "'/>",
		"<A><B " + strings.Repeat(" ", MaxTag) + "/></A>",
		"<A>" + strings.Repeat("x", 2*windowSize) + "&b;</A>",
	} {
		want, wantErr := readAll(NewReader(strings.NewReader(doc)))
		for _, n := range []int{10, windowSize - 1, windowSize, windowSize + 1, 2 * windowSize, len(doc)} {
			got, err := readAll(lent([]byte(doc), min(n, len(doc))))
			require.Equal(t, want, got)
			require.Equal(t, wantErr, err)
		}
	}
}

func TestBytesInPlaceMayBeOverwrittenWhenTheSourceIsRead(t *testing.T) {
	data := []byte("<A><B>1</B><B>2")
	r := NewReader(nil)
	r.ResetBytes(data, readerFunc(func(p []byte) (int, error) {
		copy(data, strings.Repeat("!", len(data)))
		return copy(p, "3</B></A>"), io.EOF
	}))
	got, err := readAll(r)
	require.NoError(t, err)
	require.Equal(t, []token{start("A"), start("B"), chars("1"), end("B"), start("B"), chars("23"), end("B"), end("A")}, got)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
