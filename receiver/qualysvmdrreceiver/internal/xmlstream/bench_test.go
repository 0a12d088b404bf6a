// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"bytes"
	"encoding/xml"
	"io"
	"slices"
	"testing"
	"time"
)

// forEachPage runs a benchmark on both forms of a page of 20 MB.
func forEachPage(b *testing.B, run func(b *testing.B, page []byte)) {
	for _, form := range []struct {
		name   string
		pretty bool
	}{{"pretty", true}, {"compact", false}} {
		page := detectionPage(20<<20, form.pretty)
		b.Run(form.name, func(b *testing.B) {
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			run(b, page)
		})
	}
}

func readTokens(b *testing.B, r *Reader, page io.Reader) {
	r.Reset(page)
	for {
		_, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func readStandardTokens(b *testing.B, page io.Reader) {
	d := xml.NewDecoder(page)
	for {
		_, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	forEachPage(b, func(b *testing.B, page []byte) {
		r := NewReader(nil)
		for b.Loop() {
			readTokens(b, r, bytes.NewReader(page))
		}
	})
}

func BenchmarkEncodingXML(b *testing.B) {
	forEachPage(b, func(b *testing.B, page []byte) {
		for b.Loop() {
			readStandardTokens(b, bytes.NewReader(page))
		}
	})
}

// BenchmarkRatio runs the two above in turns, because the speed of a shared
// machine changes, and reports the median of how many times as fast Reader is.
func BenchmarkRatio(b *testing.B) {
	forEachPage(b, func(b *testing.B, page []byte) {
		r := NewReader(nil)
		var ratios []float64
		for b.Loop() {
			begin := time.Now()
			readStandardTokens(b, bytes.NewReader(page))
			standard := time.Since(begin)
			begin = time.Now()
			readTokens(b, r, bytes.NewReader(page))
			ratios = append(ratios, standard.Seconds()/time.Since(begin).Seconds())
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], "times")
	})
}

// BenchmarkRaw hands the page out in pieces of 1 MiB.
func BenchmarkRaw(b *testing.B) {
	forEachPage(b, func(b *testing.B, page []byte) {
		r := NewReader(nil)
		out := make([]byte, 0, 1<<20+64)
		for b.Loop() {
			r.Reset(bytes.NewReader(page))
			if _, err := r.Next(); err != nil {
				b.Fatal(err)
			}
			for done := false; !done; {
				var err error
				if out, done, err = r.Raw(out[:0], 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
