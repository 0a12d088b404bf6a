// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// AssetQuery selects the assets of a page.
type AssetQuery struct {
	PageSize      int   // assets in a response, at most 300; 0: as Qualys likes
	LastSeen      int64 // the cursor: LastSeen of the page before; 0 for the first one
	IncludeFields []string
	ExcludeFields []string
	Filter        []Filter // all of them must hold
	// UpdatedSince selects assets that were updated since, in the spelling that UpdatedFilter names. Zero: all.
	UpdatedSince  time.Time
	UpdatedFilter AssetFilter
}

// AssetFilter is how assets that were updated since a time are asked for. Which of the spellings a platform takes is
// unverified: one that comes back with HTTP 400 is followed by the next.
type AssetFilter uint8

// The spellings, in the order in which they are to be tried.
const (
	// FilterField is a condition on the field asset.lastUpdatedDate, in the body.
	FilterField AssetFilter = iota
	// FilterParameter is the query parameter assetLastUpdated.
	FilterParameter
)

// String returns the name of the field or the parameter.
func (f AssetFilter) String() string {
	if f == FilterParameter {
		return "assetLastUpdated"
	}
	return "asset.lastUpdatedDate"
}

// Filter is one condition on an asset.
type Filter struct {
	Field    string `json:"field"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
}

// Assets asks for one page of the asset inventory. The page must be closed.
func (c *Client) Assets(ctx context.Context, q AssetQuery) (*AssetPage, error) {
	body, err := q.body()
	if err != nil {
		return nil, &Error{API: Assets, Class: Config, Err: err}
	}
	p := &AssetPage{query: q}
	params := q.selection()
	q.page(params)
	p.response, err = c.exchange(ctx, request{
		api:   Assets,
		path:  "/rest/2.0/search/am/asset",
		query: params,
		json:  body,
		open:  p.open,
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// AssetCount returns how many assets q selects; its page size, cursor and fields do not matter. It takes the slot of a page.
func (c *Client) AssetCount(ctx context.Context, q AssetQuery) (int64, error) {
	body, err := q.body()
	if err != nil {
		return 0, &Error{API: Assets, Class: Config, Err: err}
	}
	var n int64
	a, err := c.exchange(ctx, request{
		api:   Assets,
		path:  "/rest/2.0/count/am/asset",
		query: q.selection(),
		json:  body,
		open: func(a *response) (err error) {
			n, err = readCount(a)
			return err
		},
	})
	if err != nil {
		return 0, err
	}
	a.end(OutcomeOK)
	a.Close()
	return n, nil
}

var errNoCount = errors.New("response holds no count of assets")

// readCount reads {"count": 300, "responseCode": "SUCCESS"}. The number may come as a string.
func readCount(a *response) (int64, error) {
	if a.status == http.StatusNoContent {
		return 0, nil
	}
	if err := a.readHead(); err != nil {
		return 0, a.classified(err)
	}
	var said struct {
		Code  string          `json:"responseCode"`
		Count json.RawMessage `json:"count"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(a.head, byteOrderMark), &said); err != nil {
		return 0, a.classified(err)
	}
	n, ok := count(strings.Trim(string(said.Count), `"`))
	if !ok || said.Code != "" && !strings.EqualFold(said.Code, "SUCCESS") {
		return 0, a.classified(errNoCount)
	}
	return n, nil
}

// selection is the part of the query that selects assets, as far as it does not stand in the body.
func (q AssetQuery) selection() url.Values {
	params := url.Values{}
	if !q.UpdatedSince.IsZero() && q.UpdatedFilter == FilterParameter {
		params.Set(q.UpdatedFilter.String(), q.UpdatedSince.UTC().Format(timeFormat))
	}
	return params
}

// page adds which part of the list is asked for, and what of each asset.
func (q AssetQuery) page(params url.Values) {
	if q.PageSize > 0 {
		params.Set("pageSize", strconv.Itoa(q.PageSize))
	}
	if q.LastSeen > 0 {
		params.Set("lastSeenAssetId", strconv.FormatInt(q.LastSeen, 10))
	}
	if len(q.IncludeFields) > 0 {
		params.Set("includeFields", strings.Join(q.IncludeFields, ","))
	}
	if len(q.ExcludeFields) > 0 {
		params.Set("excludeFields", strings.Join(q.ExcludeFields, ","))
	}
}

func (q AssetQuery) body() ([]byte, error) {
	filters := slices.Clone(q.Filter)
	if !q.UpdatedSince.IsZero() && q.UpdatedFilter == FilterField {
		filters = append(filters, Filter{Field: q.UpdatedFilter.String(), Operator: "GREATER", Value: q.UpdatedSince.UTC().Format(timeFormat)})
	}
	if len(filters) == 0 {
		return nil, nil
	}
	return json.Marshal(struct {
		Filters   []Filter `json:"filters"`
		Operation string   `json:"operation"`
	}{filters, "AND"})
}

// AssetPage is one response of the asset inventory while it arrives.
type AssetPage struct {
	query     AssetQuery
	response  *response
	sanitizer *sanitizer
	json      *jsontext.Decoder
	handed    bool  // an asset was handed out
	before    int64 // assets of the array before that one
	code      string
	message   string
	listed    bool // assetListData was met
	more      moreAssets
	lastSeen  int64
	assets    int    // handed out
	last      uint64 // the ID that was noted last, 0: none
	err       error
}

// Depths of the decoder in a response: {"responseCode": …, "assetListData": {"asset": [ … ]}}.
const (
	inResponse = 1
	inData     = 2
	inAssets   = 3
)

var (
	errNotObject = errors.New("response is not a JSON object")
	errNoList    = errors.New("response holds no list of assets")
	errFailed    = errors.New("response tells of a failure")
)

// open reads through the beginning of the list of assets, or through the whole response if there is none.
func (p *AssetPage) open(a *response) error {
	*p = AssetPage{query: p.query, response: a}
	if a.status == http.StatusNoContent {
		a.end(OutcomeOK)
		p.err = io.EOF
		return nil
	}
	p.sanitizer = newSanitizer(a)
	p.json = jsontext.NewDecoder(p.sanitizer, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if p.json.PeekKind() != '{' {
		return a.classified(errNotObject)
	}
	if _, err := p.json.ReadToken(); err != nil {
		return a.classified(err)
	}
	switch p.err = p.walk(); {
	case p.failed():
		return a.classified(errFailed)
	case errors.Is(p.err, errNoList):
		return a.classified(errNoList) // it says why, perhaps
	}
	return nil
}

// failed reports whether the response calls itself a failure.
func (p *AssetPage) failed() bool {
	return p.code != "" && !strings.EqualFold(p.code, "SUCCESS")
}

// walk reads on to the beginning of an array of assets, or through the end of the response: then it returns io.EOF.
func (p *AssetPage) walk() error {
	for {
		depth := p.json.StackDepth()
		token, err := p.json.ReadToken()
		switch {
		case depth == 0 && err == io.EOF:
			return p.finish()
		case err != nil:
			return err
		case depth == 0:
			return errors.New("json: something follows after the end of the response")
		case token.Kind() == '}':
			continue
		}
		begun, err := p.member(depth, token.String())
		if err != nil || begun {
			return err
		}
	}
}

// member reads the value of a name in the response or in assetListData, and returns true at the beginning of the array of assets.
func (p *AssetPage) member(depth int, name string) (begun bool, err error) {
	kind := p.json.PeekKind()
	switch {
	case depth == inData && name == "asset" && kind == '[':
		_, err = p.json.ReadToken()
		return true, err
	case depth == inData && name == "asset" && kind != 'n':
		return false, p.unexpected("a list of assets")
	case depth == inResponse && name == "assetListData":
		p.listed = true
		if kind == '{' {
			_, err = p.json.ReadToken()
			return false, err
		}
	case depth == inResponse && kind != '{' && kind != '[':
		value, err := p.json.ReadToken()
		if err == nil {
			p.set(name, value.String())
		}
		return false, err
	}
	return false, p.json.SkipValue()
}

// set takes note of what the response tells besides the assets. Numbers may come as strings.
func (p *AssetPage) set(name, value string) {
	switch name {
	case "responseCode":
		p.code = value
	case "responseMessage":
		p.message = value
	case "hasMore":
		p.more = moreAssetsOf(value)
	case "lastSeenAssetId":
		p.lastSeen, _ = strconv.ParseInt(value, 10, 64)
	}
}

// finish checks what the response tells at its end.
func (p *AssetPage) finish() error {
	switch {
	case p.failed():
		text := shorten(p.response.message(p.code+": "+p.message), maxText)
		return &Error{API: Assets, Status: p.response.status, Text: text, Err: errFailed}
	case !p.listed && p.code == "":
		return errNoList
	}
	p.response.end(OutcomeOK)
	return io.EOF
}

// unexpected says that what comes next is not what it should be.
func (p *AssetPage) unexpected(what string) error {
	kind := p.json.PeekKind()
	if _, err := p.json.ReadToken(); err != nil {
		return err
	}
	return fmt.Errorf("json: %s where %s was expected", kind, what)
}

// Next returns a decoder that stands before the next asset, which is a JSON object: the caller reads that one value; what is
// left of it is skipped. It returns io.EOF after the clean end of the response, else an *Error.
func (p *AssetPage) Next() (*jsontext.Decoder, error) {
	if p.err == nil && p.handed {
		p.err = p.skipRest()
	}
	p.handed = false
	for p.err == nil {
		switch p.json.PeekKind() {
		case '{':
			p.handed = true
			p.assets++
			_, p.before = p.json.StackIndex(inAssets)
			return p.json, nil
		case 'n':
			p.err = p.json.SkipValue()
		case ']':
			if _, p.err = p.json.ReadToken(); p.err == nil {
				p.err = p.walk()
			}
		default:
			p.err = p.unexpected("an asset")
		}
	}
	if p.err != io.EOF {
		p.err = p.response.fail(p.err)
	}
	return nil, p.err
}

// skipRest reads through the end of the asset that was handed out.
func (p *AssetPage) skipRest() error {
	for p.json.StackDepth() > inAssets {
		if _, err := p.json.ReadToken(); err != nil {
			return err
		}
	}
	if _, read := p.json.StackIndex(inAssets); read == p.before {
		if err := p.json.SkipValue(); err != nil {
			return err
		}
	}
	p.response.stall.progress()
	return nil
}

// moreAssets is what a response says of whether there are more assets.
type moreAssets uint8

const (
	moreUnknown moreAssets = iota // it does not say, or nothing that makes sense
	moreNo
	moreYes
)

// moreAssetsOf reads hasMore, which is documented as 0 or 1.
func moreAssetsOf(value string) moreAssets {
	n, err := strconv.ParseFloat(value, 64)
	switch {
	case strings.EqualFold(value, "true"), err == nil && n == 1:
		return moreYes
	case strings.EqualFold(value, "false"), err == nil && n == 0:
		return moreNo
	}
	return moreUnknown
}

// AssetEnd is how the list of assets stands at the end of a page.
type AssetEnd uint8

// The ends of a page of assets.
const (
	// Complete: there are no more assets.
	Complete AssetEnd = iota
	// More: the list goes on where the response says.
	More
	// Incomplete: the response has assets and does not say whether there are more; what there is comes behind the last one.
	Incomplete
	// Stuck: the response says that there are more, but not where, or has no assets to tell it by.
	Stuck
)

// Note tells the page the ID of the asset that was read last, which only the caller knows. Where the response does not say where
// the list goes on, it goes on behind this one.
func (p *AssetPage) Note(id uint64) {
	if id != 0 {
		p.last = id
	}
}

// Continue returns whether there are more assets, and, with More and Incomplete, the cursor that the next request begins with
// (LastSeen). It knows only after Next has returned io.EOF; before, the page counts as Stuck.
func (p *AssetPage) Continue() (Continuation, AssetEnd) {
	named := p.lastSeen > p.query.LastSeen
	noted := p.last > uint64(max(p.query.LastSeen, 0)) && p.last <= math.MaxInt64
	switch {
	case p.err != io.EOF:
		return Continuation{}, Stuck
	case p.more == moreNo, p.more == moreUnknown && p.assets == 0:
		return Continuation{}, Complete
	case p.more == moreYes && named:
		return Continuation{ID: uint64(p.lastSeen)}, More
	case p.more == moreYes && noted && p.lastSeen == 0:
		return Continuation{ID: p.last}, More
	case p.more == moreUnknown && noted:
		return Continuation{ID: p.last}, Incomplete
	case p.more == moreUnknown && named:
		return Continuation{ID: uint64(p.lastSeen)}, Incomplete
	}
	return Continuation{}, Stuck
}

// Status is the HTTP status of the response: 200, or 204 if there is nothing, or nothing more.
func (p *AssetPage) Status() int { return p.response.status }

// ServerTime is the server's clock as the header Date tells, else zero.
func (p *AssetPage) ServerTime() time.Time { return headerTime(p.response.header) }

// Repaired returns in how many of the strings that were met so far control characters stood: they are kept, although JSON
// forbids them.
func (p *AssetPage) Repaired() int64 {
	if p.sanitizer == nil {
		return 0
	}
	return p.sanitizer.repaired
}

// Bytes returns how much of the response was read, inflated.
func (p *AssetPage) Bytes() int64 { return p.response.inflated }

// Close releases the connection, and the API for the next request.
func (p *AssetPage) Close() { p.response.Close() }
