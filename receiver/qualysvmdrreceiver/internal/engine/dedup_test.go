// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

func TestFingerprintTellsItsUnit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	others := 0
	for range 10_000 {
		item := records.Item{Unit: random.Uint64(), Key: random.Uint64(), Content: random.Uint64()}
		one := fingerprintOf(&item)
		require.True(t, one.of(item.Unit))
		if one.of(item.Unit + 1) {
			others++
		}
	}
	assert.LessOrEqual(t, others, 2, "one unit in 16 million looks like another")
}

func TestFingerprintsDiffer(t *testing.T) {
	item := records.Item{Unit: 7, Key: 1, Content: 2}
	for name, other := range map[string]records.Item{
		"another unit":     {Unit: 8, Key: 1, Content: 2},
		"another identity": {Unit: 7, Key: 3, Content: 2},
		"another content":  {Unit: 7, Key: 1, Content: 3},
	} {
		assert.NotEqual(t, fingerprintOf(&item), fingerprintOf(&other), name)
	}
}

func TestFingerprintsAreStoredAsTheyAre(t *testing.T) {
	var all []fingerprint
	for n := range uint64(100) {
		all = append(all, fingerprint{key: n << 40, content: ^n})
	}
	assert.Equal(t, all, decodeFingerprints(encodeFingerprints(all)))
}

func TestDuplicatesAreWhatTheWindowBeforeBrought(t *testing.T) {
	of := func(n uint64) fingerprint {
		item := records.Item{Unit: n, Key: n, Content: n}
		return fingerprintOf(&item)
	}
	d, err := openDedup(t.Context(), checkpoint.New(nil), "x", 0, zap.NewNop())
	require.NoError(t, err)
	d.begin()
	d.add([]fingerprint{of(1), of(2)})
	assert.False(t, d.contains(of(1)), "what a response holds twice is delivered twice")
	d.begin() // a full collection gives way to a window
	assert.True(t, d.contains(of(1)))
	d.add([]fingerprint{of(1), of(3)})
	d.next()
	d.begin()
	for n := range uint64(3) {
		assert.True(t, d.contains(of(n+1)), n+1)
	}
	d.add([]fingerprint{of(3)})
	assert.Len(t, d.of(3), 2, "of both windows")
	d.next()
	d.begin()
	assert.False(t, d.contains(of(1)), "two windows ago")
	assert.True(t, d.contains(of(3)))
}
