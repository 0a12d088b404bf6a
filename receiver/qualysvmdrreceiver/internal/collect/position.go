// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// position is where the collection of a dataset stands, as it is stored.
type position struct {
	// Fingerprint is of what is asked for. When that changes, a first collection starts.
	Fingerprint string `json:"fingerprint"`
	// Started is when the last collection started, by the local clock.
	Started time.Time `json:"started,omitzero"`
	// Full is when the last full collection started, by the local clock.
	Full time.Time `json:"full,omitzero"`
	// Previous is the start of the last finished collection by the server's clock.
	Previous time.Time `json:"previous,omitzero"`
	// Running is the collection that is not finished, nil: there is none.
	Running *collection `json:"running,omitempty"`
	// Generation counts the finished collections; it tells which of two journals is which.
	Generation int `json:"generation"`
	// Aside are the hosts that were set aside.
	Aside []aside `json:"aside,omitempty"`
}

// collection is a collection that is not finished.
type collection struct {
	// Start is the server's clock at its first answer, zero before.
	Start time.Time `json:"start,omitzero"`
	// Full is whether it asks for everything, not only for changes.
	Full bool `json:"full,omitempty"`
	// Passes are the lists that it asks for, and Pass is the index of the one that it is in.
	Passes []pass `json:"passes,omitempty"`
	Pass   int    `json:"pass,omitempty"`
	// Resume is the position within the pass: the smallest host ID, or the cursor, from which on it was not delivered.
	Resume uint64 `json:"resume,omitempty"`
	// PartHost is the last host of which records can be in the part delivered. It lies behind Resume when it was read in
	// part while hosts before it were passed over.
	PartHost uint64 `json:"part_host,omitempty"`
	// Since is the begin of the window of a collection of the activity log, zero: there is none.
	Since time.Time `json:"since,omitzero"`
	// Carried is how many entries of the part delivered count the rows at the end of the page before.
	Carried int `json:"carried,omitempty"`
}

// positionVersion is the version of stored positions.
const positionVersion = 1

// fingerprint identifies what is asked for: values that encode to JSON.
func fingerprint(values ...any) (string, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}
