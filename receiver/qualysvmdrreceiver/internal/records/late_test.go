// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A record that has been made stays as it is: what comes later of its host stands in the later records only, and around them.
func TestElementsAfterDetectionsAreOnLaterRecordsOnly(t *testing.T) {
	out := detectionsOf(t, inJSON(testSettings()), `<HOST><ID>7</ID><IP>192.0.2.1</IP><TAGS><TAG><NAME>a</NAME></TAG></TAGS>`+
		`<DETECTION_LIST><DETECTION><QID>1</QID></DETECTION></DETECTION_LIST>`+
		`<DNS>late</DNS><TAGS><TAG><NAME>b</NAME></TAG></TAGS><QG_HOSTID>g</QG_HOSTID>`+
		`<DETECTION_LIST part="2"><DETECTION><QID>2</QID></DETECTION></DETECTION_LIST><OS>lost</OS></HOST>`)
	records := recordsOf(out)
	require.Len(t, records, 2)
	assert.Equal(t, `{"LogType":"vulnerabilityLogs","Id":7,"IP":"192.0.2.1","Hostname":"","Tag":[{"Name":"a"}],"Detection":`+
		`{"Qid":1,"Type":"","Severity":0,"Ssl":0,"Results":"","Status":"","LastFoundDateTime":""}}`, records[0].Body().Str())
	assert.Equal(t, `{"LogType":"vulnerabilityLogs","Id":7,"IP":"192.0.2.1","Hostname":"late","Tag":[{"Name":"a"},{"Name":"b"}],"Detection":`+
		`{"Qid":2,"Type":"","Severity":0,"Ssl":0,"Results":"","Status":"","LastFoundDateTime":""},`+
		`"Dns":"late","QgHostId":"g","DetectionListPart":"2"}`, records[1].Body().Str())
	resources := out.Logs.ResourceLogs()
	require.Equal(t, 2, resources.Len(), "records do not get the host's name of other ones")
	assert.NotContains(t, resources.At(0).Resource().Attributes().AsRaw(), "host.name")
	assert.Equal(t, "late", resources.At(1).Resource().Attributes().AsRaw()["host.name"])
}
