// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// withinLimits runs a test over a subscription that allows ten requests at once, and uses up to five of them.
func withinLimits(t *testing.T, test func(h *harness.Harness)) {
	synctest.Test(t, func(t *testing.T) {
		h := harness.NewWith(t, qualyssim.Options{Concurrency: 10, RateLimit: 2000})
		h.MaxConcurrent = 5
		h.Client = func(s *qualys.Settings) { s.MaxConcurrent, s.ConcurrencyReserve = 5, 1 }
		test(h)
	})
}

// After a restart nobody knows how many requests may run at once, so one range goes on first: the others must not be forgotten
// when it is the last one to be asked for, and short.
func TestRangesThatWereInterruptedAllGoOnAfterARestart(t *testing.T) {
	withinLimits(t, func(h *harness.Harness) {
		h.Detections(42) // 14 hosts, 2 to a page: after the first two pages there are 5 ranges, or 6
		open := make(chan struct{})
		var pages atomic.Int32
		h.Sim.Intercept(func(ctx context.Context, r qualyssim.Request, _ http.ResponseWriter, _ func(http.ResponseWriter)) bool {
			if r.API != qualyssim.Detections {
				return false
			}
			if pages.Add(1) <= 2 {
				harness.Slow(time.Second) // the list of the IDs is there when the page is read
				return false
			}
			select {
			case <-open:
			case <-ctx.Done():
			}
			return false
		})
		run(h, harness.DetectionSettings())
		h.Advance(time.Minute)
		h.ExpectLogged(1, "collecting ranges of IDs side by side")
		require.Greater(h.T, len(asked(h)), 5, "five ranges are under way")
		h.Stop()

		close(open)
		run(h, harness.DetectionSettings())
		h.Advance(time.Minute)
		h.ExpectDelivered(h.EachOnce())
		h.ExpectLogged(1, "collection finished")
	})
}
