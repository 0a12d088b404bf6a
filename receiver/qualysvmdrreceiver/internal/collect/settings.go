// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"net/url"
	"time"

	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/checkpoint"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// The names of the datasets, in logs, metrics, states and the configuration.
const (
	VulnerabilitiesDataset = "vulnerabilities"
	KnowledgeBaseDataset   = "knowledge_base"
	AssetInventoryDataset  = "asset_inventory"
	ActivityLogDataset     = "activity_log"
)

// datasetOf is the dataset that an API serves.
var datasetOf = map[qualys.API]string{
	qualys.Detections:    VulnerabilitiesDataset,
	qualys.KnowledgeBase: KnowledgeBaseDataset,
	qualys.Assets:        AssetInventoryDataset,
	qualys.Auth:          AssetInventoryDataset,
	qualys.ActivityLog:   ActivityLogDataset,
}

// Settings are what all datasets of a receiver share.
type Settings struct {
	// Receiver is the receiver's component ID, by which metrics tell receivers apart.
	Receiver  string
	Logger    *zap.Logger
	Client    *qualys.Client
	Store     *checkpoint.Store
	Telemetry *metadata.TelemetryBuilder
	Pipeline  *Pipeline
	// Waits tells how long the client has waited for limits.
	Waits *Waits
	// Refused is told that an endpoint refused the credentials, and why.
	Refused func(context.Context, qualys.EndpointName, error)
	// Retry is the back-off between tries; tries never end.
	Retry configretry.BackOffConfig
	// InitialDelay is the time from the start to the first collections.
	InitialDelay time.Duration
	// Records is the shape of the records, but for their server, which is the dataset's own.
	Records records.Settings
	// Server and Gateway are the endpoints: records name their hosts, and positions belong to them.
	Server, Gateway *url.URL
}

// labels are the attributes of a measurement: those given, and the receiver.
func labels(receiver string, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, attribute.String("receiver", receiver))...))
}
