// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"context"
	"errors"
	"fmt"

	bbolt "go.etcd.io/bbolt/errors"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// ErrLocked is found by errors.Is in what Open returns when another process has the storage open: the time ran out in which
// file_storage waits for the lock of its database.
var ErrLocked = errors.New("it is in use by another collector")

// Open returns a Store on a client that the storage extension of the host makes for the receiver. Without an extension
// (nil) the Store keeps nothing. The caller closes it.
func Open(ctx context.Context, host component.Host, extension *component.ID, receiver component.ID) (*Store, error) {
	if extension == nil {
		return New(nil), nil
	}
	provider, err := find(host, extension)
	if err != nil {
		return nil, err
	}
	client, err := provider.GetClient(ctx, component.KindReceiver, receiver, "")
	if errors.Is(err, bbolt.ErrTimeout) {
		return nil, fmt.Errorf("storage: extension %q: %w: %w", extension, ErrLocked, err)
	}
	if err != nil {
		return nil, fmt.Errorf("storage: extension %q: %w", extension, err)
	}
	return New(client), nil
}

// Find reports whether Open would find the extension: nil, or the error that Open would return.
func Find(host component.Host, extension *component.ID) error {
	if extension == nil {
		return nil
	}
	_, err := find(host, extension)
	return err
}

func find(host component.Host, extension *component.ID) (storage.Extension, error) {
	found, ok := host.GetExtensions()[*extension]
	if !ok {
		return nil, fmt.Errorf("storage: extension %q does not run: it must be configured and listed under service::extensions", extension)
	}
	provider, ok := found.(storage.Extension)
	if !ok {
		return nil, fmt.Errorf("storage: extension %q is not a storage extension", extension)
	}
	return provider, nil
}
