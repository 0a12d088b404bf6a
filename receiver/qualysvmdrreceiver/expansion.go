// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// reference is ${NAME}, ${env:NAME} or ${env:NAME:-default} with the dollar signs before it, an odd number of which escapes it.
var reference = regexp.MustCompile(`(\$*)\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}`)

// expanded is what the collector reads in place of a value that comes from an environment variable: it looks for references
// and doubled dollar signs in there, too.
func expanded(value string, environment map[string]string) string {
	value = reference.ReplaceAllStringFunc(value, func(match string) string {
		parts := reference.FindStringSubmatch(match)
		if len(parts[1])%2 == 1 {
			return match
		}
		other, set := environment[parts[2]]
		if !set {
			other = parts[3]
		}
		return parts[1] + other
	})
	return strings.ReplaceAll(value, "$$", "$")
}

// expandedVariables returns the names of the environment variables from which a secret has come otherwise than it stands there.
// The environment is that of os.Environ.
func expandedVariables(secret string, environ []string) []string {
	environment := map[string]string{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		environment[name] = value
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		if value := environment[name]; secret != "" && value != secret && expanded(value, environment) == secret {
			names = append(names, name)
		}
	}
	return names
}

// warnOfExpansion warns of credentials that the collector has changed on their way from the environment: Qualys would refuse them,
// which counts towards a lock-out. It cannot tell whether somebody doubled the dollar signs on purpose.
func (c *Config) warnOfExpansion(logger *zap.Logger, environ []string) {
	for key, value := range map[string]string{"username": c.Username, "password": string(c.Password)} {
		for _, name := range expandedVariables(value, environ) {
			logger.Warn("the collector has replaced $$ or ${…} in an environment variable; unless it was written for that, write each $ in it as $$",
				zap.String("key", key), zap.String("variable", name))
		}
	}
}
