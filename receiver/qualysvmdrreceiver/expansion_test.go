// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// resolved is the configuration that a collector makes of ${env:QUALYS_PASSWORD}.
func resolved(t *testing.T) *Config {
	t.Helper()
	resolver, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs:              []string{"yaml:{username: user, password: '${env:QUALYS_PASSWORD}', vulnerabilities: }"},
		ProviderFactories: []confmap.ProviderFactory{envprovider.NewFactory(), yamlprovider.NewFactory()},
		DefaultScheme:     "env",
	})
	require.NoError(t, err)
	conf, err := resolver.Resolve(t.Context())
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, conf.Unmarshal(cfg))
	require.NoError(t, resolver.Shutdown(t.Context()))
	return cfg
}

func TestAPasswordThatTheCollectorHasChangedIsWarnedOf(t *testing.T) {
	for password, changed := range map[string]bool{
		"plain":            false,
		"a$b":              false,
		"$":                false,
		"a #b":             false,
		"a: b":             false,
		"0123":             false,
		`"quoted" 'twice'`: false,
		"pä${ss":           false,
		"a$$b":             true,
		"a$$$$b":           true,
		"$$":               true,
		"a${OTHER}c":       true,
		"a${env:OTHER}c":   true,
		"a${UNSET}c":       true,
		"a${env:UNSET:-d}": true,
		"a$${OTHER}c":      true,
		"a$$$${OTHER}c$$":  true,
	} {
		t.Run(password, func(t *testing.T) {
			t.Setenv("OTHER", "another value")
			t.Setenv("QUALYS_PASSWORD", password)
			cfg := resolved(t)
			require.Equal(t, changed, string(cfg.Password) != password, "what the collector reads")

			core, logs := observer.New(zap.WarnLevel)
			cfg.warnOfExpansion(zap.New(core), os.Environ())
			if !changed {
				assert.Zero(t, logs.Len())
				return
			}
			require.Equal(t, 1, logs.Len())
			assert.Equal(t, map[string]any{"key": "password", "variable": "QUALYS_PASSWORD"}, logs.All()[0].ContextMap())
		})
	}
}

func TestNoCredentialsAreNotWarnedOf(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	cfg := createDefaultConfig().(*Config)
	cfg.warnOfExpansion(zap.New(core), []string{"EMPTY=", "REFERENCE=${UNSET}"})
	assert.Zero(t, logs.Len())
}
