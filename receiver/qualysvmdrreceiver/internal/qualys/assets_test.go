// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gateway answers logins with a token and everything else with handler.
func gateway(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/auth" {
			respond(201, "token-1")(w, r)
			return
		}
		handler(w, r)
	}
}

// readAssets asks for a page of assets and returns them one by one.
func readAssets(ctx context.Context, c *Client, q AssetQuery) ([]string, error) {
	p, err := c.Assets(ctx, q)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return drain(p)
}

func drain(p *AssetPage) ([]string, error) {
	var assets []string
	for {
		d, err := p.Next()
		if err == io.EOF {
			return assets, nil
		}
		if err != nil {
			return assets, err
		}
		value, err := d.ReadValue()
		if err != nil {
			return assets, err
		}
		assets = append(assets, value.String())
		var asset struct {
			ID uint64 `json:"assetId"`
		}
		if json.Unmarshal(value, &asset) == nil {
			p.Note(asset.ID)
		}
	}
}

func TestAssetPages(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		query  AssetQuery
		assets []string
		end    AssetEnd
		next   uint64
		err    string
	}{
		{
			name: "usual", status: 200,
			body:   `{"responseMessage":"Valid API Access","count":2,"responseCode":"SUCCESS","lastSeenAssetId":42,"hasMore":1,"assetListData":{"asset":[{"assetId":41,"x":[{}]},{"assetId":42}]}}`,
			assets: []string{`{"assetId":41,"x":[{}]}`, `{"assetId":42}`},
			end:    More, next: 42,
		},
		{
			name: "another order", status: 200,
			body:   `{"assetListData":{"more":{"asset":[7]},"asset":[{"assetId":1}],"after":null},"lastSeenAssetId":"9007199254740993","hasMore":true,"new":{"hasMore":false}}`,
			assets: []string{`{"assetId":1}`},
			end:    More, next: 9007199254740993,
		},
		{name: "two lists", status: 200, body: `{"hasMore":0,"assetListData":{"asset":[{"a":1}],"asset":[null,{"a":2}]}}`, assets: []string{`{"a":1}`, `{"a":2}`}},
		{name: "byte order mark", status: 200, body: "\uFEFF{\"assetListData\":{\"asset\":[{\"a\":1}]},\"hasMore\":\"0\"}", assets: []string{`{"a":1}`}},
		{name: "asset is null", status: 200, body: `{"responseCode":"SUCCESS","hasMore":0,"assetListData":{"asset":null}}`},
		{name: "asset is absent", status: 200, body: `{"responseCode":"SUCCESS","hasMore":false,"assetListData":{}}`},
		{name: "list is null", status: 200, body: `{"responseCode":"SUCCESS","hasMore":null,"lastSeenAssetId":null,"assetListData":null}`},
		{name: "list is absent", status: 200, body: `{"responseCode":"success","count":0}`},
		{name: "no content", status: 204},
		{name: "cursor stays at the end", status: 200, body: `{"lastSeenAssetId":42,"hasMore":0,"assetListData":{"asset":[]}}`, query: AssetQuery{LastSeen: 42}},

		// Assets behind a page that does not say whether there are more were lost without a trace.
		{name: "hasMore is missing", status: 200, body: `{"responseCode":"SUCCESS","count":2,"lastSeenAssetId":2,"assetListData":{"asset":[{"assetId":1},{"assetId":2}]}}`, assets: []string{`{"assetId":1}`, `{"assetId":2}`}, end: Incomplete, next: 2},
		{name: "hasMore is missing, and the IDs too", status: 200, body: `{"lastSeenAssetId":2,"assetListData":{"asset":[{"a":1}]}}`, assets: []string{`{"a":1}`}, end: Incomplete, next: 2},
		{name: "hasMore makes no sense", status: 200, body: `{"hasMore":"perhaps","lastSeenAssetId":7,"assetListData":{"asset":[{"assetId":2}]}}`, assets: []string{`{"assetId":2}`}, end: Incomplete, next: 2},
		{name: "hasMore is null", status: 200, body: `{"hasMore":null,"assetListData":{"asset":[{"assetId":2}]}}`, assets: []string{`{"assetId":2}`}, end: Incomplete, next: 2},
		{name: "hasMore is missing, nothing by which to go on", status: 200, body: `{"assetListData":{"asset":[{"a":1}]}}`, assets: []string{`{"a":1}`}, end: Stuck},
		{name: "hasMore is missing, nothing new", status: 200, body: `{"lastSeenAssetId":42,"assetListData":{"asset":[{"assetId":42}]}}`, query: AssetQuery{LastSeen: 42}, assets: []string{`{"assetId":42}`}, end: Stuck},
		{name: "hasMore is missing, no assets", status: 200, body: `{"responseCode":"SUCCESS","lastSeenAssetId":42,"assetListData":{"asset":[]}}`, query: AssetQuery{LastSeen: 7}},
		{name: "hasMore is text", status: 200, body: `{"hasMore":"1","lastSeenAssetId":42,"assetListData":{"asset":[{"a":1}]}}`, assets: []string{`{"a":1}`}, end: More, next: 42},
		{name: "hasMore is a fraction", status: 200, body: `{"hasMore":1.0,"lastSeenAssetId":42,"assetListData":{"asset":[{"a":1}]}}`, assets: []string{`{"a":1}`}, end: More, next: 42},
		{name: "hasMore is zero as text", status: 200, body: `{"hasMore":"0","assetListData":{"asset":[{"a":1}]}}`, assets: []string{`{"a":1}`}},
		{name: "cursor stays", status: 200, body: `{"responseCode":"SUCCESS","lastSeenAssetId":42,"hasMore":1,"assetListData":{"asset":[{"assetId":43}]}}`, query: AssetQuery{LastSeen: 42}, assets: []string{`{"assetId":43}`}, end: Stuck},
		{name: "cursor is missing", status: 200, body: `{"hasMore":1,"assetListData":{"asset":[{"assetId":43}]}}`, query: AssetQuery{LastSeen: 42}, assets: []string{`{"assetId":43}`}, end: More, next: 43},
		{name: "cursor and IDs are missing", status: 200, body: `{"hasMore":1,"assetListData":{"asset":[{"a":1}]}}`, assets: []string{`{"a":1}`}, end: Stuck},
		{name: "more, but no assets and no cursor", status: 200, body: `{"hasMore":1,"responseCode":"SUCCESS"}`, query: AssetQuery{LastSeen: 42}, end: Stuck},

		{name: "cut between assets", status: 200, body: `{"assetListData":{"asset":[{"a":1},`, assets: []string{`{"a":1}`}, err: "unexpected EOF", end: Stuck},
		{name: "cut after the list", status: 200, body: `{"assetListData":{"asset":[{"a":1}]`, assets: []string{`{"a":1}`}, err: "unexpected EOF", end: Stuck},
		{name: "broken", status: 200, body: `{"assetListData":{"asset":[{"a":1};{"a":2}]}}`, assets: []string{`{"a":1}`}, err: "invalid character", end: Stuck},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			date := "Fri, 20 Nov 2026 09:15:00 GMT"
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, gateway(respond(tt.status, tt.body, "Date", date)))
				p, err := c.Assets(t.Context(), tt.query)
				require.NoError(t, err)
				defer p.Close()
				assets, err := drain(p)
				assert.Equal(t, tt.assets, assets)
				next, end := p.Continue()
				assert.Equal(t, tt.end, end)
				assert.Equal(t, Continuation{ID: tt.next}, next)
				assert.Equal(t, tt.status, p.Status())
				assert.Equal(t, int64(len(tt.body)), p.Bytes())
				assert.Zero(t, p.Repaired())
				assert.Equal(t, time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC), p.ServerTime())
				if tt.err == "" {
					require.NoError(t, err)
					return
				}
				assert.Contains(t, requireError(t, err).Error(), tt.err)
				_, again := p.Next()
				assert.Equal(t, err, again, "an error stays")
			})
		})
	}
}

func TestAssetRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, gateway(respond(204, "")))
		_, err := readAssets(t.Context(), c, AssetQuery{
			PageSize: 300, LastSeen: 7, IncludeFields: []string{"a", "b"}, ExcludeFields: []string{"c"},
			Filter:       []Filter{{Field: "operatingSystem.category1", Operator: "EQUALS", Value: "Linux"}},
			UpdatedSince: time.Date(2026, 11, 19, 10, 15, 0, 0, time.FixedZone("", 3600)),
		})
		require.NoError(t, err)
		_, err = readAssets(t.Context(), c, AssetQuery{})
		require.NoError(t, err)
		calls := f.received()
		require.Equal(t, []string{"/auth", "/rest/2.0/search/am/asset", "/rest/2.0/search/am/asset"}, f.paths())
		filtered, plain := calls[1], calls[2]
		assert.Equal(t, "gateway.test", filtered.host)
		assert.Equal(t, map[string][]string{"pageSize": {"300"}, "lastSeenAssetId": {"7"}, "includeFields": {"a,b"}, "excludeFields": {"c"}}, map[string][]string(filtered.query))
		assert.JSONEq(t, `{"filters":[{"field":"operatingSystem.category1","operator":"EQUALS","value":"Linux"},
			{"field":"asset.lastUpdatedDate","operator":"GREATER","value":"2026-11-19T09:15:00Z"}],"operation":"AND"}`, filtered.body)
		assert.Equal(t, "application/json", filtered.header.Get("Content-Type"))
		assert.Equal(t, "Bearer token-1", filtered.header.Get("Authorization"))
		assert.Empty(t, plain.query)
		assert.Empty(t, plain.body)
	})
}

func TestAssetFilterAsAParameter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, gateway(respond(204, "")))
		_, err := readAssets(t.Context(), c, AssetQuery{UpdatedSince: time.Date(2026, 11, 19, 9, 15, 0, 0, time.UTC), UpdatedFilter: FilterParameter})
		require.NoError(t, err)
		assert.Equal(t, "2026-11-19T09:15:00Z", f.received()[1].query.Get("assetLastUpdated"))
		assert.Empty(t, f.received()[1].body)
	})
}

func TestAssetCounts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		count  int64
		err    string
	}{
		{name: "usual", status: 200, body: `{"responseMessage":"Valid API Access","count":300,"responseCode":"SUCCESS"}`, count: 300},
		{name: "text behind a byte order mark", status: 200, body: "\uFEFF{\"count\":\"9007199254740993\"}", count: 9007199254740993},
		{name: "no content", status: 204},
		{name: "no count", status: 200, body: `{"responseCode":"SUCCESS"}`, err: "SUCCESS"},
		{name: "not a number", status: 200, body: `{"count":"many"}`, err: "many"},
		{name: "failure", status: 200, body: `{"count":0,"responseCode":"FAILED","responseMessage":"no"}`, err: "FAILED: no"},
		{name: "no JSON", status: 200, body: `<html><title>Down</title></html>`, err: "Down"},
		{name: "cut", status: 200, body: `{"count":30`, err: "count"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c, _ := start(t, gateway(respond(tt.status, tt.body)))
				n, err := c.AssetCount(t.Context(), AssetQuery{PageSize: 300, LastSeen: 7, Filter: []Filter{{Field: "a", Operator: "EQUALS", Value: "b"}}})
				assert.Equal(t, tt.count, n)
				assert.Equal(t, "/rest/2.0/count/am/asset", f.received()[1].path)
				assert.Empty(t, f.received()[1].query)
				assert.JSONEq(t, `{"filters":[{"field":"a","operator":"EQUALS","value":"b"}],"operation":"AND"}`, f.received()[1].body)
				if tt.err == "" {
					require.NoError(t, err)
					_, err = readAssets(t.Context(), c, AssetQuery{})
					assert.NotErrorIs(t, err, context.DeadlineExceeded, "the slot is free again")
					return
				}
				assert.ErrorContains(t, requireError(t, err), tt.err)
			})
		})
	}
}

// A caller that gives up on an asset must not lose the ones after it.
func TestAssetsThatAreNotReadAreSkipped(t *testing.T) {
	body := `{"assetListData":{"asset":[{"a":{"b":1}},{"a":2},{"a":3},{"a":4}]},"hasMore":0}`
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, gateway(reply200(body)))
		p, err := c.Assets(t.Context(), AssetQuery{})
		require.NoError(t, err)
		defer p.Close()
		d, err := p.Next()
		require.NoError(t, err)
		for range 4 { // into the object, and into the one in it
			_, err = d.ReadToken()
			require.NoError(t, err)
		}
		_, err = p.Next() // not read at all
		require.NoError(t, err)
		rest, err := drain(p)
		require.NoError(t, err)
		assert.Equal(t, []string{`{"a":3}`, `{"a":4}`}, rest)
	})
}

func TestControlCharactersInAssets(t *testing.T) {
	body := "{\"assetListData\":{\"asset\":[{\"name\":\"a\tb\x00c\\\nd\xff\"}]}}"
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, gateway(reply200(body)))
		p, err := c.Assets(t.Context(), AssetQuery{})
		require.NoError(t, err)
		defer p.Close()
		d, err := p.Next()
		require.NoError(t, err)
		for range 2 {
			_, err = d.ReadToken()
			require.NoError(t, err)
		}
		value, err := d.ReadToken()
		require.NoError(t, err)
		assert.Equal(t, "a\tb\x00c\nd\uFFFD", value.String())
		_, err = p.Next()
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, int64(1), p.Repaired(), "strings, not characters")
	})
}

func FuzzAssetPage(f *testing.F) {
	f.Add([]byte(`{"responseCode":"SUCCESS","lastSeenAssetId":42,"hasMore":1,"assetListData":{"asset":[{"assetId":41,"x":[{}]},null]}}`))
	f.Add([]byte(`{"assetListData":{"asset":null,"asset":[{}]}}`))
	f.Add([]byte("{\"a\":\"\x01\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for read := range 3 {
			p := &AssetPage{}
			a := responseOf(t, Assets, data)
			if p.open(a) != nil {
				continue
			}
			for n := 0; ; n++ {
				require.LessOrEqual(t, n, len(data), "more assets than bytes")
				d, err := p.Next()
				if err != nil {
					break
				}
				switch read {
				case 1:
					_, _ = d.ReadToken()
				case 2:
					_ = d.SkipValue()
				}
			}
			require.Error(t, p.err)
		}
	})
}
