// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package examples_test checks what users copy from this folder.
package examples_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

const receiverFolder = "../receiver/qualysvmdrreceiver"

// compile reads a schema. The schemas are YAML, and refer to each other by file names.
func compile(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(yamlFiles{})
	schema, err := compiler.Compile(filepath.Join(receiverFolder, name))
	require.NoError(t, err)
	return schema
}

// yamlFiles loads schemas by the addresses in their $id, which are those of the repository.
type yamlFiles struct{}

// Load implements jsonschema.URLLoader.
func (yamlFiles) Load(address string) (any, error) {
	text, err := os.ReadFile(filepath.Join(receiverFolder, address[strings.LastIndex(address, "/")+1:]))
	if err != nil {
		return nil, err
	}
	retrieved, err := confmap.NewRetrievedFromYAML(text)
	if err != nil {
		return nil, err
	}
	return asJSON(retrieved)
}

// asJSON is a YAML document as a reader of JSON gives it.
func asJSON(retrieved *confmap.Retrieved) (any, error) {
	conf, err := retrieved.AsConf()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(conf.ToStringMap())
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// accepts returns what a schema says of a YAML document.
func accepts(t *testing.T, schema *jsonschema.Schema, text string) error {
	t.Helper()
	retrieved, err := confmap.NewRetrievedFromYAML([]byte(text))
	require.NoError(t, err)
	document, err := asJSON(retrieved)
	require.NoError(t, err)
	return schema.Validate(document)
}

func TestSchemaAcceptsExamples(t *testing.T) {
	schema := compile(t, "collector.schema.yaml")
	complete := regexp.MustCompile(`(?m)^receivers:\n  \w`) // those of a builder file are a list
	seen := 0
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil || !complete.Match(text) {
			return err
		}
		seen++
		assert.NoError(t, accepts(t, schema, string(text)), name)
		return nil
	}))
	assert.NotZero(t, seen)
}

func TestSchemaJudgesAsTheReceiverDoes(t *testing.T) {
	schema := compile(t, "config.schema.yaml")
	for _, accepted := range []string{
		"{platform: us2, vulnerabilities: , knowledge_base: , asset_inventory: , activity_log: }",
		"{vulnerabilities: {full_interval: 0, overlap: 0s, parameters: {severities: '4,5', show_tags: false, qids: 38170}}}",
		"{vulnerabilities: {page_size: '${env:PAGE:-100}', collection_interval: '${env:INTERVAL}'}}",
		"{asset_inventory: {filter: [{field: asset.riskScore, operator: GREATER, value: 500}]}}",
		"{server: {tls: {ca_file: /etc/ca.pem}, auth: {authenticator: oauth2client}}}",
		"{server: {keepalive: {idle_conn_timeout: 30s, max_idle_conns: 5}}, gateway: {keepalive: {enabled: false}}}",
	} {
		assert.NoError(t, accepts(t, schema, accepted), accepted)
	}
	for _, refused := range []string{
		"{platform: US9}",
		"{username: 'a:b'}",
		"{vulnerabilities: {page_sise: 5}}",
		"{vulnerabilities: {page_size: 0}}",
		"{vulnerabilities: {page_size: 10001}}",
		"{vulnerabilities: {overlap: -1h}}",
		"{vulnerabilities: {overlap: 1 hour}}",
		"{vulnerabilities: {collect: everything}}",
		"{vulnerabilities: {status: [Open]}}",
		"{vulnerabilities: {status: []}}",
		"{vulnerabilities: {api_version: latest}}",
		"{vulnerabilities: {parameters: {ids: 5}}}",
		"{vulnerabilities: {parameters: {detection_updated_since: x}}}",
		"{vulnerabilities: {parameters: {qids: [1, 2]}}}",
		"{knowledge_base: {parameters: {details: All}}}",
		"{asset_inventory: {page_size: 301}}",
		"{asset_inventory: {filter: [{operator: EQUALS, value: x}]}}",
		"{batch_size: 0}",
		"{body_format: xml}",
		"{timestamp: now}",
		"{server: {timeout: 30s}}",
		"{gateway: {compression: gzip}}",
		"{gateway: {keepalive: {max_idle_conns: -1}}}",
		"{server: {headers: {authorization: Basic abc}}}",
		"{retry_on_failure: {enabled: false}}",
		"{retry_on_failure: {max_elapsed_time: 1h}}",
		"{resource_attributes: {host.mac: {enabled: false}}}",
	} {
		assert.Error(t, accepts(t, schema, refused), refused)
	}
}
