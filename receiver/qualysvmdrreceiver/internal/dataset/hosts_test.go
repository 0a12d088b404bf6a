// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/harness"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

func hostSettings() dataset.HostSettings {
	return dataset.HostSettings{
		Interval: 24 * time.Hour, Details: "All", Version: "5.0", PageSize: 7,
		Parameters:    map[string]string{"show_asset_id": "1", "show_trurisk": "1"},
		Defaults:      []string{"show_asset_id", "show_trurisk"},
		ReportRemoved: true, MaxRemovedShare: 0.2, Account: "user",
	}
}

// runHosts runs the dataset hosts. The finished collections are noted in finished, if that is not nil.
func runHosts(h *harness.Harness, settings dataset.HostSettings, finished *finishedRuns) *engine.Collector {
	var c *engine.Collector
	options := engine.Options{}
	if finished != nil {
		options = finished.options()
	}
	h.Run(func(shared dataset.Settings, status *health.Reporter) func(context.Context) {
		c = dataset.NewHosts(shared, settings, status.Dataset(dataset.Hosts), options)
		return c.Run
	})
	return c
}

// setHosts makes n hosts from 1000 on, ten apart, each with an agent.
func setHosts(h *harness.Harness, n int) {
	for i := range n {
		id := int64(1000 + 10*i)
		h.Script.SetHost(id, qualyssim.ScriptedHost{
			AssetID: 5_000_000 + id, IP: "10.0.0.1", Name: fmt.Sprintf("host-%d.example.com", id),
			Elements: fmt.Sprintf("<QG_HOSTID>agent-%d</QG_HOSTID>", id),
		})
	}
}

// removeHosts removes the hosts with the numbers from first on.
func removeHosts(h *harness.Harness, first, n int) {
	for i := range n {
		h.Script.RemoveHost(int64(1000 + 10*(first+i)))
	}
}

func eachHost(n, times int) map[string]int {
	counts := map[string]int{}
	for i := range n {
		counts[fmt.Sprintf("host %d", 1000+10*i)] = times
	}
	return counts
}

// removedHosts are the hosts that were told to be gone, and how often.
func removedHosts(h *harness.Harness) map[string]int {
	counts := h.Backend.Counts()
	maps.DeleteFunc(counts, func(label string, _ int) bool { return !strings.HasPrefix(label, "removed ") })
	return counts
}

// gone expects hosts to be told once that have the numbers from first on.
func gone(first, n int) map[string]int {
	counts := map[string]int{}
	for i := range n {
		counts[fmt.Sprintf("removed host %d", 1000+10*(first+i))] = 1
	}
	return counts
}

func hostPages(h *harness.Harness) (pages, lists []qualyssim.Request) {
	for _, r := range h.Asked(qualyssim.HostList) {
		if r.Form.Get("details") == "None" {
			lists = append(lists, r)
		} else {
			pages = append(pages, r)
		}
	}
	return pages, lists
}

// interceptList lets answer take over requests for the IDs of all hosts.
func interceptList(h *harness.Harness, answer func(w http.ResponseWriter, serve func(http.ResponseWriter))) {
	h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		if r.API != qualyssim.HostList || r.Form.Get("details") != "None" {
			return false
		}
		answer(w, serve)
		return true
	})
}

func TestEachCollectionBringsEachHostOnce(t *testing.T) {
	for _, atOnce := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d at once", atOnce), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.MaxConcurrent = atOnce
				setHosts(h, 40)
				runHosts(h, hostSettings(), nil)
				h.Advance(time.Hour)
				h.ExpectDelivered(eachHost(40, 1))
				pages, lists := hostPages(h)
				assert.Len(t, pages, 6)
				assert.NotEmpty(t, lists)
				assert.Equal(t, "All", pages[0].Form.Get("details"))
				assert.Equal(t, "1", pages[0].Form.Get("show_trurisk"))
				assert.Equal(t, "0", lists[len(lists)-1].Form.Get("truncation_limit"))
				h.Advance(48 * time.Hour)
				h.ExpectDelivered(eachHost(40, 3))
				h.ExpectState(dataset.Hosts, health.Collecting)
			})
		})
	}
}

func TestHostThatTwoListsLackIsGone(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setHosts(h, 40)
		finished := &finishedRuns{}
		runHosts(h, hostSettings(), finished)
		h.Advance(time.Hour)
		listed := time.Now().Add(-time.Hour).Add(time.Second)
		removeHosts(h, 3, 2)
		h.Advance(24 * time.Hour)
		assert.Empty(t, removedHosts(h), "one list can lack a host by chance")
		assert.Zero(t, finished.last().Removed)
		h.Advance(24 * time.Hour)
		assert.Equal(t, gone(3, 2), removedHosts(h))
		assert.EqualValues(t, 2, finished.last().Removed)
		h.Advance(5 * 24 * time.Hour)
		assert.Equal(t, gone(3, 2), removedHosts(h), "each is told once")
		assert.Zero(t, finished.last().Removed)

		var told plog.LogRecord
		for _, record := range h.Backend.Records() {
			if harness.Label(record) == "removed host 1030" {
				told = record
			}
		}
		want := map[string]any{
			"LogType": "removedHostLogs", "Reason": "not_listed", "Id": int64(1030), "AssetId": int64(5_001_030), "IP": "10.0.0.1",
			"Hostname": "host-1030.example.com", "TrackingMethod": "IP", "QgHostId": "agent-1030",
			"LastListedDateTime": listed.UTC().Format(timeFormat),
		}
		assert.Equal(t, want, told.Body().Map().AsRaw())
	})
}

func TestHostThatComesBackIsLikeANewOne(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setHosts(h, 20)
		host, _ := h.Script.Host(1050)
		runHosts(h, hostSettings(), nil)
		h.Advance(time.Hour)
		h.Script.RemoveHost(1050)
		h.Advance(24 * time.Hour)
		h.Script.SetHost(1050, host)
		h.Advance(24 * time.Hour)
		h.Script.RemoveHost(1050)
		h.Advance(24 * time.Hour)
		assert.Empty(t, removedHosts(h), "two lists lacked it, but not in a row")
		h.Advance(24 * time.Hour)
		assert.Equal(t, gone(5, 1), removedHosts(h))
		h.Script.SetHost(1050, host)
		h.Advance(24 * time.Hour)
		want := eachHost(20, 6)
		want["host 1050"] = 3
		want["removed host 1050"] = 1
		h.ExpectDelivered(want)
		h.Script.RemoveHost(1050)
		h.Advance(48 * time.Hour)
		assert.Equal(t, map[string]int{"removed host 1050": 2}, removedHosts(h))
	})
}

func TestManyHostsThatAreGoneAtOnce(t *testing.T) {
	for _, test := range []struct {
		hosts, lost int
		told        bool
	}{
		{hosts: 100, lost: 10, told: true},
		{hosts: 100, lost: 20, told: true},
		{hosts: 100, lost: 21},
		{hosts: 100, lost: 50},
		{hosts: 12, lost: 10, told: true}, // so few are told whatever their share is
		{hosts: 12, lost: 11},
	} {
		t.Run(fmt.Sprintf("%d of %d", test.lost, test.hosts), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setHosts(h, test.hosts)
				settings := hostSettings()
				settings.PageSize = 1000
				finished := &finishedRuns{}
				runHosts(h, settings, finished)
				h.Advance(time.Hour)
				removeHosts(h, 0, test.lost)
				h.Advance(48 * time.Hour)
				if test.told {
					assert.Equal(t, gone(0, test.lost), removedHosts(h))
					h.ExpectState(dataset.Hosts, health.Collecting)
					return
				}
				text := fmt.Sprintf("%d of %d hosts are no longer listed", test.lost, test.hosts)
				for range 3 {
					assert.Empty(t, removedHosts(h), "however often it repeats")
					assert.EqualValues(t, test.lost, finished.last().Withheld)
					h.ExpectState(dataset.Hosts, health.Error)
					warned := h.Logs.FilterMessageSnippet("needs attention").All()
					require.NotEmpty(t, warned)
					assert.Contains(t, warned[len(warned)-1].ContextMap()["error"], text)
					h.Advance(24 * time.Hour)
				}
				h.Stop()
				runHosts(h, settings, finished)
				h.Advance(time.Minute)
				h.ExpectState(dataset.Hosts, health.Error)
				h.Stop()
				settings.MaxRemovedShare = 0.95
				runHosts(h, settings, finished)
				h.Advance(24 * time.Hour)
				assert.Equal(t, gone(0, test.lost), removedHosts(h), "the share was raised")
				assert.EqualValues(t, test.lost, finished.last().Removed)
				h.ExpectState(dataset.Hosts, health.Collecting)
			})
		})
	}
}

func TestHostsThatWereWithheldAndAreBack(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setHosts(h, 100)
		runHosts(h, hostSettings(), nil)
		h.Advance(time.Hour)
		removeHosts(h, 0, 50)
		h.Advance(72 * time.Hour)
		h.ExpectState(dataset.Hosts, health.Error)
		setHosts(h, 100)
		h.Advance(24 * time.Hour)
		h.ExpectState(dataset.Hosts, health.Collecting)
		h.Advance(72 * time.Hour)
		assert.Empty(t, removedHosts(h))
	})
}

func TestListThatTellsNothing(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter, serve func(http.ResponseWriter))
	}{
		{"an error", func(w http.ResponseWriter, _ func(http.ResponseWriter)) {
			w.WriteHeader(http.StatusInternalServerError)
		}},
		{"no permission", func(w http.ResponseWriter, _ func(http.ResponseWriter)) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>2010</CODE><TEXT>no permission</TEXT></RESPONSE></SIMPLE_RETURN>")
		}},
		{"cut", func(w http.ResponseWriter, serve func(http.ResponseWriter)) {
			recorded := httptest.NewRecorder()
			serve(recorded)
			fmt.Fprint(w, recorded.Body.String()[:recorded.Body.Len()*2/3])
		}},
		{"empty", func(w http.ResponseWriter, _ func(http.ResponseWriter)) {
			fmt.Fprint(w, "<HOST_LIST_OUTPUT><RESPONSE><DATETIME>2026-01-01T00:00:00Z</DATETIME></RESPONSE></HOST_LIST_OUTPUT>")
		}},
		{"a warning", func(w http.ResponseWriter, serve func(http.ResponseWriter)) {
			recorded := httptest.NewRecorder()
			serve(recorded)
			fmt.Fprint(w, strings.Replace(recorded.Body.String(), "</RESPONSE>", "<WARNING><CODE>1980</CODE><TEXT>more</TEXT></WARNING></RESPONSE>", 1))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setHosts(h, 40)
				runHosts(h, hostSettings(), nil)
				h.Advance(time.Hour)
				removeHosts(h, 7, 3)
				interceptList(h, test.answer)
				h.Advance(72 * time.Hour)
				assert.Empty(t, removedHosts(h))
				want := eachHost(40, 4)
				for i := range 3 {
					want[fmt.Sprintf("host %d", 1070+10*i)] = 1
				}
				h.ExpectDelivered(want, "collections go on")
				h.ExpectState(dataset.Hosts, health.Collecting)
				h.Sim.Intercept(nil)
				h.Advance(24 * time.Hour)
				assert.Empty(t, removedHosts(h))
				h.Advance(24 * time.Hour)
				assert.Equal(t, gone(7, 3), removedHosts(h))
			})
		})
	}
}

func TestOtherHostsAreOthersNotGone(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*dataset.HostSettings)
		forget bool
	}{
		{"another user", func(s *dataset.HostSettings) { s.Account = "another" }, true},
		{"another filter", func(s *dataset.HostSettings) { s.Parameters = map[string]string{"ag_ids": "7"} }, true},
		{"other details", func(s *dataset.HostSettings) { s.Details = "Basic"; s.Parameters = map[string]string{"show_tags": "1"} }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setHosts(h, 40)
				settings := hostSettings()
				runHosts(h, settings, nil)
				h.Advance(time.Hour)
				h.Stop()
				removeHosts(h, 10, 4)
				test.change(&settings)
				runHosts(h, settings, nil)
				h.Advance(96 * time.Hour)
				if !test.forget {
					assert.Equal(t, gone(10, 4), removedHosts(h))
					return
				}
				assert.Empty(t, removedHosts(h))
				removeHosts(h, 20, 2)
				h.Advance(48 * time.Hour)
				assert.Equal(t, gone(20, 2), removedHosts(h), "the new list is kept like the old one")
			})
		})
	}
}

func TestHostThatWasMergedNamesTheOther(t *testing.T) {
	for _, test := range []struct{ name, before, after string }{
		{"agent", "<QG_HOSTID>a-1</QG_HOSTID>", "<QG_HOSTID>a-1</QG_HOSTID>"},
		{"cloud", "<EC2_INSTANCE_ID>i-1</EC2_INSTANCE_ID>", "<QG_HOSTID>a-1</QG_HOSTID><EC2_INSTANCE_ID>i-1</EC2_INSTANCE_ID>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setHosts(h, 20)
				h.Script.SetHost(77, qualyssim.ScriptedHost{Elements: test.before})
				runHosts(h, hostSettings(), nil)
				h.Advance(time.Hour)
				h.Script.RemoveHost(77)
				h.Script.RemoveHost(1050)
				h.Script.SetHost(9999, qualyssim.ScriptedHost{Elements: test.after})
				h.Advance(48 * time.Hour)
				assert.Equal(t, map[string]int{"removed host 77": 1, "removed host 1050": 1}, removedHosts(h))
				for _, record := range h.Backend.Records() {
					replaced, found := record.Body().Map().Get("ReplacedById")
					switch harness.Label(record) {
					case "removed host 77":
						require.True(t, found)
						assert.EqualValues(t, 9999, replaced.Int())
					case "removed host 1050":
						assert.False(t, found)
					}
				}
			})
		})
	}
}

// Rejections and restarts, wherever they come, repeat no removal and lose none.
func TestRemovalsAreToldOnceOverRestarts(t *testing.T) {
	for accept := range 8 {
		t.Run(fmt.Sprintf("after %d batches", accept), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setHosts(h, 30)
				settings := hostSettings()
				settings.MaxRemovedShare = 0.5
				runHosts(h, settings, nil)
				h.Advance(time.Hour)
				removeHosts(h, 4, 12)
				h.Advance(24 * time.Hour)
				told, accepted := 0, 0
				h.Backend.Decide(func(_ context.Context, offered plog.Logs) error {
					if !strings.HasPrefix(harness.Label(offered.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)), "removed") {
						return nil
					}
					told++
					if accepted == accept {
						return errors.New("backend is down")
					}
					accepted++
					return nil
				})
				h.Advance(24 * time.Hour)
				h.Stop()
				assert.Positive(t, told)
				assert.Len(t, removedHosts(h), min(12, 2*accept))
				h.Backend.Decide(func(context.Context, plog.Logs) error { return nil })
				runHosts(h, settings, nil)
				h.Advance(10 * time.Minute)
				assert.Equal(t, gone(4, 12), removedHosts(h))
				h.Advance(72 * time.Hour)
				assert.Equal(t, gone(4, 12), removedHosts(h))
			})
		})
	}
}

func TestRemovalsNeedNoStorageButForRestarts(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Storage = nil
		setHosts(h, 20)
		runHosts(h, hostSettings(), nil)
		h.Advance(time.Hour)
		removeHosts(h, 4, 1)
		h.Advance(48 * time.Hour)
		assert.Equal(t, gone(4, 1), removedHosts(h))
	})
}

func TestRemovalsThatAreNotReported(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setHosts(h, 20)
		settings := hostSettings()
		settings.ReportRemoved = false
		runHosts(h, settings, nil)
		h.Advance(time.Hour)
		removeHosts(h, 4, 1)
		h.Advance(72 * time.Hour)
		assert.Empty(t, removedHosts(h))
		_, lists := hostPages(h)
		assert.Empty(t, lists)
	})
}

// A host that cannot be read is listed all the same.
func TestQuarantinedHostIsNotGone(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setHosts(h, 20)
		c := runHosts(h, hostSettings(), nil)
		h.Advance(time.Hour)
		host, _ := h.Script.Host(1050)
		broken := host
		broken.Elements = "<OS></BROKEN>"
		h.Script.SetHost(1050, broken)
		h.Advance(6 * 24 * time.Hour)
		assert.Equal(t, 1, c.Quarantined())
		assert.Empty(t, removedHosts(h))
		h.ExpectDelivered(harness.With(eachHost(20, 7), "host 1050", 1))
		h.Script.RemoveHost(1050)
		h.Advance(72 * time.Hour)
		assert.Equal(t, gone(5, 1), removedHosts(h))
	})
}

func TestParameterThatTheHostListDoesNotTake(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setHosts(h, 20)
		h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
			if !r.Form.Has("show_trurisk") {
				return false
			}
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>1901</CODE><TEXT>Unrecognized parameter(s): show_trurisk</TEXT></RESPONSE></SIMPLE_RETURN>")
			return true
		})
		runHosts(h, hostSettings(), nil)
		h.Advance(time.Hour)
		h.ExpectDelivered(eachHost(20, 1))
		h.ExpectLogged(1, "qualys rejected a default parameter")
	})
}
