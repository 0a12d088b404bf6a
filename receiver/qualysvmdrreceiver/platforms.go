// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// platform is a Qualys shared platform: the URLs of its API server and its API gateway.
type platform struct {
	server, gateway string
}

// platforms are the Qualys shared platforms by name, as on Qualys' platform identification page. A private cloud
// platform has its own two URLs.
var platforms = map[string]platform{
	"US1":  {"https://qualysapi.qualys.com", "https://gateway.qg1.apps.qualys.com"},
	"US2":  {"https://qualysapi.qg2.apps.qualys.com", "https://gateway.qg2.apps.qualys.com"},
	"US3":  {"https://qualysapi.qg3.apps.qualys.com", "https://gateway.qg3.apps.qualys.com"},
	"US4":  {"https://qualysapi.qg4.apps.qualys.com", "https://gateway.qg4.apps.qualys.com"},
	"EU1":  {"https://qualysapi.qualys.eu", "https://gateway.qg1.apps.qualys.eu"},
	"EU2":  {"https://qualysapi.qg2.apps.qualys.eu", "https://gateway.qg2.apps.qualys.eu"},
	"EU3":  {"https://qualysapi.qg3.apps.qualys.it", "https://gateway.qg3.apps.qualys.it"},
	"IN1":  {"https://qualysapi.qg1.apps.qualys.in", "https://gateway.qg1.apps.qualys.in"},
	"CA1":  {"https://qualysapi.qg1.apps.qualys.ca", "https://gateway.qg1.apps.qualys.ca"},
	"AE1":  {"https://qualysapi.qg1.apps.qualys.ae", "https://gateway.qg1.apps.qualys.ae"},
	"UK1":  {"https://qualysapi.qg1.apps.qualys.co.uk", "https://gateway.qg1.apps.qualys.co.uk"},
	"AU1":  {"https://qualysapi.qg1.apps.qualys.com.au", "https://gateway.qg1.apps.qualys.com.au"},
	"KSA1": {"https://qualysapi.qg1.apps.qualysksa.com", "https://gateway.qg1.apps.qualysksa.com"},
	"GOV1": {"https://qualysapi.gov1.qualys.us", "https://gateway.gov1.qualys.us"},
}

// Endpoints are the URLs of the API server and the API gateway: those that are given, else those of the platform, else empty.
func (c *Config) Endpoints() (server, gateway string) {
	p := platforms[strings.ToUpper(c.Platform)]
	return cmp.Or(c.Server.Endpoint, p.server), cmp.Or(c.Gateway.Endpoint, p.gateway)
}

// platformNames lists the names of the platforms for messages.
func platformNames() string {
	return strings.Join(slices.Sorted(maps.Keys(platforms)), ", ")
}
