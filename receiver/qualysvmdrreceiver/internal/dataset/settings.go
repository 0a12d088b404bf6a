// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"net/url"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/engine"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// The names of the datasets, in logs, metrics, states and the configuration.
const (
	Vulnerabilities = "vulnerabilities"
	KnowledgeBase   = "knowledge_base"
	Hosts           = "hosts"
	AssetInventory  = "asset_inventory"
	ActivityLog     = "activity_log"
)

// Of is the dataset that an API serves.
var Of = map[qualys.API]string{
	qualys.Detections:    Vulnerabilities,
	qualys.KnowledgeBase: KnowledgeBase,
	qualys.HostList:      Hosts,
	qualys.Assets:        AssetInventory,
	qualys.Auth:          AssetInventory,
	qualys.ActivityLog:   ActivityLog,
}

// Settings are what all datasets of a receiver share.
type Settings struct {
	Engine engine.Settings
	Client *qualys.Client
	// Records is the shape of the records, but for their server, which is the dataset's own.
	Records records.Settings
	// Server and Gateway are the endpoints: records name their hosts, and what is stored belongs to them.
	Server, Gateway *url.URL
	// Events is whether each finished collection is also a record.
	Events bool
	// MaxConcurrent is how many requests of an API run at once, at most.
	MaxConcurrent int
}

// events is the shape of the records of finished collections, nil: there are none.
func (s *Settings) events() *records.Settings {
	if !s.Events {
		return nil
	}
	return &s.Records
}
