// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	var many interned[int]
	for i := range maxNames + 10 {
		kept := many.put(string(rune(0x4e00+i)), &i, true)
		require.Equal(t, i < maxNames, kept)
	}
	last := []byte(string(rune(0x4e00 + maxNames + 9)))
	assert.NotNil(t, many.get(last), "a name beyond the end is known for now")
	assert.True(t, many.forget())
	assert.Nil(t, many.get(last))
	assert.NotNil(t, many.get([]byte("一")))
	assert.False(t, many.forget(), "there is nothing left to forget")
}

// heap returns how many bytes are in use.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestLongNamesAreForgotten(t *testing.T) {
	const rounds = 16
	// name is a name of n bytes that no other round has.
	name := func(round, n int) string { return fmt.Sprintf("%s%d", strings.Repeat("n", n), round) }
	assets := func(asset func(round int) string) (any, func(int) error) {
		a := NewAssets(testSettings())
		return a, func(round int) error {
			a.Begin(collected, "", nil)
			err := readAssets(a, strings.NewReader("["+asset(round)+"]"))
			a.Take()
			return err
		}
	}
	hosts := func(host func(round int) string) (any, func(int) error) {
		d := NewDetections(testSettings())
		return d, func(round int) error {
			d.Begin(collected, "", nil)
			err := readHosts(d, strings.NewReader("<L>"+oneHost(host(round))+"</L>"), nil)
			d.Take()
			return err
		}
	}
	tests := map[string]func() (any, func(int) error){
		"member": func() (any, func(int) error) {
			return assets(func(round int) string { return `{"a":1},{"` + name(round, 1<<20) + `":1},{"a":1}` })
		},
		// What stands behind the end of a tape or a group, as of a record that was larger, keeps nothing either.
		"member at the end of ever smaller records": func() (any, func(int) error) {
			return assets(func(round int) string {
				long := name(round, 1<<20)
				return `{"a":[0` + strings.Repeat(",0", 10*(rounds-round)) + `],"` + long + `":1,"` + long + `":1},{"a":1}`
			})
		},
		"factor": func() (any, func(int) error) {
			return hosts(func(round int) string {
				var factors strings.Builder
				for i := range 16 {
					factors.WriteString(`<QDS_FACTOR name="` + name(round*16+i, 60000) + `">1</QDS_FACTOR>`)
				}
				return "<DETECTION><QDS_FACTORS>" + factors.String() + "</QDS_FACTORS></DETECTION><DETECTION/>"
			})
		},
		"elements and attributes": func() (any, func(int) error) {
			return hosts(func(round int) string {
				var elements strings.Builder
				for i := range 256 {
					long := name(round*256+i, 1000)
					elements.WriteString("<" + long + " " + long + `="1"/>`)
				}
				return elements.String() + "<DETECTION>" + elements.String() + "</DETECTION></HOST><HOST><DETECTION/>"
			})
		},
		"column": func() (any, func(int) error) {
			a := NewActivity(testSettings())
			return a, func(round int) error {
				columns := make([]string, rounds-round)
				columns[len(columns)-1] = name(round, 1<<20)
				a.Begin(collected, "", columns, nil)
				err := a.Row(columns)
				a.Take()
				a.Begin(collected, "", nil, nil)
				return errors.Join(err, a.Row(nil))
			}
		},
	}
	for name, begin := range tests {
		t.Run(name, func(t *testing.T) {
			builder, read := begin()
			require.NoError(t, read(0))
			before := heap()
			for round := range rounds - 1 {
				require.NoError(t, read(round+1))
			}
			assert.Less(t, heap()-before, 4<<20, "of 16 MB and more of names")
			runtime.KeepAlive(builder)
		})
	}
}

// Which names came before must not show in a record, however many they were.
func TestNamesBeyondTheEndOfTheTables(t *testing.T) {
	d := NewDetections(inJSON(unlimited()))
	for page := range 5 {
		var factors strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&factors, `<QDS_FACTOR name="factor %d">1</QDS_FACTOR>`, 1000*page+i)
		}
		takeAll(t, d, oneHost("<DETECTION><QDS_FACTORS>"+factors.String()+"</QDS_FACTORS></DETECTION>"))
	}
	takeAll(t, d, oneHost("<DETECTION><NEW_NAME>1</NEW_NAME></DETECTION>"))
	outs := takeAll(t, d, oneHost(`<DETECTION><NEW name="2"/><NEW_NAME>3</NEW_NAME></DETECTION>`))
	assert.Contains(t, onlyRecord(t, outs[0]).Body().Str(), `"Detection":{"New":"","NewName":["2","3"],`)
}
