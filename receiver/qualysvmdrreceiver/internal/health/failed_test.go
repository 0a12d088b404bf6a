// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"
)

// Without health events as records, the counter is all that an alert can be made of.
func TestErrorsAreCountedWithoutEvents(t *testing.T) {
	counts := map[string]int{}
	r := New(Settings{Logger: zap.NewNop(), Failed: func(dataset string, errorType ErrorType) {
		counts[dataset+" "+string(errorType)]++
	}}, "hosts", "activity_log")
	hosts := r.Dataset("hosts")
	hosts.Reach(Started)
	hosts.Fail(ThirdPartyGeneric, errors.New("connection refused"))
	hosts.Fail(ThirdPartyGeneric, errors.New("connection refused"))
	hosts.Reach(Collecting)
	hosts.Fail(ThirdPartyGeneric, errors.New("connection refused"))
	r.Dataset("activity_log").Stop(ThirdPartyConfig, errors.New("bad login"))
	r.Close()
	assert.Equal(t, map[string]int{"hosts ThirdPartyGeneric": 2, "activity_log ThirdPartyConfig": 1}, counts)
}
