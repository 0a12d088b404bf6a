// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
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
	}
}

func TestAssetPages(t *testing.T) {
	tests := []struct {
		name     string
		status   int
		body     string
		query    AssetQuery
		assets   []string
		hasMore  bool
		lastSeen int64
		err      string
	}{
		{
			name: "usual", status: 200,
			body:    `{"responseMessage":"Valid API Access","count":2,"responseCode":"SUCCESS","lastSeenAssetId":42,"hasMore":1,"assetListData":{"asset":[{"assetId":41,"x":[{}]},{"assetId":42}]}}`,
			assets:  []string{`{"assetId":41,"x":[{}]}`, `{"assetId":42}`},
			hasMore: true, lastSeen: 42,
		},
		{
			name: "another order", status: 200,
			body:    `{"assetListData":{"more":{"asset":[7]},"asset":[{"assetId":1}],"after":null},"lastSeenAssetId":"9007199254740993","hasMore":true,"new":{"hasMore":false}}`,
			assets:  []string{`{"assetId":1}`},
			hasMore: true, lastSeen: 9007199254740993,
		},
		{name: "two lists", status: 200, body: `{"assetListData":{"asset":[{"a":1}],"asset":[null,{"a":2}]}}`, assets: []string{`{"a":1}`, `{"a":2}`}},
		{name: "byte order mark", status: 200, body: "\uFEFF{\"assetListData\":{\"asset\":[{\"a\":1}]}}", assets: []string{`{"a":1}`}},
		{name: "asset is null", status: 200, body: `{"responseCode":"SUCCESS","hasMore":0,"assetListData":{"asset":null}}`},
		{name: "asset is absent", status: 200, body: `{"responseCode":"SUCCESS","hasMore":false,"assetListData":{}}`},
		{name: "list is null", status: 200, body: `{"responseCode":"SUCCESS","hasMore":null,"lastSeenAssetId":null,"assetListData":null}`},
		{name: "list is absent", status: 200, body: `{"responseCode":"success","count":0}`},
		{name: "no content", status: 204},
		{name: "cursor stays", status: 200, body: `{"responseCode":"SUCCESS","lastSeenAssetId":42,"hasMore":1,"assetListData":{"asset":[{"a":1}]}}`, query: AssetQuery{LastSeen: 42}, assets: []string{`{"a":1}`}, err: "does not advance", hasMore: true, lastSeen: 42},
		{name: "cursor is missing", status: 200, body: `{"hasMore":1,"assetListData":{"asset":[{"a":1}]}}`, assets: []string{`{"a":1}`}, err: "does not advance", hasMore: true},
		{name: "cursor stays at the end", status: 200, body: `{"lastSeenAssetId":42,"hasMore":0,"assetListData":{"asset":[]}}`, query: AssetQuery{LastSeen: 42}, lastSeen: 42},
		{name: "cut between assets", status: 200, body: `{"assetListData":{"asset":[{"a":1},`, assets: []string{`{"a":1}`}, err: "unexpected EOF"},
		{name: "cut after the list", status: 200, body: `{"assetListData":{"asset":[{"a":1}]`, assets: []string{`{"a":1}`}, err: "unexpected EOF"},
		{name: "broken", status: 200, body: `{"assetListData":{"asset":[{"a":1};{"a":2}]}}`, assets: []string{`{"a":1}`}, err: "invalid character"},
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
				assert.Equal(t, tt.hasMore, p.HasMore())
				assert.Equal(t, tt.lastSeen, p.LastSeen())
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
			Filter: []Filter{{Field: "asset.lastUpdatedDate", Operator: "GREATER", Value: "2026-11-19T09:15:00Z"}},
		})
		require.NoError(t, err)
		_, err = readAssets(t.Context(), c, AssetQuery{})
		require.NoError(t, err)
		calls := f.received()
		require.Equal(t, []string{"/auth", "/rest/2.0/search/am/asset", "/rest/2.0/search/am/asset"}, f.paths())
		filtered, plain := calls[1], calls[2]
		assert.Equal(t, "gateway.test", filtered.host)
		assert.Equal(t, map[string][]string{"pageSize": {"300"}, "lastSeenAssetId": {"7"}, "includeFields": {"a,b"}, "excludeFields": {"c"}}, map[string][]string(filtered.query))
		assert.JSONEq(t, `{"filters":[{"field":"asset.lastUpdatedDate","operator":"GREATER","value":"2026-11-19T09:15:00Z"}],"operation":"AND"}`, filtered.body)
		assert.Equal(t, "application/json", filtered.header.Get("Content-Type"))
		assert.Equal(t, "Bearer token-1", filtered.header.Get("Authorization"))
		assert.Empty(t, plain.query)
		assert.Empty(t, plain.body)
	})
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
			a := answerOf(t, Assets, data)
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
