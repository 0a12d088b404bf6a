// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"encoding/xml"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// token is what a test compares: a token of Next, adjacent text in one piece.
type token struct {
	kind  Kind
	name  string
	attrs []attrValue
	text  string
}

type attrValue struct{ name, value string }

func start(name string, attrs ...string) token {
	t := token{kind: StartElement, name: name}
	for i := 0; i < len(attrs); i += 2 {
		t.attrs = append(t.attrs, attrValue{attrs[i], attrs[i+1]})
	}
	return t
}

func end(name string) token { return token{kind: EndElement, name: name} }

func chars(text string) token { return token{kind: Text, text: text} }

// appendText appends text to the tokens, or to the last of them if it is text.
func appendText(tokens []token, text string) []token {
	if text == "" {
		return tokens
	}
	if n := len(tokens); n > 0 && tokens[n-1].kind == Text {
		tokens[n-1].text += text
		return tokens
	}
	return append(tokens, chars(text))
}

// current appends what r stands at.
func current(tokens []token, r *Reader, kind Kind) []token {
	switch kind {
	case StartElement:
		t := token{kind: kind, name: string(r.Name())}
		for i := range r.Attrs() {
			name, value := r.Attr(i)
			t.attrs = append(t.attrs, attrValue{string(name), string(value)})
		}
		return append(tokens, t)
	case EndElement:
		return append(tokens, end(string(r.Name())))
	default:
		return appendText(tokens, string(r.Text()))
	}
}

// readAll reads to the end or to an error, which is nil at the end.
func readAll(r *Reader) ([]token, error) {
	var tokens []token
	for {
		kind, err := r.Next()
		if err == io.EOF {
			return tokens, nil
		}
		if err != nil {
			return tokens, err
		}
		tokens = current(tokens, r, kind)
	}
}

// standardTokens are the tokens that encoding/xml finds in doc, without what
// stands outside of elements, and the reason why it does not like the document.
func standardTokens(doc []byte) ([]token, error) {
	anyCharset := func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	checked := xml.NewDecoder(bytes.NewReader(doc))
	checked.CharsetReader = anyCharset
	raw := xml.NewDecoder(bytes.NewReader(doc))
	raw.CharsetReader = anyCharset
	var tokens []token
	for depth := 0; ; {
		if _, err := checked.Token(); err != nil {
			if err == io.EOF {
				err = nil
			}
			return tokens, err
		}
		t, err := raw.RawToken()
		if err != nil {
			return tokens, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			depth++
			found := token{kind: StartElement, name: standardName(t.Name)}
			for _, a := range t.Attr {
				found.attrs = append(found.attrs, attrValue{standardName(a.Name), a.Value})
			}
			tokens = append(tokens, found)
		case xml.EndElement:
			depth--
			tokens = append(tokens, end(standardName(t.Name)))
		case xml.CharData:
			if depth > 0 {
				tokens = appendText(tokens, string(t))
			}
		}
	}
}

func standardName(name xml.Name) string {
	if name.Space == "" {
		return name.Local
	}
	return name.Space + ":" + name.Local
}

// feeds are the ways in which a document can arrive.
var feeds = []struct {
	name string
	feed func(io.Reader) io.Reader
}{
	{"at once", func(src io.Reader) io.Reader { return src }},
	{"a byte at a time", iotest.OneByteReader},
	{"in halves", iotest.HalfReader},
	{"data with the error", iotest.DataErrReader},
	{"a byte at a time, the last with the error", func(src io.Reader) io.Reader {
		return iotest.DataErrReader(iotest.OneByteReader(src))
	}},
}

// forEachFeed runs a test on doc in every way it can arrive.
func forEachFeed(t *testing.T, doc string, test func(t *testing.T, src io.Reader)) {
	for _, f := range feeds {
		t.Run(f.name, func(t *testing.T) {
			test(t, f.feed(bytes.NewReader([]byte(doc))))
		})
	}
}

// narrow gives r a window of size bytes, so that even short documents reach its
// borders.
func narrow(r *Reader, size int) *Reader {
	r.own = make([]byte, size, size+spare)
	r.buf = r.own
	return r
}

// requireSyntaxError requires that err is a SyntaxError with msg, at offset
// unless that is negative.
// lent returns a Reader of doc that reads the first n bytes where they are, and the others from a source.
func lent(doc []byte, n int) *Reader {
	r := NewReader(nil)
	r.ResetBytes(doc[:n:n], bytes.NewReader(doc[n:]))
	return r
}

func requireSyntaxError(t *testing.T, err error, msg string, offset int64) {
	t.Helper()
	var syntax *SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.Contains(t, syntax.Msg, msg)
	if offset >= 0 {
		require.Equal(t, offset, syntax.Offset)
	}
}
