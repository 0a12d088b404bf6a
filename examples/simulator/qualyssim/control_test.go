// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (c *client) control(method, path, body string) answer {
	c.t.Helper()
	return c.do(method, c.url+"/simulator"+path, body, "application/json")
}

func lines[T any](t *testing.T, body string) []T {
	t.Helper()
	var items []T
	scanner := bufio.NewScanner(strings.NewReader(body))
	for scanner.Scan() {
		var item T
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &item))
		items = append(items, item)
	}
	require.NoError(t, scanner.Err())
	return items
}

func TestExpectedOverHTTP(t *testing.T) {
	c := newClient(t, Options{})
	assert.Equal(t, slices.Collect(c.server.Detections()), lines[Detection](t, c.control(http.MethodGet, "/expected?kind=detections", "").body))
	assert.Equal(t, c.collect("status=Fixed"), lines[Detection](t, c.control(http.MethodGet, "/expected?kind=detections&status=Fixed", "").body))
	assert.Equal(t, slices.Collect(c.server.QIDs()), lines[Entry](t, c.control(http.MethodGet, "/expected?kind=entries", "").body))
	assert.Equal(t, slices.Collect(c.server.Assets()), lines[Asset](t, c.control(http.MethodGet, "/expected?kind=assets", "").body))
	assert.Equal(t, slices.Collect(c.server.Activities()), lines[Activity](t, c.control(http.MethodGet, "/expected?kind=activities", "").body))
	assert.Equal(t, http.StatusBadRequest, c.control(http.MethodGet, "/expected", "").StatusCode)
	assert.Equal(t, http.StatusBadRequest, c.control(http.MethodGet, "/expected?kind=detections&status=Gone", "").StatusCode)
}

func TestRequestsOverHTTP(t *testing.T) {
	c := newClient(t, Options{})
	c.header.Set("User-Agent", "receiver/1")
	c.list(detectionPath, "truncation_limit=5")
	got := lines[Request](t, c.control(http.MethodGet, "/requests", "").body)
	require.Len(t, got, 1)
	assert.Equal(t, http.MethodPost, got[0].Method)
	assert.Equal(t, detectionPath, got[0].Path)
	assert.Equal(t, Detections, got[0].API)
	assert.Equal(t, "5", got[0].Form.Get("truncation_limit"))
	assert.Equal(t, BasicAuth, got[0].Auth)
	assert.Equal(t, "receiver/1", got[0].UserAgent)
	assert.Equal(t, http.StatusOK, got[0].Status)
	assert.Positive(t, got[0].Bytes)
	assert.True(t, got[0].Done)
	assert.Equal(t, start, got[0].Time)

	c.control(http.MethodDelete, "/requests", "")
	assert.Empty(t, c.server.Requests())
}

func TestFaultsOverHTTP(t *testing.T) {
	c := newClient(t, Options{})
	set := c.control(http.MethodPost, "/faults", `{"rates":{"busy":1},"apis":["detections"],"delay":"1ms"}`)
	require.Equal(t, http.StatusNoContent, set.StatusCode, set.body)
	requireReturn(t, c.list(detectionPath, ""), http.StatusConflict, codeBusy)
	assert.Equal(t, http.StatusOK, c.list(entryPath, "ids=38000").StatusCode)
	assert.JSONEq(t, `{"rates":{"busy":1},"apis":["detections"],"delay":"1ms"}`, c.control(http.MethodGet, "/faults", "").body)

	for _, wrong := range []string{`{"rates":{"fire":1}}`, `{"cuts":1}`, `{"delay":"soon"}`, `nonsense`} {
		assert.Equal(t, http.StatusBadRequest, c.control(http.MethodPost, "/faults", wrong).StatusCode, wrong)
	}
	c.control(http.MethodPost, "/faults", `{}`)
	assert.NotEmpty(t, c.detections("").flat(t))
}

func TestChangesOverHTTP(t *testing.T) {
	c := newClient(t, Options{})
	require.Equal(t, http.StatusNoContent, c.control(http.MethodPost, "/clock", `{"advance":"1h"}`).StatusCode)
	assert.Equal(t, start.Add(time.Hour), c.server.Now())
	assert.Equal(t, http.StatusBadRequest, c.control(http.MethodPost, "/clock", `{"advance":"-1h"}`).StatusCode)

	detection := c.collect("")[0].UniqueVulnID
	entry := slices.Collect(c.server.QIDs())[slices.IndexFunc(slices.Collect(c.server.QIDs()), func(e Entry) bool { return e.Exists })].QID
	asset := slices.Collect(c.server.Assets())[0].ID
	for _, body := range []string{
		fmt.Sprintf(`{"detection":%d,"status":"Fixed"}`, detection),
		fmt.Sprintf(`{"entry":%d}`, entry),
		fmt.Sprintf(`{"asset":%d}`, asset),
	} {
		require.Equal(t, http.StatusNoContent, c.control(http.MethodPost, "/change", body).StatusCode, body)
	}
	assert.Len(t, c.collect("status=Fixed&detection_updated_since=2026-03-01T12:30:00Z"), 1)
	changed := slices.DeleteFunc(slices.Collect(c.server.QIDs()), func(e Entry) bool { return e.Modified.Before(start) })
	assert.Len(t, changed, 1)
	assert.Equal(t, start.Add(time.Hour), slices.Collect(c.server.Assets())[0].Modified)
	assert.Equal(t, http.StatusBadRequest, c.control(http.MethodPost, "/change", `{}`).StatusCode)

	c.login()
	c.control(http.MethodDelete, "/tokens", "")
	assert.Equal(t, http.StatusUnauthorized, c.search("", "").StatusCode)
	assert.Contains(t, c.control(http.MethodGet, "", "").body, "20 hosts")
}
