// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../tools/go.mod mdatagen metadata.yaml

// Package qualysvmdrreceiver collects host detections, KnowledgeBase entries, assets and the user activity log from
// Qualys VMDR and delivers them as log records.
package qualysvmdrreceiver
