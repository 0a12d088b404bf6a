// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/receiver"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/catalog"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

// datasets are the names of the datasets that are configured.
func (c *Config) datasets() []string {
	var names []string
	for _, one := range []struct {
		name       string
		configured bool
	}{
		{dataset.Vulnerabilities, c.Vulnerabilities.HasValue()},
		{dataset.KnowledgeBase, c.KnowledgeBase.HasValue()},
		{dataset.Hosts, c.Hosts.HasValue()},
		{dataset.AssetInventory, c.AssetInventory.HasValue()},
		{dataset.ActivityLog, c.ActivityLog.HasValue()},
	} {
		if one.configured {
			names = append(names, one.name)
		}
	}
	return names
}

// records is the shape of the records that is configured.
func (c *Config) records(settings receiver.Settings) records.Settings {
	return records.Settings{
		Receiver:  settings.ID.String(),
		JSON:      c.BodyFormat == BodyJSON,
		Collected: c.Timestamp == TimestampCollected,
		Resource: records.Resource{
			HostID:         c.ResourceAttributes.HostID.Enabled,
			HostName:       c.ResourceAttributes.HostName.Enabled,
			HostIP:         c.ResourceAttributes.HostIP.Enabled,
			QualysHostID:   c.ResourceAttributes.QualysHostID.Enabled,
			QualysServer:   c.ResourceAttributes.QualysServer.Enabled,
			QualysReceiver: c.ResourceAttributes.QualysReceiver.Enabled,
		},
		ScopeName:    metadata.ScopeName,
		ScopeVersion: version,
		MaxRecords:   c.BatchSize,
		MaxBytes:     c.BatchMaxBytes,
	}
}

func (c *VulnerabilitiesConfig) settings(account string, removedShare float64) dataset.DetectionSettings {
	return dataset.DetectionSettings{
		Interval:   c.CollectionInterval,
		Full:       c.FullInterval,
		FullAfter:  fullAfter(c.FullAfter),
		Lookback:   c.InitialLookback,
		Collect:    string(c.Collect),
		Overlap:    c.Overlap,
		Version:    c.APIVersion,
		PageSize:   c.PageSize,
		Status:     c.Status,
		Parameters: parameters(c.Parameters),
		Defaults:   notChosen(c.Parameters, defaultVulnerabilities().Parameters),

		Track:           c.TrackDetections,
		MaxRemovedShare: removedShare,
		Account:         account,
	}
}

// removedShare is the share of the known hosts, or detections, that may be gone at once.
func (c *Config) removedShare() float64 {
	if c.Hosts.HasValue() {
		return c.Hosts.Get().MaxRemovedShare
	}
	return defaultRemovedShare
}

// notChosen are the names of the default parameters that the user has not changed.
func notChosen(configured, preset map[string]any) []string {
	merged := lowered(configured)
	var defaults []string
	for _, name := range slices.Sorted(maps.Keys(preset)) {
		if isDefault(merged, preset, name) {
			defaults = append(defaults, name)
		}
	}
	return defaults
}

func (c *KnowledgeBaseConfig) settings(shared dataset.Settings) catalog.Settings {
	records := shared.Records
	records.Server = shared.Server.Hostname()
	return catalog.Settings{
		Refresh:       c.RefreshInterval,
		Full:          c.FullInterval,
		FullAfter:     fullAfter(c.FullAfter),
		Version:       c.APIVersion,
		PageSize:      c.PageSize,
		Parameters:    parameters(c.Parameters),
		Enrich:        c.EnrichDetections,
		EnrichFields:  c.EnrichFields,
		EnrichTimeout: c.EnrichTimeout,
		Server:        shared.Server,
		Records:       records,
		MaxConcurrent: shared.MaxConcurrent,
	}
}

func (c *HostsConfig) settings(account string) dataset.HostSettings {
	return dataset.HostSettings{
		Interval:        c.CollectionInterval,
		FullAfter:       fullAfter(c.FullAfter),
		Details:         c.Details,
		Version:         c.APIVersion,
		PageSize:        c.PageSize,
		Parameters:      parameters(c.Parameters),
		Defaults:        notChosen(c.Parameters, defaultHosts().Parameters),
		ReportRemoved:   c.ReportRemoved,
		MaxRemovedShare: c.MaxRemovedShare,
		Account:         account,
	}
}

// account is who logs in to the API server: what it lists depends on that.
func (c *Config) account() string {
	switch {
	case c.Server.Auth.HasValue():
		return "authenticator " + c.Server.Auth.Get().AuthenticatorID.String()
	case c.ClientID != "":
		return "client " + c.ClientID
	}
	return "user " + c.Username
}

func (c *AssetInventoryConfig) settings() dataset.AssetSettings {
	settings := dataset.AssetSettings{
		Interval:      c.CollectionInterval,
		Full:          c.FullInterval,
		FullAfter:     fullAfter(c.FullAfter),
		Overlap:       c.Overlap,
		PageSize:      c.PageSize,
		IncludeFields: c.IncludeFields,
		ExcludeFields: c.ExcludeFields,
	}
	for _, f := range c.Filter {
		value, _ := filterText(f.Value) // Validate has seen it
		settings.Filter = append(settings.Filter, qualys.Filter{Field: f.Field, Operator: f.Operator, Value: value})
	}
	return settings
}

func (c *ActivityLogConfig) settings() dataset.ActivitySettings {
	return dataset.ActivitySettings{
		Interval:   c.CollectionInterval,
		FullAfter:  fullAfter(c.FullAfter),
		Lookback:   c.InitialLookback,
		Overlap:    c.Overlap,
		Version:    c.APIVersion,
		PageSize:   c.PageSize,
		Parameters: parameters(c.Parameters),
	}
}

// reserve is how many calls of each window are left to others.
func (c *Config) reserve() int {
	if c.RateLimitReserve == nil {
		return defaultReserve
	}
	return *c.RateLimitReserve
}

// fullAfter reads a time that Validate has seen.
func fullAfter(value any) time.Time {
	t, _ := moment(value)
	return t
}

// parameters writes the values of parameters as Qualys reads them. Those without a value are left out of requests.
func parameters(configured map[string]any) map[string]string {
	written := make(map[string]string, len(configured))
	for name, value := range lowered(configured) {
		if text, err := parameterText(value); err == nil && text != "" { // Validate has seen it
			written[name] = text
		}
	}
	return written
}

// lowered are parameters by their names in lower case, as Qualys has them. What has another spelling was written by the user, and
// replaces a default.
func lowered(configured map[string]any) map[string]any {
	merged := make(map[string]any, len(configured))
	for name, value := range configured {
		lower := strings.ToLower(name)
		if _, have := merged[lower]; !have || name != lower {
			merged[lower] = value
		}
	}
	return merged
}

// isDefault reports whether a parameter is as it is by default.
func isDefault(parameters, defaults map[string]any, name string) bool {
	value, preset := defaults[name]
	return preset && reflect.DeepEqual(parameters[name], value)
}
