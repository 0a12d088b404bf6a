// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package records makes log records of what the Qualys client reads: one for
// each detection, KnowledgeBase entry, host, asset and row of the activity log.
//
// There is a builder for each dataset: [Detections], [KnowledgeBase], [Hosts],
// [Assets] and [Activity]. All work the same way. Begin says when what follows was
// collected and which records are wanted; the other methods read one element,
// object or row each from where the client's reader stands; Take hands out the
// [Chunk] that has been gathered, and Full says when to do so. What could not
// be read whole leaves no trace: after an error the Chunk holds every record
// that was complete before. [Removals] builds the records of what is gone, and
// [CollectionEventChunk] that of a collection that has finished: nothing is read
// for them.
//
// Detections are enriched after they were built: the KnowledgeBase builder hands
// out the fields of an entry, [ParseEntryFields] makes them ready, and [Enrich]
// adds them to one record after the other.
//
// # Names
//
// The keys of records from XML follow from the names of the elements by rule,
// so that elements that are not known today arrive too. Where the rules meet
// each other:
//
//   - Two elements or attributes of one element that come to the same key
//     become one list, in the order of the source.
//   - The list beside a list whose entries have an attribute is as long as that
//     list: an entry without the attribute has "" there.
//   - An empty QDS_FACTORS or METADATA is an empty map.
//   - Text between elements becomes the key Text.
//   - The attributes of DETECTION and VULN themselves, which have nothing beside
//     them, become keys inside of them; those of HOST and DETECTION_LIST become
//     keys of the host.
//   - An element of a host or an entry that would take a key which the record
//     itself uses (LogType, and in a host Detection and KnowledgeBase) gets Qualys before its key.
//   - Elements of a host that come after its first detections stand behind the
//     detection in the bodies of its later records.
//   - What is nested deeper than 30 levels is a string: the JSON of it.
//   - A whole number of an asset that does not fit into 64 bits, signed, is a
//     string of its digits in a map, and the number as it was sent in JSON.
//   - A name that an asset's object has twice becomes a list, too.
//   - The names of the columns of the activity log are words between spaces
//     instead of underscores; a field without a column is called by its number.
//   - An asset without an agent to which the gateway gives no key agent gets one,
//     and one without softwareListData gets an empty list.
//
// # Data flow
//
// A record is read into a tape, a flat list of nodes over one buffer of text,
// both reused. Only when it is whole, hashed and wanted, its text is copied once
// into an arena, which all strings of the record share.
//
// A builder is not safe for concurrent use.
package records
