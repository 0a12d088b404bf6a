// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// leaseServer is as much of a Kubernetes API as leader election needs: leases are read, made and replaced.
type leaseServer struct {
	server *httptest.Server

	mu      sync.Mutex // guards everything below
	version int
	lease   *coordination.Lease
	away    bool
}

// newLeaseServer serves until the test ends.
func newLeaseServer(t *testing.T) *leaseServer {
	s := &leaseServer{}
	mux := http.NewServeMux()
	const leases = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
	mux.HandleFunc("GET "+leases+"/{name}", s.get)
	mux.HandleFunc("POST "+leases, s.create)
	mux.HandleFunc("PUT "+leases+"/{name}", s.replace)
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	return s
}

// kubeconfig writes a file by which clients find the server.
func (s *leaseServer) kubeconfig(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, []byte(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "`+s.server.URL+`"}}]
users: [{name: test, user: {}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
`), 0o600))
	return file
}

// goAway makes the server cut every connection, until it is back.
func (s *leaseServer) goAway(away bool) {
	s.mu.Lock()
	s.away = away
	s.mu.Unlock()
	s.server.CloseClientConnections()
}

// give makes somebody the holder of the lease, as if that had come first. "": it is free.
func (s *leaseServer) give(holder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lease := s.lease.DeepCopy()
	lease.Spec.HolderIdentity = &holder
	s.keep(lease)
}

func (s *leaseServer) keep(lease *coordination.Lease) {
	s.version++
	lease.ResourceVersion = strconv.Itoa(s.version)
	s.lease = lease
}

func (s *leaseServer) get(w http.ResponseWriter, r *http.Request) {
	if s.cut(w) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease == nil || s.lease.Name != r.PathValue("name") {
		answer(w, http.StatusNotFound, failure(http.StatusNotFound, meta.StatusReasonNotFound))
		return
	}
	answer(w, http.StatusOK, s.lease)
}

func (s *leaseServer) create(w http.ResponseWriter, r *http.Request) {
	s.change(w, r, func(*coordination.Lease) bool { return s.lease == nil })
}

func (s *leaseServer) replace(w http.ResponseWriter, r *http.Request) {
	s.change(w, r, func(lease *coordination.Lease) bool {
		return s.lease != nil && s.lease.Name == r.PathValue("name") && s.lease.ResourceVersion == lease.ResourceVersion
	})
}

// change takes a lease, if it may replace what there is.
func (s *leaseServer) change(w http.ResponseWriter, r *http.Request, may func(*coordination.Lease) bool) {
	if s.cut(w) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	decoded, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil) // JSON or protobuf
	lease, ok := decoded.(*coordination.Lease)
	if err != nil || !ok {
		answer(w, http.StatusBadRequest, failure(http.StatusBadRequest, meta.StatusReasonBadRequest))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !may(lease) {
		answer(w, http.StatusConflict, failure(http.StatusConflict, meta.StatusReasonConflict))
		return
	}
	lease.Namespace = r.PathValue("namespace")
	s.keep(lease)
	answer(w, http.StatusOK, lease)
}

// cut ends the connection if the server is away.
func (s *leaseServer) cut(w http.ResponseWriter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.away {
		return false
	}
	if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = connection.Close()
	}
	return true
}

func failure(code int32, reason meta.StatusReason) *meta.Status {
	return &meta.Status{
		TypeMeta: meta.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   meta.StatusFailure, Reason: reason, Code: code,
	}
}

func answer(w http.ResponseWriter, status int, object any) {
	if lease, ok := object.(*coordination.Lease); ok {
		lease = lease.DeepCopy()
		lease.TypeMeta = meta.TypeMeta{Kind: "Lease", APIVersion: "coordination.k8s.io/v1"}
		object = lease
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object) // the client may have gone
}
