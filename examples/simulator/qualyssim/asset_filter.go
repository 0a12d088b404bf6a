// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// assetFilter is the JSON body of a request of the asset inventory. Its zero value keeps every asset.
type assetFilter struct {
	Filters   []assetCondition `json:"filters"`
	Operation string           `json:"operation"`
}

type assetCondition struct {
	Field    string    `json:"field"`
	Operator string    `json:"operator"`
	Value    textValue `json:"value"`

	keeps func(*asset) bool
}

// textValue takes a JSON string or number as text.
type textValue string

func (v *textValue) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '"' {
		*v = textValue(data)
		return nil
	}
	return json.Unmarshal(data, (*string)(v))
}

func parseAssetFilter(body []byte) (*assetFilter, error) {
	f := new(assetFilter)
	if len(bytes.TrimSpace(body)) == 0 {
		return f, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(f); err != nil {
		return nil, fmt.Errorf("invalid filter: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("invalid filter: more than one JSON value")
	}
	if !slices.Contains([]string{"", "AND", "OR"}, f.Operation) {
		return nil, fmt.Errorf("invalid operation %q", f.Operation)
	}
	for i := range f.Filters {
		if err := f.Filters[i].compile(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// compile finds what the condition compares, and refuses what the inventory does not know.
func (c *assetCondition) compile() error {
	value := string(c.Value)
	switch c.Field {
	case "asset.lastUpdatedDate", "asset.createdDate":
		t, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return fmt.Errorf("invalid date %q for %s", value, c.Field)
		}
		of := func(a *asset) int64 { return a.changed }
		if c.Field == "asset.createdDate" {
			of = func(a *asset) int64 { return a.created }
		}
		return c.compare(func(a *asset) int { return time.Unix(of(a), 0).Compare(t) })
	case "asset.assetId":
		number, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("invalid number %q for %s", value, c.Field)
		}
		return c.compare(func(a *asset) int { return cmp.Compare(a.id, number) })
	case "asset.name":
		return c.match(func(a *asset) string { return a.name })
	case "operatingSystem.category1":
		return c.match(func(a *asset) string { return a.category })
	default:
		return fmt.Errorf("unknown field %q", c.Field)
	}
}

// compare makes a condition of an order.
func (c *assetCondition) compare(order func(*asset) int) error {
	accept, ok := map[string]func(int) bool{
		"EQUALS":             func(o int) bool { return o == 0 },
		"NOT_EQUALS":         func(o int) bool { return o != 0 },
		"GREATER":            func(o int) bool { return o > 0 },
		"GREATER_THAN_EQUAL": func(o int) bool { return o >= 0 },
		"LESSER":             func(o int) bool { return o < 0 },
		"LESSER_THAN_EQUAL":  func(o int) bool { return o <= 0 },
	}[c.Operator]
	if !ok {
		return fmt.Errorf("operator %q does not fit %s", c.Operator, c.Field)
	}
	c.keeps = func(a *asset) bool { return accept(order(a)) }
	return nil
}

// match makes a condition of a text.
func (c *assetCondition) match(of func(*asset) string) error {
	value := string(c.Value)
	accept, ok := map[string]func(string) bool{
		"EQUALS":     func(s string) bool { return s == value },
		"NOT_EQUALS": func(s string) bool { return s != value },
		"CONTAINS":   func(s string) bool { return strings.Contains(s, value) },
		"IN":         func(s string) bool { return slices.Contains(strings.Split(value, ","), s) },
	}[c.Operator]
	if !ok {
		return fmt.Errorf("operator %q does not fit %s", c.Operator, c.Field)
	}
	c.keeps = func(a *asset) bool { return accept(of(a)) }
	return nil
}

// keeps says whether the asset is asked for.
func (f *assetFilter) keeps(a *asset) bool {
	either := f.Operation == "OR" && len(f.Filters) > 0
	for i := range f.Filters {
		if f.Filters[i].keeps(a) == either {
			return either
		}
	}
	return !either
}
