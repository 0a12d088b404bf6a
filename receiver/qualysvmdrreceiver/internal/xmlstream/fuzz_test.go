// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// stricter are the reasons for which Reader refuses what encoding/xml accepts;
// the package's documentation lists them.
var stricter = []string{
	"text outside of the root",
	"CDATA section outside of the root",
	"second root element",
	"document ends outside of an element",
	"unknown markup declaration",
	"internal subset",
	"malformed document type",
	"document type elsewhere",
	"malformed XML declaration",
	"XML declaration elsewhere",
	"is not supported",
	"no white space before an attribute",
	" twice",
	// Limits.
	"elements deep",
	"longer than",
	"more than",
	"of at most",
}

// laxer are the reasons for which encoding/xml refuses what Reader accepts.
var laxer = []string{
	"invalid UTF-8",
	"illegal character code",
	"invalid character entity &#",
	`invalid sequence "--" not allowed in comments`,
	"unsupported version",
	// Names by the fifth edition, names with more than one colon, targets of
	// processing instructions.
	"invalid XML name",
	"expected element name",
	"expected attribute name",
}

func oneOf(err error, reasons []string) bool {
	for _, reason := range reasons {
		if strings.Contains(err.Error(), reason) {
			return true
		}
	}
	return false
}

var seeds = []string{
	"<A/>",
	"<A b='&lt;' c=\"d\">e<![CDATA[f]]>g</A>",
	"<?xml version='1.0' encoding='UTF-8'?><!DOCTYPE A SYSTEM 'b'><!-- c --><A><B\n>\r\n&#x41;&#0;\x01\xff</B ><?d e?></A>\n",
	"\uFEFF<größe:x>日本</größe:x><!-- -- -->",
	"<!-- a --> <?xml version='1.0' encoding='ISO-8859-15'?><A b='\xe4'>\xa4</A>",
	"<A><B>1</B><C/><B>2</B><C>3</C> <B><B></B></B></A>",
	"<A><B></A></B>", "<A>]]></A>", "<A>&foo;</A>", "<A b='1'c='2'/>", "<A/><B/>", "<A", "<![CDATA[]]>", "<!DOCTYPE A [<!ENTITY b 'c'>]><A/>",
}

func FuzzReader(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	// Windows of their own for each document would take most of the time.
	wide, small := NewReader(nil), narrow(NewReader(nil), 2*MaxReference)
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, gotErr := readAll(reset(wide, bytes.NewReader(doc)))
		slow, slowErr := readAll(reset(wide, iotest.OneByteReader(bytes.NewReader(doc))))
		requirePrefix(t, got, slow)
		requirePrefix(t, slow, got)
		if errorText(gotErr) != errorText(slowErr) {
			t.Fatalf("at once: %v, a byte at a time: %v", gotErr, slowErr)
		}

		wide.ResetBytes(doc[:len(doc)/2:len(doc)/2], bytes.NewReader(doc[len(doc)/2:]))
		inPlace, inPlaceErr := readAll(wide)
		requirePrefix(t, got, inPlace)
		requirePrefix(t, inPlace, got)
		if errorText(gotErr) != errorText(inPlaceErr) {
			t.Fatalf("from a source: %v, in place: %v", gotErr, inPlaceErr)
		}

		shortly, shortlyErr := readShortcuts(reset(wide, bytes.NewReader(doc)))
		requirePrefix(t, got, shortly)
		requirePrefix(t, shortly, got)
		if errorText(gotErr) != errorText(shortlyErr) {
			t.Fatalf("by tokens: %v, by shortcuts: %v", gotErr, shortlyErr)
		}

		narrowly, narrowErr := readAll(reset(small, bytes.NewReader(doc)))
		if !strings.Contains(errorText(narrowErr), "longer than 65536 bytes") {
			requireSameBeginning(t, got, narrowly)
			if errorText(gotErr) != errorText(narrowErr) || gotErr == nil && len(got) != len(narrowly) {
				t.Fatalf("wide window: %v, narrow window: %v", gotErr, narrowErr)
			}
		}

		if mayBeDecoded(doc) {
			return // encoding/xml takes other instructions for declarations, too
		}
		want, wantErr := standardTokens(doc)
		switch {
		case gotErr != nil && wantErr == nil && !oneOf(gotErr, stricter):
			t.Fatalf("only encoding/xml accepts it: %v", gotErr)
		case gotErr == nil && wantErr != nil && !oneOf(wantErr, laxer):
			t.Fatalf("encoding/xml does not accept it: %v", wantErr)
		case gotErr == nil && wantErr == nil:
			requirePrefix(t, got, want)
			requirePrefix(t, want, got)
		default:
			requireSameBeginning(t, got, want)
		}
	})
}

// requireSameBeginning requires that one of a and b is the beginning of the
// other, as in requirePrefix.
func requireSameBeginning(t *testing.T, a, b []token) {
	t.Helper()
	if len(a) > len(b) || len(a) == len(b) && len(a) > 0 && len(a[len(a)-1].text) > len(b[len(b)-1].text) {
		a, b = b, a
	}
	requirePrefix(t, a, b)
}

// mayBeDecoded reports whether a document can be written in another encoding than UTF-8.
func mayBeDecoded(doc []byte) bool {
	lower := bytes.ToLower(doc)
	return bytes.Contains(lower, []byte("8859")) || bytes.Contains(lower, []byte("1252"))
}

func reset(r *Reader, src io.Reader) *Reader {
	r.Reset(src)
	return r
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzRaw(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed), byte(0))
		f.Add([]byte(seed), byte(200))
	}
	r, fragments := NewReader(nil), NewFragmentReader(nil)
	f.Fuzz(func(t *testing.T, doc []byte, limit byte) {
		want, err := readAll(reset(r, bytes.NewReader(doc)))
		if mayBeDecoded(doc) {
			return // what Raw gives is in UTF-8 then, not as it is written
		}
		valid := err == nil
		for _, src := range []io.Reader{bytes.NewReader(doc), iotest.OneByteReader(bytes.NewReader(doc))} {
			r.Reset(src)
			if _, err := r.Next(); err != nil {
				continue
			}
			behindTag := r.Offset()
			raw, err := readRaw(r, int(limit)+1)
			from := int(r.Offset()) - len(raw)
			if from < 0 || int64(from) >= behindTag || doc[from] != '<' || !bytes.HasPrefix(doc[from:], raw) {
				t.Fatalf("%q is not the element", raw)
			}
			if !valid {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(reset(fragments, bytes.NewReader(raw)))
			if err != nil {
				t.Fatal(err)
			}
			requirePrefix(t, got, want)
			requirePrefix(t, want, got)
			if kind, err := r.Next(); err != io.EOF {
				t.Fatalf("after the element: %v, %v", kind, err)
			}
		}
	})
}

// readRaw takes the element r stands at, in parts of limit bytes.
func readRaw(r *Reader, limit int) (raw []byte, err error) {
	for done := false; !done; {
		var part []byte
		part, done, err = r.Raw(part, limit)
		raw = append(raw, part...)
		if err != nil {
			return raw, err
		}
	}
	return raw, nil
}
