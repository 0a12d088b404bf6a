// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package benchmark

import (
	"context"
	_ "embed"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

//go:embed iterparse.py
var iterparse string

// hasPython reports whether the row of Python can be measured.
func hasPython() bool {
	_, err := exec.LookPath("python3")
	return err == nil
}

// runPython turns the page in a file into JSON lines, and returns how long that took, the start of Python not included.
func runPython(ctx context.Context, page string) (time.Duration, error) {
	printed, err := exec.CommandContext(ctx, "python3", "-c", iterparse, page).Output()
	if err != nil {
		return 0, fmt.Errorf("python3: %w", err)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(printed)), 64)
	return time.Duration(seconds * float64(time.Second)), err
}
