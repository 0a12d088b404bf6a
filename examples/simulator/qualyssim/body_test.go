// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"compress/gzip"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompressedAnswers(t *testing.T) {
	c := newClient(t, Options{})
	whole := c.list(detectionPath, "").body
	// Naming the encoding keeps the client of the standard library from undoing it.
	c.header.Set("Accept-Encoding", "gzip")
	got := c.list(detectionPath, "")
	require.Equal(t, "gzip", got.Header.Get("Content-Encoding"))
	assert.Less(t, len(got.body), len(whole))
	reader, err := gzip.NewReader(strings.NewReader(got.body))
	require.NoError(t, err)
	plain, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Equal(t, whole, string(plain))

	require.NoError(t, c.server.SetFaults(Faults{Rates: map[Fault]float64{CutCleanly: 1}}))
	reader, err = gzip.NewReader(strings.NewReader(c.list(detectionPath, "").body))
	if err == nil {
		_, err = io.ReadAll(reader)
	}
	require.Error(t, err, "a cut answer is whole")
}

func TestCompressionCanBeOff(t *testing.T) {
	c := newClient(t, Options{NoGzip: true})
	c.header.Set("Accept-Encoding", "gzip")
	got := c.list(detectionPath, "")
	assert.Empty(t, got.Header.Get("Content-Encoding"))
	var page detectionsAnswer
	require.NoError(t, xml.Unmarshal([]byte(got.body), &page))
}

// discard is a client that reads everything at once.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) Flush()                      {}

// BenchmarkPage is the speed at which a page is made, without a network.
func BenchmarkPage(b *testing.B) {
	s := New(Options{TotalBytes: 100e6, MinDetections: 50, MaxDetections: 300})
	for b.Loop() {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet,
			detectionPath+"?action=list&truncation_limit=0&show_tags=1&show_qds=1&show_qds_factors=1&"+everything, nil)
		require.NoError(b, err)
		r.Header.Set("X-Requested-With", "benchmark")
		r.SetBasicAuth(DefaultUsername, DefaultPassword)
		s.ServeHTTP(&discard{header: http.Header{}}, r)
		requests := s.Requests()
		b.SetBytes(requests[len(requests)-1].Bytes)
	}
}
