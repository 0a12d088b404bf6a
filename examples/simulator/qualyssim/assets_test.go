// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func wantAssets(c *client) []int64 {
	var ids []int64
	for a := range c.server.Assets() {
		ids = append(ids, a.ID)
	}
	return ids
}

func TestAssetPagesHoldEveryAssetOnce(t *testing.T) {
	for _, empty := range []bool{false, true} {
		t.Run("empty last page "+strconv.FormatBool(empty), func(t *testing.T) {
			c := newClient(t, Options{Assets: 20, EmptyLastAssetPage: empty})
			c.login()
			var got []int64
			var pages int
			for after, more := int64(0), 1; more == 1; pages++ {
				page := c.assets(fmt.Sprintf("pageSize=5&lastSeenAssetId=%d", after), "")
				got = append(got, assetIDs(t, page)...)
				assert.Equal(t, len(page.List.Assets), page.Count)
				after, more = page.LastSeenAssetID, page.HasMore
			}
			assert.Equal(t, wantAssets(c), got)
			if empty {
				assert.Equal(t, 5, pages)
				assert.Contains(t, c.search("lastSeenAssetId=99999999", "").body, `"asset":null`)
				return
			}
			assert.Equal(t, 4, pages)
			last := c.search("lastSeenAssetId=99999999", "")
			assert.Equal(t, http.StatusNoContent, last.StatusCode)
			assert.Empty(t, last.body)
		})
	}
}

func TestAssetContent(t *testing.T) {
	for _, pretty := range []bool{false, true} {
		c := newClient(t, Options{Hosts: 5, Assets: 30, AssetSize: 50_000, Pretty: pretty})
		c.login()
		got := c.search("pageSize=30", "")
		assert.InEpsilon(t, 30*50_000, len(got.body), 0.3)
		var page assetsAnswer
		require.NoError(t, json.Unmarshal([]byte(got.body), &page))
		model := slices.Collect(c.server.Assets())
		for i, a := range page.List.Assets {
			assert.Len(t, a, len(assetFields))
			assert.JSONEq(t, "null", string(a["whois"]))
			assert.JSONEq(t, strconv.Quote(model[i].Name), string(a["assetName"]))
			assert.JSONEq(t, strconv.Quote(model[i].Modified.Format("2006-01-02T15:04:05.000Z")), string(a["lastModifiedDate"]))
			if model[i].HostID == 0 {
				assert.JSONEq(t, "null", string(a["hostId"]))
			} else {
				assert.Equal(t, strconv.FormatInt(model[i].HostID, 10), string(a["hostId"]))
			}
			var inventory struct{ LastUpdated int64 }
			require.NoError(t, json.Unmarshal(a["inventory"], &inventory))
			assert.Equal(t, model[i].Modified.UnixMilli(), inventory.LastUpdated)
			var list struct {
				Software []struct{ ID json.Number }
			}
			require.NoError(t, json.Unmarshal(a["softwareListData"], &list))
			for _, software := range list.Software {
				id, ok := new(big.Int).SetString(string(software.ID), 10)
				require.True(t, ok)
				assert.Equal(t, 1, id.Cmp(big.NewInt(1<<53)), "a float64 would hold %s", software.ID)
			}
		}
	}
}

func TestAssetFilters(t *testing.T) {
	c := newClient(t, Options{Assets: 20})
	c.login()
	all := slices.Collect(c.server.Assets())
	modified := make([]time.Time, 0, len(all))
	for _, a := range all {
		modified = append(modified, a.Modified)
	}
	slices.SortFunc(modified, time.Time.Compare)
	median := modified[len(modified)/2]
	condition := func(field, operator, value string) string {
		return fmt.Sprintf(`{"field":%q,"operator":%q,"value":%q}`, field, operator, value)
	}
	since := condition("asset.lastUpdatedDate", "GREATER", median.Format(time.RFC3339))
	named := condition("asset.name", "EQUALS", all[0].Name)

	for name, test := range map[string]struct {
		filter string
		keeps  func(Asset) bool
	}{
		"none":              {`{"filters":[]}`, func(Asset) bool { return true }},
		"updated after":     {`{"filters":[` + since + `],"operation":"AND"}`, func(a Asset) bool { return a.Modified.After(median) }},
		"updated not after": {`{"filters":[` + condition("asset.lastUpdatedDate", "LESSER_THAN_EQUAL", median.Format(time.RFC3339)) + `]}`, func(a Asset) bool { return !a.Modified.After(median) }},
		"number":            {fmt.Sprintf(`{"filters":[{"field":"asset.assetId","operator":"EQUALS","value":%d}]}`, all[3].ID), func(a Asset) bool { return a.ID == all[3].ID }},
		"one or the other":  {`{"filters":[` + since + `,` + named + `],"operation":"OR"}`, func(a Asset) bool { return a.Modified.After(median) || a.ID == all[0].ID }},
	} {
		t.Run(name, func(t *testing.T) {
			var want []int64
			for _, a := range all {
				if test.keeps(a) {
					want = append(want, a.ID)
				}
			}
			require.NotEmpty(t, want)
			assert.Equal(t, want, assetIDs(t, c.assets("pageSize=300", test.filter)))
			count := c.do(http.MethodPost, c.url+"/rest/2.0/count/am/asset", test.filter, "application/json")
			assert.Contains(t, count.body, fmt.Sprintf(`"count":%d,`, len(want)))
		})
	}
}

func TestRefusedAssetRequests(t *testing.T) {
	for name, test := range map[string]struct{ query, filter string }{
		"page too large":       {"pageSize=301", ""},
		"page of nothing":      {"pageSize=0", ""},
		"unknown parameter":    {"size=3", ""},
		"unknown field":        {"", `{"filters":[{"field":"asset.colour","operator":"EQUALS","value":"red"}]}`},
		"unknown operator":     {"", `{"filters":[{"field":"asset.lastUpdatedDate","operator":"AFTER","value":"2026-01-01T00:00:00Z"}]}`},
		"date that is none":    {"", `{"filters":[{"field":"asset.lastUpdatedDate","operator":"GREATER","value":"yesterday"}]}`},
		"filter that is none":  {"", `{"filters":`},
		"two filters":          {"", `{"filters":[]}{"filters":[]}`},
		"unknown operation":    {"", `{"filters":[],"operation":"XOR"}`},
		"unknown field wanted": {"includeFields=colour", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.login()
			requireFailed(t, c.search(test.query, test.filter), http.StatusBadRequest)
		})
	}
}

func TestUnrequestedFieldsAreNull(t *testing.T) {
	c := newClient(t, Options{})
	c.login()
	only := c.assets("includeFields=software,operatingSystem", "").List.Assets[0]
	assert.NotEqual(t, "null", string(only["softwareListData"]))
	assert.NotEqual(t, "null", string(only["operatingSystem"]))
	assert.Equal(t, "null", string(only["hardware"]))
	assert.NotEqual(t, "null", string(only["assetId"]))
	assert.Len(t, only, len(assetFields))

	without := c.assets("excludeFields=software", "").List.Assets[0]
	assert.Equal(t, "null", string(without["softwareListData"]))
	assert.NotEqual(t, "null", string(without["hardware"]))
}

func TestChangedAsset(t *testing.T) {
	c := newClient(t, Options{})
	c.login()
	since := `{"filters":[{"field":"asset.lastUpdatedDate","operator":"GREATER","value":"2026-03-01T12:00:00Z"}]}`
	require.Equal(t, http.StatusNoContent, c.search("", since).StatusCode)
	c.clock.move(time.Minute)
	changed := wantAssets(c)[7]
	require.NoError(t, c.server.ChangeAsset(changed))
	assert.Equal(t, []int64{changed}, assetIDs(t, c.assets("", since)))
	require.Error(t, c.server.ChangeAsset(changed+100_000))
}

func TestAssetsTakeOnlyTokensAndPosts(t *testing.T) {
	c := newClient(t, Options{})
	assert.Equal(t, http.StatusUnauthorized, c.search("", "").StatusCode)
	c.login()
	requireFailed(t, c.do(http.MethodGet, c.url+searchPath, "", ""), http.StatusMethodNotAllowed)
}
