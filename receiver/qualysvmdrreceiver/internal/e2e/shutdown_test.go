// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

const halfAPage = `<?xml version="1.0" encoding="UTF-8" ?>
<HOST_LIST_VM_DETECTION_OUTPUT>
  <RESPONSE>
    <DATETIME>2026-11-20T09:15:00Z</DATETIME>
    <HOST_LIST>
      <HOST>
        <ID>7</ID>
        <DETECTION_LIST>
          <DETECTION><UNIQUE_VULN_ID>1</UNIQUE_VULN_ID><QID>38170</QID>`

// The limits on silence are minutes: a collector that ends within this limit has not waited for them.
func TestInterruptWhileAPageArrivesEndsTheCollector(t *testing.T) {
	arriving := make(chan struct{})
	var once sync.Once
	qualys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/xml")
		_, _ = io.WriteString(w, halfAPage)
		_ = http.NewResponseController(w).Flush()
		once.Do(func() { close(arriving) })
		<-r.Context().Done()
	}))
	t.Cleanup(qualys.Close)
	t.Cleanup(qualys.CloseClientConnections)

	collector := Start(t, Config{
		Qualys: qualys.URL, Username: "user", Password: "secret", Exporter: NewSink(t).Protobuf(),
		More: "receivers: {qualysvmdr: {vulnerabilities: }}",
	})
	collector.Await(t, "a page arrives", func() bool {
		select {
		case <-arriving:
			return true
		default:
			return false
		}
	})
	collector.Interrupt(t)
	assert.Zero(t, collector.ExitCode(t))
}
