// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e runs the built collector as a user does: as a process of its own with a configuration file, against a
// simulated Qualys, with a real OTLP receiver as its backend.
//
// The collector is the one that the environment variable OTELCOL names, else bin/otelcol-qualysvmdr of this repository;
// `make e2e` builds it first.
package e2e
