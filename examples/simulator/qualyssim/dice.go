// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import "math/bits"

// dice is a sequence of pseudo-random numbers (splitmix64). Everything in the simulated subscription is drawn from one
// that is seeded with what it belongs to, so any host can be produced alone and twice the same.
type dice uint64

// Purposes keep the draws of one thing apart: a new draw for the text must not move the dates.
const (
	purposeHost uint64 = iota + 1
	purposeHostText
	purposeDetection
	purposeDetectionText
	purposeQID
	purposeEntry
	purposeEntryLife
	purposeAsset
	purposeAssetLife
	purposeCorpus
	purposeFaults
	purposeActivity
	purposeDetectionFlags
	purposeHostLife
)

func newDice(seed, purpose, a, b uint64) dice {
	d := dice(seed ^ purpose*0xd6e8feb86659fd93)
	d = dice(d.next() ^ a*0xa0761d6478bd642f)
	return dice(d.next() ^ b*0xe7037ed1a0b428db)
}

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n).
func (d *dice) below(n int) int {
	hi, _ := bits.Mul64(d.next(), uint64(n))
	return int(hi)
}

// between returns a number in [low, high].
func (d *dice) between(low, high int) int { return low + d.below(high-low+1) }

func (d *dice) oneIn(n int) bool { return d.below(n) == 0 }

// fraction returns a number in [0, 1).
func (d *dice) fraction() float64 { return float64(d.next()>>11) / (1 << 53) }

func pick[T any](d *dice, from []T) T { return from[d.below(len(from))] }
