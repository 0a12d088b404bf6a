// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// askServer asks both APIs of the server at the same time.
func askServer(ctx context.Context, c *Client) []error {
	errs := make([]error, 2)
	var calls sync.WaitGroup
	calls.Go(func() { errs[0] = detections(ctx, c) })
	calls.Go(func() {
		p, err := c.Entries(ctx, EntryQuery{Version: "4.0", QIDs: []uint32{1}})
		if err == nil {
			p.Close()
		}
		errs[1] = err
	})
	calls.Wait()
	return errs
}

// byAPI answers each API of the server with its own empty list.
func byAPI(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/4.0/fo/knowledge_base/vuln/" {
		reply200(knowledge(""))(w, r)
		return
	}
	good(w, r)
}

// Every bad login brings the account nearer to being locked.
func TestABadPasswordIsSentOnce(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request) {
		pass(time.Second)
		respond(401, simpleReturn(2000, "Bad Login/Password"))(w, r)
	}
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, slow)
		errs := askServer(t.Context(), c)
		assert.Len(t, f.received(), 1)
		assert.Same(t, errs[0], errs[1])
		assert.Same(t, errs[0], error(c.Rejection(Server)))
		assert.Same(t, errs[0], detections(t.Context(), c))
		assert.Len(t, f.received(), 1)
		assert.Nil(t, c.Rejection(Gateway), "each host finds out by itself")

		c.Recall(Rejection{Endpoint: Server})
		assert.Error(t, detections(t.Context(), c))
		assert.Len(t, f.received(), 2, "allowed again")
	})
}

func TestRequestsWaitForTheFirstResponse(t *testing.T) {
	for _, tt := range []struct {
		name   string
		first  http.HandlerFunc
		at     []string // when the requests are received
		refuse bool
	}{
		{name: "accepted", first: byAPI, at: []string{"0s", "10s"}},
		{name: "a parameter is wrong", first: respond(400, simpleReturn(1905, "wrong")), at: []string{"0s", "10s"}},
		{name: "unclear", first: respond(503, "maintenance"), at: []string{"0s", "10s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			slowly := func(w http.ResponseWriter, r *http.Request) {
				pass(10 * time.Second)
				tt.first(w, r)
			}
			synctest.Test(t, func(t *testing.T) {
				f, c, _ := start(t, responses(slowly, byAPI))
				askServer(t.Context(), c)
				assert.Equal(t, tt.at, f.times(""))
			})
		})
	}
}

// Once the login is known to be good, the APIs do not wait for each other.
func TestRequestsDoNotWaitAfterALogin(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request) {
		pass(10 * time.Second)
		byAPI(w, r)
	}
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, responses(byAPI, slow))
		require.NoError(t, detections(t.Context(), c))
		assert.Equal(t, []error{nil, nil}, askServer(t.Context(), c))
		assert.Equal(t, []string{"0s", "0s", "0s"}, f.times(""))
	})
}

func TestWaitingForTheFirstResponseEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		ctx, cancel := context.WithCancel(t.Context())
		var errs []error
		var calls sync.WaitGroup
		calls.Go(func() { errs = askServer(ctx, c) })
		synctest.Wait()
		cancel()
		calls.Wait()
		require.ErrorIs(t, errs[0], context.Canceled)
		require.ErrorIs(t, errs[1], context.Canceled)
		assert.Len(t, f.received(), 1)
	})
}

// A refusal that was stored before a restart holds without a request.
func TestKnownRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, _ := start(t, good)
		known := &Error{API: Auth, Class: Config, Login: true, Text: "refused before"}
		c.Recall(Rejection{Endpoint: Gateway, Err: known})
		_, err := readAssets(t.Context(), c, AssetQuery{})
		assert.Same(t, known, requireError(t, err))
		assert.Empty(t, f.received())
		require.NoError(t, detections(t.Context(), c))
	})
}

// A password that is rotated while requests are under way costs those that were sent, and no other.
func TestARejectionEndsWhatWasNotSent(t *testing.T) {
	var rotated atomic.Bool
	handler := func(w http.ResponseWriter, r *http.Request) {
		if !rotated.Load() {
			reply200(hostList(""), "X-Concurrency-Limit-Limit", "10")(w, r)
			return
		}
		pass(time.Minute)
		respond(401, simpleReturn(2000, "Bad Login/Password"))(w, r)
	}
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		slowDials := func(s *Settings) {
			inner := s.Server.HTTP.Transport
			s.Server.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if dials.Add(1) > 4 { // the connections of the others take longer than the first response
					select {
					case <-time.After(2 * time.Minute):
					case <-r.Context().Done():
						return nil, r.Context().Err()
					}
				}
				return inner.RoundTrip(r)
			})}
		}
		f, c, o := start(t, handler, slowDials)
		require.NoError(t, detections(t.Context(), c))
		rotated.Store(true)
		errs := make([]error, 6)
		var calls sync.WaitGroup
		for i := range errs {
			calls.Go(func() {
				pass(time.Duration(i) * time.Second) // one dial after the other
				errs[i] = detections(t.Context(), c)
			})
		}
		began := time.Now()
		calls.Wait()
		assert.Equal(t, time.Minute, time.Since(began), "the rejection ends the others at once")
		assert.Len(t, f.received(), 1+3, "three were sent before it was read")
		for _, err := range errs {
			e := requireError(t, err)
			assert.True(t, e.Login)
			assert.Equal(t, Config, e.Class)
		}
		assert.Error(t, detections(t.Context(), c))
		assert.Len(t, f.received(), 4)
		assert.Contains(t, o.outcomes, "detections cancelled")
	})
}

// supplied makes the endpoint of the server take its credentials from an authenticator.
func supplied(credential *string, rejections *[]Rejection) func(*Settings) {
	return func(s *Settings) {
		withAuthenticator(s)
		inner := s.Server.HTTP.Transport
		s.Server.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			with := r.Clone(r.Context())
			with.Header.Set("Authorization", *credential)
			return inner.RoundTrip(with)
		})}
		s.Server.Credential = func(context.Context) Secret { return StableCredential(*credential) }
		s.Rejected = func(r Rejection) { *rejections = append(*rejections, r) }
	}
}

// What an authenticator supplies is tried again ever more seldom: an account is locked after a few bad logins.
func TestRejectedCredentialsOfAnAuthenticator(t *testing.T) {
	bad := respond(401, simpleReturn(2000, "Bad Login/Password"))
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		times   string // at which requests are sent
		classes map[string]int
	}{
		{
			name: "bad login, by Qualys' code", handler: bad,
			times:   "0s 15m0s 1h15m0s 5h15m0s 29h15m0s 53h15m0s",
			classes: map[string]int{"config": 6},
		},
		{
			name: "401 that may be a token", handler: respond(401, ""),
			times:   "0s 4m0s 11m0s 26m0s 1h26m0s 5h26m0s 29h26m0s 53h26m0s",
			classes: map[string]int{"ambiguous": 2, "config": 6},
		},
		{
			name: "expired account", handler: reply200(simpleReturn(2001, "expired")),
			times:   "0s 15m0s 1h15m0s 5h15m0s 29h15m0s 53h15m0s",
			classes: map[string]int{"config": 6},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				credential := "Basic abc"
				var rejections []Rejection
				f, c, _ := start(t, tt.handler, supplied(&credential, &rejections))
				classes := map[string]int{}
				for time.Since(bubbleStart) < 54*time.Hour {
					errs := askServer(t.Context(), c)
					assert.Same(t, requireError(t, errs[0]), requireError(t, errs[1]), "one request finds out for both APIs")
					e := requireError(t, errs[0])
					assert.True(t, e.Login)
					require.True(t, e.RetryAt.After(time.Now()))
					sent := len(f.received())
					pass(time.Until(e.RetryAt) - time.Nanosecond)
					assert.Same(t, e, requireError(t, detections(t.Context(), c)), "nothing is sent before")
					assert.Len(t, f.received(), sent)
					pass(time.Nanosecond)
					classes[e.Class.String()]++
				}
				assert.Equal(t, tt.times, strings.Join(f.times(""), " "))
				assert.Equal(t, tt.classes, classes)
				assert.Len(t, rejections, tt.classes["config"])
				last := rejections[len(rejections)-1]
				assert.Equal(t, len(rejections), last.Tries)
				assert.Equal(t, Secret("Basic abc"), last.Credential)
				assert.NotContains(t, fmt.Sprintf("%v %+v %#v", last, last, last), "abc")
				assert.Equal(t, last.Err.RetryAt, last.Until)
			})
		})
	}
}

// A success ends the row: later rejections begin with short distances again.
func TestDistancesBeginAnewAfterASuccess(t *testing.T) {
	bad := respond(401, simpleReturn(2000, "Bad Login/Password"))
	synctest.Test(t, func(t *testing.T) {
		credential := "Basic abc"
		var rejections []Rejection
		_, c, _ := start(t, responses(bad, bad, good, bad), supplied(&credential, &rejections))
		require.Error(t, detections(t.Context(), c))
		pass(15 * time.Minute)
		require.Error(t, detections(t.Context(), c))
		pass(time.Hour)
		require.NoError(t, detections(t.Context(), c))
		assert.Nil(t, c.Rejection(Server))
		assert.Equal(t, Rejection{Endpoint: Server}, rejections[2], "they work again: nothing is to be remembered")
		e := requireError(t, detections(t.Context(), c))
		assert.Equal(t, time.Now().Add(15*time.Minute), e.RetryAt)
	})
}

// What is rotated in a file comes through at once, without a restart.
func TestChangedCredentialsAreTriedAtOnce(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Basic new" {
			respond(401, simpleReturn(2000, "Bad Login/Password"))(w, r)
			return
		}
		good(w, r)
	}
	t.Run("a good one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			credential := "Basic old"
			var rejections []Rejection
			f, c, _ := start(t, handler, supplied(&credential, &rejections))
			require.Error(t, detections(t.Context(), c))
			require.Error(t, detections(t.Context(), c))
			assert.Len(t, f.received(), 1)
			credential = "Basic new"
			require.NoError(t, detections(t.Context(), c))
		})
	})
	t.Run("a signature always changes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			credential := "AWS4-HMAC-SHA256 1"
			var rejections []Rejection
			f, c, _ := start(t, handler, supplied(&credential, &rejections))
			require.Error(t, detections(t.Context(), c))
			credential = "AWS4-HMAC-SHA256 2"
			require.Error(t, detections(t.Context(), c))
			assert.Len(t, f.received(), 1, "that it is another one tells nothing")
		})
	})
	t.Run("another one that is bad as well", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			credential := "Basic old"
			var rejections []Rejection
			f, c, _ := start(t, handler, supplied(&credential, &rejections))
			require.Error(t, detections(t.Context(), c))
			credential = "Basic older"
			e := requireError(t, detections(t.Context(), c))
			assert.Equal(t, time.Now().Add(15*time.Minute), e.RetryAt)
			assert.Len(t, f.received(), 2)
		})
	})
}

// A rejection from before a restart goes on where it was.
func TestRecalledRejections(t *testing.T) {
	bad := respond(401, simpleReturn(2000, "Bad Login/Password"))
	synctest.Test(t, func(t *testing.T) {
		credential := "Basic abc"
		var rejections []Rejection
		f, c, _ := start(t, bad, supplied(&credential, &rejections))
		until := time.Now().Add(time.Hour)
		c.Recall(Rejection{
			Endpoint: Server, Until: until, Tries: 2, Same: Secret(credential).same(),
			Err: &Error{API: Detections, Class: Config, Login: true, Text: "rejected before", RetryAt: until},
		})
		assert.Equal(t, until, requireError(t, detections(t.Context(), c)).RetryAt)
		assert.Empty(t, f.received())
		pass(time.Hour)
		e := requireError(t, detections(t.Context(), c))
		assert.Equal(t, time.Now().Add(4*time.Hour), e.RetryAt, "the third one")
		assert.Len(t, f.received(), 1)

		c.Recall(Rejection{Endpoint: Server, Tries: 2, Same: Secret("Basic other").same(), Err: &Error{API: Detections}})
		require.Error(t, detections(t.Context(), c))
		assert.Len(t, f.received(), 2, "others were rejected then")
	})
}

// A password is not tried again: somebody has to change it.
func TestARejectedPasswordHoldsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rejections []Rejection
		f, c, _ := start(t, respond(401, ""), func(s *Settings) {
			s.Rejected = func(r Rejection) { rejections = append(rejections, r) }
		})
		e := requireError(t, detections(t.Context(), c))
		assert.Zero(t, e.RetryAt)
		pass(1000 * time.Hour)
		assert.Same(t, e, requireError(t, detections(t.Context(), c)))
		assert.Len(t, f.received(), 1)
		assert.Equal(t, []Rejection{{Endpoint: Server, Err: e, Tries: 1}}, rejections)
	})
}

// A rejection that holds is asked about every minute: that must not use up the calls that remain.
func TestCallsThatAreHeldBackAreNotCounted(t *testing.T) {
	bad := respond(401, simpleReturn(2000, "Bad Login/Password"), "X-RateLimit-Limit", "300", "X-RateLimit-Remaining", "15", "X-RateLimit-Window-Sec", "86400")
	synctest.Test(t, func(t *testing.T) {
		credential := "Basic abc"
		var rejections []Rejection
		f, c, o := start(t, responses(bad, good), supplied(&credential, &rejections))
		for range 60 {
			require.Error(t, detections(t.Context(), c))
		}
		credential = "Basic def"
		require.NoError(t, detections(t.Context(), c))
		assert.Equal(t, []string{"0s", "0s"}, f.times(""))
		assert.Empty(t, o.waits)
	})
}
