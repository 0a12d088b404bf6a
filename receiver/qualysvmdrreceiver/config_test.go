// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
)

// load reads a configuration as the collector does.
func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	retrieved, err := confmap.NewRetrievedFromYAML([]byte(text))
	require.NoError(t, err)
	conf, err := retrieved.AsConf()
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	if err := conf.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

const account = "platform: US2\nusername: user\npassword: s3cret-pass\n"

func TestDefaults(t *testing.T) {
	cfg, err := load(t, account+"vulnerabilities:\nknowledge_base:\nhosts:\nasset_inventory:\nactivity_log:\n")
	require.NoError(t, err)
	require.True(t, cfg.Vulnerabilities.HasValue(), "an empty section must switch the dataset on")
	require.True(t, cfg.KnowledgeBase.HasValue())
	require.True(t, cfg.Hosts.HasValue())
	require.True(t, cfg.AssetInventory.HasValue())
	require.True(t, cfg.ActivityLog.HasValue())
	assert.Equal(t, 24*time.Hour, cfg.ActivityLog.Get().InitialLookback)
	assert.Equal(t, "2.0", cfg.ActivityLog.Get().APIVersion)
	v := cfg.Vulnerabilities.Get()
	assert.Equal(t, time.Hour, v.CollectionInterval)
	assert.Equal(t, "5.0", v.APIVersion)
	assert.Equal(t, []string{"New", "Active", "Re-Opened", "Fixed"}, v.Status)
	h := cfg.Hosts.Get()
	assert.Equal(t, 24*time.Hour, h.CollectionInterval)
	assert.Equal(t, "All", h.Details)
	assert.True(t, h.ReportRemoved)
	assert.InDelta(t, 0.2, h.MaxRemovedShare, 0)
	server, gateway := cfg.Endpoints()
	assert.Equal(t, "https://qualysapi.qg2.apps.qualys.com", server)
	assert.Equal(t, "https://gateway.qg2.apps.qualys.com", gateway)
}

func TestOnlyPresentDatasetsAreCollected(t *testing.T) {
	cfg, err := load(t, account+"asset_inventory: {}\n")
	require.NoError(t, err)
	assert.False(t, cfg.Vulnerabilities.HasValue())
	assert.False(t, cfg.KnowledgeBase.HasValue())
	assert.True(t, cfg.AssetInventory.HasValue())
	assert.False(t, cfg.ActivityLog.HasValue())

	cfg, err = load(t, "server: {endpoint: \"https://q.example.com\"}\nusername: u\npassword: p\nactivity_log:\n")
	require.NoError(t, err, "the activity log needs neither the gateway nor another dataset")
	assert.Equal(t, []string{"activity_log"}, cfg.datasets())
}

func TestWholeConfiguration(t *testing.T) {
	cfg, err := load(t, `
platform: eu1
server: {endpoint: "https://qualysapi.private.example.com/", proxy_url: "http://proxy.example.com:3128"}
username: user
password: s3cret-pass
vulnerabilities:
  collection_interval: 2h
  initial_lookback: 720h
  collect: scanned
  overlap: 0s
  full_interval: 0
  api_version: "4.0"
  page_size: 10000
  status: [New, Fixed]
  parameters: {show_tags: false, severities: "4,5", qids: 38170, show_qds: ""}
knowledge_base: {refresh_interval: 12h, page_size: 1, parameters: {show_pci_reasons: true}}
asset_inventory:
  page_size: 300
  include_fields: [assetId, address]
  filter: [{field: operatingSystem.category1, operator: EQUALS, value: Linux}, {field: asset.riskScore, operator: GREATER, value: 500}]
activity_log: {initial_lookback: 0s, overlap: 30m, page_size: 10000, parameters: {user_role: Manager}}
storage: file_storage/checkpoints
batch_size: 10
batch_max_bytes: 1000
body_format: json
timestamp: collected
retry_on_failure: {initial_interval: 1s, max_interval: 1m}
health_events: {enabled: true}
resource_attributes: {host.ip: {enabled: false}}
`)
	require.NoError(t, err)
	v := cfg.Vulnerabilities.Get().settings("", 0)
	assert.Equal(t, map[string]string{
		"show_tags": "0", "severities": "4,5", "qids": "38170",
		"show_asset_id": "1", "show_qds_factors": "1", "show_cloud_tags": "1", "show_reopened_info": "1", "host_metadata": "all", "vuln_detection_source": "1",
	}, v.Parameters, "parameters are merged over the defaults")
	assert.NotContains(t, v.Defaults, "show_tags", "what the user chose is not left out when Qualys refuses it")
	assert.Contains(t, v.Defaults, "host_metadata")
	assert.Equal(t, map[string]string{"show_pci_reasons": "1"}, cfg.KnowledgeBase.Get().settings(dataset.Settings{Server: &url.URL{}}).Parameters)
	assert.Equal(t, "500", cfg.AssetInventory.Get().settings().Filter[1].Value)
	assert.Equal(t, dataset.ActivitySettings{
		Interval: time.Hour, Overlap: 30 * time.Minute, Version: "2.0", PageSize: 10000, Parameters: map[string]string{"user_role": "Manager"},
	}, cfg.ActivityLog.Get().settings())
	assert.Equal(t, component.MustNewIDWithName("file_storage", "checkpoints"), *cfg.Storage)
	server, gateway := cfg.Endpoints()
	assert.Equal(t, "https://qualysapi.private.example.com/", server, "an endpoint that is given wins")
	assert.Equal(t, "https://gateway.qg1.apps.qualys.eu", gateway)
}

// The gateway compares with what a field holds: a boolean is no number there.
func TestValuesOfFilters(t *testing.T) {
	for written, sent := range map[string]string{
		"true": "true", "false": "false", `"1"`: "1", "500": "500", "7.5": "7.5", "Linux": "Linux",
		"2026-11-19": "2026-11-19T00:00:00Z", "2026-11-19T10:15:00+01:00": "2026-11-19T09:15:00Z", `"2026-11-19"`: "2026-11-19",
	} {
		cfg, err := load(t, account+"asset_inventory: {filter: [{field: asset.isContainerHost, operator: EQUALS, value: "+written+"}]}\n")
		require.NoError(t, err, written)
		assert.Equal(t, sent, cfg.AssetInventory.Get().settings().Filter[0].Value, written)
	}
}

// YAML takes a date without quotes for a time: nobody should have to know.
func TestTimesStandWithQuotesOrWithout(t *testing.T) {
	for _, text := range []string{"2026-11-28T09:15:00Z", `"2026-11-28T09:15:00Z"`, "2026-11-28T10:15:00+01:00"} {
		cfg, err := load(t, account+"vulnerabilities: {full_after: "+text+"}\n")
		require.NoError(t, err, text)
		require.NoError(t, cfg.Validate(), text)
		assert.True(t, time.Date(2026, 11, 28, 9, 15, 0, 0, time.UTC).Equal(fullAfter(cfg.Vulnerabilities.Get().FullAfter)), text)
	}
	for _, text := range []string{"2026-11-28", `"2026-11-28"`} {
		cfg, err := load(t, account+"vulnerabilities: {full_after: "+text+"}\n")
		require.NoError(t, err, text)
		require.NoError(t, cfg.Validate(), text)
		assert.True(t, time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC).Equal(fullAfter(cfg.Vulnerabilities.Get().FullAfter)), text)
	}
}

func TestValuesOfParameters(t *testing.T) {
	for written, sent := range map[string]string{
		"true": "1", "false": "0", "38170": "38170", `"4,5"`: "4,5",
		"2026-11-19": "2026-11-19", "2026-11-19T10:15:00+01:00": "2026-11-19T09:15:00Z", "2026-11-19T01:00:00+01:00": "2026-11-19",
	} {
		cfg, err := load(t, account+"activity_log: {parameters: {any: "+written+"}}\n")
		require.NoError(t, err, written)
		assert.Equal(t, map[string]string{"any": sent}, cfg.ActivityLog.Get().settings().Parameters, written)
	}
}

// Qualys has its parameters in lower case: in another spelling one would be sent beside the default that it is to replace.
func TestParametersInAnySpelling(t *testing.T) {
	cfg, err := load(t, account+"vulnerabilities: {parameters: {Show_Tags: 0, SHOW_QDS: \"\", Severities: 5, Host_Metadata: all}}\nknowledge_base: {parameters: {Show_PCI_Reasons: 1}}\n")
	require.NoError(t, err)
	settings := cfg.Vulnerabilities.Get().settings("", 0)
	assert.Equal(t, map[string]string{
		"show_tags": "0", "severities": "5",
		"show_asset_id": "1", "show_qds_factors": "1", "show_cloud_tags": "1", "show_reopened_info": "1", "host_metadata": "all", "vuln_detection_source": "1",
	}, settings.Parameters)
	assert.NotContains(t, settings.Defaults, "show_tags")
	assert.Equal(t, map[string]string{"show_pci_reasons": "1"}, cfg.KnowledgeBase.Get().settings(dataset.Settings{Server: &url.URL{}}).Parameters)
}

func TestBrokenConfigurations(t *testing.T) {
	const datasets = "vulnerabilities:\n"
	for _, test := range []struct {
		name string
		text string
		key  string // which the message must name
		says string
	}{
		{"no dataset", account, "vulnerabilities, knowledge_base, hosts, asset_inventory, activity_log: ", "at least one"},
		{"KnowledgeBase alone", account + "knowledge_base:\n", "knowledge_base: ", "needs vulnerabilities"},
		{"unknown platform", "platform: US9\nusername: u\npassword: p\n" + datasets, "platform: ", "EU1"},
		{"no endpoint", "username: u\npassword: p\n" + datasets, "server::endpoint: ", "must be given"},
		{"no gateway", "server: {endpoint: \"https://q.example.com\"}\nusername: u\npassword: p\nasset_inventory:\n", "gateway::endpoint: ", "must be given"},
		{"endpoint of another scheme", account + "server: {endpoint: \"ftp://q.example.com\"}\n" + datasets, "server::endpoint: ", "http"},
		{"endpoint without a scheme", account + "server: {endpoint: \"q.example.com\"}\n" + datasets, "server::endpoint: ", "http"},
		{"endpoint without a host", account + "server: {endpoint: \"https://\"}\n" + datasets, "server::endpoint: ", "no host"},
		{"endpoint with user info", account + "server: {endpoint: \"https://u:s3cret-pass@q.example.com\"}\n" + datasets, "server::endpoint: ", "user"},
		{"endpoint that cannot be parsed", account + "server: {endpoint: \"https://u:s3cret-pass@q.example.com:port\"}\n" + datasets, "server::endpoint: ", "not a URL"},
		{"endpoint with a path", account + "server: {endpoint: \"https://q.example.com/api/2.0\"}\n" + datasets, "server::endpoint: ", "path"},
		{"endpoint with a query", account + "server: {endpoint: \"https://q.example.com?a=b\"}\n" + datasets, "server::endpoint: ", "query"},
		{"endpoint with an empty query", account + "server: {endpoint: \"https://q.example.com?\"}\n" + datasets, "server::endpoint: ", "query"},
		{"endpoint with a fragment", account + "server: {endpoint: \"https://q.example.com/#/login\"}\n" + datasets, "server::endpoint: ", "fragment"},
		{"endpoint with an empty fragment", account + "server: {endpoint: \"https://q.example.com/#\"}\n" + datasets, "server::endpoint: ", "fragment"},
		{"unused endpoint that is wrong", account + "gateway: {endpoint: \"https://q.example.com/x\"}\n" + datasets, "gateway::endpoint: ", "path"},
		{"plain http", account + "server: {endpoint: \"http://q.example.com\"}\n" + datasets, "server::endpoint: ", "allow_insecure_http"},
		{"no credentials", "platform: US1\n" + datasets, "username: ", "server::auth"},
		{"no credentials for the gateway", "platform: US1\nserver: {auth: {authenticator: oauth2client}}\n" + datasets + "asset_inventory:\n", "username: ", "gateway::auth"},
		{"no password", "platform: US1\nusername: u\n" + datasets, "password: ", "must be given"},
		{"no user name", "platform: US1\npassword: p\n" + datasets, "username: ", "must be given"},
		{"user name with a colon", "platform: US1\nusername: \"a:b\"\npassword: p\n" + datasets, "username: ", "colon"},
		{"user name with a line break", "platform: US1\nusername: \"u\\n\"\npassword: p\n" + datasets, "username: ", "line break"},
		{"user name with a space", "platform: US1\nusername: \"u \"\npassword: p\n" + datasets, "username: ", "white space"},
		{"password with a line break", "platform: US1\nusername: u\npassword: \"s3cret-pass\\n\"\n" + datasets, "password: ", "line break"},
		{"type of client without a client", account + "client_type: subscription\n" + datasets, "client_type: ", "client_id"},
		{"client without a secret", "platform: US1\nclient_id: c\n" + datasets, "client_secret: ", "client_id"},
		{"client without an ID", "platform: US1\nclient_secret: s3cret-pass\n" + datasets, "client_id: ", "client_secret"},
		{"client and account", account + "client_id: c\nclient_secret: s3cret-pass\n" + datasets, "client_id: ", "username and password"},
		{"client and authenticator", "platform: US1\nclient_id: c\nclient_secret: s3cret-pass\ngateway: {auth: {authenticator: oauth2client}}\n" + datasets, "client_id: ", "gateway::auth"},
		{"client without a gateway", "server: {endpoint: \"https://q.example.com\"}\nclient_id: c\nclient_secret: s3cret-pass\n" + datasets, "gateway::endpoint: ", "must be given"},
		{"client that no header can carry", "platform: US1\nclient_id: c\nclient_secret: \"s3cret-pass\\n\"\n" + datasets, "client_id, client_secret: ", "headers"},
		{"unknown type of client", "platform: US1\nclient_id: c\nclient_secret: s3cret-pass\nclient_type: admin\n" + datasets, "client_type: ", "subscription"},
		{"timeout", account + "server: {timeout: 30s}\n" + datasets, "server::timeout: ", "read_idle_timeout"},
		{"timeout of the gateway", account + "gateway: {timeout: 30s}\n" + datasets, "gateway::timeout: ", "read_idle_timeout"},
		{"compression", account + "server: {compression: gzip}\n" + datasets, "server::compression: ", "must not"},
		{"authorization header", account + "server: {headers: {authorization: Basic abc}}\n" + datasets, "server::headers: ", "Authorization"},
		{"interval", account + "vulnerabilities: {collection_interval: 500ms}\n", "vulnerabilities: collection_interval: ", "1s"},
		{"full interval", account + "vulnerabilities: {full_interval: 1ms}\n", "vulnerabilities: full_interval: ", "1s"},
		{"negative look-back", account + "vulnerabilities: {initial_lookback: -1h}\n", "vulnerabilities: initial_lookback: ", "negative"},
		{"negative overlap", account + "vulnerabilities: {overlap: -1h}\n", "vulnerabilities: overlap: ", "negative"},
		{"collect", account + "vulnerabilities: {collect: everything}\n", "vulnerabilities: collect: ", "scanned"},
		{"page size of 0", account + "vulnerabilities: {page_size: 0}\n", "vulnerabilities: page_size: ", "10000"},
		{"page size above all", account + "vulnerabilities: {page_size: 10001}\n", "vulnerabilities: page_size: ", "10000"},
		{"version", account + "vulnerabilities: {api_version: \"5.0/../x\"}\n", "vulnerabilities: api_version: ", "5.0"},
		{"no status", account + "vulnerabilities: {status: []}\n", "vulnerabilities: status: ", "empty"},
		{"unknown status", account + "vulnerabilities: {status: [Open]}\n", "vulnerabilities: status: ", "Re-Opened"},
		{"parameter of the receiver", account + "vulnerabilities: {parameters: {ids: 5}}\n", "vulnerabilities: parameters::ids: ", "itself"},
		{"time filter", account + "vulnerabilities: {parameters: {detection_updated_since: x}}\n", "vulnerabilities: parameters::detection_updated_since: ", "itself"},
		{"time filter of scans", account + "vulnerabilities: {parameters: {vm_scan_date_before: x}}\n", "vulnerabilities: parameters::vm_scan_date_before: ", "itself"},
		{"parameter that is a list", account + "vulnerabilities: {parameters: {qids: [1, 2]}}\n", "vulnerabilities: parameters::qids: ", "string"},
		{"parameter of the receiver in capitals", account + "vulnerabilities: {parameters: {IDs: 5}}\n", "vulnerabilities: parameters::IDs: ", "itself"},
		{"time filter in capitals", account + "activity_log: {parameters: {Until_DateTime: x}}\n", "activity_log: parameters::Until_DateTime: ", "itself"},
		{"parameter in two spellings", account + "vulnerabilities: {parameters: {Severities: 4, severities: 5}}\n", "vulnerabilities: parameters::severities: ", "Severities"},
		{"parameter in two spellings, both unlike the default", account + "vulnerabilities: {parameters: {Show_Tags: 1, show_tags: 0}}\n", "vulnerabilities: parameters::show_tags: ", "twice"},
		{"default in two spellings", account + "vulnerabilities: {parameters: {Show_Tags: 0, SHOW_TAGS: 1}}\n", "vulnerabilities: parameters::Show_Tags: ", "SHOW_TAGS"},
		{"KnowledgeBase interval", account + datasets + "knowledge_base: {refresh_interval: 0s}\n", "knowledge_base: refresh_interval: ", "1s"},
		{"KnowledgeBase page size", account + datasets + "knowledge_base: {page_size: 0}\n", "knowledge_base: page_size: ", "10000"},
		{"KnowledgeBase details", account + datasets + "knowledge_base: {parameters: {details: Basic}}\n", "knowledge_base: parameters::details: ", "itself"},
		{"hosts details", account + "hosts: {details: None}\n", "hosts: details: ", "Basic/AGs"},
		{"hosts removed share", account + "hosts: {max_removed_share: 1.5}\n", "hosts: max_removed_share: ", "0 to 1"},
		{"hosts page size", account + "hosts: {page_size: 0}\n", "hosts: page_size: ", "1 to 10000"},
		{"hosts interval", account + "hosts: {collection_interval: 0s}\n", "hosts: collection_interval: ", "1s"},
		{"hosts version", account + "hosts: {api_version: five}\n", "hosts: api_version: ", "5.0"},
		{"hosts full_after", account + "hosts: {full_after: tomorrow}\n", "hosts: full_after: ", "2026"},
		{"hosts parameter", account + "hosts: {parameters: {truncation_limit: 1}}\n", "hosts: parameters::truncation_limit: ", "itself"},
		{"asset page size", account + "asset_inventory: {page_size: 301}\n", "asset_inventory: page_size: ", "300"},
		{"asset filter without a field", account + "asset_inventory: {filter: [{operator: EQUALS, value: x}]}\n", "asset_inventory: filter::0::field: ", "empty"},
		{"asset filter without an operator", account + "asset_inventory: {filter: [{field: x, value: x}]}\n", "asset_inventory: filter::0::operator: ", "empty"},
		{"asset field without a name", account + "asset_inventory: {include_fields: [\"\"]}\n", "asset_inventory: include_fields: ", "empty"},
		{"left out asset field without a name", account + "asset_inventory: {exclude_fields: [agent, \"\"]}\n", "asset_inventory: exclude_fields: ", "empty"},
		{"activity log without an endpoint", "username: u\npassword: p\nactivity_log:\n", "server::endpoint: ", "must be given"},
		{"activity log without credentials", "platform: US1\nactivity_log:\n", "username: ", "server::auth"},
		{"activity log interval", account + "activity_log: {collection_interval: 0s}\n", "activity_log: collection_interval: ", "1s"},
		{"activity log look-back", account + "activity_log: {initial_lookback: -1h}\n", "activity_log: initial_lookback: ", "negative"},
		{"activity log overlap", account + "activity_log: {overlap: -1h}\n", "activity_log: overlap: ", "negative"},
		{"activity log version", account + "activity_log: {api_version: two}\n", "activity_log: api_version: ", "5.0"},
		{"activity log page size", account + "activity_log: {page_size: 10001}\n", "activity_log: page_size: ", "10000"},
		{"activity log window", account + "activity_log: {parameters: {until_datetime: x}}\n", "activity_log: parameters::until_datetime: ", "itself"},
		{"election without storage", account + datasets + "k8s_leader_elector: k8s_leader_elector\n", "k8s_leader_elector: ", "needs storage"},
		{"batch size", account + datasets + "batch_size: 0\n", "batch_size: ", "1"},
		{"batch bytes", account + datasets + "batch_max_bytes: 0\n", "batch_max_bytes: ", "1"},
		{"body format", account + datasets + "body_format: xml\n", "body_format: ", "structured"},
		{"time stamp", account + datasets + "timestamp: now\n", "timestamp: ", "collected"},
		{"idle timeout", account + datasets + "read_idle_timeout: 0s\n", "read_idle_timeout: ", "above 0"},
		{"page timeout", account + datasets + "page_timeout: -1s\n", "page_timeout: ", "above 0"},
		{"idle timeout without a unit", account + datasets + "read_idle_timeout: 300\n", "read_idle_timeout: ", "is 300ns: a number without a unit"},
		{"page timeout without a unit", account + datasets + "page_timeout: 1800\n", "page_timeout: ", "unit"},
		{"initial delay without a unit", account + datasets + "initial_delay: 10\n", "initial_delay: ", "unit"},
		{"retries without a unit", account + datasets + "retry_on_failure: {initial_interval: 5, max_interval: 300}\n", "retry_on_failure::initial_interval: ", "unit"},
		{"overlap without a unit", account + "vulnerabilities: {overlap: 3600}\n", "vulnerabilities: overlap: ", "unit"},
		{"look-back of seconds without a unit", account + "vulnerabilities: {initial_lookback: 2592000}\n", "vulnerabilities: initial_lookback: ", "at least 1s, is 2.592ms"},
		{"overlap of assets without a unit", account + "asset_inventory: {overlap: 3600}\n", "asset_inventory: overlap: ", "unit"},
		{"overlap of the activity log without a unit", account + "activity_log: {overlap: 3600}\n", "activity_log: overlap: ", "unit"},
		{"look-back of the activity log without a unit", account + "activity_log: {initial_lookback: 86400}\n", "activity_log: initial_lookback: ", "unit"},
		{"enrichment without a unit", account + datasets + "knowledge_base: {enrich_timeout: 600}\n", "knowledge_base: enrich_timeout: ", "unit"},
		{"reserve", account + datasets + "rate_limit_reserve: -1\n", "rate_limit_reserve: ", "negative"},
		{"initial delay", account + datasets + "initial_delay: -1s\n", "initial_delay: ", "negative"},
		{"no retries", account + datasets + "retry_on_failure: {enabled: false}\n", "retry_on_failure::enabled: ", "lost"},
		{"limited retries", account + datasets + "retry_on_failure: {max_elapsed_time: 1h}\n", "retry_on_failure::max_elapsed_time: ", "lost"},
		{"retries limited to less than an interval", account + datasets + "retry_on_failure: {max_elapsed_time: 60s}\n", "retry_on_failure::max_elapsed_time: ", "lost"},
		{"negative limit of retries", account + datasets + "retry_on_failure: {max_elapsed_time: -1s}\n", "retry_on_failure::max_elapsed_time: ", "lost"},
		{"negative time between retries", account + datasets + "retry_on_failure: {initial_interval: -1s}\n", "retry_on_failure::initial_interval: ", "above 0"},
		{"negative longest interval", account + datasets + "retry_on_failure: {max_interval: -1s}\n", "retry_on_failure::max_interval: ", "initial_interval"},
		{"chance above all", account + datasets + "retry_on_failure: {randomization_factor: 1.5}\n", "retry_on_failure::randomization_factor: ", "0 to 1"},
		{"chance that is no number", account + datasets + "retry_on_failure: {randomization_factor: .nan}\n", "retry_on_failure::randomization_factor: ", "0 to 1"},
		{"growing backwards", account + datasets + "retry_on_failure: {multiplier: -1}\n", "retry_on_failure::multiplier: ", "1"},
		{"no time between retries", account + datasets + "retry_on_failure: {initial_interval: 0s}\n", "retry_on_failure::initial_interval: ", "above 0"},
		{"longest interval below the first", account + datasets + "retry_on_failure: {max_interval: 1s}\n", "retry_on_failure::max_interval: ", "initial_interval"},
		{"shrinking intervals", account + datasets + "retry_on_failure: {multiplier: 0.5}\n", "retry_on_failure::multiplier: ", "1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(t, test.text)
			require.Error(t, err)
			assert.ErrorContains(t, err, test.key)
			assert.ErrorContains(t, err, test.says)
			assert.NotContains(t, err.Error(), "s3cret-pass")
			assert.NotContains(t, err.Error(), "\n", "one breach, one message")
		})
	}
}

func TestUnknownKey(t *testing.T) {
	_, err := load(t, account+"vulnerabilities: {page_sise: 5}\n")
	assert.ErrorContains(t, err, "page_sise")
}

func TestPasswordIsNotPrinted(t *testing.T) {
	cfg, err := load(t, account+"vulnerabilities:\n")
	require.NoError(t, err)
	conf := confmap.New()
	require.NoError(t, conf.Marshal(cfg))
	for _, printed := range []string{fmt.Sprintf("%v", cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%v", conf.ToStringMap())} {
		assert.NotContains(t, printed, "s3cret-pass")
	}
}

func TestPlainHTTPToThisMachine(t *testing.T) {
	for _, host := range []string{"localhost", "127.0.0.1:8081", "[::1]:8081", "127.9.9.9"} {
		_, err := load(t, "server: {endpoint: \"http://"+host+"\"}\nusername: u\npassword: p\nvulnerabilities:\n")
		assert.NoError(t, err, host)
	}
	_, err := load(t, "allow_insecure_http: true\nserver: {endpoint: \"http://q.example.com\"}\nusername: u\npassword: p\nvulnerabilities:\n")
	assert.NoError(t, err)
}

func TestAPIClientInsteadOfAPassword(t *testing.T) {
	cfg, err := load(t, "platform: US1\nclient_id: c\nclient_secret: s3cret-pass\nvulnerabilities:\nasset_inventory:\n")
	require.NoError(t, err)
	assert.Equal(t, "user", cfg.ClientType)
	assert.NotContains(t, fmt.Sprintf("%v %+v", cfg, cfg), "s3cret-pass")
	_, err = load(t, "platform: US1\nclient_id: c\nclient_secret: s\nclient_type: subscription\nserver: {auth: {authenticator: oauth2client}}\nvulnerabilities:\n")
	assert.NoError(t, err)
}

func TestAuthenticatorsInsteadOfAPassword(t *testing.T) {
	_, err := load(t, `
platform: US1
server: {auth: {authenticator: oauth2client}}
gateway: {auth: {authenticator: oauth2client}}
vulnerabilities:
asset_inventory:
`)
	assert.NoError(t, err)
}
