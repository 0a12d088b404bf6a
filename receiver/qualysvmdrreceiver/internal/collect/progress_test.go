// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProgressIsToldWhileTheNextTryIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(3, time.Now().Add(-24*time.Hour))
		down := true
		fake.fault = func(_ *request, w http.ResponseWriter) bool {
			if down {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return down
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), nil)
		defer run.stop()
		passTime(10*time.Minute + 10*time.Second)
		told := b.logs.FilterMessage("Collecting.").All()
		require.Len(t, told, 20, "every 30 seconds, though no try takes as long")
		assert.Positive(t, told[19].ContextMap()["retries"])
		assert.Equal(t, 10*time.Minute, told[19].ContextMap()["duration"])

		fake.change(func() { down = false })
		passTime(30 * time.Minute)
		assert.Len(t, b.logs.FilterMessage("Collection finished.").All(), 1)
		assert.Len(t, b.logs.FilterMessage("Collecting.").All(), 20, "not after the end")
	})
}

func TestRefreshThatTakesLongIsNoProgressOfACollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, next := newFake(), newSink()
		fake.hosts = detections(3, time.Now().Add(-24*time.Hour))
		fake.entries[1000] = time.Now().Add(-48 * time.Hour)
		limited := false
		fake.fault = func(r *request, w http.ResponseWriter) bool {
			if r.form.Get("details") != "None" || limited {
				return false
			}
			limited = true
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, "<SIMPLE_RETURN><RESPONSE><CODE>1965</CODE><TEXT>limit</TEXT></RESPONSE></SIMPLE_RETURN>")
			return true
		}
		b := newBench(t, fake, next, nil)
		_, _, run := b.vulnerabilities(testVulnerabilities(), testKnowledgeBase())
		defer run.stop()
		passTime(25 * time.Hour)
		assert.True(t, limited)
		assert.Empty(t, b.logs.FilterMessage("Collecting.").All(), "a duration that counts from nowhere would be told")
	})
}
