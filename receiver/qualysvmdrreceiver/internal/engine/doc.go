// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine runs the collections of a dataset. It knows no dataset, no Qualys and no XML: a [Source] says what is asked
// for, and hands out the pages of the response.
//
// The unit of work is a shard: a range of IDs of a pass, with a cursor of its own (shard.go). Requests side by side are
// several shards. A quarantined unit (a host that cannot be read) is a hole between ranges, and trying it again is a shard
// of its own (probe.go).
//
//	schedule ▶ Plan ▶ passes × ranges, then the quarantined units
//	   └ several shards at once:
//	     Deliverer.Ready → Fetch → Read ─decide─▶ batch → stages → Deliverer → commit
//	   all shards done ▶ finish ▶ commit (watermark, epoch + 1)
//
// What was not delivered is collected again, and what was is not: after each batch, the cursor, the fingerprints of what can
// come again and whatever else belongs to the batch are committed in one write to the storage (state.go).
//
// A shard is owned by one goroutine, with its batch, suspects and records in flight. What shards share is safe for
// concurrent use, and says so.
package engine
