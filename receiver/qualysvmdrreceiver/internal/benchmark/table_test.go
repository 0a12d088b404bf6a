// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// unit is what a figure counts.
type unit uint8

const (
	times unit = iota // as fast as something else
	share
	objects
	megabytes
	seconds
	ratio
	calls
)

func (u unit) format(v float64) string {
	switch u {
	case times:
		return fmt.Sprintf("%.2f x", v)
	case share:
		return fmt.Sprintf("%.3g %%", 100*v)
	case objects:
		return fmt.Sprintf("%.3f", v)
	case calls:
		return fmt.Sprintf("%.0f", v)
	case megabytes:
		return fmt.Sprintf("%.0f MB", v)
	case seconds:
		return fmt.Sprintf("%.1f s", v)
	default:
		return fmt.Sprintf("%.3f x", v)
	}
}

// row is a figure, with what it must and what it should be.
type row struct {
	name          string
	unit          unit
	atMost        bool // smaller is better
	required, aim float64
	measured      []float64
}

func (r *row) median() float64 { return median(r.measured) }

func (r *row) reaches(goal float64) bool {
	if r.atMost {
		return r.median() <= goal
	}
	return r.median() >= goal
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// printRows prints the table. Only the verdicts say ok or SHORT.
func printRows(out io.Writer, rows []*row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "measured\tmedian\tfrom\tto\trequired\taim\tverdict")
	for _, r := range rows {
		verdict := "ok"
		if !r.reaches(r.required) {
			verdict = "SHORT"
		}
		f := r.unit.format
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.name, f(r.median()), f(slices.Min(r.measured)), f(slices.Max(r.measured)), f(r.required), f(r.aim), verdict)
	}
	return w.Flush()
}

// table measures everything.
type table struct {
	dir    string // of files that are thrown away
	rows   []*row
	speeds []speed
	// growth is what one page of 1 GB takes of memory against one of 20 MB. It is no row, as it tells of the length of a
	// collection and not of its pages.
	growth []float64
}

// speed is how fast something was, in bytes of input a second.
type speed struct {
	name     string
	measured []float64
}

func (t *table) row(r row) *row {
	t.rows = append(t.rows, &r)
	return &r
}

// note adds to the speeds of what the name says.
func (t *table) note(name string, bytes int, took time.Duration) {
	per := float64(bytes) / took.Seconds()
	for i := range t.speeds {
		if t.speeds[i].name == name {
			t.speeds[i].measured = append(t.speeds[i].measured, per)
			return
		}
	}
	t.speeds = append(t.speeds, speed{name, []float64{per}})
}

// writeTable measures everything and prints it.
func writeTable(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "qualysvmdr-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t := &table{dir: dir}
	began := time.Now()
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"detections", t.measureDetections},
		{"bodies", t.measureBodies},
		{"assets", t.measureAssets},
		{"hosts", t.measureKnownHosts},
		{"tracked", t.measureTracked},
		{"commits", t.measureCommits},
		{"accounts", t.measureAccounts},
		{"calls", t.measureCalls},
		{"memory", t.measureMemory},
		{"at-once", t.measureAtOnce},
	} {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), part.name) {
			continue
		}
		if err := part.measure(ctx); err != nil {
			// What was measured until then took long.
			t.rows = slices.DeleteFunc(t.rows, func(r *row) bool { return len(r.measured) == 0 })
			return errors.Join(fmt.Errorf("%s: %w", part.name, err), printRows(out, t.rows))
		}
	}
	fmt.Fprintf(out, "%s %s/%s, %d cores; %d rounds in %s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), *rounds, time.Since(began).Round(time.Second))
	if err := printRows(out, t.rows); err != nil {
		return err
	}
	if len(t.growth) > 0 {
		fmt.Fprintf(out, "\npeak memory after one page of 1 GB against one of 20 MB, which is done after ten garbage collections: %s (%s to %s)\n",
			ratio.format(median(t.growth)), ratio.format(slices.Min(t.growth)), ratio.format(slices.Max(t.growth)))
	}
	fmt.Fprintln(out, "\nmedian speeds on this machine, in MB of input a second:")
	for _, s := range t.speeds {
		fmt.Fprintf(out, "  %s %s\n", strconv.FormatFloat(median(s.measured)/1e6, 'f', 0, 64), s.name)
	}
	return nil
}

// timed measures f on one core, after what was left over from before is collected. It goes by the time of the processor,
// which what else runs on the machine changes least.
func timed(f func() error) (time.Duration, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	runtime.GC()
	began := processorTime()
	err := f()
	return processorTime() - began, err
}

// processorTime is how long this process has been at work.
func processorTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // cannot fail with these arguments
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// against measures ours, several times, around theirs once, so that a change of the machine's speed concerns both. It returns
// the time of one of each.
func against(theirs func() (time.Duration, error), ours func() error) (other, own time.Duration, err error) {
	for half := range 2 {
		took, err := timed(func() error {
			for range passes / 2 {
				if err := ours(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, 0, err
		}
		own += took
		if half == 0 {
			if other, err = theirs(); err != nil {
				return 0, 0, err
			}
		}
	}
	return other, own / passes, nil
}

// passes is how often what is fast is repeated.
const passes = 6
