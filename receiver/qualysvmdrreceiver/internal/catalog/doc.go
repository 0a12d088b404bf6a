// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package catalog collects the KnowledgeBase entries of detected vulnerabilities, by QID, and puts fields of them on detections.
//
//	detections ▶ batch ▶ Enrich ──wants──▶ queue of QIDs ──pages──▶ fetch ▶ entries delivered ▶ commit
//	                       ▲                   ▲                                                  │
//	                       └────────── fields ─┼──────────────────────────────────────────────────┘
//	             accepted ▶ Detected ──────────┘     refresh: what changed, and what had no entry
//
// Each QID has a state (entries.go). What is to be fetched is asked for in pages, several at once (fetch.go, group.go); pages
// of one fetch serve all batches that wait. An entry is delivered as a record of its own, then its state and its fields are
// committed in one write to the storage, and only then do detections that wait for it go on: whatever a crash interrupts, no
// detection tells of an entry that would not be delivered.
package catalog
