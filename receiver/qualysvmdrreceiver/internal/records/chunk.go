// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import "go.opentelemetry.io/collector/pdata/plog"

// Chunk is a run of records in the order of their source. It belongs to the caller of Take: the builder keeps no
// reference to it.
type Chunk struct {
	// Logs holds the records. Those of one host share one resource, unless elements of the host came between them.
	Logs plog.Logs
	// Items describe the records, one each, in their order.
	Items []Item
	// Summaries are what is to be known of the hosts of the host list when they are gone, one of each of Items. There are
	// none of other records.
	Summaries []HostSummary
	// Bytes is the size of the records' text: that of the JSON, or of the keys and strings of the bodies, where a list's
	// key counts once more for each entry.
	Bytes int
	// UnitDone is the ID of the last host (or asset) that ended since the Chunk before, 0: none did.
	UnitDone uint64
	// UnitsDone is how many hosts, entries, assets or rows ended, those without a wanted record included.
	UnitsDone int
	// Truncated is how many values were truncated at 4 MiB.
	Truncated int
	// Repaired is in how many values bytes or characters were met that their format forbids.
	Repaired int64
}

// Item describes one record. Times are in seconds since 1970, 0: unknown.
type Item struct {
	// Unit is the ID of the host, or the asset.
	Unit uint64
	// Key says what the record is about: UNIQUE_VULN_ID, or a hash of what else identifies a detection; the QID; the ID
	// of the host or asset. Rows of the activity log have none: see [Activity.Begin].
	Key uint64
	// Content is a hash of all names and values that were sent of the detection, entry, host, asset or row.
	Content uint64
	// Stable is, of a detection, the same hash without what changes with every scan: LastProcessedDateTime,
	// LastTestDateTime, LastFoundDateTime and TimesFound. It is 0 without [Settings.Stable].
	Stable uint64
	// AssetID is, of a detection, the asset ID of its host, 0: unknown.
	AssetID uint64
	// QID is the entry that belongs to the detection, 0: unknown.
	QID uint32
	// Bytes is the size of the body's text.
	Bytes int32
	// Open reports whether the record is a detection that is not Fixed.
	Open bool
	// Unique reports whether Key is the UNIQUE_VULN_ID of a detection.
	Unique bool
	// Status is the detection's, as it was sent.
	Status string
	// Updated is LAST_UPDATE_DATETIME; of an entry when it was last modified; of an asset lastUpdatedDate, else
	// lastModifiedDate; of a row its Date.
	Updated int64
	// Modified is, of an asset, lastModifiedDate.
	Modified int64
	// Found is LAST_FOUND_DATETIME.
	Found int64
	// Processed is LAST_PROCESSED_DATETIME.
	Processed int64
	// Scanned is the newest of the host's scan dates.
	Scanned int64
}
