// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// uids returns what tells the records of an Chunk apart.
func uids(out Chunk) []string {
	var all []string
	for _, lr := range recordsOf(out) {
		v, _ := lr.Attributes().Get(attrUID)
		all = append(all, v.Str())
	}
	return all
}

var errBroken = errors.New("connection reset")

// cutReader is an answer that ends early, with an error if there is one.
type cutReader struct {
	io.Reader
	err error
}

func (c *cutReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if errors.Is(err, io.EOF) && c.err != nil {
		err = c.err
	}
	return n, err
}

func TestACutAnywhereLosesOnlyWhatIsNotWhole(t *testing.T) {
	hosts, entries, assets := testdata(t, "detections.xml"), testdata(t, "knowledgebase.xml"), testdata(t, "assets.json")
	d, k, a := NewDetections(testSettings()), NewKnowledgeBase(testSettings()), NewAssets(testSettings())
	tests := []struct {
		name, answer, end string
		read              func(io.Reader) (Chunk, error)
	}{
		{"detections", hosts, "</DETECTION>", func(r io.Reader) (Chunk, error) {
			d.Begin(collected, "", nil)
			err := readHosts(d, r, nil)
			return d.Take(), err
		}},
		{"entries", entries, "</VULN>", func(r io.Reader) (Chunk, error) {
			k.Begin(collected, "", nil, nil)
			err := readEntries(k, r)
			return k.Take(), err
		}},
		{"assets", assets, "\n  }", func(r io.Reader) (Chunk, error) {
			a.Begin(collected, "", nil)
			err := readAssets(a, r)
			return a.Take(), err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			whole, err := tt.read(strings.NewReader(tt.answer))
			require.NoError(t, err)
			all := uids(whole)
			last := strings.LastIndex(tt.answer, "</") // the end of the root, or of nothing in JSON
			if last < 0 {
				last = strings.LastIndex(tt.answer, "]")
			}
			for cut := 0; cut < last; cut += 3 {
				broken := []error{nil, errBroken}[cut%2]
				out, err := tt.read(&cutReader{Reader: strings.NewReader(tt.answer[:cut]), err: broken})
				require.Error(t, err, "cut after %d bytes", cut)
				if broken != nil {
					require.ErrorIs(t, err, errBroken)
				}
				want := strings.Count(tt.answer[:cut], tt.end)
				got := uids(out)
				require.Len(t, got, want, "cut after %d bytes", cut)
				assert.Equal(t, all[:want], append([]string{}, got...))
			}
		})
	}
}

func TestAFaultyByteLosesOnlyWhatIsNotWhole(t *testing.T) {
	d := NewDetections(testSettings())
	d.Begin(collected, "", nil)
	err := readHosts(d, strings.NewReader("<L><HOST><ID>1</ID><DETECTION><QID>1</QID></DETECTION></HOST><HOST><ID>2</ID><DETECTION><QID>2</QID></DETECTION><DETECTION><QID>3</Q></DETECTION></HOST></L>"), nil)
	require.ErrorContains(t, err, "detection: ")
	assert.Equal(t, uint64(2), d.Host(), "the host that could not be read")
	out := d.Take()
	require.Len(t, out.Items, 2)
	assert.Equal(t, uint64(1), out.UnitDone)
	assert.Equal(t, 1, out.UnitsDone)

	// The next answer has nothing of it.
	again := takeAll(t, d, oneHost("<DETECTION><QID>4</QID></DETECTION>"))
	require.Len(t, again, 1)
	assert.Equal(t, uint64(7), again[0].Items[0].Unit)
	assert.Equal(t, uint64(7), again[0].UnitDone)
}

func TestAFaultyHostElementLeavesTheHostAsItWas(t *testing.T) {
	d := NewDetections(inJSON(testSettings()))
	d.Begin(collected, "", nil)
	require.Error(t, readHosts(d, strings.NewReader("<HOST><ID>1</ID><DETECTION/><OS><X>unfinished</OS>"), nil))
	body := onlyRecord(t, d.Take()).Body().Str()
	assert.NotContains(t, body, "unfinished")
	assert.NotContains(t, body, `"OS"`)
}

func TestAnAssetThatIsNone(t *testing.T) {
	a := NewAssets(testSettings())
	a.Begin(collected, "", nil)
	require.ErrorContains(t, readAssets(a, strings.NewReader(`[{"assetId":1},null,"x"]`)), "instead of an object")
	assert.Len(t, a.Take().Items, 1)
}
