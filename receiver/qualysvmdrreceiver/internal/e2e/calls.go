// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"sync"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// Calls counts the calls of each API that a subscription answers at once.
type Calls struct {
	mu       sync.Mutex // guards everything below
	run      int
	underWay map[qualyssim.API]int
	most     map[qualyssim.API]int
}

// CountCalls counts from now on. It takes the place of an interceptor.
func (s *Subscription) CountCalls() *Calls {
	c := &Calls{underWay: map[qualyssim.API]int{}, most: map[qualyssim.API]int{}}
	s.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		defer c.begin(r.API)()
		serve(w)
		return true
	})
	return c
}

func (c *Calls) begin(api qualyssim.API) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	run := c.run
	c.underWay[api]++
	c.most[api] = max(c.most[api], c.underWay[api])
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if run == c.run {
			c.underWay[api]--
		}
	}
}

// NewRun forgets the calls that are under way: the collector that sent them is gone.
func (c *Calls) NewRun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run++
	clear(c.underWay)
}

// UnderWay is how many calls of an API the collector that runs waits for.
func (c *Calls) UnderWay(api qualyssim.API) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.underWay[api]
}

// Most is how many calls of an API were under way at once, at most.
func (c *Calls) Most(api qualyssim.API) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most[api]
}
