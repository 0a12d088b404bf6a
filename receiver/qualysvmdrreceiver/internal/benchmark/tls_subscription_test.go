// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// tlsSubscription is a simulated premium subscription in this process, which is served over TLS with HTTP/2.
type tlsSubscription struct {
	server *httptest.Server
	caFile string

	mu      sync.Mutex // guards everything below
	running int
	most    int
	other   string // a protocol that is not HTTP/2
}

// newTLSSubscription serves hosts that weigh so many bytes, and writes the certificate into a folder.
func newTLSSubscription(bytes int64, dir string) (*tlsSubscription, error) {
	options := qualyssim.Options{
		Username: username, Password: password, TotalBytes: bytes, MinDetections: 50, MaxDetections: 300, NoGzip: true, Assets: -1,
	}
	qualyssim.ServiceLevel("premium").Apply(&options)
	s := &tlsSubscription{caFile: filepath.Join(dir, "ca.pem")}
	simulator := qualyssim.New(options)
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.began(r)
		defer s.ended()
		simulator.ServeHTTP(w, r)
	}))
	s.server.EnableHTTP2 = true
	s.server.StartTLS()
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	if err := os.WriteFile(s.caFile, block, 0o600); err != nil {
		s.server.Close()
		return nil, err
	}
	return s, nil
}

func (s *tlsSubscription) began(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running++
	s.most = max(s.most, s.running)
	if r.ProtoMajor != 2 {
		s.other = r.Proto
	}
}

func (s *tlsSubscription) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
}

// check reports whether so many requests ran at once over HTTP/2, which is what is to be measured.
func (s *tlsSubscription) check(atOnce int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.other != "" {
		return errors.New("requests over " + s.other)
	}
	if s.most < atOnce {
		return fmt.Errorf("only %d requests at once", s.most)
	}
	return nil
}
