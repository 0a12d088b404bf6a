// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// typicalCompression is about how much shorter answers become.
const typicalCompression = 5

// chunk is how much of an answer is collected before it is sent.
const chunk = 128 << 10

var compressors = sync.Pool{New: func() any {
	// The level is a constant that the package knows.
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	return w
}}

// body is a long answer on its way: compressed if the client takes that, cut and slowed as faults demand.
type body struct {
	c    *call
	wire *wire
	gzip *gzip.Writer // nil if the answer is not compressed
}

// body begins a long answer. estimate is about how long it will be, for faults that strike in its midst.
func (c *call) body(contentType string, estimate int64) *body {
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	b := &body{c: c}
	if !c.s.options.NoGzip && strings.Contains(c.r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		b.gzip = compressors.Get().(*gzip.Writer)
		estimate /= typicalCompression
	}
	b.wire = newWire(c, estimate)
	if b.gzip != nil {
		b.gzip.Reset(b.wire)
	}
	c.w.WriteHeader(http.StatusOK)
	return b
}

func (b *body) write(data []byte) error {
	var err error
	if b.gzip != nil {
		_, err = b.gzip.Write(data)
	} else {
		_, err = b.wire.Write(data)
	}
	b.c.note(err)
	return b.c.err
}

// flush sends what is held anywhere.
func (b *body) flush() error {
	if b.gzip != nil {
		b.c.note(b.gzip.Flush())
	}
	if b.c.err == nil {
		b.c.note(b.c.w.flush())
	}
	return b.c.err
}

// end ends the answer; the body must not be used any more.
func (b *body) end() {
	if b.gzip != nil {
		if b.c.err == nil {
			b.c.note(b.gzip.Close())
		}
		compressors.Put(b.gzip)
	}
	if b.c.err == nil {
		b.c.note(b.wire.end())
	}
}

// send writes what x has collected once it is worth it.
func (b *body) send(x *xmlBuilder) error {
	if len(x.buf) < chunk {
		return nil
	}
	return b.sendNow(x)
}

func (b *body) sendNow(x *xmlBuilder) error {
	err := b.write(b.c.encoded(x.buf))
	x.buf = x.buf[:0]
	return err
}

// keepAlive lets time pass with comments, as while the real server works.
func (b *body) keepAlive(x *xmlBuilder, root string) error {
	faults := &b.c.mishap.faults
	every := time.Duration(faults.KeepAliveEvery)
	if every <= 0 {
		every = time.Second
	}
	for left := time.Duration(faults.KeepAlive); left > 0; left -= every {
		x.comment("keep-alive for " + root + " ")
		if b.sendNow(x) != nil || b.flush() != nil || b.c.pause(min(every, left)) != nil {
			return b.c.err
		}
	}
	return b.c.err
}

// wire is the way of an answer's bytes to the client, with what can happen to them there.
type wire struct {
	c    *call
	sent int64
	// owed is how many of the bytes that were sent have not been waited for yet.
	owed int

	// stop is the offset at which strike happens, if there is one.
	stop   int64
	strike Fault
	// held is the latest piece of an answer that a random cut has not met yet: it must not get through whole.
	random bool
	held   []byte
}

func newWire(c *call, estimate int64) *wire {
	w := &wire{c: c}
	m := &c.mishap
	for _, fault := range []Fault{Cut, CutCleanly, Stall} {
		if m.answer[fault] {
			w.strike = fault
		}
	}
	w.stop = m.cutAfter
	if w.strike != "" && w.stop <= 0 {
		w.random = true
		w.stop = int64(m.dice.fraction() * float64(estimate))
	}
	return w
}

func (w *wire) Write(p []byte) (int, error) {
	if w.strike == "" {
		return len(p), w.trickle(p)
	}
	if w.random {
		if w.sent+int64(len(w.held)) < w.stop {
			if err := w.trickle(w.held); err != nil {
				return 0, err
			}
			w.held = append(w.held[:0], p...)
			return len(p), nil
		}
		return 0, w.stopIn(w.held)
	}
	if w.sent+int64(len(p)) < w.stop {
		return len(p), w.trickle(p)
	}
	return 0, w.stopIn(p)
}

// end is the end of the answer, which a random cut must not let pass.
func (w *wire) end() error {
	if !w.random {
		return nil
	}
	w.stop = w.sent + int64(w.c.mishap.dice.fraction()*float64(len(w.held)))
	return w.stopIn(w.held)
}

// stopIn sends what of p lies before the stop, and strikes.
func (w *wire) stopIn(p []byte) error {
	p = p[:max(0, min(int64(len(p)), w.stop-w.sent))]
	if err := w.trickle(p); err != nil {
		return err
	}
	if err := w.c.w.flush(); err != nil {
		return err
	}
	switch w.strike {
	case CutCleanly:
		return errEnded
	case Stall:
		<-w.c.r.Context().Done()
		return w.c.r.Context().Err()
	default:
		return errCut
	}
}

// trickle sends bytes as fast as BytesPerSecond allows. It waits for a tenth of a second's bytes at a time, however small the
// writes are that bring them: a wait for each would take far longer than its bytes.
func (w *wire) trickle(p []byte) error {
	speed := w.c.mishap.faults.BytesPerSecond
	for len(p) > 0 {
		piece, tenth := p, max(1, speed/10)
		if speed > 0 {
			piece = p[:min(len(p), tenth-w.owed)]
		}
		n, err := w.c.w.Write(piece)
		w.sent += int64(n)
		if err != nil {
			return err
		}
		p = p[n:]
		if speed <= 0 {
			continue
		}
		if w.owed += n; w.owed < tenth {
			continue
		}
		if err := w.c.w.flush(); err != nil {
			return err
		}
		if err := w.c.wait(time.Duration(w.owed) * time.Second / time.Duration(speed)); err != nil {
			return err
		}
		w.owed = 0
	}
	return nil
}
