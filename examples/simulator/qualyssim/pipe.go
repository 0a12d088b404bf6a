// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

// Pipe serves a handler over connections in memory, for tests in a bubble of testing/synctest: unlike with sockets, the
// bubble's clock moves on while a client waits for an answer.
type Pipe struct {
	server      *http.Server
	transport   *http.Transport
	serving     sync.WaitGroup
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

// NewPipe starts to serve. In a bubble it has to be called there.
func NewPipe(handler http.Handler) *Pipe {
	p := &Pipe{server: &http.Server{Handler: handler}, connections: make(chan net.Conn), closed: make(chan struct{})}
	p.transport = &http.Transport{DialContext: p.dial}
	p.serving.Go(func() { _ = p.server.Serve((*pipeListener)(p)) }) // it ends with Close
	return p
}

// Transport connects every host name to the handler. Its URLs are http, without TLS.
func (p *Pipe) Transport() *http.Transport { return p.transport }

// Close ends all connections, and waits until nothing is served any more.
func (p *Pipe) Close() error {
	p.transport.CloseIdleConnections()
	err := p.server.Close()
	p.serving.Wait()
	return err
}

func (p *Pipe) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.connections <- server:
		return client, nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipeListener is the server's side of a Pipe.
type pipeListener Pipe

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
