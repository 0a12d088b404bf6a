// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
)

// Receivers returns the configurations of this receiver in that of a collector, by component ID in their order.
func Receivers(collector *confmap.Conf) ([]component.ID, map[component.ID]*qualysvmdrreceiver.Config, error) {
	section, err := collector.Sub("receivers")
	if err != nil {
		return nil, nil, fmt.Errorf("receivers: %w", err)
	}
	var ids []component.ID
	found := map[component.ID]*qualysvmdrreceiver.Config{}
	for _, key := range slices.Sorted(maps.Keys(section.ToStringMap())) {
		var id component.ID
		if err := id.UnmarshalText([]byte(key)); err != nil || id.Type() != metadata.Type {
			continue // another receiver, of which nothing is known here
		}
		conf, err := section.Sub(key)
		if err != nil {
			return nil, nil, fmt.Errorf("receivers::%s: %w", key, err)
		}
		cfg, err := Configuration(conf)
		if err != nil {
			return nil, nil, fmt.Errorf("receivers::%s: %w", key, err)
		}
		ids = append(ids, id)
		found[id] = cfg
	}
	if len(ids) == 0 {
		return nil, nil, errors.New("the configuration has no receiver " + metadata.Type.String())
	}
	return ids, found, nil
}

// Configuration reads the configuration of one receiver over the defaults, and validates it.
func Configuration(conf *confmap.Conf) (*qualysvmdrreceiver.Config, error) {
	cfg, ok := qualysvmdrreceiver.NewFactory().CreateDefaultConfig().(*qualysvmdrreceiver.Config)
	if !ok {
		return nil, errors.New("the factory makes another configuration")
	}
	if err := conf.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}
