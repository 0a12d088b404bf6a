// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// The values of LogType.
const (
	vulnerabilityLogs = "vulnerabilityLogs"
	knowledgeBaseLogs = "knowledgeBaseLogs"
	assetInventory    = "assetInventory"
	userActivityLogs  = "userActivityLogs"
	healthEvents      = "healthEvents"
	hostLogs          = "hostLogs"
	removedHostLogs   = "removedHostLogs"
)

// Record is a log record that the sink took, and how often it came.
type Record struct {
	// Type is the record attribute LogType; UID is log.record.uid.
	Type, UID string
	// Times is how often a record of this UID came.
	Times    int
	Resource pcommon.Resource
	Scope    pcommon.InstrumentationScope
	Log      plog.LogRecord

	delivery Delivery // the last one that it came with
}

// Sink is a backend: the real OTLP receiver, which takes log records and keeps them.
type Sink struct {
	httpURL, grpcAddress string

	mu      sync.Mutex
	refusal error
	after   int // records that are taken in spite of refusal
	taken   int
	refused int
	batches []int
	records map[string]*Record
	order   []*Record
	forget  bool
	// watch is told of each record that is taken.
	watch func(delivery Delivery, log plog.LogRecord)
	// lost are the deliveries with a record that came again, and the LogType of that.
	lost map[Delivery]string
}

// Delivery is what a sink took at once, by the run of the collector that it came from: what a collector had sent before it was
// killed can arrive later than what the next one sends.
type Delivery struct {
	Run, Number int
}

// runHeader is how the exporter tells the run; see Collector.Run.
const runHeader = "x-run"

// NewSink starts a backend, which runs until the test ends.
func NewSink(t testing.TB) *Sink {
	t.Helper()
	httpAddress, grpcAddress := freeAddress(t), freeAddress(t)
	s := &Sink{
		httpURL:     "http://" + httpAddress,
		grpcAddress: grpcAddress,
		records:     map[string]*Record{},
		lost:        map[Delivery]string{},
	}
	next, err := consumer.NewLogs(s.consume)
	require.NoError(t, err)
	receive(t, map[string]any{
		"http": map[string]any{"endpoint": httpAddress, "include_metadata": true},
		"grpc": map[string]any{"endpoint": grpcAddress},
	}, func(factory receiver.Factory, config component.Config) (component.Component, error) {
		return factory.CreateLogs(t.Context(), receivertest.NewNopSettings(factory.Type()), config, next)
	})
	return s
}

// receive runs the real OTLP receiver that create makes until the test ends.
func receive(t testing.TB, protocols map[string]any, create func(receiver.Factory, component.Config) (component.Component, error)) {
	t.Helper()
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"protocols": protocols}).Unmarshal(config))
	running, err := create(factory, config)
	require.NoError(t, err)
	require.NoError(t, running.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() {
		require.NoError(t, running.Shutdown(context.WithoutCancel(t.Context())))
	})
}

// Protobuf is an otlp_http exporter to this sink in the binary encoding.
func (s *Sink) Protobuf() Exporter { return s.overHTTP("proto") }

// JSON is an otlp_http exporter to this sink in the JSON encoding.
func (s *Sink) JSON() Exporter { return s.overHTTP("json") }

// GRPC is an otlp_grpc exporter to this sink.
func (s *Sink) GRPC() Exporter {
	return Exporter{Type: "otlp_grpc", Settings: fmt.Sprintf(
		"{endpoint: %q, tls: {insecure: true}, sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}",
		s.grpcAddress,
	)}
}

func (s *Sink) overHTTP(encoding string) Exporter {
	return Exporter{Type: "otlp_http", Settings: fmt.Sprintf(
		"{endpoint: %q, encoding: %s, headers: {%s: \"${env:RUN}\"}, sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}",
		s.httpURL, encoding, runHeader,
	)}
}

// Refuse answers every delivery with an error, until Accept. The exporter takes one of consumererror.NewPermanent as
// final, any other as an invitation to try again.
func (s *Sink) Refuse(err error) {
	s.RefuseAfter(0, err)
}

// RefuseAfter refuses like Refuse, but only once the sink has taken so many records.
func (s *Sink) RefuseAfter(records int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal, s.after = err, records
}

// Accept ends a refusal.
func (s *Sink) Accept() {
	s.Refuse(nil)
}

// Watch has each record that the sink takes from now on told to watch, with its delivery. It is called for one
// record after the other, and must not call the sink.
func (s *Sink) Watch(watch func(delivery Delivery, log plog.LogRecord)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = watch
}

// Forget keeps none of the records that the sink takes from now on, so that it can take them for hours.
func (s *Sink) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget = true
}

// RefuseFor refuses for a while.
func (s *Sink) RefuseFor(t testing.TB, err error, while time.Duration) {
	t.Helper()
	s.Refuse(err)
	end := time.AfterFunc(while, s.Accept)
	t.Cleanup(func() { end.Stop() })
}

// Records are the records of a LogType that the sink took, each once, in the order in which they came.
func (s *Sink) Records(logType string) []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var records []Record
	for _, r := range s.order {
		if r.Type == logType {
			records = append(records, *r)
		}
	}
	return records
}

// Count is the number of different records of a LogType that the sink took.
func (s *Sink) Count(logType string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.order {
		if r.Type == logType {
			n++
		}
	}
	return n
}

// Repeated is how many records of a LogType came again that the sink had taken before.
func (s *Sink) Repeated(logType string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.order {
		if r.Type == logType {
			n += r.Times - 1
		}
	}
	return n
}

// Lost is how many deliveries of a LogType from one run of the collector hold a record that came again: the collector had not
// noted that they were taken.
func (s *Sink) Lost(run int, logType string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for lost, of := range s.lost {
		if lost.Run == run && of == logType {
			n++
		}
	}
	return n
}

// Taken is the number of records that the sink took, each as often as it came.
func (s *Sink) Taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// Batches are the numbers of records in the deliveries that the sink took.
func (s *Sink) Batches() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// Refused is the number of deliveries that the sink refused.
func (s *Sink) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

func (s *Sink) consume(ctx context.Context, logs plog.Logs) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal != nil && s.taken >= s.after {
		s.refused++
		return s.refusal
	}
	s.batches = append(s.batches, logs.LogRecordCount())
	s.taken += logs.LogRecordCount()
	delivery := Delivery{Number: len(s.batches)}
	for _, run := range client.FromContext(ctx).Metadata.Get(runHeader) {
		delivery.Run, _ = strconv.Atoi(run) // 0 where the exporter tells nothing
	}
	for _, ofResource := range logs.ResourceLogs().All() {
		for _, ofScope := range ofResource.ScopeLogs().All() {
			for _, log := range ofScope.LogRecords().All() {
				if s.watch != nil {
					s.watch(delivery, log)
				}
				if s.forget {
					continue
				}
				s.keep(Record{Resource: ofResource.Resource(), Scope: ofScope.Scope(), Log: log, delivery: delivery})
			}
		}
	}
	return nil
}

func (s *Sink) keep(r Record) {
	r.Type = attribute(r.Log, "LogType")
	r.UID = attribute(r.Log, "log.record.uid")
	known := s.records[r.UID]
	if known == nil {
		known = &r
		if r.UID != "" { // without one, none is known to be another's repetition
			s.records[r.UID] = known
		}
		s.order = append(s.order, known)
	}
	known.Times++
	if known.delivery != r.delivery {
		earlier, later := known.delivery, r.delivery
		if earlier.Run > later.Run {
			earlier, later = later, earlier
		}
		s.lost[earlier] = known.Type
		known.delivery = later
	}
}

func attribute(log plog.LogRecord, key string) string {
	value, found := log.Attributes().Get(key)
	if !found {
		return ""
	}
	return value.AsString()
}
