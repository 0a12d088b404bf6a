// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
)

// pipeline takes records, or refuses them.
type pipeline struct {
	mu    sync.Mutex
	logs  []plog.Logs // taken
	tries int
	err   error
}

func (p *pipeline) consume(_ context.Context, logs plog.Logs) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries++
	if p.err != nil {
		return p.err
	}
	p.logs = append(p.logs, logs)
	return nil
}

func (p *pipeline) refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *pipeline) records() []plog.LogRecord {
	p.mu.Lock()
	defer p.mu.Unlock()
	var records []plog.LogRecord
	for _, logs := range p.logs {
		records = append(records, logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0))
	}
	return records
}

// descriptions are what the bodies of the records taken say.
func (p *pipeline) descriptions() []string {
	var texts []string
	for _, record := range p.records() {
		details, _ := record.Body().Map().Get("details")
		text, _ := details.Map().Get("description")
		texts = append(texts, text.Str())
	}
	return texts
}

// started returns Events and a Reporter that uses them. The test closes the events.
func started(settings EventSettings) (*Events, *Reporter) {
	settings.Logger = zap.NewNop()
	events := NewEvents(settings)
	return events, New(Settings{Logger: zap.NewNop(), Source: "qualysvmdr/emea", Events: events}, vulnerabilities, knowledgeBase)
}

// compact writes a body of strings and maps as JSON, its keys in order.
func compact(body pcommon.Map) string {
	var members []string
	for key, value := range body.All() {
		text := strconv.Quote(value.Str())
		if value.Type() == pcommon.ValueTypeMap {
			text = compact(value.Map())
		}
		members = append(members, strconv.Quote(key)+":"+text)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestEventRecord(t *testing.T) {
	tests := map[string]struct {
		steps      []step
		attributes map[string]any
		severity   plog.SeverityNumber
		text       string
		body       string
	}{
		"a state": {
			steps:      []step{reach(vulnerabilities, Collecting)},
			attributes: map[string]any{"LogType": "healthEvents", "qualys.dataset": vulnerabilities, "qualys.state": "Collecting"},
			severity:   plog.SeverityNumberInfo,
			text:       "Info",
			body: `{"LogType":"healthEvents","eventType":"Health-Change","eventName":"Collecting",` +
				`"eventTime":"2000-01-01T00:00:00.000Z","severityLevel":"Info","status":"Healthy","subsystem":"Collection",` +
				`"details":{"trackerId":"1BE10DF099C27685","error":"","description":"vulnerabilities is Collecting"},` +
				`"resourceIdentity":{"id":"qualysvmdr/emea","name":"qualysvmdr/emea","type":"Source"}}`,
		},
		"an error": {
			steps: []step{fail(vulnerabilities, ThirdPartyGeneric, errNetwork)},
			attributes: map[string]any{
				"LogType": "healthEvents", "qualys.dataset": vulnerabilities, "qualys.state": "Error", "error.type": "ThirdPartyGeneric",
			},
			severity: plog.SeverityNumberWarn,
			text:     "Warning",
			body: `{"LogType":"healthEvents","eventType":"Health-Change","eventName":"ThirdPartyGenericError",` +
				`"eventTime":"2000-01-01T00:00:00.000Z","severityLevel":"Warning","status":"Unhealthy","subsystem":"Collection",` +
				`"details":{"trackerId":"1BE10DF099C27685","error":"ThirdPartyGenericError","description":"vulnerabilities: connection reset"},` +
				`"resourceIdentity":{"id":"qualysvmdr/emea","name":"qualysvmdr/emea","type":"Source"}}`,
		},
		"the end of a dataset": {
			steps: []step{wait(90 * time.Minute), stop(knowledgeBase, ThirdPartyConfig, errLogin)},
			attributes: map[string]any{
				"LogType": "healthEvents", "qualys.dataset": knowledgeBase, "qualys.state": "Error", "error.type": "ThirdPartyConfig",
			},
			severity: plog.SeverityNumberError,
			text:     "Error",
			body: `{"LogType":"healthEvents","eventType":"Health-Change","eventName":"ThirdPartyConfigError",` +
				`"eventTime":"2000-01-01T01:30:00.000Z","severityLevel":"Error","status":"Unhealthy","subsystem":"Collection",` +
				`"details":{"trackerId":"5D09FFA0FB8985F4","error":"ThirdPartyConfigError","description":"knowledge_base: bad login or password"},` +
				`"resourceIdentity":{"id":"qualysvmdr/emea","name":"qualysvmdr/emea","type":"Source"}}`,
		},
	}
	for name, tt := range tests {
		for _, format := range []string{"structured", "json"} {
			t.Run(name+" "+format, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &pipeline{}
					settings := EventSettings{Consume: p.consume}
					if format == "json" {
						settings.Encode = compact
					}
					events, r := started(settings)
					for _, step := range tt.steps {
						step(r)
					}
					events.Close(t.Context())

					require.Len(t, p.records(), 1)
					record := p.records()[0]
					assert.Equal(t, "qualys.vmdr.health", record.EventName())
					assert.Equal(t, time.Now().UnixNano(), record.Timestamp().AsTime().UnixNano())
					assert.Equal(t, record.Timestamp(), record.ObservedTimestamp())
					assert.Equal(t, tt.severity, record.SeverityNumber())
					assert.Equal(t, tt.text, record.SeverityText())
					assert.Equal(t, tt.attributes, record.Attributes().AsRaw())
					body := record.Body().Str()
					if format == "structured" {
						require.Equal(t, pcommon.ValueTypeMap, record.Body().Type())
						body = compact(record.Body().Map())
					}
					assert.Equal(t, tt.body, body)
				})
			})
		}
	}
}

func TestDescribeFillsResourceAndScope(t *testing.T) {
	p := &pipeline{}
	events, r := started(EventSettings{Consume: p.consume, Describe: func(resource pcommon.Resource, scope pcommon.InstrumentationScope) {
		resource.Attributes().PutStr("qualys.receiver", "qualysvmdr/emea")
		scope.SetName("receiver")
	}})
	r.Dataset(vulnerabilities).Reach(Started)
	events.Close(t.Context())
	require.Len(t, p.logs, 1)
	described := p.logs[0].ResourceLogs().At(0)
	assert.Equal(t, map[string]any{"qualys.receiver": "qualysvmdr/emea"}, described.Resource().Attributes().AsRaw())
	assert.Equal(t, "receiver", described.ScopeLogs().At(0).Scope().Name())
}

func TestTrackerFollowsAnIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipeline{}
		events, r := started(EventSettings{Consume: p.consume})
		for _, step := range []step{
			reach(vulnerabilities, Collecting), wait(time.Hour),
			fail(vulnerabilities, ThirdPartyGeneric, errNetwork), wait(time.Hour),
			fail(knowledgeBase, ThirdPartyGeneric, errNetwork), wait(time.Hour),
			fail(vulnerabilities, FirstPartyGeneric, errPipeline), wait(time.Hour),
			reach(vulnerabilities, Collecting), wait(time.Hour),
			fail(vulnerabilities, ThirdPartyGeneric, errNetwork), wait(time.Hour),
			reach(vulnerabilities, Stopping),
		} {
			step(r)
		}
		events.Close(t.Context())
		var trackers []string
		for _, record := range p.records() {
			details, _ := record.Body().Map().Get("details")
			tracker, _ := details.Map().Get("trackerId")
			trackers = append(trackers, tracker.Str())
		}
		require.Len(t, trackers, 7)
		before, begin, other, goesOn := trackers[0], trackers[1], trackers[2], trackers[3]
		end, next, shutdown := trackers[4], trackers[5], trackers[6]
		assert.Equal(t, begin, goesOn)
		assert.Equal(t, begin, end, "the recovery cannot be matched with its error")
		distinct := map[string]bool{before: true, begin: true, other: true, next: true, shutdown: true}
		assert.Len(t, distinct, 5, "different incidents share an id, or a shutdown looks like a recovery")
	})
}

func TestEventsWaitForThePipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipeline{err: errPipeline}
		events, r := started(EventSettings{Consume: p.consume})
		r.Dataset(vulnerabilities).Fail(FirstPartyGeneric, errPipeline)
		r.Dataset(knowledgeBase).Reach(Started)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Less(t, p.tries, 70, "an event that is refused is offered ever so often")
		assert.Greater(t, p.tries, 50, "an event that is refused is given up")
		p.refuse(nil)
		time.Sleep(lastRetry)
		synctest.Wait()
		assert.Equal(t, []string{"vulnerabilities: the exporter's queue is full", "knowledge_base is Started"}, p.descriptions())
		events.Close(t.Context())
	})
}

func TestEventRefusedForGoodIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipeline{err: consumererror.NewPermanent(errPipeline)}
		dropped := 0
		events, r := started(EventSettings{Consume: p.consume, Dropped: func(n int) { dropped += n }})
		r.Dataset(vulnerabilities).Reach(Started)
		synctest.Wait()
		p.refuse(nil)
		r.Dataset(vulnerabilities).Reach(Initialized)
		events.Close(t.Context())
		assert.Equal(t, []string{"vulnerabilities is Initialized"}, p.descriptions())
		assert.Equal(t, 1, dropped)
	})
}

func TestNewerEventsPushOutTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipeline{err: errPipeline}
		dropped := 0
		events, r := started(EventSettings{Consume: p.consume, Dropped: func(n int) { dropped += n }})
		for i := range queueSize + 20 {
			r.Dataset(vulnerabilities).Fail(ThirdPartyGeneric, fmt.Errorf("trouble %d", i))
			time.Sleep(repeatAfter)
		}
		synctest.Wait()
		assert.Equal(t, 20, dropped)
		p.refuse(nil)
		time.Sleep(lastRetry)
		events.Close(t.Context())
		texts := p.descriptions()
		require.Len(t, texts, queueSize)
		assert.Equal(t, "vulnerabilities: trouble 20", texts[0])
		assert.Equal(t, fmt.Sprintf("vulnerabilities: trouble %d", queueSize+19), texts[queueSize-1])
	})
}

func TestSlowPipelineHoldsUpNoDataset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan error)
		dropped := 0
		events, r := started(EventSettings{
			Consume: func(context.Context, plog.Logs) error { return <-release },
			Dropped: func(n int) { dropped += n },
		})
		// All of them return, one event is on its way, and the one that comes back finds its place taken.
		for i := range queueSize + 1 {
			r.Dataset(vulnerabilities).Fail(ThirdPartyGeneric, fmt.Errorf("trouble %d", i))
			time.Sleep(repeatAfter)
		}
		assert.Zero(t, dropped)
		release <- errPipeline
		synctest.Wait()
		assert.Equal(t, 1, dropped)
		close(release)
		events.Close(t.Context())
		assert.Equal(t, 1+queueSize, dropped, "what the shutdown leaves behind is not counted")
	})
}

func TestCloseDeliversWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipeline{}
		events, r := started(EventSettings{Consume: p.consume})
		for range queueSize/2 - 1 {
			r.Dataset(vulnerabilities).Fail(ThirdPartyGeneric, errNetwork)
			r.Dataset(vulnerabilities).Reach(Collecting)
		}
		r.Close()
		events.Close(t.Context())
		events.Close(t.Context())
		texts := p.descriptions()
		require.Len(t, texts, queueSize)
		assert.Equal(t, []string{"vulnerabilities is Stopping", "knowledge_base is Stopping"}, texts[queueSize-2:])
	})
}

func TestCloseEndsADeliveryWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dropped := 0
		events, r := started(EventSettings{
			Consume: func(ctx context.Context, _ plog.Logs) error {
				<-ctx.Done()
				return ctx.Err()
			},
			Dropped: func(n int) { dropped += n },
		})
		r.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		events.Close(ctx)
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.Equal(t, 2, dropped)
	})
}

func TestEventAfterCloseIsCounted(t *testing.T) {
	p := &pipeline{}
	dropped := 0
	events, r := started(EventSettings{Consume: p.consume, Dropped: func(n int) { dropped += n }})
	events.Close(t.Context())
	r.Close()
	assert.Empty(t, p.records())
	assert.Equal(t, 2, dropped)
}
