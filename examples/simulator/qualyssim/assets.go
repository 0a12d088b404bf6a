// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultPageSize = 100
	largestPageSize = 300
)

// assetQuery is a checked request for a page of assets.
type assetQuery struct {
	pageSize int
	after    int64
	filter   *assetFilter
	show     assetShow
}

func (c *call) assetQuery() (*assetQuery, error) {
	q := &assetQuery{pageSize: defaultPageSize}
	var err error
	for _, name := range slices.Sorted(maps.Keys(c.form)) {
		value := c.form.Get(name)
		switch name {
		case "pageSize":
			q.pageSize, err = strconv.Atoi(value)
			if err != nil || q.pageSize < 1 || q.pageSize > largestPageSize {
				return nil, fmt.Errorf("pageSize is not between 1 and %d: %q", largestPageSize, value)
			}
		case "lastSeenAssetId":
			if q.after, err = strconv.ParseInt(value, 10, 64); err != nil {
				return nil, fmt.Errorf("lastSeenAssetId is not a number: %q", value)
			}
		case "includeFields":
			q.show.include, err = fieldNames(value)
		case "excludeFields":
			q.show.exclude, err = fieldNames(value)
		default:
			return nil, fmt.Errorf("unknown parameter %q", name)
		}
		if err != nil {
			return nil, err
		}
	}
	q.filter, err = parseAssetFilter(c.payload)
	return q, err
}

// fieldNames reads a list of fields; those that are lists may be called by what they list.
func fieldNames(list string) ([]string, error) {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(assetFields, func(f assetField) bool {
			return f.name == name || f.name == name+"ListData" || f.name == name+"List"
		})
		if i < 0 {
			return nil, fmt.Errorf("unknown field %q", name)
		}
		names = append(names, assetFields[i].name)
	}
	return names, nil
}

// assets lists what the query asks for, up to limit, and says whether there is more.
func assets(src content, q *assetQuery, limit int, m moment) (page []asset, more bool) {
	for a, found := src.asset(q.after+1, m); found; a, found = src.asset(a.id+1, m) {
		if !q.filter.keeps(&a) {
			continue
		}
		if len(page) == limit {
			return page, true
		}
		page = append(page, a)
	}
	return page, false
}

// serveAssetSearch answers with a page of assets, each made and sent before the next.
func serveAssetSearch(c *call) {
	if c.rejectsClient() {
		return
	}
	if c.r.Method != http.MethodPost {
		c.failed(http.StatusMethodNotAllowed, "Request method not supported")
		return
	}
	q, err := c.assetQuery()
	if err != nil {
		c.failed(http.StatusBadRequest, err.Error())
		return
	}
	page, more := assets(c.s.content, q, q.pageSize, c.at)
	if most := c.s.options.AssetCap; most > 0 {
		before := *q
		before.after = -1
		all, _ := assets(c.s.content, &before, most, c.at)
		if len(all) == most && len(page) > 0 && page[len(page)-1].id >= all[most-1].id {
			page = slices.DeleteFunc(page, func(a asset) bool { return a.id > all[most-1].id })
			more = false
		}
	}
	if c.mishap.answer[EmptyPageWithMore] {
		c.json(http.StatusOK, map[string]any{
			"responseMessage": "Valid API Access", "count": 0, "responseCode": "SUCCESS", "hasMore": 1, "assetListData": map[string]any{"asset": []any{}},
		})
		return
	}
	lastSeen := q.after
	if len(page) > 0 {
		lastSeen = page[len(page)-1].id
		more = more || c.s.options.EmptyLastAssetPage
	} else if !c.s.options.EmptyLastAssetPage {
		c.w.WriteHeader(http.StatusNoContent)
		return
	}
	q.show.unknown = c.mishap.answer[UnknownElements]
	q.show.spoiled = c.mishap.answer[InvalidUTF8]

	b := c.body("application/json", int64(len(page))*int64(max(assetBytes, c.s.options.AssetSize)))
	defer b.end()
	j := &jsonBuilder{pretty: c.s.options.Pretty, buf: make([]byte, 0, 2*chunk), zone: c.xml().zone}
	j.open('{')
	j.text("responseMessage", "Valid API Access")
	j.int("count", int64(len(page)))
	j.text("responseCode", "SUCCESS")
	j.int("lastSeenAssetId", lastSeen)
	c.appendHasMore(j, more)
	j.key("assetListData")
	j.open('{')
	if len(page) == 0 {
		j.null("asset")
	} else {
		j.key("asset")
		j.open('[')
		for i := range page {
			j.separate()
			c.s.appendAsset(j, &page[i], &q.show)
			if len(j.buf) >= chunk {
				if b.write(j.buf) != nil {
					return
				}
				j.buf = j.buf[:0]
			}
		}
		j.close(']')
	}
	j.close('}')
	j.close('}')
	_ = b.write(j.buf) // the call keeps the error
}

// rejectsClient answers a call with the token of an API client as CSAM was reported to.
func (c *call) rejectsClient() bool {
	if !c.client || !c.mishap.faults.RejectClientTokens {
		return false
	}
	c.failed(http.StatusBadRequest, "Error validating customer from token")
	return true
}

// appendHasMore writes hasMore as faults spell it.
func (c *call) appendHasMore(j *jsonBuilder, more bool) {
	has, number := c.mishap.answer, "0"
	if more {
		number = "1"
	}
	switch {
	case has[HasMoreMissing]:
		return
	case has[HasMoreString]:
		number = strconv.Quote(number)
	case has[HasMoreFloat]:
		number += ".0"
	case has[HasMoreBool]:
		number = strconv.FormatBool(more)
	}
	j.key("hasMore")
	j.buf = append(j.buf, number...)
}

// serveAssetCount answers with how many assets a filter keeps.
func serveAssetCount(c *call) {
	if c.rejectsClient() {
		return
	}
	if c.r.Method != http.MethodPost {
		c.failed(http.StatusMethodNotAllowed, "Request method not supported")
		return
	}
	q, err := c.assetQuery()
	if err != nil {
		c.failed(http.StatusBadRequest, err.Error())
		return
	}
	all, _ := assets(c.s.content, q, math.MaxInt, c.at)
	c.json(http.StatusOK, map[string]any{
		"responseMessage": "Valid API Access", "count": len(all), "responseCode": "SUCCESS",
	})
}
