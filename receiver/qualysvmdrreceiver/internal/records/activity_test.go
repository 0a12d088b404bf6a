// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readActivity reads the rows of an answer, the first of which names the columns. Equal rows are numbered.
func readActivity(a *Activity, answer io.Reader) error {
	r := csv.NewReader(answer)
	r.FieldsPerRecord = -1
	columns, err := r.Read()
	if err != nil {
		return err
	}
	met := map[uint64]uint64{}
	a.Begin(collected, "", columns, func(item *Item) bool {
		met[item.Content]++
		item.Key = met[item.Content]
		return true
	})
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = a.Row(fields)
		}
		if err != nil {
			return err
		}
	}
}

func activityOf(t testing.TB, settings Settings, answer string) Chunk {
	t.Helper()
	a := NewActivity(settings)
	require.NoError(t, readActivity(a, strings.NewReader(answer)))
	return a.Take()
}

func TestActivityBodies(t *testing.T) {
	tests := []struct {
		name, in, want string
	}{
		{"names", "Date,User Name,User IP,USER_ROLE,os version,X-Y\n1,2,3,4,5,6\n", `"Date":"1","UserName":"2","UserIP":"3","UserRole":"4","OSVersion":"5","X-y":"6"`},
		{"nothing is a number", "Date,Module\n1,007\n", `"Date":"1","Module":"007"`},
		{"white space stays", "Date,Details\n1, a \n", `"Date":"1","Details":" a "`},
		{"empty fields stay", "Date,Details\n1,\n", `"Date":"1","Details":""`},
		{"fewer fields", "Date,Action,Details\n1,a\n", `"Date":"1","Action":"a"`},
		{"more fields", "Date\n1,a,b\n", `"Date":"1","Column2":"a","Column3":"b"`},
		{"a name twice", "Date,A,B,A\n1,2,3,4\n", `"Date":"1","A":["2","4"],"B":"3"`},
		{"no name", "Date,,\n1,2,\n", `"Date":"1","":["2",""]`},
		{"a name of the record's", "Date,Log Type\n1,x\n", `"Date":"1","QualysLogType":"x"`},
		{"bytes that are not UTF-8", "Date,A\n1,caf\xe9 \xff\xfe.\n", `"Date":"1","A":"caf` + "\ufffd \ufffd" + `."`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := onlyRecord(t, activityOf(t, inJSON(testSettings()), tt.in)).Body().Str()
			assert.Equal(t, `{"LogType":"userActivityLogs",`+tt.want+`}`, body)
		})
	}
}

func TestActivityAroundTheBody(t *testing.T) {
	out := activityOf(t, testSettings(), testdata(t, "activity.csv"))
	all := recordsOf(out)
	require.Len(t, all, 4)
	first := all[0]
	assert.Equal(t, "qualys.vmdr.activity", first.EventName())
	assert.Equal(t, time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC), first.Timestamp().AsTime())
	assert.Equal(t, collected, first.ObservedTimestamp().AsTime())
	assert.Zero(t, first.SeverityNumber())
	assert.Equal(t, collected, all[3].Timestamp().AsTime(), "a row without a time has the time of its collection")
	attrs := first.Attributes().AsRaw()
	assert.Len(t, attrs, 2)
	assert.Equal(t, "userActivityLogs", attrs["LogType"])
	assert.Equal(t, map[string]any{"qualys.server": "vmdr.example.test", "qualys.receiver": "qualysvmdr/plant"},
		out.Logs.ResourceLogs().At(0).Resource().Attributes().AsRaw())
	assert.Equal(t, 1, out.Logs.ResourceLogs().Len(), "rows share a resource")
	assert.Equal(t, 4, out.UnitsDone)

	settings := testSettings()
	settings.Collected = true
	assert.Equal(t, collected, recordsOf(activityOf(t, settings, testdata(t, "activity.csv")))[0].Timestamp().AsTime())
}

// A reader that drops what it knows by log.record.uid must keep what happened twice.
func TestEqualRowsAreTwoRecords(t *testing.T) {
	out := activityOf(t, testSettings(), testdata(t, "activity.csv"))
	ids := uids(out)
	assert.NotEqual(t, ids[0], ids[1])
	assert.Equal(t, out.Items[0].Content, out.Items[1].Content)
	assert.Equal(t, ids, uids(activityOf(t, testSettings(), testdata(t, "activity.csv"))), "the same when it is read again")
}

func TestRowsThatAreNotWanted(t *testing.T) {
	a := NewActivity(testSettings())
	a.Begin(collected, "", []string{"Date"}, func(item *Item) bool { return item.Updated > 0 })
	require.NoError(t, a.Row([]string{"yesterday"}))
	require.NoError(t, a.Row([]string{"2026-11-20T09:15:00Z"}))
	out := a.Take()
	assert.Len(t, recordsOf(out), 1)
	assert.Equal(t, 2, out.UnitsDone)
}

func TestTheNamesOfColumnsCountForEachRow(t *testing.T) {
	var columns []string
	for i := range 10 {
		columns = append(columns, strings.Repeat("n", 1<<20)+string(rune('0'+i)))
	}
	a := NewActivity(unlimited())
	a.Begin(collected, "", columns, nil)
	require.NoError(t, a.Row([]string{"1", "2"}))
	require.ErrorIs(t, a.Row(make([]string, 10)), ErrTooLarge)
	require.NoError(t, a.Row([]string{"1", "2"}))
	records := recordsOf(a.Take())
	require.Len(t, records, 2)
	assert.Equal(t, records[0].Body().AsRaw(), records[1].Body().AsRaw())
}

func TestLimitsOfRows(t *testing.T) {
	a := NewActivity(testSettings())
	a.Begin(collected, "", []string{"Date", "Details"}, nil)
	long := euros(5 << 20)
	require.NoError(t, a.Row([]string{"1", long}))
	assert.ErrorIs(t, a.Row([]string{"1", long, long}), ErrTooLarge)
	assert.ErrorIs(t, a.Row(make([]string, 5000)), ErrTooLarge, "too many keys")
	require.NoError(t, a.Row([]string{"2", "\xff"}))
	first := a.Take()
	second := a.Take()
	lr := onlyRecord(t, first)
	details, _ := lr.Body().Map().Get("Details")
	assert.LessOrEqual(t, len(details.Str()), maxValue)
	assert.Greater(t, len(details.Str()), maxValue-4)
	assert.Equal(t, []any{"Details"}, truncatedOf(t, lr))
	assert.Equal(t, 1, first.Truncated)
	assert.Equal(t, int64(1), second.Repaired)
	assert.Len(t, recordsOf(second), 1)
}

// FuzzActivity reads anything as rows: nothing panics, and both formats of the body agree.
func FuzzActivity(f *testing.F) {
	f.Add(testdata(f, "activity.csv"))
	f.Add("Date,Date,Log Type,\n1,2,3,4,5,6\n")
	f.Fuzz(func(t *testing.T, answer string) {
		var outs []Chunk
		for _, settings := range []Settings{unlimited(), inJSON(unlimited())} {
			a := NewActivity(settings)
			_ = readActivity(a, strings.NewReader(answer)) // what was whole before counts
			outs = append(outs, a.Take())
		}
		agree(t, outs[0], outs[1])
	})
}
