// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"errors"
	"time"

	"github.com/cenkalti/backoff/v7"
	"go.opentelemetry.io/collector/config/configretry"
	"go.uber.org/zap"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// ambiguousWaits are the distances between the tries after which an ambiguous answer counts as one that only a new
// configuration can change: three tries over more than ten minutes, as maintenance and proxies pass by then.
var ambiguousWaits = []time.Duration{4 * time.Minute, 7 * time.Minute}

// failures decides what follows a failed try.
type failures struct {
	backOff   *backoff.ExponentialBackOff
	ambiguous int
}

func newFailures(config configretry.BackOffConfig) *failures {
	return &failures{backOff: newBackOff(config)}
}

// reset forgets all failures: a collection was completed, or a try has delivered something before it failed.
func (f *failures) reset() {
	f.backOff.Reset()
	f.ambiguous = 0
}

// classOf tells what can be done about an error. One that is not of Qualys can pass.
func classOf(err error) qualys.Class {
	var answer *qualys.Error
	if errors.As(err, &answer) {
		return answer.Class
	}
	return qualys.Generic
}

// next returns the kind of an error and the time to the next try. Again is false when there is none.
func (f *failures) next(err error) (kind health.ErrorType, wait time.Duration, again bool) {
	switch classOf(err) {
	case qualys.Config:
		return health.ThirdPartyConfig, 0, false
	case qualys.Ambiguous:
		if f.ambiguous == len(ambiguousWaits) {
			return health.ThirdPartyConfig, 0, false
		}
		wait := ambiguousWaits[f.ambiguous]
		f.ambiguous++
		return health.ThirdPartyGeneric, wait, true
	}
	f.ambiguous = 0
	return health.ThirdPartyGeneric, f.backOff.NextBackOff(), true
}

// refusedParameter returns which of the parameters that the receiver adds by itself an error names as one that the server
// does not take, and says so; "": none.
func (d *dataset) refusedParameter(err error, own ...string) string {
	var answer *qualys.Error
	if !errors.As(err, &answer) {
		return ""
	}
	name := answer.Unsupported(own...)
	if name != "" {
		d.log.Warn("Qualys refuses a parameter that the receiver adds by itself: it is left out from now on.", zap.String("parameter", name), zap.Error(err))
	}
	return name
}
