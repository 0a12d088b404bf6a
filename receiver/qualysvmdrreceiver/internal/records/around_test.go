// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

func TestSeverity(t *testing.T) {
	tests := []struct {
		elements string
		number   plog.SeverityNumber
		text     string
	}{
		{"<SEVERITY>1</SEVERITY>", plog.SeverityNumberInfo, "Minimal"},
		{"<SEVERITY>2</SEVERITY>", plog.SeverityNumberInfo2, "Medium"},
		{"<SEVERITY>3</SEVERITY>", plog.SeverityNumberWarn, "Serious"},
		{"<SEVERITY>4</SEVERITY>", plog.SeverityNumberError, "Critical"},
		{"<SEVERITY>5</SEVERITY><STATUS>Active</STATUS>", plog.SeverityNumberFatal, "Urgent"},
		{"<SEVERITY>5</SEVERITY><STATUS>Fixed</STATUS>", plog.SeverityNumberInfo, "Urgent"},
		{"<STATUS>Fixed</STATUS>", plog.SeverityNumberInfo, ""},
		{"<SEVERITY>0</SEVERITY>", plog.SeverityNumberUnspecified, ""},
		{"<SEVERITY>6</SEVERITY>", plog.SeverityNumberUnspecified, ""},
		{"<SEVERITY>-1</SEVERITY>", plog.SeverityNumberUnspecified, ""},
		{"<SEVERITY>high</SEVERITY>", plog.SeverityNumberUnspecified, ""},
		{"", plog.SeverityNumberUnspecified, ""},
	}
	for _, tt := range tests {
		t.Run(tt.elements, func(t *testing.T) {
			lr := onlyRecord(t, detectionsOf(t, testSettings(), oneHost("<DETECTION>"+tt.elements+"</DETECTION>")))
			assert.Equal(t, tt.number, lr.SeverityNumber())
			assert.Equal(t, tt.text, lr.SeverityText())
		})
	}
}

func TestTimestamp(t *testing.T) {
	const (
		found = "<LAST_FOUND_DATETIME>2026-11-01T02:03:04Z</LAST_FOUND_DATETIME>"
		gone  = "<LAST_FIXED_DATETIME>2026-11-05T00:00:00Z</LAST_FIXED_DATETIME>"
	)
	tests := []struct {
		name, elements string
		collected      bool
		want           time.Time
	}{
		{"last found", found + gone, false, time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC)},
		{"last fixed", found + gone + "<STATUS>Fixed</STATUS>", false, time.Date(2026, 11, 5, 0, 0, 0, 0, time.UTC)},
		{"fixed, in capitals", found + gone + "<STATUS>FIXED</STATUS>", false, time.Date(2026, 11, 5, 0, 0, 0, 0, time.UTC)},
		{
			"fixed at an unknown time", found + "<LAST_UPDATE_DATETIME>2026-11-04T00:00:00Z</LAST_UPDATE_DATETIME><STATUS>Fixed</STATUS>", false,
			time.Date(2026, 11, 4, 0, 0, 0, 0, time.UTC),
		},
		{"fixed and updated at an unknown time", found + "<STATUS>fixed</STATUS>", false, time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC)},
		{"fixed, no time at all", "<STATUS>Fixed</STATUS>", false, collected},
		{"unknown", "", false, collected},
		{"no time", "<LAST_FOUND_DATETIME>soon</LAST_FOUND_DATETIME>", false, collected},
		{"collected", found, true, collected},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			settings := testSettings()
			settings.Collected = tt.collected
			lr := onlyRecord(t, detectionsOf(t, settings, oneHost("<DETECTION>"+tt.elements+"</DETECTION>")))
			assert.Equal(t, tt.want, lr.Timestamp().AsTime())
			assert.Equal(t, collected, lr.ObservedTimestamp().AsTime())
		})
	}
}

func TestEventNamesAndAttributes(t *testing.T) {
	s := testSettings()
	lr := onlyRecord(t, detectionsOf(t, s, oneHost("<ASSET_ID>5</ASSET_ID><DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID><QID>8</QID><STATUS>New</STATUS></DETECTION>")))
	assert.Equal(t, "qualys.vmdr.detection", lr.EventName())
	assert.Equal(t, map[string]any{
		"LogType": "vulnerabilityLogs", "qualys.asset.id": int64(5), "qualys.detection.id": int64(6),
		"qualys.qid": int64(8), "qualys.detection.status": "New",
	}, withoutUID(t, lr))

	lr = onlyRecord(t, detectionsOf(t, s, oneHost("<DETECTION/>")))
	assert.Equal(t, map[string]any{"LogType": "vulnerabilityLogs"}, withoutUID(t, lr), "what is unknown is left out")

	lr = onlyRecord(t, entriesOf(t, s, "<VULN><QID>8</QID></VULN>"))
	assert.Equal(t, "qualys.vmdr.knowledge_base", lr.EventName())
	assert.Equal(t, map[string]any{"LogType": "knowledgeBaseLogs", "qualys.qid": int64(8)}, withoutUID(t, lr))
	assert.Equal(t, plog.SeverityNumberUnspecified, lr.SeverityNumber())
	assert.Equal(t, collected, lr.Timestamp().AsTime())

	lr = onlyRecord(t, assetsOf(t, s, time.Time{}, `[{"assetId":5}]`))
	assert.Equal(t, "qualys.vmdr.asset", lr.EventName())
	assert.Equal(t, map[string]any{"LogType": "assetInventory", "qualys.asset.id": int64(5)}, withoutUID(t, lr))
	assert.Equal(t, collected, lr.Timestamp().AsTime())
}

func withoutUID(t *testing.T, lr plog.LogRecord) map[string]any {
	t.Helper()
	attributes := lr.Attributes().AsRaw()
	assert.Regexp(t, "^[0-9a-f]{32}$", attributes[attrUID])
	delete(attributes, attrUID)
	return attributes
}

func TestHostResource(t *testing.T) {
	tests := []struct {
		name, elements string
		want           map[string]any
	}{
		{
			"cloud", "<IP>192.0.2.1</IP><CLOUD_RESOURCE_ID>r</CLOUD_RESOURCE_ID><EC2_INSTANCE_ID>i-1</EC2_INSTANCE_ID><QG_HOSTID>g</QG_HOSTID>",
			map[string]any{"host.id": "i-1", "host.ip": []any{"192.0.2.1"}},
		},
		{"other clouds", "<QG_HOSTID>g</QG_HOSTID><CLOUD_RESOURCE_ID>r</CLOUD_RESOURCE_ID>", map[string]any{"host.id": "r"}},
		{"agent", "<EC2_INSTANCE_ID/><QG_HOSTID>g</QG_HOSTID>", map[string]any{"host.id": "g"}},
		{
			"addresses", "<IPV6>2001:db8::1, fe80::1</IPV6><IP>192.0.2.1</IP><IP>192.0.2.1</IP><IP>192.0.2.2</IP><IP>none</IP>",
			map[string]any{"host.ip": []any{"192.0.2.1", "192.0.2.2", "2001:db8::1", "fe80::1"}},
		},
		{"nothing", "", map[string]any{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := detectionsOf(t, testSettings(), oneHost(tt.elements, "<DETECTION/>"))
			tt.want["qualys.host.id"] = int64(7)
			tt.want["qualys.server"] = "vmdr.example.test"
			tt.want["qualys.receiver"] = "qualysvmdr/plant"
			assert.Equal(t, tt.want, out.Logs.ResourceLogs().At(0).Resource().Attributes().AsRaw())
		})
	}
}

func TestResourceAttributesCanBeSwitchedOff(t *testing.T) {
	answer := oneHost("<IP>192.0.2.1</IP><DNS>d</DNS><QG_HOSTID>g</QG_HOSTID><DETECTION/>")
	all := map[string]func(*Resource){
		"host.id":         func(r *Resource) { r.HostID = false },
		"host.ip":         func(r *Resource) { r.HostIP = false },
		"host.name":       func(r *Resource) { r.HostName = false },
		"qualys.host.id":  func(r *Resource) { r.QualysHostID = false },
		"qualys.server":   func(r *Resource) { r.QualysServer = false },
		"qualys.receiver": func(r *Resource) { r.QualysReceiver = false },
	}
	for name, off := range all {
		settings := testSettings()
		off(&settings.Resource)
		attributes := detectionsOf(t, settings, answer).Logs.ResourceLogs().At(0).Resource().Attributes()
		assert.Equal(t, len(all)-1, attributes.Len())
		_, ok := attributes.Get(name)
		assert.False(t, ok, name)
	}
}

func TestAssetResource(t *testing.T) {
	tests := []struct {
		name, asset string
		want        map[string]any
	}{
		{
			"agent", `{"agentId":"g","hostId":3,"dnsName":"d","address":"192.0.2.1","cloudProvider":null}`,
			map[string]any{"host.id": "g", "qualys.host.id": int64(3), "host.name": "d", "host.ip": []any{"192.0.2.1"}},
		},
		{"EC2", `{"agentId":"g","cloudProvider":{"aws":{"ec2":{"instanceId":"i-1"}}}}`, map[string]any{"host.id": "i-1"}},
		{"Azure", `{"agentId":"g","cloudProvider":{"azure":{"vm":{"vmId":"v-1"}}}}`, map[string]any{"host.id": "v-1"}},
		{"Google", `{"cloudProvider":{"aws":{"ec2":{"instanceId":null}},"gcp":{"compute":{"instanceId":1234567890123456789}}}}`, map[string]any{"host.id": "1234567890123456789"}},
		{"cloud without an instance", `{"agentId":"g","cloudProvider":{"aws":null}}`, map[string]any{"host.id": "g"}},
		{
			"interfaces", `{"address":"192.0.2.1","networkInterfaceListData":{"networkInterface":[{"addressIpV4":"192.0.2.1,192.0.2.2"},{"addressIpV6":"2001:db8::1","addresses":["192.0.2.3","x"],"gatewayAddress":"192.0.2.254"}]}}`,
			map[string]any{"host.ip": []any{"192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3"}},
		},
		{"nulls", `{"agentId":null,"hostId":null,"dnsName":null,"address":null,"networkInterfaceListData":null}`, map[string]any{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := assetsOf(t, testSettings(), time.Time{}, "["+tt.asset+"]")
			tt.want["qualys.server"] = "vmdr.example.test"
			tt.want["qualys.receiver"] = "qualysvmdr/plant"
			assert.Equal(t, tt.want, out.Logs.ResourceLogs().At(0).Resource().Attributes().AsRaw())
		})
	}
}

func TestScope(t *testing.T) {
	s := testSettings()
	for _, out := range []Chunk{
		detectionsOf(t, s, oneHost("<DETECTION/>")),
		entriesOf(t, s, "<VULN/>"),
		assetsOf(t, s, time.Time{}, "[{}]"),
	} {
		scope := out.Logs.ResourceLogs().At(0).ScopeLogs().At(0).Scope()
		assert.Equal(t, s.ScopeName, scope.Name())
		assert.Equal(t, s.ScopeVersion, scope.Version())
	}
}

func TestItems(t *testing.T) {
	unix := func(year int, month time.Month, day int) int64 {
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix()
	}
	item := detectionsOf(t, testSettings(), oneHost(
		"<LAST_SCAN_DATETIME>2026-01-02T00:00:00Z</LAST_SCAN_DATETIME><LAST_VM_SCANNED_DATE>2026-01-05T00:00:00Z</LAST_VM_SCANNED_DATE>",
		"<LAST_VM_AUTH_SCANNED_DATE>2026-01-03T00:00:00Z</LAST_VM_AUTH_SCANNED_DATE><DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID><QID>8</QID>",
		"<STATUS>Re-Opened</STATUS><LAST_FOUND_DATETIME>2026-02-01</LAST_FOUND_DATETIME><LAST_UPDATE_DATETIME>2026-02-02</LAST_UPDATE_DATETIME>",
		"<LAST_PROCESSED_DATETIME>2026-02-03</LAST_PROCESSED_DATETIME></DETECTION>",
	)).Items[0]
	assert.NotZero(t, item.Content)
	assert.NotZero(t, item.Bytes)
	item.Content, item.Bytes = 0, 0
	assert.Equal(t, Item{
		Unit: 7, Key: 6, QID: 8, Status: "Re-Opened", Open: true, Unique: true,
		Updated: unix(2026, 2, 2), Found: unix(2026, 2, 1), Processed: unix(2026, 2, 3), Scanned: unix(2026, 1, 5),
	}, item)

	item = detectionsOf(t, testSettings(), oneHost("<DETECTION><STATUS>Other</STATUS><LAST_FOUND_DATETIME>2026-02-01</LAST_FOUND_DATETIME></DETECTION>")).Items[0]
	assert.Equal(t, unix(2026, 2, 1), item.Found)
	assert.Zero(t, item.Updated)
	assert.Equal(t, "Other", item.Status)
	assert.Zero(t, item.QID)

	for entry, want := range map[string]int64{
		"<LAST_SERVICE_MODIFICATION_DATETIME>2026-02-01</LAST_SERVICE_MODIFICATION_DATETIME>":                                                                         unix(2026, 2, 1),
		"<LAST_SERVICE_MODIFICATION_DATETIME>2026-02-01</LAST_SERVICE_MODIFICATION_DATETIME><LAST_CUSTOMIZATION><DATETIME>2026-03-01</DATETIME></LAST_CUSTOMIZATION>": unix(2026, 3, 1),
		"<LAST_CUSTOMIZATION>never</LAST_CUSTOMIZATION>":                                                                                                              0,
	} {
		item = entriesOf(t, testSettings(), "<VULN><QID>8</QID>"+entry+"</VULN>").Items[0]
		assert.Equal(t, uint32(8), item.QID)
		assert.Equal(t, uint64(8), item.Key)
		assert.Equal(t, want, item.Updated, entry)
	}

	for asset, want := range map[string]int64{
		`{"assetId":9,"lastModifiedDate":"2026-02-01T00:00:00.000Z"}`: unix(2026, 2, 1),
		`{"assetId":9,"lastModifiedDate":1769904000000}`:              unix(2026, 2, 1),
		`{"assetId":9,"lastModifiedDate":null}`:                       0,
	} {
		out := assetsOf(t, testSettings(), time.Time{}, "["+asset+"]")
		assert.Equal(t, uint64(9), out.Items[0].Key)
		assert.Equal(t, uint64(9), out.Items[0].Unit)
		assert.Equal(t, uint64(9), out.UnitDone)
		assert.Equal(t, want, out.Items[0].Updated, asset)
		assert.Equal(t, want, out.Items[0].Modified, asset)
	}
	item = assetsOf(t, testSettings(), time.Time{},
		`[{"assetId":9,"lastUpdatedDate":"2026-02-03T00:00:00.000Z","lastModifiedDate":"2026-02-01T00:00:00.000Z"}]`).Items[0]
	assert.Equal(t, unix(2026, 2, 3), item.Updated, "the date that the filter of changes goes by")
	assert.Equal(t, unix(2026, 2, 1), item.Modified)
}

func TestBytesAreThoseOfTheText(t *testing.T) {
	answer := oneHost("<DNS>name</DNS><DNS_DATA><FQDN>x</FQDN></DNS_DATA><DETECTION><QID>1</QID><RESULTS>text</RESULTS></DETECTION><DETECTION/>")
	out := detectionsOf(t, inJSON(testSettings()), answer)
	sum := 0
	for i, lr := range recordsOf(out) {
		assert.Len(t, lr.Body().Str(), int(out.Items[i].Bytes))
		sum += int(out.Items[i].Bytes)
	}
	assert.Equal(t, sum, out.Bytes)

	for _, out := range []Chunk{
		detectionsOf(t, testSettings(), answer),
		entriesOf(t, testSettings(), "<VULN><QID>1</QID><CVSS><BASE>5</BASE></CVSS><TITLE>t</TITLE></VULN>"),
		assetsOf(t, testSettings(), time.Time{}, `[{"assetId":1,"a":{"b":"c"},"d":true}]`),
	} {
		sum := 0
		for i, lr := range recordsOf(out) {
			assert.Equal(t, textSize(lr.Body()), int(out.Items[i].Bytes))
			sum += int(out.Items[i].Bytes)
		}
		assert.Equal(t, sum, out.Bytes)
	}
}

// textSize is how many bytes the keys and strings in a value have, a list's key once more for each entry.
func textSize(v pcommon.Value) int { return sizeUnder("", v) }

func sizeUnder(key string, v pcommon.Value) (size int) {
	switch v.Type() {
	case pcommon.ValueTypeMap:
		for k, member := range v.Map().All() {
			size += len(k) + sizeUnder(k, member)
		}
	case pcommon.ValueTypeSlice:
		for _, entry := range v.Slice().All() {
			size += len(key) + sizeUnder(key, entry)
		}
	case pcommon.ValueTypeStr:
		size = len(v.Str())
	}
	return size
}
