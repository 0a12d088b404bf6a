// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
)

// euros is text of n bytes, and of one more if that would split a rune.
func euros(n int) string { return strings.Repeat("€", (n+2)/3) }

func truncatedOf(t *testing.T, lr plog.LogRecord) []any {
	t.Helper()
	v, ok := lr.Attributes().Get(attrTruncated)
	require.True(t, ok)
	return v.Slice().AsRaw()
}

func TestLongValuesAreCutAtARune(t *testing.T) {
	out := detectionsOf(t, testSettings(), oneHost("<DETECTION><QID>1</QID><RESULTS>"+euros(maxValue)+"</RESULTS><STATUS>New</STATUS></DETECTION>"))
	lr := onlyRecord(t, out)
	v, _ := lr.Body().Map().Get("Detection")
	results, _ := v.Map().Get("Results")
	assert.True(t, utf8.ValidString(results.Str()))
	assert.Len(t, results.Str(), maxValue/3*3)
	assert.Equal(t, []any{"Detection.Results"}, truncatedOf(t, lr))
	assert.Equal(t, 1, out.Truncated)
	status, _ := v.Map().Get("Status")
	assert.Equal(t, "New", status.Str(), "what follows is read as ever")
}

func TestWhiteSpaceBehindALongValueCutsNothing(t *testing.T) {
	for _, end := range []string{"", "\n   ", "<!-- -->\n"} {
		out := entriesOf(t, testSettings(), "<VULN><SOLUTION>\n"+strings.Repeat("x", maxValue)+end+"</SOLUTION></VULN>")
		assert.Zero(t, out.Truncated)
		v, _ := onlyRecord(t, out).Body().Map().Get("Solution")
		assert.Len(t, v.Str(), maxValue)
	}
	out := entriesOf(t, testSettings(), "<VULN><SOLUTION>"+strings.Repeat("x", maxValue)+"<![CDATA[ ]]></SOLUTION></VULN>")
	assert.Equal(t, 1, out.Truncated)
}

func TestTruncatedNamesEveryPath(t *testing.T) {
	long := strings.Repeat("x", maxValue+1)
	tests := []struct {
		name string
		out  Chunk
		want []any
	}{
		{"host", detectionsOf(t, testSettings(), oneHost("<OS>"+long+"</OS><DETECTION/>")), []any{"OS"}},
		{"host and detection", detectionsOf(t, testSettings(), oneHost("<OS>"+long+"</OS><DETECTION><RESULTS>r</RESULTS></DETECTION>")), []any{"OS"}},
		{"entry", entriesOf(t, testSettings(), "<VULN><CVE_LIST><CVE><ID>a</ID></CVE><CVE><URL>"+long+"</URL></CVE></CVE_LIST></VULN>"), []any{"Cve.URL"}},
		{"text in a list", entriesOf(t, testSettings(), "<VULN><X><A>"+long+"</A><A/></X></VULN>"), []any{"X.A"}},
		{"text between elements", entriesOf(t, testSettings(), "<VULN><X>"+long+"<A/></X></VULN>"), []any{"X.Text"}},
		{"asset", assetsOf(t, testSettings(), time.Time{}, `[{"a":{"b":["`+long+`"]}}]`), []any{"a.b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, truncatedOf(t, onlyRecord(t, tt.out)))
			assert.Equal(t, 1, tt.out.Truncated)
		})
	}
}

func TestPathsOfCutValuesTakeNoMoreThanTheirNames(t *testing.T) {
	a := NewAssets(inJSON(testSettings()))
	a.Begin(collected, "", nil)
	long := strings.Repeat("n", 1<<20)
	answer := `[{"` + long + `":{"b":[{}` + strings.Repeat(`,{"a":1}`, 10000) + `],"c":"` + strings.Repeat("x", maxValue+1) + `"}}]`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, readAssets(a, strings.NewReader(answer)))
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(200<<20))
	assert.Equal(t, []any{long + ".c"}, truncatedOf(t, onlyRecord(t, a.Take())))
}

// counter counts what is read of an endless answer.
type counter struct {
	from io.Reader
	n    int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += n
	return n, err
}

// endless is an answer that begins as given and then repeats something.
type endless struct {
	begin, again string
	rest         string
}

func (e *endless) Read(p []byte) (int, error) {
	if e.rest == "" {
		e.rest, e.begin = e.begin, ""
		if e.rest == "" {
			e.rest = e.again
		}
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func TestWhatIsTooLargeIsNotReadFurther(t *testing.T) {
	detections := func(r io.Reader) error {
		d := NewDetections(testSettings())
		d.Begin(collected, "", nil)
		return readHosts(d, r, nil)
	}
	entries := func(r io.Reader) error {
		k := NewKnowledgeBase(testSettings())
		k.Begin(collected, "", nil, nil)
		return readEntries(k, r)
	}
	assets := func(r io.Reader) error {
		a := NewAssets(testSettings())
		a.Begin(collected, "", nil)
		return readAssets(a, r)
	}
	megabyte := strings.Repeat("x", 1<<20)
	longName := "<" + megabyte[:1000] + "/>"
	tests := []struct {
		name         string
		read         func(io.Reader) error
		begin, again string
	}{
		{"elements of a host", detections, "<HOST><ID>1</ID>", "<A>" + megabyte + "</A>"},
		{"one element of a host", detections, "<HOST><ID>1</ID><X>", "<A>" + megabyte + "</A>"},
		{"detection", detections, "<HOST><ID>1</ID><DETECTION>", "<A>" + megabyte + "</A>"},
		{"small elements", detections, "<HOST><ID>1</ID><DETECTION>", "<A/>"},
		{"small elements of a host", detections, "<HOST><ID>1</ID>", "<A/>"},
		{"attributes", detections, "<HOST><DETECTION>", `<A b="` + megabyte[:30000] + `"/>`},
		{"names of a host's elements", detections, "<HOST><ID>1</ID>", longName},
		{"names of elements", detections, "<HOST><DETECTION>", longName},
		{"names of elements inside of others", entries, "<VULN><X><Y>", longName},
		{"names of attributes", detections, "<HOST><DETECTION>", "<A " + megabyte[:1000] + `="1"/>`},
		{"names of factors", detections, "<HOST><DETECTION><QDS_FACTORS>", `<QDS_FACTOR name="` + megabyte[:60000] + `">1</QDS_FACTOR>`},
		{"text between elements", detections, "<HOST><DETECTION>", "<A/>" + megabyte},
		{"entry", entries, "<VULN>", "<A>" + megabyte + "</A>"},
		{"asset", assets, `[{"a":1`, `,"b":"` + megabyte + `"`},
		{"small members", assets, `[{"a":[1`, `,1`},
		{"names of members", assets, `[{"a":[{}`, `,{"` + megabyte + `":1}`},
		{"names of members that are left out", assets, `[{"softwareListData":{"software":[{}`, `,{"` + megabyte + `":1}`},
		{"empty objects", assets, `[{"a":[{}`, `,{}`},
		{"empty arrays", assets, `[{"a":[[]`, `,[]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			input := &counter{from: &endless{begin: tt.begin, again: tt.again}}
			require.ErrorIs(t, tt.read(input), ErrTooLarge)
			assert.Less(t, input.n, 2*maxRecord)
		})
	}
}

func TestAHostsElementsCountForItsRecords(t *testing.T) {
	large := "<A>" + strings.Repeat("x", 3<<20) + "</A>"
	d := NewDetections(testSettings())
	d.Begin(collected, "", nil)
	err := readHosts(d, strings.NewReader(oneHost(large, "<DETECTION>"+large+"</DETECTION><DETECTION>"+large+large+"</DETECTION>")), nil)
	require.ErrorIs(t, err, ErrTooLarge)
	assert.Len(t, d.Take().Items, 1, "the one before is whole")
}

// A list's name counts once more for each entry in the size of a record, which must not run over.
func TestTheNameOfAListCountsForEachEntry(t *testing.T) {
	list := func(name, entries int) error {
		a := NewAssets(testSettings())
		a.Begin(collected, "", nil)
		return readAssets(a, strings.NewReader(`[{"`+strings.Repeat("n", name)+`":[1`+strings.Repeat(",1", entries-1)+`]}]`))
	}
	require.NoError(t, list(1<<20, 2))
	require.ErrorIs(t, list(1<<20, 10), ErrTooLarge)
	require.NoError(t, list(50, 10000))
}

func TestAHostsNamesCountForItsRecords(t *testing.T) {
	names := strings.Repeat("<"+strings.Repeat("N", 1000)+"/>", 5000)
	d := NewDetections(testSettings())
	d.Begin(collected, "", nil)
	err := readHosts(d, strings.NewReader(oneHost(names, "<DETECTION/>", "<DETECTION>"+names+"</DETECTION>")), nil)
	require.ErrorIs(t, err, ErrTooLarge)
	assert.Len(t, d.Take().Items, 1, "the one before is whole")
}

// Names that the tables have no room for take several times the memory of a value, however short they are.
func TestManyNamesCountForTheRecordThatHasThem(t *testing.T) {
	var many strings.Builder
	many.WriteString("<VULN>")
	for i := range 100 {
		many.WriteString("<X>")
		for j := range maxKeys {
			fmt.Fprintf(&many, "<N%d/>", i*maxKeys+j)
		}
		many.WriteString("</X>")
	}
	many.WriteString("</VULN>")
	k := NewKnowledgeBase(testSettings())
	k.Begin(collected, "", nil, nil)
	input := &counter{from: strings.NewReader(many.String())}
	require.ErrorIs(t, readEntries(k, input), ErrTooLarge)
	assert.Less(t, input.n, 1<<20)
}

func TestTooManyKeys(t *testing.T) {
	var elements, members strings.Builder
	for i := range maxKeys + 1 {
		fmt.Fprintf(&elements, "<A%d/>", i)
		fmt.Fprintf(&members, `,"a%d":1`, i)
	}
	k := NewKnowledgeBase(testSettings())
	k.Begin(collected, "", nil, nil)
	require.ErrorIs(t, readEntries(k, strings.NewReader("<VULN>"+elements.String()+"</VULN>")), ErrTooLarge)
	require.ErrorIs(t, readEntries(k, strings.NewReader("<VULN><X><B/><B/>"+elements.String()+"</X></VULN>")), ErrTooLarge)
	d := NewDetections(testSettings())
	d.Begin(collected, "", nil)
	require.ErrorIs(t, readHosts(d, strings.NewReader(oneHost(elements.String(), "<DETECTION/>")), nil), ErrTooLarge)
	a := NewAssets(testSettings())
	a.Begin(collected, "", nil)
	require.ErrorIs(t, readAssets(a, strings.NewReader(`[{"x":1`+members.String()+`}]`)), ErrTooLarge)
	assert.Empty(t, a.Take().Items)
}

func TestAHostMayRepeatOneElementOften(t *testing.T) {
	out := detectionsOf(t, testSettings(), oneHost(strings.Repeat("<A>x</A>", 2*maxKeys), "<DETECTION/>"))
	v, _ := onlyRecord(t, out).Body().Map().Get("A")
	assert.Equal(t, 2*maxKeys, v.Slice().Len())
}

func TestAssetsMayNotBeNestedWithoutEnd(t *testing.T) {
	nested := func(depth int) error {
		a := NewAssets(testSettings())
		a.Begin(collected, "", nil)
		return readAssets(a, strings.NewReader(`[{"a":`+strings.Repeat("[", depth)+strings.Repeat("]", depth)+`}]`))
	}
	require.NoError(t, nested(maxDepth-1))
	require.ErrorIs(t, nested(maxDepth), errTooDeep)
}

func TestMemoryOfALargeRecordIsNotKept(t *testing.T) {
	d := NewDetections(inJSON(testSettings()))
	takeAll(t, d, oneHost("<A>"+strings.Repeat("x", 3<<20)+"</A><DETECTION><RESULTS>"+strings.Repeat("x", 3<<20)+"</RESULTS></DETECTION>"))
	takeAll(t, d, oneHost("<DETECTION/>"))
	assert.Less(t, cap(d.tape.text)+cap(d.host.tape.text)+cap(d.json)+cap(d.host.prefix), 4*retained)
}

func TestMemoryOfALargeAssetIsNotKept(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	a := NewAssets(testSettings())
	a.Begin(collected, "", nil)
	require.NoError(t, readAssets(a, strings.NewReader(`[{"`+long+`":1},{"a":"`+long+`"},{"assetId":1}]`)))
	assert.Less(t, cap(a.members.tape.text)+cap(a.members.scratch)+cap(a.members.tokens.buf), 2*retained)
}
