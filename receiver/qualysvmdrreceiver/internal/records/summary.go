// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/binary"
	"errors"
)

const (
	// summaryVersion is the first byte of a summary that is stored.
	summaryVersion = 1
	// maxSummarized is how much of a text a summary has, in bytes.
	maxSummarized = 1 << 10
)

var errNoSummary = errors.New("stored summary of a host: not of a known form")

// HostSummary is what is to be known of a host of the host list when it is gone. What is unknown is 0 or "".
type HostSummary struct {
	// ID is the host's in Qualys, AssetID that of its asset.
	ID, AssetID uint64
	// IP and IPv6 are the host's addresses as they were sent, several between commas.
	IP, IPv6 string
	// Hostname is the name that the host's records have.
	Hostname string
	// TrackingMethod is how Qualys tells the host from others.
	TrackingMethod string
	// QGHostID is the ID of the Qualys agent, CloudID the one in the cloud.
	QGHostID, CloudID string
}

func (s *HostSummary) numbers() [2]*uint64 { return [...]*uint64{&s.ID, &s.AssetID} }

func (s *HostSummary) texts() [6]*string {
	return [...]*string{&s.IP, &s.IPv6, &s.Hostname, &s.TrackingMethod, &s.QGHostID, &s.CloudID}
}

// Append appends the summary to dst, as it is stored: some 100 bytes.
func (s *HostSummary) Append(dst []byte) []byte {
	dst = append(dst, summaryVersion)
	for _, n := range s.numbers() {
		dst = binary.AppendUvarint(dst, *n)
	}
	for _, text := range s.texts() {
		dst = binary.AppendUvarint(dst, uint64(len(*text)))
		dst = append(dst, *text...)
	}
	return dst
}

// ParseHostSummary returns the summary that Append has written. It keeps nothing of stored. An error says that it is something
// else.
func ParseHostSummary(stored []byte) (s HostSummary, err error) {
	if len(stored) == 0 || stored[0] != summaryVersion {
		return HostSummary{}, errNoSummary
	}
	all := string(stored)
	at := 1
	number := func() uint64 {
		n, size := binary.Uvarint(stored[at:])
		if size <= 0 {
			err = errNoSummary
			return 0
		}
		at += size
		return n
	}
	for _, n := range s.numbers() {
		*n = number()
	}
	for _, text := range s.texts() {
		size := number()
		if size > uint64(len(stored)-at) {
			err = errNoSummary
		}
		if err != nil {
			return HostSummary{}, err
		}
		*text = all[at : at+int(size)]
		at += int(size)
	}
	if err != nil || at != len(stored) {
		return HostSummary{}, errNoSummary
	}
	return s, nil
}
