// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"context"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/storagetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// broken is a storage extension that has no clients to give.
type broken struct {
	component.StartFunc
	component.ShutdownFunc
}

func (broken) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	return nil, errDisk
}

func TestOpen(t *testing.T) {
	receiver := component.MustNewIDWithName("qualysvmdr", "emea")
	works, wrong, fails := storagetest.NewStorageID("works"), storagetest.NewNonStorageID("wrong"), storagetest.NewStorageID("fails")
	missing := component.MustNewIDWithName("file_storage", "qualys")
	host := storagetest.NewStorageHost().
		WithInMemoryStorageExtension("works").
		WithNonStorageExtension("wrong").
		WithExtension(fails, broken{})

	tests := map[string]struct {
		extension  *component.ID
		persistent bool
		want       string
	}{
		"found":               {extension: &works, persistent: true},
		"none is configured":  {},
		"missing":             {extension: &missing, want: `storage: extension "file_storage/qualys" does not run`},
		"not a storage":       {extension: &wrong, want: `storage: extension "non_storage/wrong" is not a storage extension`},
		"client is not given": {extension: &fails, want: `storage: extension "test_storage/fails": the disk is full`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), host, tt.extension, receiver)
			if tt.want != "" {
				require.ErrorContains(t, err, tt.want)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.persistent, s.Persistent())
			require.NoError(t, s.Close(t.Context()))
		})
	}
}
