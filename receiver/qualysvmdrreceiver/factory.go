// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// NewFactory creates the factory of the receiver.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(
		metadata.Type,
		createDefaultConfig,
		receiver.WithLogs(createLogs, metadata.LogsStability),
	)
}

func createDefaultConfig() component.Config {
	retry := configretry.NewDefaultBackOffConfig()
	retry.InitialInterval = 5 * time.Second
	retry.MaxInterval = 5 * time.Minute
	retry.MaxElapsedTime = 0
	return &Config{
		Server:          confighttp.NewDefaultClientConfig(),
		Gateway:         confighttp.NewDefaultClientConfig(),
		Vulnerabilities: configoptional.Default(defaultVulnerabilities()),
		KnowledgeBase: configoptional.Default(KnowledgeBaseConfig{
			RefreshInterval:  24 * time.Hour,
			FullInterval:     7 * 24 * time.Hour,
			APIVersion:       "4.0",
			PageSize:         500,
			EnrichDetections: true,
			EnrichFields: []string{
				"Title", "VulnerabilityType", "Category", "SeverityLevel", "Patchable", "PublishedDateTime", "LastServiceModificationDateTime",
				"Cve", "VendorReference", "Cvss", "CvssV3", "ThreatIntel", "PciFlag",
			},
			EnrichTimeout: 10 * time.Minute,
		}),
		Hosts: configoptional.Default(defaultHosts()),
		AssetInventory: configoptional.Default(AssetInventoryConfig{
			CollectionInterval: 24 * time.Hour,
			Overlap:            time.Hour,
			FullInterval:       24 * time.Hour,
			PageSize:           maxAssetPageSize,
		}),
		ActivityLog: configoptional.Default(ActivityLogConfig{
			CollectionInterval: time.Hour,
			InitialLookback:    24 * time.Hour,
			Overlap:            time.Hour,
			APIVersion:         "2.0",
			PageSize:           1000,
		}),
		ClientType:            string(qualys.UserClient),
		BatchSize:             1000,
		BatchMaxBytes:         2 << 20,
		BodyFormat:            BodyStructured,
		Timestamp:             TimestampCollected,
		ReadIdleTimeout:       5 * time.Minute,
		PageTimeout:           30 * time.Minute,
		MaxConcurrentRequests: 10,
		ConcurrencyReserve:    1,
		RetryOnFailure:        RetryConfig(retry),
		InitialDelay:          time.Second,
		ResourceAttributes:    metadata.DefaultResourceAttributesConfig(),
	}
}

func defaultVulnerabilities() VulnerabilitiesConfig {
	return VulnerabilitiesConfig{
		CollectionInterval: time.Hour,
		Collect:            CollectChanged,
		Overlap:            time.Hour,
		FullInterval:       7 * 24 * time.Hour,
		APIVersion:         "5.0",
		PageSize:           1000,
		Status:             []string{"New", "Active", "Re-Opened", "Fixed"},
		Parameters: map[string]any{
			"show_asset_id":         1,
			"show_tags":             1,
			"show_qds":              1,
			"show_qds_factors":      1,
			"show_cloud_tags":       1,
			"show_reopened_info":    1,
			"host_metadata":         "all",
			"vuln_detection_source": 1,
		},
	}
}

func defaultHosts() HostsConfig {
	return HostsConfig{
		CollectionInterval: 24 * time.Hour,
		Details:            "All",
		ReportRemoved:      true,
		MaxRemovedShare:    0.2,
		APIVersion:         "5.0",
		PageSize:           1000,
		Parameters: map[string]any{
			"show_asset_id":        1,
			"show_tags":            1,
			"show_trurisk":         1,
			"show_trurisk_factors": 1,
			"show_cloud_tags":      1,
			"host_metadata":        "all",
		},
	}
}

func createLogs(_ context.Context, settings receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
	return newReceiver(settings, cfg.(*Config), next)
}
