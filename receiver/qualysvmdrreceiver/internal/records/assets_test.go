// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAssetBodies(t *testing.T) {
	since := time.Date(2026, time.November, 19, 20, 0, 0, 500, time.UTC)
	tests := []struct {
		name, in, want string
	}{
		{"as it was sent", `{ "b" : null, "a": {"z":[], "y":{}, "x":[1,[2]]}, "t":true, "f":false }`, `"b":null,"a":{"z":[],"y":{},"x":[1,[2]]},"t":true,"f":false`},
		{"texts", `{"a":"\u00e9\n\"\\\/<&>","b":""}`, `"a":"é\n\"\\/<&>","b":""`},
		{"escaped names", `{"\u0061\"":1}`, `"a\"":1`},
		{"whole numbers", `{"a":9223372036854775807,"b":-9223372036854775808,"c":0}`, `"a":9223372036854775807,"b":-9223372036854775808,"c":0`},
		{"beyond 64 bits", `{"a":18446744073709551615}`, `"a":18446744073709551615`},
		{"other numbers", `{"a":0.5,"b":1.0,"c":1e3,"d":1e-9,"e":-0}`, `"a":0.5,"b":1.0,"c":1000.0,"d":1e-09,"e":0`},
		{"numbers that are not there", `{"a":1e999}`, `"a":1e999`},
		{"a name twice", `{"a":1,"b":2,"a":3}`, `"a":[1,3],"b":2`},
		{"a name of the record's", `{"LogType":"x","a":{"LogType":"y"}}`, `"QualysLogType":"x","a":{"LogType":"y"}`},

		{"software", `{"softwareListData":{"x":1,"software":[{"a":{"fullName":"no"},"fullName":"A"},{"fullName":null},{"b":[1]},null,"B",{"fullName":"C","fullName":"D"}]},"y":1}`, `"softwareListData":["A","B","C"],"y":1`},
		{"software is null", `{"softwareListData":null,"y":1}`, `"softwareListData":[],"y":1`},
		{"software in it is null", `{"softwareListData":{"software":null},"y":1}`, `"softwareListData":[],"y":1`},
		{"no software in it", `{"softwareListData":{},"y":1}`, `"softwareListData":[],"y":1`},
		{"software as a list", `{"softwareListData":[{"fullName":"A"},"B"],"y":1}`, `"softwareListData":["A","B"],"y":1`},
		{"software is something else", `{"softwareListData":"none","y":1}`, `"softwareListData":"none","y":1`},
		{"software elsewhere", `{"a":{"softwareListData":{"software":[{"id":1}]}}}`, `"a":{"softwareListData":{"software":[{"id":1}]}}`},

		{
			"ports", `{"openPortListData":{"n":1,"openPort":[{"port":1,"lastUpdated":"2026-11-19T19:59:59.999Z"},{"port":2,"lastUpdated":"2026-11-19T20:00:00.000Z"},{"port":3},{"port":4,"lastUpdated":null},{"port":5,"lastUpdated":"soon"},null,{"port":6,"lastUpdated":1763562070000},{"port":7,"lastUpdated":1795204800000}]}}`,
			`"openPortListData":{"n":1,"openPort":[{"port":2,"lastUpdated":"2026-11-19T20:00:00.000Z"},{"port":3},{"port":4,"lastUpdated":null},{"port":5,"lastUpdated":"soon"},null,{"port":7,"lastUpdated":1795204800000}]}`,
		},
		{"all ports are old", `{"openPortListData":{"openPort":[{"port":1,"lastUpdated":"2020-01-01T00:00:00.000Z"}]}}`, `"openPortListData":{"openPort":[]}`},
		{"ports are null", `{"openPortListData":null}`, `"openPortListData":null`},
		{"ports in it are null", `{"openPortListData":{"openPort":null}}`, `"openPortListData":{"openPort":null}`},
		{"ports elsewhere", `{"a":{"openPortListData":{"openPort":[{"lastUpdated":"2020-01-01T00:00:00.000Z"}]}}}`, `"a":{"openPortListData":{"openPort":[{"lastUpdated":"2020-01-01T00:00:00.000Z"}]}}`},
	}
	// So that nothing is added.
	const agent, software = `"agent":{},`, `"softwareListData":[]`
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := "{" + agent + tt.in[1:]
			body := onlyRecord(t, assetsOf(t, inJSON(testSettings()), since, "["+in+"]")).Body().Str()
			want := `{"LogType":"assetInventory",` + agent + tt.want
			if !hasSoftware(tt.want) {
				want += "," + software
			}
			assert.Equal(t, want+"}", body)
		})
	}
}

// hasSoftware reports whether a wanted body begins with the software.
func hasSoftware(want string) bool {
	const key = `"softwareListData"`
	return len(want) > len(key) && want[:len(key)] == key
}

func TestAllPortsTheFirstTime(t *testing.T) {
	const ports = `{"openPort":[{"port":1,"lastUpdated":"2020-01-01T00:00:00.000Z"}]}`
	body := onlyRecord(t, assetsOf(t, inJSON(testSettings()), time.Time{}, `[{"openPortListData":`+ports+`,"agent":1}]`)).Body().Str()
	assert.Contains(t, body, ports)
}

func TestAnAgentThatWasNotAskedForIsNotDenied(t *testing.T) {
	body := onlyRecord(t, assetsOf(t, inJSON(testSettings()), time.Time{}, `[{"agentId":"g"}]`)).Body().Str()
	assert.NotContains(t, body, `"agent"`)
}

func TestAssetValuesInMaps(t *testing.T) {
	lr := onlyRecord(t, assetsOf(t, testSettings(), time.Time{}, `[{"a":null,"b":true,"c":1,"d":0.5,"e":["x",null,1,0.5,false,[1],{"f":1}],"g":18446744073709551615,"agent":null,"softwareListData":null}]`))
	assert.Equal(t, map[string]any{
		"LogType": "assetInventory", "a": nil, "b": true, "c": int64(1), "d": 0.5,
		"e": []any{"x", nil, int64(1), 0.5, false, []any{int64(1)}, map[string]any{"f": int64(1)}},
		"g": "18446744073709551615", "agent": nil, "softwareListData": []any{},
	}, lr.Body().Map().AsRaw())
}
