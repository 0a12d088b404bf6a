// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/metadata"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// Config is the configuration of the receiver.
type Config struct {
	// Platform is the name of a Qualys shared platform (US1, EU2, …). It sets the endpoints that are not given.
	Platform string `mapstructure:"platform"`
	// Server is the Qualys API Server, for vulnerabilities, the KnowledgeBase, hosts and the activity log.
	Server confighttp.ClientConfig `mapstructure:"server"`
	// Gateway is the Qualys API Gateway, for the asset inventory.
	Gateway confighttp.ClientConfig `mapstructure:"gateway"`
	// Username and Password are the Qualys account. An authenticator under server or gateway replaces them there.
	Username string              `mapstructure:"username"`
	Password configopaque.String `mapstructure:"password"`
	// ClientID and ClientSecret are a Qualys API client, which logs in to both in place of the account; ClientType says whose it is.
	ClientID     string              `mapstructure:"client_id"`
	ClientSecret configopaque.String `mapstructure:"client_secret"`
	ClientType   string              `mapstructure:"client_type"`

	// Vulnerabilities, KnowledgeBase, Hosts, AssetInventory and ActivityLog are the datasets. A dataset is collected when its
	// section is present.
	Vulnerabilities configoptional.Optional[VulnerabilitiesConfig] `mapstructure:"vulnerabilities"`
	KnowledgeBase   configoptional.Optional[KnowledgeBaseConfig]   `mapstructure:"knowledge_base"`
	Hosts           configoptional.Optional[HostsConfig]           `mapstructure:"hosts"`
	AssetInventory  configoptional.Optional[AssetInventoryConfig]  `mapstructure:"asset_inventory"`
	ActivityLog     configoptional.Optional[ActivityLogConfig]     `mapstructure:"activity_log"`

	// Storage is the storage extension that keeps checkpoints over restarts.
	Storage *component.ID `mapstructure:"storage"`
	// BatchSize is how many records are delivered at once, at most.
	BatchSize int `mapstructure:"batch_size"`
	// BatchMaxBytes is the same in bytes of text. A larger single record goes alone.
	BatchMaxBytes int `mapstructure:"batch_max_bytes"`
	// BodyFormat is what the body of a record is: a map (structured) or one JSON string (json).
	BodyFormat BodyFormat `mapstructure:"body_format"`
	// Timestamp is what the time stamp of a record is: that of its collection or that of the event.
	Timestamp Timestamp `mapstructure:"timestamp"`
	// ReadIdleTimeout is how long a connection may be silent while we wait for bytes.
	ReadIdleTimeout time.Duration `mapstructure:"read_idle_timeout"`
	// PageTimeout is how long we wait for one more completed host, entry, asset or row.
	PageTimeout time.Duration `mapstructure:"page_timeout"`
	// RateLimitReserve is how many calls of each window are left to other users of the subscription; nil: 10, or a tenth of the
	// limit if that is less.
	RateLimitReserve *int `mapstructure:"rate_limit_reserve"`
	// MaxConcurrentRequests is how many requests of each API of the server run at once, at most.
	MaxConcurrentRequests int `mapstructure:"max_concurrent_requests"`
	// ConcurrencyReserve is how many of the requests at once that Qualys allows are left to other users of the subscription.
	ConcurrencyReserve int `mapstructure:"concurrency_reserve"`
	// LeaderElector is the extension that elects the one of several collectors that collects; nil: every one does, unless another
	// one has the storage open.
	LeaderElector *component.ID `mapstructure:"k8s_leader_elector"`
	// RetryOnFailure is the back-off between tries, of requests and of deliveries. Tries never end.
	RetryOnFailure RetryConfig `mapstructure:"retry_on_failure"`
	// InitialDelay is the time from the start to the first collections.
	InitialDelay time.Duration `mapstructure:"initial_delay"`
	// AllowInsecureHTTP allows plain http endpoints that are not on this machine.
	AllowInsecureHTTP bool `mapstructure:"allow_insecure_http"`
	// HealthEvents is health as log records.
	HealthEvents HealthEventsConfig `mapstructure:"health_events"`
	// CollectionEvents is a log record for each finished collection.
	CollectionEvents CollectionEventsConfig `mapstructure:"collection_events"`
	// ResourceAttributes switches single resource attributes off.
	ResourceAttributes metadata.ResourceAttributesConfig `mapstructure:"resource_attributes"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// VulnerabilitiesConfig is the configuration of the dataset vulnerabilities.
type VulnerabilitiesConfig struct {
	// CollectionInterval is the time from the start of a collection to the start of the next.
	CollectionInterval time.Duration `mapstructure:"collection_interval"`
	// InitialLookback is how far the first collection looks back; 0 collects every open detection.
	InitialLookback time.Duration `mapstructure:"initial_lookback"`
	// Collect is the time filter of later collections.
	Collect Collect `mapstructure:"collect"`
	// Overlap is how far each collection reaches back behind the start of the previous one.
	Overlap time.Duration `mapstructure:"overlap"`
	// FullInterval is after what time everything open is collected once more; 0: never.
	FullInterval time.Duration `mapstructure:"full_interval"`
	// FullAfter asks for one full collection if the last one began before this time; empty: it does not.
	FullAfter any `mapstructure:"full_after"`
	// APIVersion is the version of the API, 5.0 by default.
	APIVersion string `mapstructure:"api_version"`
	// PageSize is how many hosts are asked for in one request.
	PageSize int `mapstructure:"page_size"`
	// Status are the states of detections that are collected.
	Status []string `mapstructure:"status"`
	// TrackDetections keeps what was last delivered of each open detection: it tells what is gone, and what really changed.
	TrackDetections bool `mapstructure:"track_detections"`
	// Parameters are further parameters of the request, merged over the defaults.
	Parameters map[string]any `mapstructure:"parameters"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// KnowledgeBaseConfig is the configuration of the dataset knowledge_base.
type KnowledgeBaseConfig struct {
	// RefreshInterval is how often changed entries are looked for.
	RefreshInterval time.Duration `mapstructure:"refresh_interval"`
	// FullInterval is after what time all known entries are delivered again; 0: never.
	FullInterval time.Duration `mapstructure:"full_interval"`
	// FullAfter delivers all known entries again if that was last done before this time; empty: it does not.
	FullAfter any `mapstructure:"full_after"`
	// APIVersion is the version of the API, 4.0 by default.
	APIVersion string `mapstructure:"api_version"`
	// PageSize is how many QIDs are asked for in one request.
	PageSize int `mapstructure:"page_size"`
	// Parameters are further parameters of the request.
	Parameters map[string]any `mapstructure:"parameters"`
	// EnrichDetections adds fields of its entry to each detection.
	EnrichDetections bool `mapstructure:"enrich_detections"`
	// EnrichFields are the fields, by their names in the entry's record.
	EnrichFields []string `mapstructure:"enrich_fields"`
	// EnrichTimeout is how long detections wait for entries that cannot be had.
	EnrichTimeout time.Duration `mapstructure:"enrich_timeout"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// HostsConfig is the configuration of the dataset hosts.
type HostsConfig struct {
	// CollectionInterval is the time from the start of a collection to the start of the next.
	CollectionInterval time.Duration `mapstructure:"collection_interval"`
	// Details is what is told of each host.
	Details string `mapstructure:"details"`
	// ReportRemoved is whether hosts that are gone become records.
	ReportRemoved bool `mapstructure:"report_removed"`
	// MaxRemovedShare is the share of the known hosts that may be gone at once: beyond it nothing is told of them.
	MaxRemovedShare float64 `mapstructure:"max_removed_share"`
	// FullAfter is a time: one collection begins if the last one began before it.
	FullAfter any `mapstructure:"full_after"`
	// APIVersion is the version of the API, 5.0 by default.
	APIVersion string `mapstructure:"api_version"`
	// PageSize is how many hosts are asked for in one request.
	PageSize int `mapstructure:"page_size"`
	// Parameters are further parameters of the request, merged over the defaults.
	Parameters map[string]any `mapstructure:"parameters"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// AssetInventoryConfig is the configuration of the dataset asset_inventory.
type AssetInventoryConfig struct {
	// CollectionInterval is the time from the start of a collection to the start of the next.
	CollectionInterval time.Duration `mapstructure:"collection_interval"`
	// Overlap is how far each collection reaches back behind the start of the previous one.
	Overlap time.Duration `mapstructure:"overlap"`
	// FullInterval is after what time all assets are collected once more; 0: never.
	FullInterval time.Duration `mapstructure:"full_interval"`
	// FullAfter asks for one full collection if the last one began before this time; empty: it does not.
	FullAfter any `mapstructure:"full_after"`
	// PageSize is how many assets are asked for in one request, 300 at most.
	PageSize int `mapstructure:"page_size"`
	// IncludeFields and ExcludeFields select the fields of an asset.
	IncludeFields []string `mapstructure:"include_fields"`
	ExcludeFields []string `mapstructure:"exclude_fields"`
	// Filter selects the assets; all of its conditions must hold.
	Filter []AssetFilter `mapstructure:"filter"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// AssetFilter is one condition that assets must fulfil.
type AssetFilter struct {
	Field    string `mapstructure:"field"`
	Operator string `mapstructure:"operator"`
	Value    any    `mapstructure:"value"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ActivityLogConfig is the configuration of the dataset activity_log.
type ActivityLogConfig struct {
	// CollectionInterval is the time from the start of a collection to the start of the next.
	CollectionInterval time.Duration `mapstructure:"collection_interval"`
	// InitialLookback is how far the first collection looks back; 0 collects all that the log still holds.
	InitialLookback time.Duration `mapstructure:"initial_lookback"`
	// FullAfter asks for one collection like the first if the last such began before this time; empty: it does not.
	FullAfter any `mapstructure:"full_after"`
	// Overlap is how far each collection reaches back behind the start of the previous one.
	Overlap time.Duration `mapstructure:"overlap"`
	// APIVersion is the version of the API, 2.0 by default.
	APIVersion string `mapstructure:"api_version"`
	// PageSize is how many rows are asked for in one request.
	PageSize int `mapstructure:"page_size"`
	// Parameters are further parameters of the request.
	Parameters map[string]any `mapstructure:"parameters"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// RetryConfig is the back-off of the collector without its Validate, which knows nothing of tries without end: its advice
// contradicts ours.
type RetryConfig configretry.BackOffConfig

// HealthEventsConfig is the configuration of health as log records.
type HealthEventsConfig struct {
	Enabled bool `mapstructure:"enabled"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// CollectionEventsConfig is the configuration of finished collections as log records.
type CollectionEventsConfig struct {
	Enabled bool `mapstructure:"enabled"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// BodyFormat is what the body of a record is.
type BodyFormat string

// The body formats.
const (
	BodyStructured BodyFormat = "structured"
	BodyJSON       BodyFormat = "json"
)

// Timestamp is what the time stamp of a record is.
type Timestamp string

// The time stamps.
const (
	TimestampEvent     Timestamp = "event"
	TimestampCollected Timestamp = "collected"
)

// Collect is the time filter of a later collection of vulnerabilities.
type Collect string

// The time filters: what changed, what was processed, all of the hosts that were scanned, everything.
const (
	CollectChanged   Collect = "changed"
	CollectProcessed Collect = "processed"
	CollectScanned   Collect = "scanned"
	CollectAll       Collect = "all"
)

const (
	maxPageSize      = 10000
	maxAssetPageSize = 300 // the API refuses more
	minInterval      = time.Second
	minWait          = time.Millisecond
	// defaultRemovedShare is the share of the known hosts, or tracked detections, that may be gone at once.
	defaultRemovedShare = 0.2
	defaultReserve      = 10 // calls of a window
)

var (
	_ confmap.Validator = (*Config)(nil)
	_ confmap.Validator = (*VulnerabilitiesConfig)(nil)
	_ confmap.Validator = (*KnowledgeBaseConfig)(nil)
	_ confmap.Validator = (*HostsConfig)(nil)
	_ confmap.Validator = (*AssetInventoryConfig)(nil)
	_ confmap.Validator = (*ActivityLogConfig)(nil)

	hostDetails = []string{"All", "All/AGs", "Basic", "Basic/AGs"}
	statuses    = []string{"New", "Active", "Re-Opened", "Fixed"}
	enrichField = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	apiVersion  = regexp.MustCompile(`^[0-9]{1,2}\.[0-9]{1,2}$`)
)

// Validate reports every breach of the contract in a message of its own that names the key.
func (c *Config) Validate() error {
	v := &violations{}
	if c.Platform != "" {
		if _, known := platforms[strings.ToUpper(c.Platform)]; !known {
			v.add("platform", "unknown platform %q: it is one of %s; a private platform is given by server::endpoint and gateway::endpoint", c.Platform, platformNames())
		}
	}
	if len(c.datasets()) == 0 {
		v.add("vulnerabilities, knowledge_base, hosts, asset_inventory, activity_log", "at least one dataset must be present")
	}
	if c.KnowledgeBase.HasValue() && !c.Vulnerabilities.HasValue() {
		v.add("knowledge_base", "needs vulnerabilities: only the entries of detected vulnerabilities are collected")
	}
	usesServer := c.Vulnerabilities.HasValue() || c.KnowledgeBase.HasValue() || c.Hosts.HasValue() || c.ActivityLog.HasValue()
	usesGateway := c.AssetInventory.HasValue()
	c.validateEndpoint(v, "server", &c.Server, usesServer)
	// The gateway issues the tokens of an API client.
	c.validateEndpoint(v, "gateway", &c.Gateway, usesGateway || c.ClientID != "")
	c.validateCredentials(v, usesServer, usesGateway)

	v.check(c.BatchSize >= 1, "batch_size", "must be at least 1, is %d", c.BatchSize)
	v.check(c.BatchMaxBytes >= 1, "batch_max_bytes", "must be at least 1, is %d", c.BatchMaxBytes)
	v.check(c.BodyFormat == BodyStructured || c.BodyFormat == BodyJSON, "body_format", "must be structured or json, is %q", c.BodyFormat)
	v.check(c.Timestamp == TimestampEvent || c.Timestamp == TimestampCollected, "timestamp", "must be event or collected, is %q", c.Timestamp)
	v.check(c.ReadIdleTimeout > 0, "read_idle_timeout", "must be above 0, is %s", c.ReadIdleTimeout)
	v.unit("read_idle_timeout", c.ReadIdleTimeout, minWait)
	v.check(c.PageTimeout > 0, "page_timeout", "must be above 0, is %s", c.PageTimeout)
	v.unit("page_timeout", c.PageTimeout, minWait)
	if reserve := c.RateLimitReserve; reserve != nil {
		v.check(*reserve >= 0, "rate_limit_reserve", "must not be negative, is %d", *reserve)
	}
	v.check(c.MaxConcurrentRequests >= 1, "max_concurrent_requests", "must be at least 1, is %d", c.MaxConcurrentRequests)
	v.check(c.ConcurrencyReserve >= 0, "concurrency_reserve", "must not be negative, is %d", c.ConcurrencyReserve)
	if d := c.Vulnerabilities.Get(); c.Vulnerabilities.HasValue() && d.TrackDetections {
		v.check(c.Storage != nil, "vulnerabilities::track_detections", "needs storage: what was delivered would be forgotten")
	}
	v.check(c.InitialDelay >= 0, "initial_delay", "must not be negative, is %s", c.InitialDelay)
	v.unit("initial_delay", c.InitialDelay, minWait)

	v.check(c.LeaderElector == nil || c.Storage != nil, "k8s_leader_elector", "needs storage: a collector that takes over goes on where the other one was")

	c.validateRetry(v)
	return v.joined()
}

func (c *Config) validateRetry(v *violations) {
	retry := &c.RetryOnFailure
	v.check(retry.Enabled, "retry_on_failure::enabled", "must not be false: what was not delivered would be lost")
	v.check(retry.MaxElapsedTime == 0, "retry_on_failure::max_elapsed_time", "must be 0, is %s: tries never end, or records would be lost", retry.MaxElapsedTime)
	v.check(retry.InitialInterval > 0, "retry_on_failure::initial_interval", "must be above 0, is %s", retry.InitialInterval)
	v.unit("retry_on_failure::initial_interval", retry.InitialInterval, minWait)
	v.check(retry.MaxInterval >= retry.InitialInterval, "retry_on_failure::max_interval", "must not be less than initial_interval (%s), is %s", retry.InitialInterval, retry.MaxInterval)
	v.check(retry.RandomizationFactor >= 0 && retry.RandomizationFactor <= 1, "retry_on_failure::randomization_factor", "must be from 0 to 1, is %g", retry.RandomizationFactor)
	v.check(retry.Multiplier >= 1, "retry_on_failure::multiplier", "must be at least 1, is %g", retry.Multiplier)
}

func (c *Config) validateEndpoint(v *violations, key string, client *confighttp.ClientConfig, used bool) {
	v.check(client.Timeout <= 0, key+"::timeout", "must be 0: it would cut long responses; read_idle_timeout limits silence instead")
	v.check(client.Timeout >= 0, key+"::timeout", "must not be negative")
	v.check(!client.Compression.IsCompressed(), key+"::compression", "must not be set: Qualys does not read compressed requests")
	for name := range client.Headers.Iter {
		v.check(!strings.EqualFold(name, "Authorization"), key+"::headers", "must not hold Authorization: use username and password, client_id and client_secret, or %s::auth", key)
	}
	if !used && client.Endpoint == "" {
		return
	}
	endpoint := client.Endpoint
	if endpoint == "" {
		if p, known := platforms[strings.ToUpper(c.Platform)]; known {
			endpoint = p.server
			if key == "gateway" {
				endpoint = p.gateway
			}
		}
	}
	key += "::endpoint"
	if endpoint == "" {
		if c.Platform == "" {
			v.add(key, "must be given, or platform")
		}
		return
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		// The error of url.Parse quotes the URL, which may hold a password.
		v.add(key, "is not a URL")
		return
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		v.add(key, "must be an http or https URL such as https://qualysapi.example.com")
	case u.User != nil:
		v.add(key, "must not hold user information: use username and password")
	case u.Hostname() == "":
		v.add(key, "has no host")
	case u.Path != "" && u.Path != "/":
		v.add(key, "must not have a path, has %q", u.Path)
	case strings.ContainsAny(endpoint, "?#"):
		// Even empty ones, which u does not tell: the path of each request would become a part of them.
		v.add(key, "must have neither query nor fragment (? or #)")
	case u.Scheme == "http" && !c.AllowInsecureHTTP && !isLoopback(u.Hostname()):
		v.add(key, "sends the password over plain http: use https, or set allow_insecure_http")
	}
}

func (c *Config) validateCredentials(v *violations, usesServer, usesGateway bool) {
	v.check(c.ClientType == string(qualys.UserClient) || c.ClientType == string(qualys.SubscriptionClient), "client_type", "must be user or subscription, is %q", c.ClientType)
	v.check(c.ClientID != "" || c.ClientType != string(qualys.SubscriptionClient), "client_type", "must be given with client_id")
	if c.ClientID != "" || c.ClientSecret != "" {
		v.check(c.ClientID != "", "client_id", "must be given with client_secret")
		v.check(c.ClientSecret != "", "client_secret", "must be given with client_id")
		v.check(headerValue(c.ClientID) && headerValue(string(c.ClientSecret)), "client_id, client_secret", "must not hold control characters: they are sent in headers")
		v.check(c.Username == "" && c.Password == "", "client_id", "must not be given with username and password: one of both")
		v.check(!c.Gateway.Auth.HasValue(), "client_id", "must not be given with gateway::auth: one of both")
		return
	}
	if c.Username == "" && c.Password == "" {
		if usesServer && !c.Server.Auth.HasValue() {
			v.add("username", "username and password, client_id and client_secret, or server::auth, must be given")
		}
		if usesGateway && !c.Gateway.Auth.HasValue() {
			v.add("username", "username and password, client_id and client_secret, or gateway::auth, must be given")
		}
		return
	}
	v.check(c.Username != "", "username", "must be given with password")
	v.check(c.Password != "", "password", "must be given with username")
	// A file read into a variable ends with a line break: each login would fail, until the account is locked.
	v.check(headerValue(c.Username), "username", "must not hold control characters, or begin or end with white space: is there a line break at its end?")
	v.check(!strings.ContainsFunc(string(c.Password), unicode.IsControl), "password", "must not hold control characters: is there a line break at its end?")
	v.check(!strings.Contains(c.Username, ":"), "username", "must not hold a colon: Basic authentication cannot carry it")
}

// headerValue reports whether a text can be sent as the value of a header.
func headerValue(text string) bool {
	return !strings.ContainsFunc(text, unicode.IsControl) && strings.TrimSpace(text) == text
}

// Validate reports every breach of the contract of this dataset.
func (c *VulnerabilitiesConfig) Validate() error {
	v := &violations{}
	v.fullAfter(c.FullAfter)
	v.interval("collection_interval", c.CollectionInterval)
	v.optionalInterval("full_interval", c.FullInterval)
	v.span("initial_lookback", c.InitialLookback)
	v.span("overlap", c.Overlap)
	v.check(slices.Contains([]Collect{CollectChanged, CollectProcessed, CollectScanned, CollectAll}, c.Collect), "collect", "must be changed, processed, scanned or all, is %q", c.Collect)
	v.version(c.APIVersion)
	v.pageSize(c.PageSize, maxPageSize)
	v.check(len(c.Status) > 0, "status", "must not be empty")
	for _, s := range c.Status {
		v.check(slices.Contains(statuses, s), "status", "unknown status %q: it is one of %s", s, strings.Join(statuses, ", "))
	}
	v.parameters(c.Parameters, defaultVulnerabilities().Parameters)
	return v.joined()
}

// Validate reports every breach of the contract of this dataset.
func (c *KnowledgeBaseConfig) Validate() error {
	v := &violations{}
	v.fullAfter(c.FullAfter)
	v.interval("refresh_interval", c.RefreshInterval)
	v.optionalInterval("full_interval", c.FullInterval)
	v.version(c.APIVersion)
	v.pageSize(c.PageSize, maxPageSize)
	v.parameters(c.Parameters, nil)
	v.check(!c.EnrichDetections || len(c.EnrichFields) > 0, "enrich_fields", "must not be empty with enrich_detections")
	for _, name := range c.EnrichFields {
		v.check(enrichField.MatchString(name), "enrich_fields", "must be names of fields of an entry's record such as CvssV3, has %q", name)
	}
	v.check(c.EnrichTimeout > 0, "enrich_timeout", "must be above 0, is %s", c.EnrichTimeout)
	v.unit("enrich_timeout", c.EnrichTimeout, minWait)
	return v.joined()
}

// Validate reports every breach of the contract of this dataset.
func (c *HostsConfig) Validate() error {
	v := &violations{}
	v.fullAfter(c.FullAfter)
	v.interval("collection_interval", c.CollectionInterval)
	v.check(slices.Contains(hostDetails, c.Details), "details", "must be one of %s, is %q", strings.Join(hostDetails, ", "), c.Details)
	v.check(c.MaxRemovedShare >= 0 && c.MaxRemovedShare <= 1, "max_removed_share", "must be from 0 to 1, is %g", c.MaxRemovedShare)
	v.version(c.APIVersion)
	v.pageSize(c.PageSize, maxPageSize)
	v.parameters(c.Parameters, defaultHosts().Parameters)
	return v.joined()
}

// Validate reports every breach of the contract of this dataset.
func (c *AssetInventoryConfig) Validate() error {
	v := &violations{}
	v.fullAfter(c.FullAfter)
	v.interval("collection_interval", c.CollectionInterval)
	v.optionalInterval("full_interval", c.FullInterval)
	v.span("overlap", c.Overlap)
	v.pageSize(c.PageSize, maxAssetPageSize)
	v.check(!slices.Contains(c.IncludeFields, ""), "include_fields", "must not hold an empty name")
	v.check(!slices.Contains(c.ExcludeFields, ""), "exclude_fields", "must not hold an empty name")
	for i, f := range c.Filter {
		key := fmt.Sprintf("filter::%d", i)
		v.check(f.Field != "", key+"::field", "must not be empty")
		v.check(f.Operator != "", key+"::operator", "must not be empty")
		if _, err := filterText(f.Value); err != nil {
			v.add(key+"::value", "%v", err)
		}
	}
	return v.joined()
}

// Validate reports every breach of the contract of this dataset.
func (c *ActivityLogConfig) Validate() error {
	v := &violations{}
	v.fullAfter(c.FullAfter)
	v.interval("collection_interval", c.CollectionInterval)
	v.span("initial_lookback", c.InitialLookback)
	v.span("overlap", c.Overlap)
	v.version(c.APIVersion)
	v.pageSize(c.PageSize, maxPageSize)
	v.parameters(c.Parameters, nil)
	return v.joined()
}

// violations collects breaches of the contract, each with its key.
type violations struct {
	errs []error
}

func (v *violations) add(key, format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("%s: "+format, append([]any{key}, args...)...))
}

func (v *violations) check(ok bool, key, format string, args ...any) {
	if !ok {
		v.add(key, format, args...)
	}
}

func (v *violations) interval(key string, d time.Duration) {
	v.check(d >= minInterval, key, "must be at least %s, is %s", minInterval, d)
}

func (v *violations) optionalInterval(key string, d time.Duration) {
	v.check(d == 0 || d >= minInterval, key, "must be 0 (never) or at least %s, is %s", minInterval, d)
}

// span checks a time that is reached back by. Times in requests are whole seconds.
func (v *violations) span(key string, d time.Duration) {
	v.check(d >= 0, key, "must not be negative, is %s", d)
	v.unit(key, d, time.Second)
}

// unit refuses what is less than anybody means: YAML's 300 is 300ns.
func (v *violations) unit(key string, d, least time.Duration) {
	v.check(d <= 0 || d >= least, key, "must be at least %s, is %s: a number without a unit counts nanoseconds", least, d)
}

func (v *violations) fullAfter(value any) {
	if _, err := moment(value); err != nil {
		v.add("full_after", "must be a time such as 2026-11-28T09:15:00Z, or a day, is %q", fmt.Sprint(value))
	}
}

// moment reads a time in RFC 3339, or a day (UTC); zero: there is none. YAML makes a time of either that stands without quotes.
func moment(value any) (time.Time, error) {
	switch v := value.(type) {
	case nil:
		return time.Time{}, nil
	case time.Time:
		return v, nil
	case string:
		if v == "" {
			return time.Time{}, nil
		}
		if day, err := time.Parse(time.DateOnly, v); err == nil {
			return day, nil
		}
		return time.Parse(time.RFC3339, v)
	}
	return time.Time{}, errors.New("no time")
}

func (v *violations) pageSize(n, most int) {
	v.check(n >= 1 && n <= most, "page_size", "must be from 1 to %d, is %d", most, n)
}

func (v *violations) version(s string) {
	v.check(apiVersion.MatchString(s), "api_version", "must be a version such as 5.0, is %q", s)
}

// parameters refuses what the receiver sets itself, values that are no parameter's, and a parameter in two spellings: Qualys'
// names are in lower case, and so are those of the defaults, which another spelling of the user's replaces.
func (v *violations) parameters(parameters, defaults map[string]any) {
	spelled := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(parameters)) { // upper case comes first
		key, lower := "parameters::"+name, strings.ToLower(name)
		other, twice := spelled[lower]
		spelled[lower] = name
		_, err := parameterText(parameters[name])
		switch {
		case reservedParameter(lower):
			v.add(key, "is set by the receiver itself")
		case err != nil:
			v.add(key, "%v", err)
		case twice && (name != lower || !isDefault(parameters, defaults, name)):
			v.add(key, "is given twice, also as %s", other)
		}
	}
}

func (v *violations) joined() error {
	return errors.Join(v.errs...)
}

// reservedParameter reports whether the receiver sets a parameter itself.
func reservedParameter(name string) bool {
	switch name {
	case "", "action", "truncation_limit", "id_min", "id_max", "ids", "status", "output_format", "echo_request", "details",
		"since_datetime", "until_datetime":
		return true
	}
	for _, suffix := range []string{"_since", "_after", "_before"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// parameterText writes a parameter's value as the API server reads it: booleans as 1 and 0, times in UTC to the second, or as
// a day.
func parameterText(value any) (string, error) {
	switch x := value.(type) {
	case bool:
		if x {
			return "1", nil
		}
		return "0", nil
	case time.Time:
		x = x.UTC()
		if x.Equal(x.Truncate(24 * time.Hour)) {
			return x.Format(time.DateOnly), nil
		}
		return x.Format(time.RFC3339), nil
	}
	return scalar(value)
}

// filterText writes a filter's value as the gateway reads it: its fields hold booleans as JSON does, true and false.
func filterText(value any) (string, error) {
	switch x := value.(type) {
	case bool:
		return strconv.FormatBool(x), nil
	case time.Time:
		return x.UTC().Format(time.RFC3339), nil
	}
	return scalar(value)
}

// scalar writes a value that both hosts read alike.
func scalar(value any) (string, error) {
	switch x := value.(type) {
	case nil:
		return "", nil
	case string:
		return x, nil
	case int:
		return strconv.Itoa(x), nil
	case int64:
		return strconv.FormatInt(x, 10), nil
	case uint64:
		return strconv.FormatUint(x, 10), nil
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64), nil
	default:
		return "", fmt.Errorf("must be a string, a number, a boolean or a time, is %T", value)
	}
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
