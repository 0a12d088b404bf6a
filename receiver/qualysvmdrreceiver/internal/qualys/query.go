// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// TimeFilter is the parameter by which a list is limited to what happened since a time; "": everything.
type TimeFilter string

// The time filters of the detections (Qualys API documentation). The host list knows ScannedAfter only.
const (
	// UpdatedSince selects detections whose status has changed since.
	UpdatedSince TimeFilter = "detection_updated_since"
	// ProcessedAfter selects detections that were processed since.
	ProcessedAfter TimeFilter = "detection_processed_after"
	// ScannedAfter selects hosts whose scan results were processed since.
	ScannedAfter TimeFilter = "vm_processed_after"
)

// timeFormat is how Qualys writes times, in UTC.
const timeFormat = "2006-01-02T15:04:05Z"

// IDRange is a range of IDs, both ends included.
type IDRange struct{ First, Last uint64 }

// String writes the range as Qualys does: 5000-5027, or 5029.
func (r IDRange) String() string {
	first := strconv.FormatUint(r.First, 10)
	if r.First == r.Last {
		return first
	}
	return first + "-" + strconv.FormatUint(r.Last, 10)
}

// parseRange reads 7 or 7-9, over white space.
func parseRange(text string) (IDRange, error) {
	from, to, isRange := strings.Cut(strings.TrimSpace(text), "-")
	if !isRange {
		to = from
	}
	first, errFirst := strconv.ParseUint(strings.TrimSpace(from), 10, 63)
	last, errLast := strconv.ParseUint(strings.TrimSpace(to), 10, 63)
	if errFirst != nil || errLast != nil || last < first {
		return IDRange{}, fmt.Errorf("%.40q is neither an ID nor a range of IDs", text)
	}
	return IDRange{first, last}, nil
}

// form is the parameters of a request in the making.
type form struct{ values url.Values }

// newForm begins with the parameters that are configured, and those that an earlier response named and nobody configured.
// What has no value is left out. The receiver's own parameters come afterwards, over both.
func newForm(parameters, extra map[string]string) form {
	f := form{url.Values{"action": {"list"}}}
	for _, given := range []map[string]string{extra, parameters} {
		for name, value := range given {
			f.text(name, value)
		}
	}
	f.text("action", "list")
	return f
}

// text sets a parameter, unless it has no value.
func (f form) text(name, value string) {
	if value != "" {
		f.values.Set(name, value)
	}
}

// id sets a parameter that is an ID, unless it is 0.
func (f form) id(name string, id uint64) {
	if id != 0 {
		f.values.Set(name, strconv.FormatUint(id, 10))
	}
}

// limit sets the number of items in a response; 0 asks for all of them in one.
func (f form) limit(n int) { f.values.Set("truncation_limit", strconv.Itoa(max(n, 0))) }

// since sets a time filter, unless there is none.
func (f form) since(filter TimeFilter, since time.Time) {
	if filter != "" {
		f.values.Set(string(filter), since.UTC().Format(timeFormat))
	}
}

// ranges selects IDs, unless all are meant.
func (f form) ranges(ids []IDRange) {
	texts := make([]string, len(ids))
	for i, r := range ids {
		texts[i] = r.String()
	}
	f.text("ids", strings.Join(texts, ","))
}

// without returns the parameters less those that are not to be sent.
func (f form) without(omit map[string]bool) url.Values {
	for name, omitted := range omit {
		if omitted {
			f.values.Del(name)
		}
	}
	return f.values
}
