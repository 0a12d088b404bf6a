// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
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
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

func assetSettings() dataset.AssetSettings {
	return dataset.AssetSettings{Interval: 24 * time.Hour, Full: 24 * time.Hour, Overlap: time.Hour, PageSize: 4}
}

// hourlyAssets asks for what has changed every hour.
func hourlyAssets() dataset.AssetSettings {
	settings := assetSettings()
	settings.Interval, settings.Full = time.Hour, 0
	return settings
}

// runAssets runs the dataset asset_inventory. Each finished collection is noted in finished, if that is not nil.
func runAssets(h *harness.Harness, settings dataset.AssetSettings, finished *finishedRuns) {
	options := engine.Options{}
	if finished != nil {
		options = finished.options()
	}
	h.Run(func(shared dataset.Settings, status *health.Reporter) func(context.Context) {
		return dataset.NewAssets(shared, settings, status.Dataset(dataset.AssetInventory), options).Run
	})
}

// setAssets makes n assets from 100 on that were modified at a time.
func setAssets(h *harness.Harness, n int, at time.Time) {
	for i := range n {
		h.Script.SetAsset(int64(100+i), qualyssim.ScriptedAsset{Modified: at})
	}
}

func eachAsset(n, times int) map[string]int {
	counts := map[string]int{}
	for i := range n {
		counts[fmt.Sprintf("asset %d", 100+i)] = times
	}
	return counts
}

// searches are the requests for pages of assets.
func searches(h *harness.Harness) []qualyssim.Request { return gatewayCalls(h, "search") }

// counted are the requests for the number of assets.
func counted(h *harness.Harness) []qualyssim.Request { return gatewayCalls(h, "count") }

func gatewayCalls(h *harness.Harness, path string) []qualyssim.Request {
	return slices.DeleteFunc(h.Asked(qualyssim.Assets), func(r qualyssim.Request) bool { return !strings.Contains(r.Path, path) })
}

// interceptSearch lets answer take over requests for pages of assets.
func interceptSearch(h *harness.Harness, answer func(r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool) {
	h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		return strings.Contains(r.Path, "search") && answer(r, w, serve)
	})
}

// editSearch changes each response that is a page of assets.
func editSearch(h *harness.Harness, edit func(r qualyssim.Request, body string) string) {
	interceptSearch(h, func(r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		recorded := httptest.NewRecorder()
		serve(recorded)
		w.WriteHeader(recorded.Code)
		_, _ = w.Write([]byte(edit(r, recorded.Body.String())))
		return true
	})
}

func TestEveryAssetArrivesOnceADay(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setAssets(h, 10, time.Now().Add(-24*time.Hour))
		runAssets(h, assetSettings(), nil)
		h.Advance(time.Hour)
		h.ExpectDelivered(eachAsset(10, 1))
		assert.Len(t, searches(h), 3)
		assert.Len(t, counted(h), 1)
		h.Advance(24 * time.Hour)
		h.ExpectDelivered(eachAsset(10, 2), "with both intervals at 24 hours every collection is a full one")
		h.ExpectLogged(0, "fewer")
	})
}

// assetResponse is a page of assets with these members around them.
func assetResponse(w http.ResponseWriter, around string, assets ...string) {
	fmt.Fprintf(w, `{"responseCode":"SUCCESS",%s"assetListData":{"asset":[%s]}}`, around, strings.Join(assets, ","))
}

// assetModified is an asset as a page has it.
func assetModified(id int, at time.Time) string {
	return fmt.Sprintf(`{"assetId":%d,"lastModifiedDate":%q,"agent":null}`, id, at.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func TestBetweenFullCollectionsOnlyChangedAssetsArrive(t *testing.T) {
	const field, parameter = "asset.lastUpdatedDate", "assetLastUpdated"
	for _, test := range []struct {
		name             string
		refused          []string // spellings of the filter
		ignored          bool
		filters, rejects int
		incomplete       bool
	}{
		{name: "filter", filters: 10},
		{name: "filter is a parameter", refused: []string{field}, filters: 10, rejects: 1},
		{name: "no filter", refused: []string{field, parameter}, rejects: 2, incomplete: true},
		{name: "filter is ignored", ignored: true, filters: 10, incomplete: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				began := time.Now()
				modified := func(id int) time.Time {
					switch changed := began.Add(30 * time.Minute); {
					case id == 100:
						return began.Add(-time.Minute)
					case id == 103 && !time.Now().Before(changed):
						return changed
					}
					return began.Add(-48 * time.Hour)
				}
				filtered := 0
				h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
					if r.API == qualyssim.Auth {
						return false
					}
					spelled, value := "", ""
					if _, after, found := strings.Cut(r.Body, field+`","operator":"GREATER","value":"`); found {
						spelled, value = field, after[:len(timeFormat)]
					} else if r.Query.Has(parameter) {
						spelled, value = parameter, r.Query.Get(parameter)
					}
					if slices.Contains(test.refused, spelled) {
						w.WriteHeader(http.StatusBadRequest)
						fmt.Fprint(w, `{"responseMessage":"Invalid field","responseCode":"FAILED"}`)
						return true
					}
					since, _ := time.Parse(timeFormat, value)
					var selected []string
					for id := 100; id < 110; id++ {
						if test.ignored || modified(id).After(since) {
							selected = append(selected, assetModified(id, modified(id)))
						}
					}
					if strings.Contains(r.Path, "count") {
						fmt.Fprintf(w, `{"responseCode":"SUCCESS","count":%d}`, len(selected))
						return true
					}
					if spelled != "" {
						filtered++
					}
					assetResponse(w, `"hasMore":0,`, selected...)
					return true
				})
				finished := &finishedRuns{}
				runAssets(h, hourlyAssets(), finished)
				h.Advance(10*time.Hour + 30*time.Minute)
				h.ExpectDelivered(harness.With(eachAsset(10, 1), "asset 103", 2))
				assert.Equal(t, test.filters, filtered)
				h.ExpectLogged(test.rejects, "qualys rejected a default parameter")
				require.Len(t, finished.all(), 11)
				assert.Empty(t, finished.all()[0].Incomplete)
				assert.Equal(t, test.incomplete, finished.all()[10].Incomplete != "")
			})
		})
	}
}

// An asset may be selected by another date than those that it shows.
// What a proxy answers tells nothing of the filter: without it each window would read all assets, until a restart.
func TestBadRequestOfAProxyDoesNotCostTheFilter(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setAssets(h, 10, time.Now().Add(-48*time.Hour))
		calls := 0
		interceptSearch(h, func(r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
			if !strings.Contains(r.Body, "lastUpdatedDate") {
				return false
			}
			if calls++; calls > 1 {
				return false
			}
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "<html><head><title>400 Bad Request</title></head></html>")
			return true
		})
		runAssets(h, hourlyAssets(), nil)
		h.Advance(90 * time.Minute)
		h.ExpectDelivered(eachAsset(10, 1))
		h.ExpectLogged(0, "qualys rejected a default parameter")
		asked := searches(h)
		assert.Contains(t, asked[len(asked)-1].Body, "lastUpdatedDate")
	})
}

func TestAssetThatTheServerSelectsIsDelivered(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setAssets(h, 3, time.Now().Add(-48*time.Hour))
		runAssets(h, hourlyAssets(), nil)
		h.Advance(30 * time.Minute)
		h.Script.SetAsset(101, qualyssim.ScriptedAsset{Modified: time.Now(), Told: time.Now().Add(-72 * time.Hour)})
		h.Advance(5 * time.Hour)
		h.ExpectDelivered(harness.With(eachAsset(3, 1), "asset 101", 2))
	})
}

func TestPageThatDoesNotSayWhetherThereAreMore(t *testing.T) {
	for _, says := range []string{"", `"hasMore":7,`, `"hasMore":null,`, `"hasMore":"perhaps",`} {
		t.Run(says, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setAssets(h, 3, time.Now())
				interceptSearch(h, func(r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
					if r.Query.Has("lastSeenAssetId") {
						return false
					}
					assetResponse(w, says+`"count":2,"lastSeenAssetId":101,`, assetModified(100, time.Now()), assetModified(101, time.Now()))
					return true
				})
				finished := &finishedRuns{}
				runAssets(h, assetSettings(), finished)
				h.Advance(time.Hour)
				h.ExpectDelivered(eachAsset(3, 1))
				assert.Equal(t, "101", searches(h)[1].Query.Get("lastSeenAssetId"))
				h.ExpectLogged(1, "whether there are more")
				require.Len(t, finished.all(), 1)
				assert.Empty(t, finished.all()[0].Incomplete)
			})
		})
	}
}

func TestListOfAssetsThatDoesNotGoOn(t *testing.T) {
	for _, test := range []struct {
		name   string
		around string
		assets bool
	}{
		{name: "no assets and no cursor", around: `"hasMore":1,`},
		{name: "a cursor that stands still", around: `"hasMore":1,"lastSeenAssetId":103,`, assets: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				began := time.Now()
				setAssets(h, 10, began)
				answered := 0
				interceptSearch(h, func(r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
					if r.Query.Get("lastSeenAssetId") != "103" {
						return false
					}
					answered++
					if test.assets {
						assetResponse(w, test.around, assetModified(104, began))
					} else {
						assetResponse(w, test.around)
					}
					return true
				})
				finished := &finishedRuns{}
				runAssets(h, assetSettings(), finished)
				h.Advance(time.Hour)
				assert.Equal(t, 3, answered)
				want := eachAsset(4, 1)
				if test.assets {
					want["asset 104"] = 1
				}
				h.ExpectDelivered(want)
				h.ExpectLogged(1, "does not go on")
				require.Len(t, finished.all(), 1)
				assert.NotEmpty(t, finished.all()[0].Incomplete)
				h.ExpectState(dataset.AssetInventory, health.Collecting)
				h.Sim.Intercept(nil)
				h.Advance(24 * time.Hour)
				want = eachAsset(10, 1)
				for name, times := range eachAsset(4, 2) {
					want[name] = times
				}
				if test.assets {
					want["asset 104"] = 2
				}
				h.ExpectDelivered(want, "the next collection begins anew")
				assert.Empty(t, finished.all()[1].Incomplete)
			})
		})
	}
}

func TestCollectionThatBringsFewerAssetsThanThereAreIsIncomplete(t *testing.T) {
	for _, test := range []struct {
		count      int
		incomplete bool
	}{{count: 200}, {count: 202}, {count: 203, incomplete: true}, {count: 50}} {
		t.Run(fmt.Sprint(test.count), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setAssets(h, 200, time.Now())
				h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
					if !strings.Contains(r.Path, "count") {
						return false
					}
					fmt.Fprintf(w, `{"responseCode":"SUCCESS","count":%d}`, test.count)
					return true
				})
				settings := assetSettings()
				settings.PageSize = 300
				settings.Filter = nil
				finished := &finishedRuns{}
				runAssets(h, settings, finished)
				h.Advance(time.Hour)
				h.ExpectDelivered(eachAsset(200, 1))
				require.Len(t, finished.all(), 1)
				assert.Equal(t, test.incomplete, finished.all()[0].Incomplete != "")
				warned := h.Logs.FilterMessageSnippet("fewer assets").All()
				if !test.incomplete {
					assert.Empty(t, warned)
					return
				}
				require.Len(t, warned, 1)
				assert.Equal(t, map[string]any{"dataset": dataset.AssetInventory, "counted": int64(test.count), "brought": int64(200)}, warned[0].ContextMap())
			})
		})
	}
}

func TestCountThatCannotBeHadHoldsNothingUp(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusBadRequest, http.StatusInternalServerError, http.StatusNoContent} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setAssets(h, 10, time.Now().Add(-time.Hour))
				h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
					if !strings.Contains(r.Path, "count") {
						return false
					}
					w.WriteHeader(status)
					return true
				})
				runAssets(h, assetSettings(), nil)
				h.Advance(time.Minute)
				h.ExpectDelivered(eachAsset(10, 1))
				h.ExpectState(dataset.AssetInventory, health.Collecting)
				assert.Len(t, counted(h), 1)
			})
		})
	}
}

func TestPortsThatAreToldAreThoseSeenSinceTheCollectionBefore(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		began := time.Now()
		port := func(number int, at time.Time) string {
			return fmt.Sprintf(`{"port":%d,"lastUpdated":%q}`, number, at.UTC().Format("2006-01-02T15:04:05.000Z"))
		}
		set := func(ports ...string) {
			h.Script.SetAsset(100, qualyssim.ScriptedAsset{Modified: time.Now(), Members: `"openPortListData":{"openPort":[` + strings.Join(ports, ",") + `]}`})
		}
		old := port(22, began.Add(-72*time.Hour))
		set(old)
		settings := assetSettings()
		settings.Interval, settings.Full = time.Hour, 3*time.Hour
		runAssets(h, settings, nil)
		h.Advance(30 * time.Minute)
		set(old, port(80, time.Now()))
		h.Advance(150 * time.Minute)
		set(old, port(80, began.Add(30*time.Minute)), port(443, time.Now()))
		h.Advance(time.Hour)
		var told []string
		for _, record := range h.Backend.Records() {
			list, found := record.Body().Map().Get("openPortListData")
			require.True(t, found)
			told = append(told, list.AsString())
		}
		require.Len(t, told, 3)
		for i, want := range [][]bool{{true, false, false}, {false, true, false}, {false, false, true}} {
			for k, number := range []string{"22", "80", "443"} {
				assert.Equal(t, want[k], strings.Contains(told[i], `"port":`+number), "port %s of record %d: %s", number, i, told[i])
			}
		}
	})
}

func TestCollectionOfAssetsGoesOnAfterARestart(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setAssets(h, 10, time.Now())
		accepted := 0
		h.Backend.Decide(func(context.Context, plog.Logs) error {
			if accepted++; accepted > 3 {
				return errors.New("backend is down")
			}
			return nil
		})
		runAssets(h, assetSettings(), nil)
		h.Advance(time.Minute)
		assert.Len(t, h.Backend.Labels(), 6)
		h.ExpectState(dataset.AssetInventory, health.Error)
		h.Stop()
		asked := len(searches(h))
		h.Backend.Decide(func(context.Context, plog.Logs) error { return nil })
		runAssets(h, assetSettings(), nil)
		h.Advance(time.Minute)
		h.ExpectDelivered(eachAsset(10, 1))
		assert.Equal(t, "103", searches(h)[asked].Query.Get("lastSeenAssetId"), "the second page is asked for again, not the first")
		h.ExpectLogged(0, "fewer assets")
	})
}

func TestExpiringTokensCostNoAsset(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setAssets(h, 30, time.Now())
		calls := 0
		interceptSearch(h, func(_ qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
			if calls++; calls%3 != 0 {
				return false
			}
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"status":401,"error":"Unauthorized","message":"JWT expired"}`)
			return true
		})
		runAssets(h, assetSettings(), nil)
		h.Advance(time.Minute)
		h.ExpectDelivered(eachAsset(30, 1))
		assert.Greater(t, len(h.Asked(qualyssim.Auth)), 1)
	})
}

// The gateway answers 202 where the same is being asked already. That is no end of the list, whatever it says besides.
func TestPageThatIsNotReadyIsAskedForAgain(t *testing.T) {
	for _, body := range []string{"", `{"responseCode":"SUCCESS","responseMessage":"duplicate operation"}`, `{"responseCode":"SUCCESS","count":0,"hasMore":0,"assetListData":{"asset":[]}}`} {
		bubble(t, func(h *harness.Harness) {
			setAssets(h, 10, time.Now())
			calls := 0
			interceptSearch(h, func(_ qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
				if calls++; calls != 2 {
					return false
				}
				w.WriteHeader(http.StatusAccepted)
				fmt.Fprint(w, body)
				return true
			})
			runAssets(h, assetSettings(), nil)
			h.Advance(time.Minute)
			h.ExpectDelivered(eachAsset(10, 1), body)
		})
	}
}

// While nobody can log in, nothing tells of the page that was not asked for.
func TestOutageOfTheLoginDoesNotMakePagesSmaller(t *testing.T) {
	for name, outage := range map[string]func(http.ResponseWriter){
		"failing": func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"silent":  func(http.ResponseWriter) { harness.Slow(2 * time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setAssets(h, 10, time.Now())
				var down atomic.Bool
				down.Store(true)
				h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
					if r.API != qualyssim.Auth || !down.Load() {
						return false
					}
					outage(w)
					return true
				})
				runAssets(h, assetSettings(), nil)
				h.Advance(30 * time.Minute)
				down.Store(false)
				h.Advance(30 * time.Minute)
				h.ExpectDelivered(eachAsset(10, 1))
				asked := searches(h)
				assert.Len(t, asked, 3)
				assert.Equal(t, "4", asked[0].Form.Get("pageSize"))
			})
		})
	}
}

// Where nothing was sent, nothing can be the fault of what was asked for.
func TestRequestsThatAreNotSentDoNotMakePagesSmaller(t *testing.T) {
	for name, err := range map[string]error{
		"no token":       errors.New("failed to get security token from token endpoint"),
		"no certificate": &tls.CertificateVerificationError{Err: errors.New("x509: certificate has expired")},
		"no proxy":       errors.New("proxyconnect: Bad Gateway"),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				h.Hosts(6)
				var down atomic.Bool
				down.Store(true)
				h.Client = func(s *qualys.Settings) {
					s.Server.HTTP.Transport = unreachable{s.Server.HTTP.Transport, func() error {
						if down.Load() {
							return err
						}
						return nil
					}}
				}
				h.Run(harness.Detect(harness.DetectionSettings(), engine.Options{}, nil))
				h.Advance(30 * time.Minute)
				down.Store(false)
				h.Advance(25 * time.Minute)
				h.ExpectDelivered(h.EachOnce())
				asked := h.Asked(qualyssim.Detections)
				assert.Len(t, asked, 3)
				assert.Equal(t, "2", asked[0].Form.Get("truncation_limit"))
			})
		})
	}
}

// unreachable is a transport that fails before it sends anything as long as it is told an error.
type unreachable struct {
	http.RoundTripper
	err func() error
}

func (u unreachable) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := u.err(); err != nil {
		return nil, err
	}
	return u.RoundTripper.RoundTrip(r)
}

// failures are the errors that the dataset has reported.
func failures(h *harness.Harness) []string {
	var all []string
	for _, one := range h.Logs.FilterMessage("dataset fails and tries again").All() {
		all = append(all, fmt.Sprint(one.ContextMap()["error"]))
	}
	return all
}

// The list cannot go on behind an asset that the gateway cannot render, so somebody has to find it: pages become smaller until it
// is the one behind the asset that the error names.
func TestAssetThatCannotBeReadIsNamedByTheOneBefore(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(w http.ResponseWriter, body string)
		says string
	}{
		{"never answered", func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusInternalServerError) }, "after asset 104: assets: HTTP 500: empty response"},
		{"malformed", func(w http.ResponseWriter, body string) {
			before, after, _ := strings.Cut(body, `"assetId":105,`)
			fmt.Fprint(w, before+`"assetId":105,}`+after)
		}, "after asset 104: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setAssets(h, 10, time.Now())
				interceptSearch(h, func(_ qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
					recorded := httptest.NewRecorder()
					serve(recorded)
					body := recorded.Body.String()
					if strings.Contains(body, `"assetId":105,`) {
						test.edit(w, body)
						return true
					}
					fmt.Fprint(w, body)
					return true
				})
				runAssets(h, assetSettings(), nil)
				h.Advance(time.Hour)
				h.ExpectDelivered(eachAsset(5, 1))
				told := failures(h)
				require.NotEmpty(t, told)
				assert.Contains(t, told[len(told)-1], test.says)
			})
		})
	}
}

// An asset that no record can hold is read over: the list would end there for good.
func TestAssetThatIsTooLargeHoldsUpNothing(t *testing.T) {
	for name, members := range map[string]string{
		"too much text":   `"a":["` + strings.Repeat(strings.Repeat("x", 3<<20)+`","`, 3) + `"]`,
		"too many values": `"a":[` + strings.Repeat("0,", 8<<20/32) + `0]`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(h *harness.Harness) {
				setAssets(h, 10, time.Now())
				h.Script.SetAsset(105, qualyssim.ScriptedAsset{Modified: time.Now(), Members: members})
				finished := &finishedRuns{}
				runAssets(h, assetSettings(), finished)
				h.Advance(time.Hour)
				h.ExpectDelivered(harness.With(eachAsset(10, 1), "asset 105", 0))
				h.ExpectState(dataset.AssetInventory, health.Collecting)
				h.ExpectLogged(1, "asset left out")
				require.Len(t, finished.all(), 1)
				assert.NotEmpty(t, finished.last().Incomplete)
			})
		})
	}
}

// The account is in order, as the gateway logs it in: nothing else that uses it may be held up.
func TestTokensThatAreNotTakenAreNoRefusedLogin(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		h.Sim.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
			if r.API == qualyssim.Auth {
				return false
			}
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"status":401,"error":"Unauthorized"}`)
			return true
		})
		runAssets(h, assetSettings(), nil)
		h.Advance(48 * time.Hour)
		asked := searches(h)
		require.Len(t, asked, 6, "three tries, each also with a new token")
		assert.GreaterOrEqual(t, asked[5].Time.Sub(asked[0].Time), 10*time.Minute)
		h.ExpectState(dataset.AssetInventory, health.Error)
	})
}

func TestCutPagesOfAssetsBecomeSmaller(t *testing.T) {
	bubble(t, func(h *harness.Harness) {
		setAssets(h, 20, time.Now().Add(-time.Hour))
		editSearch(h, func(r qualyssim.Request, body string) string {
			if r.Query.Get("pageSize") == "10" {
				return body[:len(body)*4/5] // most of it, and so more than fits into the page that follows
			}
			return body
		})
		settings := assetSettings()
		settings.PageSize = 10
		runAssets(h, settings, nil)
		h.Advance(30 * time.Minute)
		h.ExpectDelivered(eachAsset(20, 1))
	})
}
