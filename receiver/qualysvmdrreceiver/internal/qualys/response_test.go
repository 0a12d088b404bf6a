// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drip sends a head, then a piece every interval until the reader goes away, and the end never.
func drip(head, piece string, interval time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for text := head; ; text = piece {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-time.After(interval):
			case <-r.Context().Done():
				return
			}
		}
	}
}

var listBegin = strings.TrimSuffix(hostList(""), "</RESPONSE></HOST_LIST_VM_DETECTION_OUTPUT>\n<!-- the end -->\n")

// A server that says nothing, or never gets anywhere, must not hold a collection for ever; one that is merely slow may.
func TestStalledResponsesAreGivenUp(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		setting string
		took    time.Duration
	}{
		{name: "no response", handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, setting: "read_idle_timeout", took: 5 * time.Minute},
		{name: "silence after the head", handler: drip(listBegin, "", 24*time.Hour), setting: "read_idle_timeout", took: 5 * time.Minute},
		{name: "silence in a host", handler: drip(listBegin+"<HOST><ID>1</ID>", "", 24*time.Hour), setting: "read_idle_timeout", took: 5 * time.Minute},
		{name: "silence in an error", handler: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			drip("<html>", "", 24*time.Hour)(w, r)
		}, setting: "read_idle_timeout", took: 5 * time.Minute},
		{name: "keep-alive comments only", handler: drip(listBegin, "<!-- keep-alive -->", time.Minute), setting: "page_timeout", took: 30 * time.Minute},
		{name: "a host that never ends", handler: drip(listBegin+"<HOST>", "<OS>x</OS>", 4*time.Minute), setting: "page_timeout", took: 30 * time.Minute},
		{name: "a host after twenty minutes, another never", handler: responses(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, listBegin)
			for range 20 {
				_, _ = io.WriteString(w, "<!-- keep-alive -->")
				w.(http.Flusher).Flush()
				pass(time.Minute)
			}
			drip("<HOST></HOST>", " ", time.Minute)(w, r)
		}), setting: "page_timeout", took: 50 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, o := start(t, tt.handler)
				began := time.Now()
				err := detections(t.Context(), c)
				var timeout *TimeoutError
				require.ErrorAs(t, err, &timeout)
				assert.True(t, timeout.Timeout())
				assert.Equal(t, Generic, requireError(t, err).Class)
				assert.Contains(t, err.Error(), tt.setting)
				assert.Equal(t, tt.took, time.Since(began))
				assert.Equal(t, []string{"detections failed"}, o.outcomes)
			})
		})
	}
}

func TestWaitingCanBeEndless(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request) {
		pass(1000 * time.Hour)
		good(w, r)
	}
	endless := func(s *Settings) { s.ReadIdleTimeout, s.PageTimeout = 0, 0 }
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, slow, endless)
		require.NoError(t, detections(t.Context(), c))
	})
}

// A pipeline that blocks for an hour is not the server's fault.
func TestTimeOfTheReaderDoesNotCount(t *testing.T) {
	page := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, hostList(manyHosts(20, 300_000)))
	}
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, page)
		p, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0"})
		require.NoError(t, err)
		defer p.Close()
		var s Segment
		count := 0
		for {
			if err = p.Next(&s); err != nil {
				break
			}
			count++
			pass(time.Hour)
		}
		require.Equal(t, io.EOF, err)
		assert.Equal(t, 20, count)
	})
}

// Assets and entries count as progress, too.
func TestSlowListsAreReadToTheirEnd(t *testing.T) {
	slowly := func(begin, item, end string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, begin)
			for range 5 {
				w.(http.Flusher).Flush()
				for range 5 {
					pass(4 * time.Minute)
					_, _ = io.WriteString(w, " ")
					w.(http.Flusher).Flush()
				}
				_, _ = io.WriteString(w, item)
			}
			_, _ = io.WriteString(w, end)
		}
	}
	t.Run("assets", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c, _ := start(t, gateway(slowly(`{"assetListData":{"asset":[`, `{},`, `{}]}}`)))
			assets, err := readAssets(t.Context(), c, AssetQuery{})
			require.NoError(t, err)
			assert.Len(t, assets, 6)
		})
	})
	t.Run("QIDs", func(t *testing.T) {
		handler := slowly("<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><ID_SET>", "<ID>7</ID>", "</ID_SET></RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>")
		synctest.Test(t, func(t *testing.T) {
			_, c, _ := start(t, handler)
			count := 0
			_, err := c.EntryIDs(t.Context(), EntryIDQuery{Version: "4.0"}, func(uint32, uint32) error {
				count++
				return nil
			})
			require.NoError(t, err)
			assert.Equal(t, 5, count)
		})
	})
}

func TestRequestsEndWithTheContext(t *testing.T) {
	stopped := errors.New("stopped")
	for name, handler := range map[string]http.HandlerFunc{
		"before the response": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"in the response":     drip(listBegin+"<HOST>", " ", time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, o := start(t, handler)
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Minute+time.Millisecond, func() { cancel(stopped) })
				began := time.Now()
				require.ErrorIs(t, detections(ctx, c), stopped)
				assert.Equal(t, time.Minute+time.Millisecond, time.Since(began))
				assert.Equal(t, []string{"detections cancelled"}, o.outcomes)
			})
		})
	}
}

func TestClosedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, o := start(t, drip(listBegin+hosts(1), " ", time.Second))
		p, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0"})
		require.NoError(t, err)
		p.Close()
		assert.Equal(t, []string{"detections incomplete"}, o.outcomes)

		ctx, cancel := context.WithCancel(t.Context())
		p, err = c.Detections(ctx, DetectionQuery{Version: "5.0"})
		require.NoError(t, err)
		cancel()
		p.Close()
		assert.Equal(t, "detections cancelled", o.outcomes[1])
	})
}

// Connections that nobody closes outlive the receiver: each reload of the configuration would leave some behind.
func TestCloseClosesConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := 0
		var transport *http.Transport
		wrapped := func(s *Settings) {
			transport = s.Server.HTTP.Transport.(*http.Transport)
			s.Server.HTTP = &http.Client{Transport: roundTripper(transport.RoundTrip)} // hides how connections are closed
			s.Server.CloseIdle = func() {
				idle++
				transport.CloseIdleConnections()
			}
		}
		_, c, _ := start(t, good, wrapped)
		require.NoError(t, detections(t.Context(), c))
		c.Close()
		assert.Equal(t, 1, idle)
	})
}

func TestNetworkErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, o := start(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		e := requireError(t, detections(t.Context(), c))
		assert.Equal(t, Generic, e.Class)
		assert.Zero(t, e.Status)
		require.ErrorIs(t, e, io.EOF)
		assert.NotContains(t, e.Error(), "https://")
		assert.Equal(t, []string{"detections failed"}, o.outcomes)
	})
}

func TestAddressesThatAreNone(t *testing.T) {
	c := New(Settings{Server: Endpoint{URL: "https://a b/"}})
	e := requireError(t, detections(t.Context(), c))
	assert.Equal(t, Config, e.Class)
}

func zip(parts ...string) string {
	var b bytes.Buffer
	for _, part := range parts {
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, part)
		_ = z.Close()
	}
	return b.String()
}

func TestGzip(t *testing.T) {
	body := hostList(hosts(1, 2, 3))
	for _, tt := range []struct {
		name, encoding, body string
		err                  error
	}{
		{name: "gzip", encoding: "gzip", body: zip(body)},
		{name: "old name", encoding: "X-GZIP", body: zip(body)},
		{name: "identity", encoding: "identity", body: body},
		{name: "several members", encoding: "gzip", body: zip(body[:100], body[100:])},
		{name: "cut", encoding: "gzip", body: zip(body)[:200], err: io.ErrUnexpectedEOF},
		{name: "cut in the check sum", encoding: "gzip", body: zip(body)[:len(zip(body))-3], err: io.ErrUnexpectedEOF},
		{name: "cut between members", encoding: "gzip", body: zip(body[:200]), err: io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, o := start(t, reply200(tt.body, "Content-Encoding", tt.encoding))
				p, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0"})
				require.NoError(t, err)
				defer p.Close()
				_, err = readAll(p)
				require.ErrorIs(t, err, tt.err)
				p.Close()
				assert.Equal(t, int64(len(tt.body)), o.bytes, "bytes are counted as they were sent")
				if tt.err == nil {
					assert.Equal(t, int64(len(body)), p.Bytes())
				}
			})
		})
	}
}

// An error can be encoded as well, and can be empty nevertheless.
func TestGzippedErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		status  int
		body    string
		message string
	}{
		"with a code":   {200, zip(simpleReturn(2001, "expired")), "code 2001: expired"},
		"without bytes": {401, "", "empty response"},
		"not gzip":      {500, "down for a while", "HTTP 500"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, respond(tt.status, tt.body, "Content-Encoding", "gzip"))
				assert.Contains(t, requireError(t, detections(t.Context(), c)).Error(), tt.message)
			})
		})
	}
}

// A proxy can encode what it answers in Qualys' place in a way that nobody asked for. A rejected password that is not seen to be
// one would be sent again until the account is locked, and a limit would be run into again and again.
func TestErrorsThatCannotBeInflatedAreClassified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, respond(401, "\x0b\x02\x80", "Content-Encoding", "br"))
		for range 2 {
			e := requireError(t, detections(t.Context(), c))
			assert.Equal(t, Config, e.Class)
			assert.True(t, e.Login)
		}
		assert.Len(t, f.received(), 1, "a bad password is sent once")
	})
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, responses(respond(429, "\x0b\x02\x80", "Content-Encoding", "br", "Retry-After", "90"), good))
		require.NoError(t, detections(t.Context(), c))
		calls := f.received()
		require.Len(t, calls, 2)
		assert.Equal(t, 90*time.Second, calls[1].at.Sub(calls[0].at))
	})
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, reply200("\x0b\x02\x80", "Content-Encoding", "br"))
		e := requireError(t, detections(t.Context(), c))
		assert.Equal(t, Generic, e.Class)
		assert.Equal(t, `detections: HTTP 200: content encoding "br" is not supported`, e.Error())
	})
}

func TestResponsesAreCappedAfterInflating(t *testing.T) {
	bomb := zip(hostList(strings.Repeat(" ", 10<<20)))
	require.Less(t, len(bomb), 100<<10)
	small := func(s *Settings) { s.MaxInflated = 1 << 20 }
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, reply200(bomb, "Content-Encoding", "gzip"), small)
		err := detections(t.Context(), c)
		require.ErrorIs(t, err, errTooLarge)
		assert.Equal(t, Generic, requireError(t, err).Class)
	})
}

// Round-trippers add credentials on every hop: following a redirect would give them away.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		handler := func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/auth" {
				respond(201, "token-1")(w, r)
				return
			}
			respond(status, "", "Location", "https://evil.test/"+r.URL.Path)(w, r)
		}
		synctest.Test(t, func(t *testing.T) {
			f, c, _ := start(t, handler)
			e := requireError(t, detections(t.Context(), c))
			assert.Equal(t, Ambiguous, e.Class)
			assert.Contains(t, e.Error(), "redirect to evil.test, not followed")
			_, err := readAssets(t.Context(), c, AssetQuery{})
			assert.Equal(t, Ambiguous, requireError(t, err).Class)
			for _, call := range f.received() {
				assert.NotEqual(t, "evil.test", call.host)
			}
		})
	}
}

// An authenticator that renews its token sends the same request again.
func TestBodiesCanBeSentAgain(t *testing.T) {
	twice := func(s *Settings) {
		inner := s.Server.HTTP.Transport
		s.Server.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			again := r.Clone(r.Context())
			var err error
			if again.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
			resp, err := inner.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			_ = resp.Body.Close()
			return inner.RoundTrip(again)
		})}
	}
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, good, twice)
		p, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0", IDs: []IDRange{{1, 9}}})
		require.NoError(t, err)
		p.Close()
		require.Len(t, f.received(), 2)
		assert.Equal(t, f.received()[0].form, f.received()[1].form)
		assert.Equal(t, "1-9", f.received()[1].form.Get("ids"))
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
