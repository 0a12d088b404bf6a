// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import "errors"

const (
	// maxValue is the size of the longest text value that is kept whole, in bytes.
	maxValue = 4 << 20
	// maxRecord is how large a host's own elements together, or one record, may be: the bytes of its text, nodeSize
	// for each value, and the names that are not kept, each time.
	maxRecord = 8 << 20
	nodeSize  = 32
	// maxKeys is how many different keys one map may have: pdata looks through all of them for each that is added.
	maxKeys = 4096
	// maxDepth is how deep the values of an asset may be nested. Elements are limited by their reader.
	maxDepth = 64
)

// ErrTooLarge is the error of a response that holds a host or a record beyond the limits: 8 MiB, or 4096 different keys
// in one map. The rest of the host or record has not been read.
var ErrTooLarge = errors.New("larger than a record may be")

// Settings are what all records of a builder have in common.
type Settings struct {
	// Receiver is the receiver's component ID, for qualys.receiver.
	Receiver string
	// Server is the host name of the API server, or for assets of the gateway, for qualys.server.
	Server string
	// JSON makes each body one compact JSON string instead of a map.
	JSON bool
	// Collected makes the time of collection the time stamp of every record.
	Collected bool
	// Stable has [Item.Stable] computed.
	Stable bool
	// EnrichFields are the fields of KnowledgeBase entries that detections carry, by their keys in the entry's record. Nil:
	// no fields are handed out.
	EnrichFields []string
	// Resource says which resource attributes are written.
	Resource Resource
	// ScopeName and ScopeVersion name the receiver.
	ScopeName, ScopeVersion string
	// MaxRecords and MaxBytes limit an Chunk. One that has reached either is full; a record that would take it
	// beyond MaxBytes begins the next one, so that a larger record goes alone. Zero: no limit.
	MaxRecords, MaxBytes int
}

// Resource says which resource attributes are written. What is unknown is left out all the same.
type Resource struct {
	HostID, HostName, HostIP, QualysHostID, QualysServer, QualysReceiver bool
}
