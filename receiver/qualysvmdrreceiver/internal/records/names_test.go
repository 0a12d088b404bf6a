// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestKeyText(t *testing.T) {
	tests := map[string]string{
		"LAST_FOUND_DATETIME": "LastFoundDateTime",
		"ID":                  "Id",
		"QID":                 "Qid",
		"IP":                  "IP",
		"IPV6":                "IPv6",
		"OS":                  "OS",
		"DNS":                 "Dns",
		"DNS_DATA":            "DnsData",
		"SSL":                 "Ssl",
		"URL":                 "URL",
		"DATETIME":            "DateTime",
		"QG_HOSTID":           "QgHostId",
		"FQDN":                "Fqdn",
		"CVSS_V3":             "CvssV3",
		"CVSS3_VERSION":       "Cvss3Version",
		"EC2_INSTANCE_ID":     "Ec2InstanceId",
		"UNIQUE_VULN_ID":      "UniqueVulnId",
		"VULN_TYPE":           "VulnerabilityType",
		"VULN_TYPES":          "VulnTypes",
		"NETBIOS":             "Netbios",
		"NEW_VENDOR_URL":      "NewVendorURL",
		"lower_case":          "LowerCase",
		"MixedCase":           "Mixedcase",
		"__A___B_":            "AB",
		"_":                   "_",
		"ÄRGER_ÖL":            "ÄrgerÖl",
		"ns:NAME":             "Ns:name",
	}
	for element, want := range tests {
		assert.Equal(t, want, keyText(element), element)
	}
}

func TestTablesHaveAnEnd(t *testing.T) {
	var many table[int]
	for i := range maxNames + 10 {
		many.put(string(rune(0x4e00+i)), &i)
	}
	last := []byte(string(rune(0x4e00 + maxNames + 9)))
	found, kept := many.get(last)
	assert.NotNil(t, found, "a name beyond the end is known for now")
	assert.False(t, kept)
	many.forget()
	found, _ = many.get(last)
	assert.Nil(t, found)
	found, kept = many.get([]byte("一"))
	assert.NotNil(t, found)
	assert.True(t, kept)
}
