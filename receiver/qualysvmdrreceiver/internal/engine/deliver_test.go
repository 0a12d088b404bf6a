// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// backend is a consumer that takes what its decide function lets it.
type backend struct {
	consumertest.Consumer
	decide func(ctx context.Context, offered plog.Logs) error

	mu       sync.Mutex
	offers   int
	accepted []string // the texts of the accepted records, in order
}

func newBackend(decide func(context.Context, plog.Logs) error) *backend {
	return &backend{Consumer: consumertest.NewNop(), decide: decide}
}

func (b *backend) ConsumeLogs(ctx context.Context, offered plog.Logs) error {
	b.mu.Lock()
	b.offers++
	b.mu.Unlock()
	if err := b.decide(ctx, offered); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accepted = append(b.accepted, textsOf(offered)...)
	return nil
}

func (b *backend) texts() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.accepted)
}

func textsOf(logs plog.Logs) []string {
	var texts []string
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				texts = append(texts, label(record))
			}
		}
	}
	return texts
}

// label is the text of a record.
func label(record plog.LogRecord) string { return record.Body().AsString() }

func logsOf(texts ...string) plog.Logs {
	logs := plog.NewLogs()
	for i, text := range texts {
		// Two records to a resource, so that parts begin within one.
		if i%2 == 0 {
			logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
		}
		rl := logs.ResourceLogs().At(logs.ResourceLogs().Len() - 1)
		rl.Resource().Attributes().PutInt("n", int64(i/2))
		rl.ScopeLogs().At(0).LogRecords().AppendEmpty().Body().SetStr(text)
	}
	return logs
}

func testRetry() configretry.BackOffConfig {
	retry := configretry.NewDefaultBackOffConfig()
	retry.InitialInterval = time.Second
	retry.MaxInterval = 10 * time.Second
	retry.MaxElapsedTime = 0
	return retry
}

func newTestDeliverer(hard context.Context, t *testing.T, next *backend) *Deliverer {
	settings := receivertest.NewNopSettings(component.MustNewType("qualysvmdr"))
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: settings.ID, ReceiverCreateSettings: settings})
	require.NoError(t, err)
	return NewDeliverer(hard, next, obs, testRetry())
}

func noRejections(t *testing.T) Rejections {
	return Rejections{
		Rejected: func(err error) { t.Errorf("Rejected: %v", err) },
		Dropped:  func(_ plog.LogRecord, err error) { t.Errorf("Dropped: %v", err) },
	}
}

func TestRejectedBatchIsOfferedUntilAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rejectedOffers := 5
		next := newBackend(func(context.Context, plog.Logs) error {
			if rejectedOffers > 0 {
				rejectedOffers--
				return errors.New("backend is down")
			}
			return nil
		})
		d := newTestDeliverer(t.Context(), t, next)
		rejected := 0
		err := d.Deliver(t.Context(), logsOf("a", "b", "c"), Rejections{
			Rejected: func(error) { rejected++ },
			Dropped:  noRejections(t).Dropped,
		})
		require.NoError(t, err)
		assert.Equal(t, 5, rejected)
		assert.Equal(t, []string{"a", "b", "c"}, next.texts(), "the batch must arrive whole and once")
		require.NoError(t, d.Ready(t.Context()))
	})
}

func TestOnlyRecordsRejectedForGoodAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := newBackend(func(_ context.Context, offered plog.Logs) error {
			for _, text := range textsOf(offered) {
				if text == "bad" {
					return consumererror.NewPermanent(errors.New("cannot be encoded"))
				}
			}
			return nil
		})
		d := newTestDeliverer(t.Context(), t, next)
		var dropped []string
		err := d.Deliver(t.Context(), logsOf("a", "b", "bad", "c", "d", "bad", "e"), Rejections{
			Rejected: noRejections(t).Rejected,
			Dropped: func(record plog.LogRecord, cause error) {
				dropped = append(dropped, label(record))
				assert.ErrorContains(t, cause, "cannot be encoded")
			},
		})
		require.NoError(t, err)
		assert.Equal(t, []string{"bad", "bad"}, dropped)
		assert.Equal(t, []string{"a", "b", "c", "d", "e"}, next.texts())
	})
}

func TestDatasetsSendNothingWhileABatchIsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := time.Now().Add(time.Minute)
		next := newBackend(func(context.Context, plog.Logs) error {
			if time.Now().Before(up) {
				return errors.New("backend is down")
			}
			return nil
		})
		d := newTestDeliverer(t.Context(), t, next)
		var delivering sync.WaitGroup
		delivering.Go(func() {
			assert.NoError(t, d.Deliver(t.Context(), logsOf("a"), Rejections{Rejected: func(error) {}, Dropped: noRejections(t).Dropped}))
		})
		synctest.Wait()
		require.NoError(t, d.Ready(t.Context()))
		assert.False(t, time.Now().Before(up), "a dataset would have sent a request during the rejection")
		delivering.Wait()

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		assert.ErrorIs(t, d.Ready(ended), context.Canceled)
	})
}

func TestOnlyTheRestIsOfferedAgainWhereTheErrorNamesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		next := newBackend(nil)
		next.decide = func(_ context.Context, offered plog.Logs) error {
			if !first {
				return nil
			}
			first = false
			rest := plog.NewLogs()
			offered.ResourceLogs().At(1).CopyTo(rest.ResourceLogs().AppendEmpty())
			next.mu.Lock()
			next.accepted = append(next.accepted, "a", "b")
			next.mu.Unlock()
			return fmt.Errorf("half of it: %w", consumererror.NewLogs(errors.New("no room"), rest))
		}
		d := newTestDeliverer(t.Context(), t, next)
		err := d.Deliver(t.Context(), logsOf("a", "b", "c", "d"), Rejections{Rejected: func(error) {}, Dropped: noRejections(t).Dropped})
		require.NoError(t, err)
		assert.Equal(t, []string{"a", "b", "c", "d"}, next.texts())
	})
}

func TestOnlyTheRestIsDividedWhereAPermanentErrorNamesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lasting := consumererror.NewPermanent(errors.New("cannot be encoded"))
		first := true
		next := newBackend(nil)
		next.decide = func(_ context.Context, offered plog.Logs) error {
			if first {
				first = false
				rest := plog.NewLogs()
				offered.ResourceLogs().At(1).CopyTo(rest.ResourceLogs().AppendEmpty())
				next.mu.Lock()
				next.accepted = append(next.accepted, "a", "b")
				next.mu.Unlock()
				return consumererror.NewLogs(lasting, rest)
			}
			if slices.Contains(textsOf(offered), "bad") {
				return lasting
			}
			return nil
		}
		d := newTestDeliverer(t.Context(), t, next)
		var dropped []string
		err := d.Deliver(t.Context(), logsOf("a", "b", "bad", "d"), Rejections{
			Rejected: noRejections(t).Rejected,
			Dropped:  func(record plog.LogRecord, _ error) { dropped = append(dropped, label(record)) },
		})
		require.NoError(t, err)
		assert.Equal(t, []string{"a", "b", "d"}, next.texts(), "what was accepted is not offered again")
		assert.Equal(t, []string{"bad"}, dropped)
	})
}

func TestStopDuringRejectionsEndsTheDeliveryAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := newBackend(func(context.Context, plog.Logs) error { return errors.New("backend is down") })
		d := newTestDeliverer(t.Context(), t, next)
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(100*time.Millisecond, stop)
		err := d.Deliver(ctx, logsOf("a"), Rejections{Rejected: func(error) {}, Dropped: noRejections(t).Dropped})
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 100*time.Millisecond, time.Since(began))
		require.NoError(t, d.Ready(t.Context()), "an ended delivery must not hold up the others")
	})
}

func TestDeliveryInFlightMayEndAfterTheStop(t *testing.T) {
	for _, test := range []struct {
		name      string
		takes     time.Duration
		delivered bool
	}{
		{"a backend that answers within the grace", 4 * time.Second, true},
		{"a backend that does not answer", time.Hour, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := newBackend(func(ctx context.Context, _ plog.Logs) error { return sleep(ctx, test.takes) })
				d := newTestDeliverer(t.Context(), t, next)
				ctx, stop := context.WithCancel(t.Context())
				began := time.Now()
				time.AfterFunc(time.Second, stop)
				err := d.Deliver(ctx, logsOf("a"), noRejections(t))
				if test.delivered {
					require.NoError(t, err)
					assert.Equal(t, []string{"a"}, next.texts())
				} else {
					require.ErrorIs(t, err, context.Canceled)
					assert.Equal(t, time.Second+deliveryGrace, time.Since(began))
				}
			})
		})
	}
}

func TestStopWhileABatchIsDividedHasOneGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		texts := slices.Repeat([]string{"good"}, 100)
		texts[0] = "bad"
		next := newBackend(func(ctx context.Context, offered plog.Logs) error {
			if err := sleep(ctx, 4*time.Second); err != nil {
				return err
			}
			if slices.Contains(textsOf(offered), "bad") {
				return consumererror.NewPermanent(errors.New("cannot be encoded"))
			}
			return nil
		})
		d := newTestDeliverer(t.Context(), t, next)
		ctx, stop := context.WithCancel(t.Context())
		var stopped time.Time
		err := d.Deliver(ctx, logsOf(texts...), Rejections{Rejected: noRejections(t).Rejected, Dropped: func(plog.LogRecord, error) {
			stopped = time.Now()
			stop()
		}})
		require.ErrorIs(t, err, context.Canceled)
		assert.LessOrEqual(t, time.Since(stopped), deliveryGrace)
	})
}

func TestAbortEndsADeliveryInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := newBackend(func(ctx context.Context, _ plog.Logs) error { return sleep(ctx, time.Hour) })
		hard, abort := context.WithCancel(t.Context())
		run, stop := context.WithCancel(hard)
		d := newTestDeliverer(hard, t, next)
		time.AfterFunc(time.Second, stop)
		time.AfterFunc(2*time.Second, abort)
		began := time.Now()
		require.ErrorIs(t, d.Deliver(run, logsOf("a"), noRejections(t)), context.Canceled)
		assert.Equal(t, 2*time.Second, time.Since(began))
	})
}

func TestPermanentIsWhatEveryJoinedErrorIs(t *testing.T) {
	temporary := errors.New("temporary")
	lasting := consumererror.NewPermanent(errors.New("lasting"))
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"nothing", nil, false},
		{"temporary", temporary, false},
		{"permanent", lasting, true},
		{"wrapped permanent", fmt.Errorf("exporter: %w", lasting), true},
		{"both of two", errors.Join(lasting, fmt.Errorf("other: %w", lasting)), true},
		{"one of two", errors.Join(lasting, temporary), false},
		{"one of two, wrapped", fmt.Errorf("fan-out: %w", errors.Join(temporary, lasting)), false},
		{"marked as a whole", consumererror.NewPermanent(errors.Join(temporary, lasting)), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, permanent(test.err))
		})
	}
}
