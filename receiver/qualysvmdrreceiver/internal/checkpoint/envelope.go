// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
)

var (
	// ErrVersion marks what was written with another version or layout than the one asked for.
	ErrVersion = errors.New("written with another version")
	// ErrUnreadable marks what is damaged or incomplete.
	ErrUnreadable = errors.New("unreadable")
)

// encode returns the document in its envelope.
func encode(version int, document any) ([]byte, error) {
	return json.Marshal(struct {
		Version  int `json:"version"`
		Document any `json:"document"`
	}{version, document})
}

// decode opens the envelope. The document is decoded only after its version has been found to be the right one.
func decode(data []byte, version int, into any) error {
	var envelope struct {
		Version  int             `json:"version"`
		Document json.RawMessage `json:"document"`
	}
	if err := json.Unmarshal(data, &envelope); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if envelope.Version != version {
		return fmt.Errorf("%w: %d instead of %d", ErrVersion, envelope.Version, version)
	}
	if err := json.Unmarshal(envelope.Document, into); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return nil
}
