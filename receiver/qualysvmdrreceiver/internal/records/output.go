// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import "go.opentelemetry.io/collector/pdata/plog"

// Output is a run of records in the order of their source. It belongs to the caller of Take: the builder keeps no
// reference to it.
type Output struct {
	// Logs holds the records. Those of one host share one resource.
	Logs plog.Logs
	// Items describe the records, one each, in their order.
	Items []Item
	// Bytes is the size of the records' text: that of the JSON, or of the keys and strings of the bodies, where a list's
	// key counts once more for each entry.
	Bytes int
	// HostDone is the ID of the last host (or asset) that ended since the Output before, 0: none did.
	HostDone uint64
	// Hosts is how many hosts, entries, assets or rows ended, those without a wanted record included.
	Hosts int
	// Late is how many elements of hosts came after the host's first detections.
	Late int
	// Truncated is how many values were cut at 4 MiB.
	Truncated int
	// Repaired is in how many values bytes or characters were met that their format forbids.
	Repaired int64
}

// Item describes one record. Times are in seconds since 1970, 0: unknown.
type Item struct {
	// Host is the ID of the host, or the asset.
	Host uint64
	// Identity says what the record is about: UNIQUE_VULN_ID, or a hash of what else identifies a detection; the QID;
	// the asset's ID. Rows of the activity log have none: see [Activity.Begin].
	Identity uint64
	// Values is a hash of all names and values that were sent of the detection, entry, asset or row.
	Values uint64
	// QID is the entry that belongs to the detection, 0: unknown.
	QID uint32
	// Bytes is the size of the body's text.
	Bytes int32
	// Status is the detection's.
	Status string
	// Updated is LAST_UPDATE_DATETIME, else LAST_FOUND_DATETIME; of an entry when it was last modified; of an asset
	// lastModifiedDate; of a row its Date.
	Updated int64
	// Processed is LAST_PROCESSED_DATETIME.
	Processed int64
	// Scanned is the newest of the host's scan dates.
	Scanned int64
}
