// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"testing"
)

// What make bench gives: the table instead of tests.
var (
	printTable      = flag.Bool("table", false, "measure everything and print the table, instead of running tests")
	only            = flag.String("only", "", "the parts to be measured, separated by commas: detections, bodies, assets, hosts, tracked, commits, accounts, calls, memory, at-once")
	rounds          = flag.Int("rounds", 13, "rounds of the table")
	collectors      = flag.Int("collectors", 5, "collections of which the memory is measured, of each size")
	hostRounds      = flag.Int("host-rounds", 3, "rounds of comparing a million known hosts")
	accountRounds   = flag.Int("accounts", 3, "rounds of the rows of whole accounts")
	requestsFile    = flag.String("requests", "", "prefix of files that the requests of the collections of accounts are written to, as the simulator saw them")
	collectorBinary = flag.String("collector", "bin/otelcol-qualysvmdr", "the built collector")
	simulatorBinary = flag.String("simulator", "bin/simulator", "the built simulator")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !*printTable {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := writeTable(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
