// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
)

// A list that tells nothing keeps a host known. After a crash the same collection asks for another one, which tells more.
func TestHostThatACrashedCollectionHasKeptIsToldOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		gone int
		keep func(h *harness.Harness)
	}{
		{"the list has a warning", 1, func(h *harness.Harness) {
			interceptList(h, func(w http.ResponseWriter, serve func(http.ResponseWriter)) {
				recorded := httptest.NewRecorder()
				serve(recorded)
				fmt.Fprint(w, strings.Replace(recorded.Body.String(), "</RESPONSE>", "<WARNING><CODE>1980</CODE><TEXT>more</TEXT></WARNING></RESPONSE>", 1))
			})
		}},
		{"they are too many", 12, func(*harness.Harness) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				disk := &crashes{values: map[string][]byte{}}
				h.Storage = disk
				setHosts(h, 30)
				settings := hostSettings()
				runHosts(h, settings, nil)
				h.Advance(time.Hour)
				removeHosts(h, 4, test.gone)
				h.Advance(24 * time.Hour)
				h.Stop()
				test.keep(h)
				var all []map[string][]byte
				disk.written = func(values map[string][]byte) { all = append(all, values) }
				runHosts(h, settings, nil)
				h.Advance(24 * time.Hour)
				h.Stop()
				require.Empty(t, removedHosts(h))
				require.Greater(t, len(all), 5)
				h.Sim.Intercept(nil)
				settings.MaxRemovedShare = 0.5
				for i, values := range all {
					h.Storage = &crashes{values: values}
					before := removedHosts(h)
					runHosts(h, settings, nil)
					h.Advance(6 * 24 * time.Hour)
					h.Stop()
					for label := range gone(4, test.gone) {
						assert.Equal(t, 1, removedHosts(h)[label]-before[label], "%s after crash %d", label, i)
					}
				}
			})
		})
	}
}
