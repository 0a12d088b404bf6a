// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

func listOfHosts(inner string) string {
	return `<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE HOST_LIST_OUTPUT SYSTEM "https://qualysapi.test/host_list.dtd">
<HOST_LIST_OUTPUT><RESPONSE><DATETIME>2026-11-20T09:15:00Z</DATETIME>` + inner + `</RESPONSE></HOST_LIST_OUTPUT>`
}

func TestHostList(t *testing.T) {
	body := listOfHosts("<HOST_LIST><HOST><ID>7</ID><IP>192.0.2.7</IP></HOST><!-- keep-alive --><HOST><ID>8</ID></HOST></HOST_LIST><WARNING><CODE>1980</CODE><TEXT>more</TEXT></WARNING>")
	synctest.Test(t, func(t *testing.T) {
		f, c, o := start(t, reply200(body))
		p, err := c.Hosts(t.Context(), HostQuery{
			Version: "5.0", Details: "All/AGs", Min: 7, Max: 90, Limit: 2, IDs: []IDRange{{7, 20}},
			Filter: ScannedAfter, Since: time.Date(2026, 11, 19, 0, 0, 0, 0, time.UTC),
			Parameters: map[string]string{"show_tags": "1"}, Extra: map[string]string{"x": "1"}, Omit: map[string]bool{"ids": true},
		})
		require.NoError(t, err)
		defer p.Close()
		for id := uint64(7); ; id++ {
			xml, err := p.Next()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			require.Equal(t, "HOST", string(xml.Name()))
			require.NoError(t, xml.Skip())
			p.Note(id)
		}
		next, more := p.Continue()
		assert.True(t, more)
		assert.Equal(t, Continuation{ID: 9, Extra: map[string]string{"x": "1"}}, next)
		assert.Equal(t, "1980 more", p.Warning())
		assert.Equal(t, time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC), p.ServerTime())
		assert.Equal(t, int64(len(body)), p.Bytes())
		p.Close()
		assert.Equal(t, []string{"host_list ok"}, o.outcomes)
		assert.Equal(t, "/api/5.0/fo/asset/host/", f.received()[0].path)
		assert.Equal(t, url.Values{
			"action": {"list"}, "details": {"All/AGs"}, "id_min": {"7"}, "id_max": {"90"}, "truncation_limit": {"2"},
			"vm_processed_after": {"2026-11-19T00:00:00Z"}, "show_tags": {"1"}, "x": {"1"},
		}, f.received()[0].form)
	})
}

// A host that only a broken or shortened list lacks is not gone.
func TestHostIDsAreCompleteOrNot(t *testing.T) {
	enough := errors.New("enough")
	for _, tt := range []struct {
		name     string
		body     string
		visited  string
		complete bool
		err      string
	}{
		{name: "complete", body: listOfHosts("<ID_SET><ID>7</ID><ID_RANGE>9-4294967300</ID_RANGE></ID_SET>"), visited: "7 9-4294967300 ", complete: true},
		{name: "empty", body: listOfHosts("")},
		{name: "empty set", body: listOfHosts("<ID_SET/>")},
		{name: "a warning", body: listOfHosts("<ID_SET><ID>7</ID></ID_SET><WARNING><TEXT>soon</TEXT></WARNING>"), visited: "7 "},
		{name: "truncated", body: listOfHosts("<ID_SET><ID>7</ID></ID_SET><WARNING><CODE>1980</CODE></WARNING>"), visited: "7 "},
		{name: "cut", body: strings.TrimSuffix(listOfHosts("<ID_SET><ID>7</ID>"), "</RESPONSE></HOST_LIST_OUTPUT>"), visited: "7 ", err: "unexpected EOF"},
		{name: "not an ID", body: listOfHosts("<ID_SET><ID>7</ID><ID>-</ID></ID_SET>"), visited: "7 ", err: "neither an ID"},
		{name: "refused by the caller", body: listOfHosts("<ID_SET><ID>13</ID></ID_SET>"), err: "enough"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c, _ := start(t, reply200(tt.body))
				visited := ""
				ids, err := c.HostIDs(t.Context(), HostQuery{
					Version: "5.0", Details: "All", Limit: 7,
					Parameters: map[string]string{"show_tags": "1", "host_metadata": "all", "ag_ids": "5"},
				}, func(r IDRange) error {
					if r.First == 13 {
						return enough
					}
					visited += fmt.Sprint(r) + " "
					return nil
				})
				assert.Equal(t, tt.visited, visited)
				assert.Equal(t, tt.complete, ids.Complete)
				assert.Equal(t, time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC), ids.ServerTime)
				if tt.err == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, tt.err)
				}
				assert.Equal(t, url.Values{"action": {"list"}, "details": {"None"}, "truncation_limit": {"0"}, "ag_ids": {"5"}}, f.received()[0].form)
			})
		})
	}
}

// What is left of a host is not taken for the next one.
func TestHostsThatAreNotReadAreSkipped(t *testing.T) {
	for name, read := range map[string]func(*xmlstream.Reader) error{"untouched": untouched, "in part": half} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, reply200(listOfHosts("<HOST_LIST><HOST><ID>7</ID><TAGS><TAG/></TAGS></HOST><HOST><ID>8</ID></HOST></HOST_LIST>")))
				p, err := c.Hosts(t.Context(), HostQuery{Version: "5.0"})
				require.NoError(t, err)
				defer p.Close()
				for range 2 {
					xml, err := p.Next()
					require.NoError(t, err)
					require.NoError(t, read(xml))
				}
				_, err = p.Next()
				require.Equal(t, io.EOF, err)
				_, more := p.Continue()
				assert.False(t, more)
			})
		})
	}
}
