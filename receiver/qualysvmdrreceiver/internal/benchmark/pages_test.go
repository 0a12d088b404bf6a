// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPagesAreTheSameEachTime(t *testing.T) {
	for _, pretty := range []bool{false, true} {
		assert.True(t, bytes.Equal(pageOf(1_000_000, pretty), pageOf(1_000_000, pretty)))
		assert.True(t, bytes.Equal(assetPageOf(3, pretty), assetPageOf(3, pretty)))
	}
}

func TestPagesAreOfTheSizeAndKindThatIsMeasured(t *testing.T) {
	const size = 5_000_000
	for _, pretty := range []bool{false, true} {
		page := pageOf(size, pretty)
		assert.InDelta(t, size, len(page), 700_000, "a page ends behind a host")
		detections := 0
		require.NoError(t, decodeHosts(bytes.NewReader(page), func(h *xmlHost) {
			assert.True(t, len(h.Detections) >= 50 && len(h.Detections) <= 300)
			detections += len(h.Detections)
		}))
		plain := bytes.Count(page, []byte("<RESULTS>")) - bytes.Count(page, []byte("<RESULTS><![CDATA["))
		if !pretty {
			assert.InDelta(t, 1900, len(page)/detections, 300, "bytes of a detection without indentation")
		}
		assert.InDelta(t, 0.05, float64(plain)/float64(detections), 0.02, "RESULTS that are no CDATA")
		assert.Equal(t, pretty, bytes.Contains(page, []byte("\n          <DETECTION>")))
	}
	assert.InDelta(t, 3*assetSize, len(assetPageOf(3, false)), 3*3000)
}

func TestLongPagesAreMadeWhileTheyAreRead(t *testing.T) {
	page := newDetectionPage(1_000_000_000, false)
	_, err := io.CopyN(io.Discard, page, 10_000_000)
	require.NoError(t, err)
	assert.Less(t, cap(page.xml.buf), 4_000_000)
}
