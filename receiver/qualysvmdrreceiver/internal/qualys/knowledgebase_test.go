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
				p, err := c.KnowledgeBase(t.Context(), "4.0", url.Values{"ids": {"1,2,3"}})
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
		p, err := c.KnowledgeBase(t.Context(), "4.0", url.Values{"ids": {"1"}})
		require.NoError(t, err)
		defer p.Close()
		_, err = p.Next()
		require.Equal(t, io.EOF, err)
	})
}

func TestCutEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, o := start(t, reply200("<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><VULN_LIST><VULN><QID>1</QID></VULN>"))
		p, err := c.KnowledgeBase(t.Context(), "4.0", url.Values{"ids": {"1"}})
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
		for _, params := range []url.Values{nil, {"ids": {""}}, {"ids": {" , "}}} {
			_, err := c.KnowledgeBase(t.Context(), "4.0", params)
			require.ErrorIs(t, err, ErrNoIDs)
		}
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
		{name: "not a number", inner: "<ID_SET><ID>7</ID><ID>x</ID></ID_SET>", visited: "7-7 ", err: `"x" is neither a QID nor a range`},
		{name: "the wrong way round", inner: "<ID_SET><ID_RANGE>9-7</ID_RANGE></ID_SET>", err: "neither"},
		{name: "too large", inner: "<ID_SET><ID>4294967296</ID></ID_SET>", err: "neither"},
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
					at, err := c.KnowledgeBaseIDs(t.Context(), "4.0", url.Values{"last_modified_after": {"2026-11-19"}}, func(first, last uint32) error {
						if first == 13 {
							return stop
						}
						visited += fmt.Sprintf("%d-%d ", first, last)
						return nil
					})
					assert.Equal(t, time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC), at)
					if tt.err == "" {
						require.NoError(t, err)
					} else {
						require.ErrorContains(t, err, tt.err)
					}
				}
				assert.Equal(t, tt.visited, visited)
				assert.Equal(t, url.Values{"action": {"list"}, "details": {"None"}, "last_modified_after": {"2026-11-19"}}, f.received()[0].form)
			})
		})
	}
}

func TestEntryIDsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, respond(403, simpleReturn(2010, "no permission")))
		_, err := c.KnowledgeBaseIDs(t.Context(), "4.0", nil, nil)
		e := requireError(t, err)
		assert.Equal(t, Config, e.Class)
		assert.False(t, e.Login, "detections go on")
		assert.Nil(t, c.Refused(Server))
	})
}
