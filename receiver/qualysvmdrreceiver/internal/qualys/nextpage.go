// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"net/url"
	"strings"
)

// follow returns the parameters to ask for the next page with: those of this page's request and, of the address that Qualys
// names, the parameters, which are returned as well. Nothing else of the address is used, least of all its host.
func follow(params url.Values, address string) (next, named url.Values) {
	next, named = with(params), queryOf(address)
	for name, values := range named {
		if !ours(name) {
			next[name] = values
		}
	}
	return next, named
}

// queryOf returns the parameters of an address, as far as they can be read.
func queryOf(address string) url.Values {
	_, query, _ := strings.Cut(address, "?")
	query, _, _ = strings.Cut(query, "#")
	// In CDATA an ampersand must not be escaped; where it is nevertheless, it separates all the same.
	values, _ := url.ParseQuery(strings.ReplaceAll(query, "&amp;", "&"))
	return values
}

// ours tells whether a parameter is never taken from an answer: what the receiver decides, and anything like credentials.
func ours(name string) bool {
	switch name = strings.ToLower(name); name {
	case "action", "truncation_limit", "output_format", "echo_request":
		return true
	}
	for _, word := range []string{"user", "pass", "token", "secret", "session", "auth", "login"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
