// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"hash/fnv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

const (
	eventName = "qualys.vmdr.health"
	logType   = "healthEvents"
	// timeLayout is RFC 3339 with milliseconds.
	timeLayout = "2006-01-02T15:04:05.000Z07:00"
)

// severity of a change: what the record's body calls it.
type severity string

const (
	info    severity = "Info"
	warning severity = "Warning"
	failure severity = "Error"
)

func (s severity) number() plog.SeverityNumber {
	switch s {
	case failure:
		return plog.SeverityNumberError
	case warning:
		return plog.SeverityNumberWarn
	default:
		return plog.SeverityNumberInfo
	}
}

// event is one change of one dataset.
type event struct {
	source, dataset string
	state           State
	time            time.Time
	incident        time.Time // when the error began that is or ends here; of other changes, their own time
	name            string
	severity        severity
	errorType       ErrorType // empty: it is no error
	description     string
}

// put fills a record that is empty.
func (e *event) put(record plog.LogRecord, encode func(pcommon.Map) string) {
	record.SetEventName(eventName)
	record.SetTimestamp(pcommon.NewTimestampFromTime(e.time))
	record.SetObservedTimestamp(pcommon.NewTimestampFromTime(e.time))
	record.SetSeverityNumber(e.severity.number())
	record.SetSeverityText(string(e.severity))

	attributes := record.Attributes()
	attributes.PutStr("LogType", logType)
	attributes.PutStr("qualys.dataset", e.dataset)
	attributes.PutStr("qualys.state", e.state.String())
	if e.errorType != "" {
		attributes.PutStr("error.type", string(e.errorType))
	}

	if encode == nil {
		e.putBody(record.Body().SetEmptyMap())
		return
	}
	body := pcommon.NewMap()
	e.putBody(body)
	record.Body().SetStr(encode(body))
}

func (e *event) putBody(body pcommon.Map) {
	status, errorName := "Healthy", ""
	if e.errorType != "" {
		status, errorName = "Unhealthy", e.errorType.Name()
	}
	body.PutStr("LogType", logType)
	body.PutStr("eventType", "Health-Change")
	body.PutStr("eventName", e.name)
	body.PutStr("eventTime", e.time.UTC().Format(timeLayout))
	body.PutStr("severityLevel", string(e.severity))
	body.PutStr("status", status)
	body.PutStr("subsystem", "Collection")
	details := body.PutEmptyMap("details")
	details.PutStr("trackerId", e.tracker())
	details.PutStr("error", errorName)
	details.PutStr("description", e.description)
	identity := body.PutEmptyMap("resourceIdentity")
	identity.PutStr("id", e.source)
	identity.PutStr("name", e.source)
	identity.PutStr("type", "Source")
}

// tracker returns an id that all events of one incident share, its end included.
func (e *event) tracker() string {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%s\x00%s\x00%d", e.source, e.dataset, e.incident.UnixNano())
	return fmt.Sprintf("%016X", hash.Sum64())
}
