// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
)

func TestAttributesOfAHostArrive(t *testing.T) {
	r := newHostReader(1, records.Settings{JSON: true})
	j := &job{
		first:   &qualys.Segment{Data: []byte(`<HOST a="1"><ID>1</ID><DETECTION_LIST b="2"><DETECTION c="3"/></DETECTION_LIST></HOST>`)},
		results: make(chan result, 1),
	}
	r.work(t.Context(), r.workers[0], j, func(*records.Item) verdict { return take })
	res := <-j.results
	require.NoError(t, res.err)
	require.Equal(t, 1, res.output.Logs.LogRecordCount())
	body := res.output.Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().Str()
	assert.Contains(t, body, `"HostA":"1","Id":1,"DetectionListB":"2",`)
	assert.Contains(t, body, `"Detection":{"DetectionC":"3",`)
}
