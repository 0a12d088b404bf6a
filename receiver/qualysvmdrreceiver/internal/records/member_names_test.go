// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Which name follows which is guessed by what followed last time: a wrong guess must not show.
func TestMembersHaveTheNamesThatAreWritten(t *testing.T) {
	assets := []struct{ asset, keys string }{
		{`{"assetId":1,"a":1,"b":2}`, "assetId a b"},
		{`{"assetId":2,"a":1,"b":2}`, "assetId a b"},
		{`{"assetId":3,"a":1,"\u0062":2}`, "assetId a b"},
		{`{"assetId":4,"a":1,"bb":2}`, "assetId a bb"},
		{`{"assetId":5,"a":1,"b\\":2}`, "assetId a b\\"},
		{`{"assetId":6,"a":1,"b\\":2}`, "assetId a b\\"},
		{`{"assetId":7,"b":2,"a":1}`, "assetId b a"},
		{`{"assetId":8,"a":1,"":2}`, "assetId a "},
		{`{"assetId":9,"a":1,"":2}`, "assetId a "},
		{`{"assetId":10,"a":1,"b":2}`, "assetId a b"},
	}
	answer := ""
	for i, a := range assets {
		if i > 0 {
			answer += ","
		}
		answer += a.asset
	}
	records := recordsOf(assetsOf(t, unlimited(), collected, "["+answer+"]"))
	for i, a := range assets {
		var got []string
		for _, key := range keysOf(records[i].Body().Map()) {
			if key != "LogType" && key != "softwareListData" && key != "agent" {
				got = append(got, key)
			}
		}
		assert.Equal(t, strings.Split(a.keys, " "), got, a.asset)
	}
}
