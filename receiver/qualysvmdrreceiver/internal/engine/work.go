// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v7"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/health"
)

// This is what a [Work] that is no [Collector] needs of its dataset besides.

// Begin starts counting a collection, unless it goes on, and logs its progress until Finish. Window is what is asked for, for
// people.
func (d *Dataset) Begin(collection, window string) {
	d.progress.begin(collection, window, time.Now(), Counts{})
}

// Finish logs the summary of the collection that has begun last.
func (d *Dataset) Finish(ctx context.Context, window string) {
	took := d.progress.finish(window)
	d.Settings.Telemetry.QualysvmdrCollectionDuration.Record(ctx, took.Seconds(), d.attrs)
}

// Received counts bytes of responses, inflated, and whether they were one that was read whole.
func (d *Dataset) Received(bytes int64, whole bool) {
	d.progress.received.Add(bytes)
	if whole {
		d.progress.pages.Add(1)
	}
}

// NewBackOff returns the jittered back-off that is configured.
func (d *Dataset) NewBackOff() *backoff.ExponentialBackOff { return newBackOff(d.Settings.Retry) }

// Failing takes note of an error of Qualys that holds up nothing else and is followed by another try: the dataset is in Error
// until recovered is called, though others can go on.
func (g *Gate) Failing(err error) (recovered func()) {
	g.retried()
	return g.failed(health.ThirdPartyGeneric, err)
}
