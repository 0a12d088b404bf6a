// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"net/http"
	"sync"
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
		assert.Same(t, errs[0], error(c.Refused(Server)))
		assert.Same(t, errs[0], detections(t.Context(), c))
		assert.Len(t, f.received(), 1)
		assert.Nil(t, c.Refused(Gateway), "each host finds out by itself")

		c.Refuse(Server, nil)
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
		c.Refuse(Gateway, known)
		_, err := readAssets(t.Context(), c, AssetQuery{})
		assert.Same(t, known, requireError(t, err))
		assert.Empty(t, f.received())
		require.NoError(t, detections(t.Context(), c))
	})
}
