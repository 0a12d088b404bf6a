// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

func TestDetectionRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, reply200(hostList("")))
		p, err := c.Detections(t.Context(), DetectionQuery{
			Version: "5.0", Status: []string{"New", "Fixed"}, Limit: 7, Min: 5, Max: 6000,
			Filter: UpdatedSince, Since: time.Date(2026, 11, 19, 10, 0, 0, 0, time.FixedZone("", 3600)),
			IDs:        []IDRange{{5000, 5027}, {5029, 5029}},
			Parameters: map[string]string{"show_tags": "1", "show_qds": "", "action": "purge", "id_min": "1"},
			Extra:      map[string]string{"show_tags": "0", "network": "7", "truncation_limit": "1"},
			Omit:       map[string]bool{"id_max": true, "show_tags": false},
		})
		require.NoError(t, err)
		p.Close()
		p.Close()
		require.Len(t, f.received(), 1)
		got := f.received()[0]
		assert.Equal(t, "qualysapi.test", got.host)
		assert.Equal(t, "/api/5.0/fo/asset/host/vm/detection/", got.path)
		assert.Equal(t, url.Values{
			"action": {"list"}, "output_format": {"XML"}, "truncation_limit": {"7"}, "status": {"New,Fixed"}, "id_min": {"5"},
			"detection_updated_since": {"2026-11-19T09:00:00Z"}, "ids": {"5000-5027,5029"}, "show_tags": {"1"}, "network": {"7"},
		}, got.form)
		assert.Equal(t, "application/x-www-form-urlencoded", got.header.Get("Content-Type"))
		assert.Equal(t, "qualysvmdr/test", got.header.Get("User-Agent"))
		assert.NotEmpty(t, got.header.Get("X-Requested-With"))
		assert.Equal(t, "gzip", got.header.Get("Accept-Encoding"))
		user, pass, _ := (&http.Request{Header: got.header}).BasicAuth()
		assert.Equal(t, []string{username, password}, []string{user, pass})
	})
}

func TestVersionsArePathSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, reply200(hostList("")))
		for _, version := range []string{"", "..", "5.0/../../x", "5.", "v5"} {
			_, err := c.Detections(t.Context(), DetectionQuery{Version: version})
			assert.Equal(t, Config, requireError(t, err).Class, version)
			_, err = c.Entries(t.Context(), EntryQuery{Version: version, QIDs: []uint32{1}})
			assert.Equal(t, Config, requireError(t, err).Class, version)
		}
		assert.Empty(t, f.received())
	})
}

func TestDetectionPages(t *testing.T) {
	one, two := "<HOST><ID>1</ID><A>x</A></HOST>", "<HOST\n><B><![CDATA[</HOST>]]></B></HOST>"
	empty := "<HOST/>"
	tests := []struct {
		name  string
		inner string
		hosts string
	}{
		{name: "no list"},
		{name: "empty list", inner: "<HOST_LIST></HOST_LIST>"},
		{name: "hosts", inner: "<HOST_LIST>\n" + one + "<!-- keep-alive -->" + two + "</HOST_LIST>", hosts: one + two},
		{name: "empty host", inner: "<HOST_LIST>" + empty + one + "</HOST_LIST>", hosts: empty + one},
		{name: "hosts without a list", inner: one + two, hosts: one + two},
		{name: "several lists", inner: "<HOST_LIST>" + one + "</HOST_LIST><HOST_LIST>" + two + "</HOST_LIST>", hosts: one + two},
		{name: "unknown elements", inner: "<NEW><HOST>no</HOST></NEW><HOST_LIST><NEW/>" + one + "<X><HOST/></X></HOST_LIST><GLOSSARY>…</GLOSSARY>", hosts: one},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := hostList(tt.inner)
			synctest.Test(t, func(t *testing.T) {
				_, c, o := start(t, reply200(body))
				p, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0"})
				require.NoError(t, err)
				defer p.Close()
				assert.Equal(t, time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC), p.ServerTime(), "known before the first host")
				got, err := readAll(p)
				require.NoError(t, err)
				assert.Equal(t, tt.hosts, got)
				assert.Equal(t, int64(len(body)), p.Bytes())
				assert.Empty(t, p.Warning())
				_, more := p.Continue()
				assert.False(t, more)
				p.Close()
				assert.Equal(t, []string{"detections ok"}, o.outcomes)
				assert.Equal(t, int64(len(body)), o.bytes)
			})
		})
	}
}

func TestServerTimeFallsBackToTheHeader(t *testing.T) {
	root := "<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE>%s<HOST_LIST><HOST><ID>1</ID></HOST></HOST_LIST></RESPONSE></HOST_LIST_VM_DETECTION_OUTPUT>"
	for _, tt := range []struct {
		name, datetime, date string
		want                 time.Time
	}{
		{name: "missing", date: "Fri, 20 Nov 2026 09:15:00 GMT", want: time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC)},
		{name: "not a time", datetime: "<DATETIME>now</DATETIME>", date: "Fri, 20 Nov 2026 09:15:00 GMT", want: time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC)},
		{name: "neither", date: "now"},
		{name: "another zone", datetime: "<DATETIME> 2026-11-20T10:15:00+01:00\n</DATETIME>", date: "now", want: time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, reply200(fmt.Sprintf(root, tt.datetime), "Date", tt.date))
				p, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0"})
				require.NoError(t, err)
				defer p.Close()
				assert.Equal(t, tt.want, p.ServerTime())
				got, err := readAll(p)
				require.NoError(t, err)
				assert.Equal(t, "<HOST><ID>1</ID></HOST>", got, "the host met in looking for the time is not lost")
			})
		})
	}
}

// Whatever a response names as its next page, the request stays ours, and goes where it went before.
func TestContinuations(t *testing.T) {
	sent := DetectionQuery{Version: "5.0", Status: []string{"New"}, Min: 5, Limit: 2, Omit: map[string]bool{"host_metadata": true}}
	tests := []struct {
		name    string
		extra   map[string]string
		warning string
		hosts   string
		next    Continuation
		err     string
	}{
		{name: "none"},
		{name: "only a message", warning: "<CODE>1</CODE><TEXT>This version ends soon.</TEXT>"},
		{name: "usual", warning: `<CODE>1980</CODE><TEXT>more</TEXT><URL><![CDATA[https://qualysapi.test/api/5.0/x/?action=list&truncation_limit=1000&id_min=9]]></URL>`, next: Continuation{ID: 9}},
		{
			name: "white space around it", warning: "<CODE>1980</CODE><TEXT>more</TEXT><URL>\n  <![CDATA[ https://qualysapi.test/?id_min=9&show_tags=1 ]]>\n</URL>",
			next: Continuation{ID: 9, Extra: map[string]string{"show_tags": "1"}},
		},
		{
			name: "another host and path", warning: `<URL>https://evil.test/steal?id_min=9&amp;show_tags=1</URL>`,
			next: Continuation{ID: 9, Extra: map[string]string{"show_tags": "1"}},
		},
		{
			name:    "what is ours",
			warning: `<URL><![CDATA[?action=purge&output_format=CSV&echo_request=1&username=a&Password=b&token=c&id_min=9&id_max=10&ids=9&status=Fixed#x=1]]></URL>`,
			next:    Continuation{ID: 9},
		},
		{name: "what the server does not support", warning: `<URL>?id_min=9&amp;host_metadata=all</URL>`, next: Continuation{ID: 9}},
		{
			name: "what it named before", extra: map[string]string{"show_tags": "1", "old": "1"}, warning: `<URL>?id_min=9&amp;show_tags=1</URL>`,
			next: Continuation{ID: 9, Extra: map[string]string{"show_tags": "1"}},
		},
		{name: "escaped twice", warning: `<URL><![CDATA[?truncation_limit=3&amp;id_min=9]]></URL>`, next: Continuation{ID: 9}},
		{name: "without id_min", warning: `<URL>https://qualysapi.test/?action=list</URL>`, hosts: hosts(6, 8), next: Continuation{ID: 9}},
		{
			name: "without a number", warning: `<URL>?id_min=x</URL>`, hosts: "<HOST_LIST><HOST><!-- <ID>7</ID> --><OS><ID>7</ID></OS><ID><![CDATA[ 8 ]]></ID></HOST></HOST_LIST>",
			next: Continuation{ID: 9},
		},
		{
			name: "truncated without an address", extra: map[string]string{"show_tags": "1"}, warning: `<CODE> 1980 </CODE><TEXT>more</TEXT>`, hosts: hosts(6, 8),
			next: Continuation{ID: 9, Extra: map[string]string{"show_tags": "1"}},
		},
		{name: "truncated without an address and hosts", warning: `<CODE>1980</CODE>`, err: "not known which item"},
		{name: "without id_min and hosts", warning: `<URL>?action=list</URL>`, err: "not known which item"},
		{name: "without id_min, last host without ID", warning: `<URL>?action=list</URL>`, hosts: "<HOST_LIST><HOST><OS/></HOST></HOST_LIST>", err: "not known which item"},
		{name: "the same page again", warning: `<URL>?id_min=5</URL>`, err: "does not advance"},
		{name: "behind a host that comes before the page", warning: `<CODE>1980</CODE>`, hosts: hosts(3), err: "does not advance"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inner := tt.hosts
			if tt.warning != "" {
				inner += "<WARNING>" + tt.warning + "<NEW><URL>?id_min=1</URL></NEW></WARNING>"
			}
			synctest.Test(t, func(t *testing.T) {
				f, c, _ := start(t, reply200(hostList(inner)))
				query := sent
				query.Extra = tt.extra
				p, err := c.Detections(t.Context(), query)
				require.NoError(t, err)
				defer p.Close()
				_, early := p.Continue()
				assert.False(t, early)
				got, err := readAll(p)
				assert.Equal(t, strings.Count(tt.hosts, "<HOST>"), strings.Count(got, "<HOST>"))
				next, more := p.Continue()
				if tt.err != "" {
					assert.Contains(t, requireError(t, err).Error(), tt.err)
					assert.False(t, more)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, tt.next, next)
				assert.Equal(t, tt.next.ID != 0, more)
				p.Close()

				query.Min, query.Extra = next.ID, next.Extra
				p, err = c.Detections(t.Context(), query)
				require.NoError(t, err)
				p.Close()
				assert.Equal(t, "qualysapi.test", f.received()[1].host)
				assert.Equal(t, f.received()[0].path, f.received()[1].path)
				assert.Equal(t, "list", f.received()[1].form.Get("action"))
				assert.Equal(t, "2", f.received()[1].form.Get("truncation_limit"))
				assert.Equal(t, "New", f.received()[1].form.Get("status"))
			})
		})
	}
}

func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, reply200(hostList("<WARNING><CODE>1975</CODE><TEXT>version\n ends</TEXT></WARNING>")))
		p, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0"})
		require.NoError(t, err)
		defer p.Close()
		_, err = readAll(p)
		require.NoError(t, err)
		assert.Equal(t, "1975 version ends", p.Warning())
	})
}

// manyHosts makes hosts of about size bytes each.
func manyHosts(count, size int) string {
	var b strings.Builder
	b.WriteString("<HOST_LIST>")
	for id := range count {
		fmt.Fprintf(&b, "<HOST><ID>%d</ID><DETECTION_LIST>", id+1)
		for n := 0; n*1000 < size; n++ {
			fmt.Fprintf(&b, "<DETECTION><QID>%d</QID><RESULTS><![CDATA[%s]]></RESULTS></DETECTION>", n+1, strings.Repeat("</HOST>", 135))
		}
		b.WriteString("</DETECTION_LIST></HOST>")
	}
	b.WriteString("</HOST_LIST>")
	return b.String()
}

// A page is read in pieces of limited size, whatever the sizes of its hosts.
func TestSegments(t *testing.T) {
	for _, tt := range []struct {
		name        string
		hosts, size int
		segments    int
		continued   int
	}{
		{name: "small hosts", hosts: 100, size: 20_000, segments: 8, continued: 0},
		{name: "a host beyond the soft size", hosts: 3, size: 500_000, segments: 3, continued: 0},
		{name: "hosts in parts", hosts: 2, size: 3_000_000, segments: 6, continued: 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := manyHosts(tt.hosts, tt.size)
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, reply200(hostList(inner)))
				p, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0"})
				require.NoError(t, err)
				defer p.Close()
				var all strings.Builder
				var s Segment
				segments, continued := 0, 0
				for {
					err := p.Next(&s)
					if err == io.EOF {
						break
					}
					require.NoError(t, err)
					segments++
					if s.More {
						continued++
						assert.GreaterOrEqual(t, len(s.Data), hardSize)
					} else {
						assert.True(t, strings.HasSuffix(string(s.Data), "</HOST>"))
					}
					assert.LessOrEqual(t, len(s.Data), hardSize+100)
					all.Write(s.Data)
				}
				assert.Empty(t, s.Data)
				assert.Equal(t, inner, "<HOST_LIST>"+all.String()+"</HOST_LIST>")
				assert.Equal(t, tt.segments, segments)
				assert.Equal(t, tt.continued, continued)
				assert.LessOrEqual(t, cap(s.Data), 3*hardSize, "one buffer is used again")
			})
		})
	}
}

// What a cut response holds is used; the cut is never taken for the end.
func TestCutResponses(t *testing.T) {
	body := hostList(hosts(1, 2))
	whole, rest := "<HOST><ID>1</ID><DETECTION_LIST>", "</DETECTION_LIST></HOST>"
	for _, tt := range []struct {
		name string
		at   string // the response is cut before it
		ends string
		more bool
	}{
		{name: "in the first host", at: rest, ends: "</DETECTION>", more: true},
		{name: "between hosts", at: "<HOST><ID>2", ends: "</HOST>"},
		{name: "in a tag", at: "ST_LIST>\n<HOST>", ends: ""},
		{name: "after the hosts", at: "</RESPONSE>", ends: "</HOST>"},
		{name: "before the last tag", at: "</HOST_LIST_VM_DETECTION_OUTPUT>", ends: "</HOST>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cutBody, _, _ := strings.Cut(body, tt.at)
			for name, handler := range map[string]http.HandlerFunc{
				"without a length": reply200(cutBody),
				"with a length":    reply200(cutBody, "Content-Length", strconv.Itoa(len(body))),
			} {
				synctest.Test(t, func(t *testing.T) {
					_, c, o := start(t, handler)
					p, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0"})
					require.NoError(t, err, name)
					var s Segment
					err = p.Next(&s)
					assert.Equal(t, Generic, requireError(t, err).Class, name)
					require.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
					assert.True(t, strings.HasSuffix(strings.TrimSpace(string(s.Data)), tt.ends), "%s: %s", name, s.Data)
					assert.Equal(t, tt.ends != "", strings.HasPrefix(string(s.Data), whole), name)
					assert.Equal(t, tt.more, s.More, name)
					assert.Equal(t, err, p.Next(&s), "an error stays")
					p.Close()
					assert.Equal(t, []string{"detections failed"}, o.outcomes)
				})
			}
		})
	}
}

func FuzzDetectionPage(f *testing.F) {
	f.Add([]byte(hostList(hosts(1, 2) + "<WARNING><URL>?id_min=3</URL></WARNING>")))
	f.Add([]byte(hostList("<HOST><ID>1<DETECTION_LIST><DETECTION/><X></HOST>")))
	f.Add([]byte(simpleReturn(2001, "expired")))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &DetectionPage{response: responseOf(t, Detections, data)}
		var err error
		if p.list, err = openList(p.response, detectionList); err != nil {
			require.Equal(t, Detections, requireError(t, err).API)
			return
		}
		var h Hosts
		var s Segment
		for total := 0; ; {
			err := p.Next(&s)
			total += len(s.Data)
			require.LessOrEqual(t, total, len(data), "more comes out than went in")
			h.Reset(&s, nil)
			begun := 0
			for {
				event, err := h.Next()
				if err != nil {
					break
				}
				switch event {
				case BeginHost:
					begun++
				case EndHost:
					begun--
				}
				require.Contains(t, []int{0, 1}, begun)
			}
			if err != nil {
				_, more := p.Continue()
				require.False(t, more && err != io.EOF)
				return
			}
		}
	})
}

// BenchmarkDetectionPage measures the way from a response's bytes to the start of each detection, without its content.
func BenchmarkDetectionPage(b *testing.B) {
	body := []byte(hostList(manyHosts(100, 200_000)))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	var s Segment
	var h Hosts
	for b.Loop() {
		p := &DetectionPage{response: responseOf(b, Detections, body)}
		var err error
		if p.list, err = openList(p.response, detectionList); err != nil {
			b.Fatal(err)
		}
		for {
			if err = p.Next(&s); err != nil {
				break
			}
			h.Reset(&s, nil)
			if _, err := walk(&h, (*xmlstream.Reader).Skip); err != io.EOF {
				b.Fatal(err)
			}
		}
	}
}
