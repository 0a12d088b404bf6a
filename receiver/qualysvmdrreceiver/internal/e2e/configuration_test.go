// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

func TestExamplesAreCompleteConfigurations(t *testing.T) {
	examples := os.DirFS(filepath.Join(moduleRoot(t), "examples"))
	// Leader election is in the other distribution only, and so is the test of its example.
	const otherDistribution = "kubernetes/leader-election"
	complete := regexp.MustCompile(`(?m)^service:`)
	validated := 0
	require.NoError(t, fs.WalkDir(examples, ".", func(name string, entry fs.DirEntry, err error) error {
		if name == otherDistribution {
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".yaml" {
			return err
		}
		text, err := fs.ReadFile(examples, name)
		if err != nil || !complete.Match(text) {
			return err
		}
		validated++
		for variant, arguments := range map[string][]string{
			name:                nil,
			name + " with gate": {"--feature-gates=" + componentStatusGate},
		} {
			t.Run(variant, func(t *testing.T) {
				file := filepath.Join(moduleRoot(t), "examples", name)
				output, code := run(t, []string{"QUALYS_USERNAME=user", "QUALYS_PASSWORD=secret"},
					append([]string{"validate", "--config=" + file}, arguments...)...)
				assert.Zero(t, code, output)
			})
		}
		return nil
	}))
	assert.NotZero(t, validated)
}

func TestWrongConfigurationIsRefusedBeforeAnythingIsSent(t *testing.T) {
	subscription := NewSubscription(t, qualyssim.Options{})
	sink := NewSink(t)
	for message, receiver := range map[string]string{
		"vulnerabilities, knowledge_base, hosts, asset_inventory, activity_log: at least one": `{}`,
		"knowledge_base: needs vulnerabilities":                                               `{knowledge_base: }`,
		"vulnerabilities: status: unknown status":                                             `{vulnerabilities: {status: [New, Gone]}}`,
		"vulnerabilities: page_size: must be from 1":                                          `{vulnerabilities: {page_size: 0}}`,
		"vulnerabilities: collection_interval: must be at least":                              `{vulnerabilities: {collection_interval: 1ms}}`,
		"vulnerabilities: parameters::truncation_limit: is set by":                            `{vulnerabilities: {parameters: {truncation_limit: 5}}}`,
		"server::endpoint: must not hold user information":                                    `{vulnerabilities: , server: {endpoint: "https://user:pass-word@qualys.example.com"}}`,
		"server::endpoint: sends the password over plain http":                                `{vulnerabilities: , server: {endpoint: "http://qualys.example.com"}}`,
		"server::timeout: must be 0":                                                          `{vulnerabilities: , server: {timeout: 30s}}`,
		"server::headers: must not hold Authorization":                                        `{vulnerabilities: , server: {headers: {authorization: Basic c2VjcmV0}}}`,
		"retry_on_failure::enabled: must not be false":                                        `{vulnerabilities: , retry_on_failure: {enabled: false}}`,
		"platform: unknown platform":                                                          `{vulnerabilities: , platform: US99}`,
		"password: must be given":                                                             `{vulnerabilities: , password: ""}`,
	} {
		t.Run(message, func(t *testing.T) {
			config := subscription.Config(sink.Protobuf(), "receivers: {qualysvmdr: "+receiver+"}")
			output, code := run(t, config.environment(0), config.arguments(t, freeAddress(t), freeAddress(t))...)

			assert.Equal(t, 1, code)
			assert.Contains(t, output, message)
			assert.Len(t, strings.Split(strings.TrimSpace(output), "\n"), 1, output)
			assert.NotContains(t, output, config.Password)
			assert.NotContains(t, output, "pass-word")
			assert.NotContains(t, output, "c2VjcmV0")
		})
	}
	assert.Empty(t, subscription.Requests())
}
