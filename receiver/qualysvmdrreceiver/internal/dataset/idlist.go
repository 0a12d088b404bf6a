// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// listIDs asks the host list for the IDs of hosts, for [engine.Lister]. They come in order.
func listIDs(ctx context.Context, client *qualys.Client, query qualys.HostQuery) ([]engine.Range, error) {
	var listed []engine.Range
	_, err := client.HostIDs(ctx, query, func(r qualys.IDRange) error {
		listed = append(listed, engine.Range(r))
		return nil
	})
	var e *qualys.Error
	if errors.As(err, &e) && e.Class != qualys.Generic {
		err = fmt.Errorf("%w: %w", engine.ErrNoList, err)
	}
	if err != nil {
		return nil, fmt.Errorf("host list: %w", err)
	}
	slices.SortFunc(listed, func(a, b engine.Range) int { return cmp.Compare(a.First, b.First) })
	return listed, nil
}
