// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// Open returns a Store on a client that the storage extension of the host makes for the receiver. Without an extension
// (nil) the Store keeps nothing. The caller closes it.
func Open(ctx context.Context, host component.Host, extension *component.ID, receiver component.ID) (*Store, error) {
	if extension == nil {
		return New(nil), nil
	}
	found, ok := host.GetExtensions()[*extension]
	if !ok {
		return nil, fmt.Errorf("storage: extension %q does not run: it must be configured and listed under service::extensions", extension)
	}
	provider, ok := found.(storage.Extension)
	if !ok {
		return nil, fmt.Errorf("storage: extension %q is not a storage extension", extension)
	}
	client, err := provider.GetClient(ctx, component.KindReceiver, receiver, "")
	if err != nil {
		return nil, fmt.Errorf("storage: extension %q: %w", extension, err)
	}
	return New(client), nil
}
