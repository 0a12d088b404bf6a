// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

func TestAllocations(t *testing.T) {
	const hosts, detections = 4, 100
	answer := page(hosts, detections)
	fields := 0
	for _, lr := range recordsOf(detectionsOf(t, unlimited(), answer)) {
		fields += fieldsIn(lr.Body()) + fieldsOf(lr.Attributes())
	}
	d := NewDetections(unlimited())
	read := func(keep func(*Item) bool) func() {
		return func() {
			d.Begin(collected, "", keep)
			require.NoError(t, readHosts(d, strings.NewReader(answer), nil))
			d.Take()
		}
	}
	made := testing.AllocsPerRun(5, read(nil))
	assert.LessOrEqual(t, made, float64(fields+4*hosts*detections), "the values of each record, and four more")

	known := testing.AllocsPerRun(5, read(func(*Item) bool { return false }))
	assert.Less(t, known/(hosts*detections), 1.0, "a detection of which no record is made costs nothing")

	d = NewDetections(inJSON(unlimited()))
	made = testing.AllocsPerRun(5, read(nil))
	assert.Less(t, made/(hosts*detections), 12.0)
}

// fieldsOf counts the values in a map. Maps and lists are values, too, of three objects each: the value, what it holds,
// and the memory for its entries.
func fieldsOf(m pcommon.Map) int {
	n := 0
	for _, v := range m.All() {
		n += fieldsIn(v)
	}
	return n
}

func fieldsIn(v pcommon.Value) int {
	switch v.Type() {
	case pcommon.ValueTypeMap:
		return 3 + fieldsOf(v.Map())
	case pcommon.ValueTypeSlice:
		n := 3
		for _, entry := range v.Slice().All() {
			n += fieldsIn(entry)
		}
		return n
	default:
		return 1
	}
}
