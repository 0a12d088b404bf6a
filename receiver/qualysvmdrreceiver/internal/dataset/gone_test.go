// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
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

// A host may have been told to be gone when the collector crashed. It is told the same once more, also where the list cannot be had
// then: told by a later collection it would be another record, and nobody could tell that it repeats that.
func TestHostThatACrashedCollectionMayHaveToldIsToldTheSame(t *testing.T) {
	type crash struct {
		values map[string][]byte
		told   map[string]map[string]bool
	}
	bubble(t, func(h *harness.Harness) {
		// uids are those of the removals, by host, from a record on.
		uids := func(from int) map[string]map[string]bool {
			found := map[string]map[string]bool{}
			for _, r := range h.Backend.Records()[from:] {
				if label := harness.Label(r); strings.HasPrefix(label, "removed host ") {
					uid, _ := r.Attributes().Get("log.record.uid")
					if found[label] == nil {
						found[label] = map[string]bool{}
					}
					found[label][uid.Str()] = true
				}
			}
			return found
		}
		disk := &crashes{values: map[string][]byte{}}
		h.Storage = disk
		setHosts(h, 60)
		settings := hostSettings()
		runHosts(h, settings, nil)
		h.Advance(time.Hour)
		removeHosts(h, 4, 4)
		h.Advance(24 * time.Hour)
		h.Stop()
		var all []crash
		before := maps.Clone(disk.values)
		disk.written = func(values map[string][]byte) { // it crashes before that
			all = append(all, crash{before, uids(0)})
			before = values
		}
		runHosts(h, settings, nil)
		h.Advance(24 * time.Hour)
		h.Stop()
		require.Equal(t, gone(4, 4), removedHosts(h))
		for i, c := range all {
			h.Storage = &crashes{values: c.values}
			from := len(h.Backend.Records())
			var asked atomic.Bool
			interceptList(h, func(w http.ResponseWriter, serve func(http.ResponseWriter)) {
				if !asked.Swap(true) {
					fmt.Fprint(w, "<HOST_LIST_OUTPUT><RESPONSE></RESPONSE></HOST_LIST_OUTPUT>")
					return
				}
				serve(w)
			})
			runHosts(h, settings, nil)
			h.Advance(3 * 24 * time.Hour)
			h.Stop()
			told := uids(from)
			for label := range gone(4, 4) {
				all := map[string]bool{}
				maps.Copy(all, c.told[label])
				maps.Copy(all, told[label])
				assert.Len(t, all, 1, "%s after crash %d", label, i)
			}
		}
	})
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

// All hosts are missing once, in the collection and in the list of IDs.
func TestListOfHostsThatIsEmptyOnceIsNoAlarm(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setHosts(h, 9)
		runHosts(h, hostSettings(), nil)
		h.Advance(time.Hour)
		h.Sim.Intercept(func(_ context.Context, _ qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
			fmt.Fprint(w, "<HOST_LIST_OUTPUT><RESPONSE><DATETIME>2026-01-01T00:00:00Z</DATETIME></RESPONSE></HOST_LIST_OUTPUT>")
			return true
		})
		h.Advance(24 * time.Hour)
		h.ExpectState(dataset.Hosts, health.Collecting)
		h.Sim.Intercept(nil)
		h.Advance(48 * time.Hour)
		h.ExpectState(dataset.Hosts, health.Collecting)
		h.ExpectLogged(0, "needs attention")
		assert.Empty(t, removedHosts(h))
	})
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

func TestWhatIsLeftOfAnEarlierTrackingIsNotGone(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		run(h, trackedDaily())
		h.Advance(12 * time.Hour)
		h.Stop()
		require.NoError(t, h.Storage.Delete(t.Context(), "journal/vulnerabilities/tracked/0"))
		untracked := trackedDaily()
		untracked.Track = false
		run(h, untracked)
		h.Change(4, func(d *qualyssim.ScriptedDetection) { d.Status = qualyssim.StatusFixed })
		host, _ := h.Script.Host(50)
		h.Script.RemoveHost(50)
		h.Advance(24 * time.Hour)
		h.Stop()
		run(h, trackedDaily())
		h.Advance(48 * time.Hour)
		host.Detections[0].Updated = time.Now()
		host.Detections = host.Detections[:1]
		h.Script.SetHost(50, host) // it is back, with one of three
		h.Advance(48 * time.Hour)
		assert.Empty(t, removedCounts(h))
		h.Script.RemoveDetection(20, 6)
		h.Script.RemoveDetection(50, 13)
		h.Advance(24 * time.Hour)
		assert.Equal(t, harness.Times(1, "removed detection 6", "removed detection 13"), removedCounts(h), "of the new tracking it is")
	})
}

// What earlier versions have stored has no generation: the upper half of a host's mark is 0, and the document lacks it.
func TestTrackedDetectionsOfAnEarlierVersionAreKnown(t *testing.T) {
	for _, test := range []struct {
		name, instead string
		told          map[string]int
	}{
		{"of this account", "", harness.Times(1, "removed detection 2", "removed detection 4")},
		{"in part of another account", `,"foreign":"1999-12-31T00:00:00Z"`, harness.Times(1, "removed detection 4")},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Detections(60)
				run(h, trackedDaily())
				h.Advance(12 * time.Hour)
				h.Stop()
				generation := regexp.MustCompile(`,"generation":\d+`)
				for _, key := range h.Storage.(*harness.Storage).Keys() {
					value, err := h.Storage.Get(t.Context(), key)
					require.NoError(t, err)
					switch {
					case key == "document/vulnerabilities/tracked":
						require.Regexp(t, generation, string(value))
						value = generation.ReplaceAll(value, []byte(test.instead))
					case strings.HasPrefix(key, knownHost):
						clear(value[5:9])
					}
					require.NoError(t, h.Storage.Set(t.Context(), key, value))
				}
				h.Script.RemoveDetection(10, 2)
				run(h, trackedDaily())
				h.Advance(24 * time.Hour)
				h.Script.RemoveDetection(20, 4)
				h.Advance(24 * time.Hour)
				assert.Equal(t, test.told, removedCounts(h))
			})
		})
	}
}

func TestAnotherAccountRepeatsNothingThatWasDelivered(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(12)
		settings := trackedDaily()
		settings.Collect, settings.Full = "processed", 7*24*time.Hour
		run(h, settings)
		h.Advance(90 * time.Minute)
		h.Stop()
		settings.Account = "another user"
		run(h, settings)
		for range 3 {
			for i := 1; i <= 12; i++ {
				h.Edit(i, func(d *qualyssim.ScriptedDetection) { d.Processed = time.Now() })
			}
			h.Advance(time.Hour)
		}
		h.ExpectDelivered(h.EachOnce())
	})
}

// A restart on another machine, or after the clock was corrected: what happened is told by collections, not by clocks.
func TestAnotherAccountAfterTheLocalClockWasSetBack(t *testing.T) {
	var disk storage.Client
	another := trackedDaily()
	another.Account = "another user"
	bubble(t, func(h *harness.Harness) {
		disk = h.Storage
		h.Detections(60)
		run(h, trackedDaily())
		h.Advance(30 * time.Hour)
		h.Stop()
		run(h, another)
		h.Advance(time.Minute)
	})
	bubble(t, func(h *harness.Harness) { // which begins at the same time as the one before
		h.Storage = disk
		h.Detections(60)
		h.Script.RemoveDetection(10, 2) // of the account before
		h.Sim.Advance(30 * time.Hour)
		run(h, another)
		h.Advance(12 * time.Hour)
		h.Script.RemoveDetection(20, 4)
		h.Advance(72 * time.Hour)
		assert.Equal(t, harness.Times(1, "removed detection 4"), removedCounts(h))
	})
}

func TestAnotherAccountWithinAFullCollectionThatAFastClockBegan(t *testing.T) {
	var disk storage.Client
	bubble(t, func(h *harness.Harness) {
		disk = h.Storage
		h.Detections(90)
		run(h, trackedDaily())
		h.Advance(23*time.Hour + 30*time.Minute)
		acceptSlowly(h)
		h.Advance(90 * time.Minute) // the full collection has begun
		h.Stop()
	})
	bubble(t, func(h *harness.Harness) { // which begins at the same time as the one before
		h.Storage = disk
		h.Detections(90)
		h.Script.RemoveHost(10) // which was read, and which that user does not see
		h.Script.RemoveHost(300)
		h.Sim.Advance(25 * time.Hour)
		settings := trackedDaily()
		settings.Account = "another user"
		run(h, settings)
		h.Advance(72 * time.Hour)
		assert.Empty(t, removedCounts(h))
	})
}

func TestRestartWithARaisedShareWarnsOfHostsNoMore(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setHosts(h, 100)
		settings := hostSettings()
		runHosts(h, settings, nil)
		h.Advance(time.Hour)
		removeHosts(h, 0, 50)
		h.Advance(49 * time.Hour)
		expectWithheld(h, dataset.Hosts, "50 of 100 hosts are no longer listed")
		h.Stop()
		settings.MaxRemovedShare = 0.5
		runHosts(h, settings, nil)
		h.Advance(time.Hour)
		h.ExpectState(dataset.Hosts, health.Initialized)
		h.Advance(24 * time.Hour)
		assert.Equal(t, gone(0, 50), removedHosts(h))
		h.ExpectState(dataset.Hosts, health.Collecting)
	})
}

func TestRestartStillWarnsOfDetectionsThatAreWithheld(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		weekly := trackedDaily()
		weekly.Full = 7 * 24 * time.Hour
		run(h, weekly)
		h.Advance(12 * time.Hour)
		for id := int64(10); id <= 50; id += 10 {
			h.Script.RemoveHost(id) // 15 of 60
		}
		h.Advance(7 * 24 * time.Hour)
		const text = "15 of 60 detections are no longer listed"
		expectWithheld(h, dataset.Vulnerabilities, text)
		h.Stop()
		run(h, weekly)
		h.Advance(3 * time.Hour)
		expectWithheld(h, dataset.Vulnerabilities, text)
		h.Stop()
		weekly.MaxRemovedShare = 0.5
		run(h, weekly)
		h.Advance(3 * time.Hour)
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
		h.Advance(7 * 24 * time.Hour)
		assert.Len(t, removedCounts(h), 15)
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
		h.Stop()
		weekly.MaxRemovedShare = 0.2
		run(h, weekly)
		h.Advance(3 * time.Hour)
		h.ExpectState(dataset.Vulnerabilities, health.Collecting)
	})
}

func TestWhatWasReadOfABrokenHostIsGoneUnderItsOwnQID(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(60)
		settings := trackedDaily()
		settings.Collect = "processed"
		c := run(h, settings)
		h.Advance(22*time.Hour + 30*time.Minute)
		h.Break(20, true)
		for range 3 { // over the full collection
			h.Edit(4, func(d *qualyssim.ScriptedDetection) { d.Processed = time.Now() })
			h.Advance(time.Hour)
		}
		require.Equal(t, 1, c.Quarantined())
		h.Script.RemoveHost(20)
		h.Advance(24 * time.Hour)
		assert.Equal(t, harness.Times(1, "removed detection 4", "removed detection 5", "removed detection 6"), removedCounts(h))
		for _, record := range h.Backend.Records() {
			if strings.HasPrefix(harness.Label(record), "removed ") {
				qid, _ := record.Attributes().Get("qualys.qid")
				assert.Less(t, qid.Int(), int64(2000), harness.Label(record))
			}
		}
	})
}

// What was brought for the account before is not gone, and not new either.
func TestAnotherAccountWithinAFullCollectionRepeatsNothing(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Detections(90)
		settings := trackedDaily()
		settings.Collect = "processed"
		run(h, settings)
		h.Advance(23*time.Hour + 30*time.Minute)
		acceptSlowly(h)
		h.Advance(90 * time.Minute) // the full collection has begun
		h.Stop()
		h.Backend.Decide(func(context.Context, plog.Logs) error { return nil })
		settings.Account = "another user"
		h.Change(1, func(*qualyssim.ScriptedDetection) {}) // of a host that was read
		run(h, settings)
		h.Advance(5 * time.Hour)
		for i := 2; i <= 90; i++ {
			h.Edit(i, func(d *qualyssim.ScriptedDetection) { d.Processed = time.Now() })
		}
		h.Advance(time.Hour)
		want := h.EachOnce()
		for label := range want {
			want[label] = 2 // once in each full collection
		}
		h.ExpectDelivered(harness.With(want, "detection 1 Active", 3))
	})
}
