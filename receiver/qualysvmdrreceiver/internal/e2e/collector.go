// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// waitLimit bounds every wait. It says nothing about how fast something should be: a wait that reaches it has failed.
const waitLimit = 90 * time.Second

// Collector is one run of the built collector.
type Collector struct {
	// Run is its number among all that were started. It is in the collector's environment, as RUN.
	Run int

	command *exec.Cmd
	output  *output
	exited  chan struct{}

	healthURL  string
	metricsURL string
}

// runs is how many collectors were started.
var runs atomic.Int64

// Start starts the collector. What still runs when the test ends is killed; the output of a failed test is shown.
func Start(t testing.TB, config Config) *Collector {
	t.Helper()
	health, metrics := freeAddress(t), freeAddress(t)
	run := int(runs.Add(1))
	c := &Collector{
		Run:        run,
		command:    command(t.Context(), t, config.environment(run), config.arguments(t, health, metrics)...),
		output:     &output{},
		exited:     make(chan struct{}),
		healthURL:  "http://" + health + "/?verbose",
		metricsURL: "http://" + metrics + "/metrics",
	}
	c.command.Stdout = c.output
	c.command.Stderr = c.output
	require.NoError(t, c.command.Start())
	go func() {
		defer close(c.exited)
		// How it ended is in ProcessState.
		_ = c.command.Wait()
	}()
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			t.Logf("the end of the collector's output:\n%s", c.output.tail(60_000))
		}
	})
	return c
}

// Kill ends the collector as a power cut would, and returns when it is gone.
func (c *Collector) Kill() {
	// The only error is that it has ended already.
	_ = c.command.Process.Kill()
	<-c.exited
}

// Interrupt asks the collector to shut down, and returns when it has heard that. A collector listens a little later than it says that
// everything is ready, and until then an interrupt is ignored (see command): so it is sent until it is heard.
func (c *Collector) Interrupt(t testing.TB) {
	t.Helper()
	c.Await(t, "it heard the interrupt", func() bool {
		if strings.Contains(c.Output(), `"signal": "interrupt"`) {
			return true
		}
		// The only error is that it has ended already.
		_ = c.command.Process.Signal(syscall.SIGINT)
		return false
	})
}

// ExitCode waits until the collector has ended.
func (c *Collector) ExitCode(t testing.TB) int {
	t.Helper()
	select {
	case <-c.exited:
	case <-time.After(waitLimit):
		require.FailNow(t, "the collector did not end")
	}
	return c.command.ProcessState.ExitCode()
}

// Output is what the collector has written to its standard output and standard error.
func (c *Collector) Output() string {
	return c.output.tail(0)
}

// AwaitOutput waits until the collector has written a text.
func (c *Collector) AwaitOutput(t testing.TB, text string) {
	t.Helper()
	c.Await(t, "its output holds "+text, func() bool { return strings.Contains(c.Output(), text) })
}

// Await waits until a condition holds while the collector runs. It fails the test if the collector ends before.
func (c *Collector) Await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	limit := time.NewTimer(waitLimit)
	defer limit.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !condition() {
		select {
		case <-c.exited:
			require.True(t, condition(), "the collector ended, and never was it so that "+what)
			return
		case <-limit.C:
			c.dump()
			require.FailNow(t, "never was it so that "+what)
		case <-again.C:
		}
	}
}

// dump ends the collector in a way that tells in its output what each goroutine waits for.
func (c *Collector) dump() {
	// The only error is that it has ended already.
	_ = c.command.Process.Signal(syscall.SIGQUIT)
	<-c.exited
}

// run runs the built collector to its end, and returns what it wrote and its exit code.
func run(t testing.TB, environment []string, args ...string) (text string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	cmd := command(ctx, t, environment, args...)
	written, err := cmd.CombinedOutput()
	if ended := new(exec.ExitError); !errors.As(err, &ended) {
		require.NoError(t, err)
	}
	return string(written), cmd.ProcessState.ExitCode()
}

// command is a run of the built collector in an empty folder, with nothing in its environment but what is given. It is
// killed when the context ends. It ignores interrupts until it listens to them, so that one that comes too early does not end it
// in another way than one that comes in time.
func command(ctx context.Context, t testing.TB, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	binary := os.Getenv("OTELCOL")
	if binary == "" {
		binary = filepath.Join(moduleRoot(t), "bin", "otelcol-qualysvmdr")
	}
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `trap '' INT; exec "$0" "$@"`, binary}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = environment
	return cmd
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		require.NotEqual(t, parent, dir, "no go.mod above the tests")
		dir = parent
	}
}

// output keeps what a process writes while others read it.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write keeps p.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// tail is the last n bytes, or all of them if n is 0.
func (o *output) tail(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.text.String()
	if n > 0 && len(s) > n {
		s = s[len(s)-n:]
	}
	return s
}
