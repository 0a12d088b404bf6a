// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Simulator serves a Qualys API with a made-up subscription, to run the receiver against. See its README.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, errHelp) {
		fmt.Fprintln(os.Stderr, "simulator:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	f, err := parseFlags(args, out)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return err
	}
	simulator := qualyssim.New(f.options)
	base := "http://" + listener.Addr().String()
	fmt.Fprintf(out, "Qualys API at %[1]s, control at %[1]s/simulator\nusername %q, password %q\nseed %d: %s\n",
		base, f.options.Username, f.options.Password, f.options.Seed, simulator.Summary())

	// Long answers are the point: only what a client must do at once has a limit. Requests end with ctx, so that a
	// stalled answer does not keep the program.
	server := &http.Server{
		Handler:           simulator,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// The context that ended must not cut short the goodbye to calls that are running.
	goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if server.Shutdown(goodbye) != nil {
		err = server.Close()
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		return ended
	}
	return err
}
