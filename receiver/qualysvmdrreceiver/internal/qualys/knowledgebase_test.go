// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

func knowledge(inner string) string {
	return `<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE KNOWLEDGE_BASE_VULN_LIST_OUTPUT SYSTEM "https://qualysapi.test/kb.dtd">
<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><DATETIME>2026-11-20T09:15:00Z</DATETIME>` + inner + `</RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>`
}

func TestEntries(t *testing.T) {
	entries := "<VULN_LIST><VULN><QID>1</QID><TITLE>a</TITLE></VULN><!-- keep-alive --><VULN/><NEW/><VULN><QID>3</QID></VULN></VULN_LIST>"
	for name, read := range map[string]func(*xmlstream.Reader) error{
		"consumed":  (*xmlstream.Reader).Skip,
		"untouched": untouched,
		"in part":   half,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c, o := start(t, reply200(knowledge(entries)))
				p, err := c.Entries(t.Context(), EntryQuery{Version: "4.0", QIDs: []uint32{1, 2, 3}})
				require.NoError(t, err)
				defer p.Close()
				assert.Equal(t, time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC), p.ServerTime())
				count := 0
				for {
					xml, err := p.Next()
					if err == io.EOF {
						break
					}
					require.NoError(t, err)
					require.Equal(t, "VULN", string(xml.Name()))
					require.NoError(t, read(xml))
					count++
				}
				assert.Equal(t, 3, count)
				assert.Equal(t, int64(len(knowledge(entries))), p.Bytes())
				p.Close()
				assert.Equal(t, []string{"knowledge_base ok"}, o.outcomes)
				got := f.received()[0]
				assert.Equal(t, "/api/4.0/fo/knowledge_base/vuln/", got.path)
				assert.Equal(t, url.Values{"action": {"list"}, "details": {"All"}, "ids": {"1,2,3"}}, got.form)
			})
		})
	}
}

// None of the QIDs exists, or the subscription may not see them.
func TestNoEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, reply200(knowledge("")))
		p, err := c.Entries(t.Context(), EntryQuery{Version: "4.0", QIDs: []uint32{1}})
		require.NoError(t, err)
		defer p.Close()
		_, err = p.Next()
		require.Equal(t, io.EOF, err)
	})
}

func TestCutEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, o := start(t, reply200("<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><VULN_LIST><VULN><QID>1</QID></VULN>"))
		p, err := c.Entries(t.Context(), EntryQuery{Version: "4.0", QIDs: []uint32{1}})
		require.NoError(t, err)
		_, err = p.Next()
		require.NoError(t, err)
		_, err = p.Next()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Equal(t, KnowledgeBase, requireError(t, err).API)
		p.Close()
		assert.Equal(t, []string{"knowledge_base failed"}, o.outcomes)
	})
}

// Without ids Qualys would send the whole KnowledgeBase.
func TestEntriesNeedIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, reply200(knowledge("")))
		_, err := c.Entries(t.Context(), EntryQuery{Version: "4.0", Min: 7, Parameters: map[string]string{"ids": "1"}})
		require.ErrorIs(t, err, ErrNoIDs)
		assert.Empty(t, f.received())
	})
}

func TestEntryIDs(t *testing.T) {
	stop := errors.New("enough")
	for _, tt := range []struct {
		name    string
		inner   string
		visited string
		err     string
	}{
		{name: "none"},
		{name: "empty", inner: "<ID_SET/>"},
		{name: "numbers and ranges", inner: "<ID_SET><ID>7</ID><NEW>1</NEW><ID_RANGE> 9-11\n</ID_RANGE><ID><![CDATA[4294967295]]></ID></ID_SET>", visited: "7-7 9-11 4294967295-4294967295 "},
		{name: "not a number", inner: "<ID_SET><ID>7</ID><ID>x</ID></ID_SET>", visited: "7-7 ", err: `"x" is neither an ID nor a range`},
		{name: "the wrong way round", inner: "<ID_SET><ID_RANGE>9-7</ID_RANGE></ID_SET>", err: "neither"},
		{name: "too large", inner: "<ID_SET><ID>7</ID><ID>4294967296</ID><ID_RANGE>4294967290-4294967299</ID_RANGE></ID_SET>", visited: "7-7 4294967290-4294967295 "},
		{name: "refused by the caller", inner: "<ID_SET><ID>7</ID><ID>13</ID><ID>14</ID></ID_SET>", visited: "7-7 ", err: "enough"},
		{name: "broken", inner: "<ID_SET><ID>7</ID><ID>1</IDS>", visited: "7-7 ", err: "IDS"},
		{name: "broken between", inner: "<ID_SET><ID>7</ID></ID>", visited: "7-7 ", err: "ID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c, _ := start(t, reply200(knowledge(tt.inner)))
				visited := ""
				for range 2 { // the API is free again afterwards, whatever happened
					visited = ""
					ids, err := c.EntryIDs(t.Context(), EntryIDQuery{Version: "4.0", ModifiedAfter: time.Date(2026, 11, 19, 0, 0, 0, 0, time.UTC)}, func(first, last uint32) error {
						if first == 13 {
							return stop
						}
						visited += fmt.Sprintf("%d-%d ", first, last)
						return nil
					})
					assert.Equal(t, time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC), ids.ServerTime)
					if tt.err == "" {
						require.NoError(t, err)
					} else {
						require.ErrorContains(t, err, tt.err)
					}
				}
				assert.Equal(t, tt.visited, visited)
				assert.Equal(t, url.Values{"action": {"list"}, "details": {"None"}, "last_modified_after": {"2026-11-19T00:00:00Z"}}, f.received()[0].form)
			})
		})
	}
}

// A truncated response was taken for the whole: the entries behind were reported as missing.
func TestTruncatedEntries(t *testing.T) {
	one := "<VULN_LIST><VULN><QID>1001</QID></VULN></VULN_LIST>"
	ids := "<ID_SET><ID_RANGE>990-1001</ID_RANGE></ID_SET>"
	for _, tt := range []struct {
		name    string
		warning string
		more    bool
		extra   map[string]string
		err     string
	}{
		{name: "complete"},
		{name: "a message", warning: "<CODE>1981</CODE><TEXT>This version ends.</TEXT>"},
		{name: "with an address", warning: "<CODE>1980</CODE><URL> https://x.test/?action=list&amp;ids=7&amp;details=None&amp;id_min=1002&amp;show_pci_reasons=1 </URL>", more: true, extra: map[string]string{"show_pci_reasons": "1"}},
		{name: "without an address", warning: "<CODE>1980</CODE><TEXT>more</TEXT>", more: true},
		{name: "the same page again", warning: "<CODE>1980</CODE><URL>?id_min=7</URL>", err: "does not advance"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				warning := ""
				if tt.warning != "" {
					warning = "<WARNING>" + tt.warning + "</WARNING>"
				}
				f, c, _ := start(t, responses(reply200(knowledge(one+warning)), reply200(knowledge(ids+warning))))
				p, err := c.Entries(t.Context(), EntryQuery{Version: "4.0", QIDs: []uint32{1001, 1002, 1003}, Min: 7})
				require.NoError(t, err)
				defer p.Close()
				_, err = p.Next()
				require.NoError(t, err)
				p.Note(1001)
				_, end := p.Next()
				next, more := p.Continue()
				p.Close()

				listed, err := c.EntryIDs(t.Context(), EntryIDQuery{Version: "4.0", Min: 7}, func(uint32, uint32) error { return nil })
				assert.Equal(t, "7", f.received()[1].form.Get("id_min"))
				if tt.err != "" {
					require.ErrorContains(t, requireError(t, end), tt.err)
					require.ErrorContains(t, requireError(t, err), tt.err)
					assert.False(t, more || listed.More)
					return
				}
				require.Equal(t, io.EOF, end)
				require.NoError(t, err)
				want := Continuation{}
				if tt.more {
					want = Continuation{ID: 1002, Extra: tt.extra}
				}
				assert.Equal(t, tt.more, more)
				assert.Equal(t, want, next)
				assert.Equal(t, tt.more, listed.More)
				assert.Equal(t, want, listed.Continuation)
			})
		})
	}
}

func TestEntryIDsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, respond(403, simpleReturn(2010, "no permission")))
		_, err := c.EntryIDs(t.Context(), EntryIDQuery{Version: "4.0"}, nil)
		e := requireError(t, err)
		assert.Equal(t, Config, e.Class)
		assert.False(t, e.Login, "detections go on")
		assert.Nil(t, c.Rejection(Server))
	})
}
