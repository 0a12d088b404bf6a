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

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
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

func TestEverythingIsGone(t *testing.T) {
	for _, n := range []int{1, 9, 60} {
		t.Run(fmt.Sprintf("%d detections", n), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(n)
				run(h, trackedDaily())
				h.Advance(12 * time.Hour)
				for i := range n {
					h.Script.RemoveDetection(int64(10+i/3*10), int64(i+1))
				}
				h.Advance(48 * time.Hour)
				assert.Empty(t, removedCounts(h), "an account that sees nothing any more looks the same")
				expectWithheld(h, dataset.Vulnerabilities, fmt.Sprintf("%d of %d detections are no longer listed", n, n))
				h.Stop()
				settings := trackedDaily()
				settings.MaxRemovedShare = 1
				run(h, settings)
				h.Advance(24 * time.Hour)
				assert.Len(t, removedCounts(h), n, "the share was raised")
				h.ExpectState(dataset.Vulnerabilities, health.Collecting)
			})
		})
	}
	for _, n := range []int{1, 9, 60} {
		t.Run(fmt.Sprintf("%d hosts", n), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setHosts(h, n)
				runHosts(h, hostSettings(), nil)
				h.Advance(time.Hour)
				removeHosts(h, 0, n)
				h.Advance(48 * time.Hour)
				assert.Empty(t, removedHosts(h), "an account that sees nothing any more looks the same")
				expectWithheld(h, dataset.Hosts, fmt.Sprintf("%d of %d hosts are no longer listed", n, n))
				h.Stop()
				settings := hostSettings()
				settings.MaxRemovedShare = 1
				runHosts(h, settings, nil)
				h.Advance(48 * time.Hour)
				assert.Equal(t, gone(0, n), removedHosts(h), "the share was raised")
				h.ExpectState(dataset.Hosts, health.Collecting)
			})
		})
	}
}

func expectWithheld(h *harness.Harness, name, text string) {
	h.T.Helper()
	h.ExpectState(name, health.Error)
	warned := h.Logs.FilterMessageSnippet("needs attention").All()
	if assert.NotEmpty(h.T, warned) {
		assert.Contains(h.T, warned[len(warned)-1].ContextMap()["error"], text)
	}
}

// With a share of 1 an empty list is believed, but not one that lacks hosts that were just delivered.
func TestEmptyListBesideHostsTellsNothingWhateverTheShareIs(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setHosts(h, 5)
		settings := hostSettings()
		settings.MaxRemovedShare = 1
		runHosts(h, settings, nil)
		h.Advance(time.Hour)
		removeHosts(h, 0, 2)
		interceptList(h, func(w http.ResponseWriter, _ func(http.ResponseWriter)) {
			fmt.Fprint(w, "<HOST_LIST_OUTPUT><RESPONSE><DATETIME>2026-01-01T00:00:00Z</DATETIME></RESPONSE></HOST_LIST_OUTPUT>")
		})
		h.Advance(72 * time.Hour)
		assert.Empty(t, removedHosts(h))
		h.ExpectState(dataset.Hosts, health.Collecting)
	})
}
