// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// What the published readers of these records need.

func TestVulnerabilityRecordsHaveWhatReadersNeed(t *testing.T) {
	answers := map[string]string{
		"rich":    testdata(t, "detections.xml"),
		"poorest": `<HOST><DETECTION/></HOST>`,
		"late":    `<HOST><DETECTION/><ID>1</ID><IP>192.0.2.1</IP><DNS>a</DNS></HOST>`,
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			for _, lr := range recordsOf(detectionsOf(t, testSettings(), answer)) {
				body := lr.Body().Map()
				types := map[string]pcommon.ValueType{
					"LogType": pcommon.ValueTypeStr, "Hostname": pcommon.ValueTypeStr, "IP": pcommon.ValueTypeStr,
					"Id": pcommon.ValueTypeInt, "Detection": pcommon.ValueTypeMap,
				}
				for key, want := range types {
					v, ok := body.Get(key)
					require.True(t, ok, key)
					assert.Equal(t, want, v.Type(), key)
				}
				detection, _ := body.Get("Detection")
				types = map[string]pcommon.ValueType{
					"Status": pcommon.ValueTypeStr, "Results": pcommon.ValueTypeStr, "Type": pcommon.ValueTypeStr,
					"Ssl": pcommon.ValueTypeInt, "Severity": pcommon.ValueTypeInt, "Qid": pcommon.ValueTypeInt,
				}
				for key, want := range types {
					v, ok := detection.Map().Get(key)
					require.True(t, ok, key)
					assert.Equal(t, want, v.Type(), key)
				}
				found, ok := detection.Map().Get("LastFoundDateTime")
				require.True(t, ok)
				if found.Str() != "" {
					_, err := time.Parse("2006-01-02T15:04:05Z", found.Str())
					assert.NoError(t, err)
				}
			}
		})
	}
}

func TestEntryRecordsHaveWhatReadersNeed(t *testing.T) {
	answers := map[string]string{
		"rich":    testdata(t, "knowledgebase.xml"),
		"poorest": `<VULN_LIST><VULN/><VULN>text</VULN></VULN_LIST>`,
	}
	want := map[string]pcommon.ValueType{
		"Qid": pcommon.ValueTypeInt, "VulnerabilityType": pcommon.ValueTypeStr, "SeverityLevel": pcommon.ValueTypeInt,
		"Title": pcommon.ValueTypeStr, "Category": pcommon.ValueTypeStr, "Patchable": pcommon.ValueTypeInt,
		"Software": pcommon.ValueTypeSlice, "VendorReference": pcommon.ValueTypeSlice, "Cve": pcommon.ValueTypeSlice,
		"Diagnosis": pcommon.ValueTypeStr, "Consequence": pcommon.ValueTypeStr, "Solution": pcommon.ValueTypeStr,
		"PciFlag": pcommon.ValueTypeInt, "ThreatIntel": pcommon.ValueTypeSlice, "Discovery": pcommon.ValueTypeMap,
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			records := recordsOf(entriesOf(t, testSettings(), answer))
			require.Len(t, records, 2)
			for _, lr := range records {
				for key, typ := range want {
					v, ok := lr.Body().Map().Get(key)
					require.True(t, ok, key)
					assert.Equal(t, typ, v.Type(), key)
				}
			}
		})
	}
}

func TestAssetJSONMatchesReaders(t *testing.T) {
	cloud := `[{"assetId":1,"assetUUID":"u-1","dnsName":"d","lastLoggedOnUser":"l","netbiosName":"N","domainRole":"r","address":"192.0.2.1",
		"riskScore": 99, "tagList":{"tag":[{"tagName":"T & t","criticalityScore":5}]},"criticality":{"score":4},"provider":"AWS",
		"agent":null,"sensor":{"activatedForModules":["VM","PC"]},"openPortListData":{"openPort":[{"port":22,"description":"SSH"}]},
		"softwareListData":{"software":[{"fullName":"A 1"},{"fullName":"B 2"}]},"errors":{"errorStatus":false},
		"serviceList":{"service":[{"description":"x, \"y\"","name":"ntpd","status":"running"}]}}]`
	tests := []struct {
		answer, pattern, want string
	}{
		{cloud, `"assetUUID":"([^"]+)`, "u-1"},
		{cloud, `dnsName":"([^"]+)`, "d"},
		{cloud, `lastLoggedOnUser":"([^"]+)`, "l"},
		{cloud, `tagName":"(.*?)"`, "T & t"},
		{cloud, `score":(\d+)`, "4"},
		{cloud, `"provider":"?([^",]+)`, "AWS"},
		{cloud, `"netbiosName":"?([^",]+)`, "N"},
		{cloud, `"domainRole":"?([^",]+)`, "r"},
		{cloud, `"agent":([^,]+)`, "null"},
		{cloud, `"activatedForModules":(\[.*?\])`, `["VM","PC"]`},
		{cloud, `"errorStatus":(\w+)`, "false"},
		{cloud, `port":(.*?),`, "22"},
		{cloud, `"softwareListData":\[(.*?)\]`, `"A 1","B 2"`},
		{cloud, `description":.*?,"name":"(.*?)","status":"(.*?)"}`, "ntpd"},
		{cloud, `"LogType":"(\w+)"`, "assetInventory"},

		{`[{"assetId":1,"provider":null,"netbiosName":null,"domainRole":null,"agent":null,"x":1}]`, `"provider":"?([^",]+)`, "null"},
		{`[{"assetId":1,"provider":null,"netbiosName":null,"domainRole":null,"agent":null,"x":1}]`, `"netbiosName":"?([^",]+)`, "null"},
		{`[{"assetId":1,"provider":null,"netbiosName":null,"domainRole":null,"agent":null,"x":1}]`, `"domainRole":"?([^",]+)`, "null"},
		// What the gateway leaves out altogether.
		{`[{"assetId":1}]`, `"agent":([^,]+)`, "null"},
		{`[{"assetId":1}]`, `"softwareListData":\[(.*?)\]`, ""},
		{`[{"softwareListData":null}]`, `"agent":([^,]+)`, "null"},
		{`[{"softwareListData":null}]`, `"softwareListData":\[(.*?)\]`, ""},
		{`[{"agent":null}]`, `"agent":([^,]+)`, "null"},
	}
	for _, tt := range tests {
		t.Run(tt.pattern, func(t *testing.T) {
			body := onlyRecord(t, assetsOf(t, inJSON(testSettings()), time.Time{}, tt.answer)).Body().Str()
			match := regexp.MustCompile(tt.pattern).FindStringSubmatch(body)
			require.NotNil(t, match, body)
			assert.Equal(t, tt.want, match[1])
		})
	}
}

func TestAssetJSONHasPathsOfReaders(t *testing.T) {
	out := assetsOf(t, inJSON(testSettings()), time.Time{}, testdata(t, "assets.json"))
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(recordsOf(out)[0].Body().Str()), &body))
	paths := map[string]any{
		"address":                  "192.0.2.17",
		"assetName":                "press-17",
		"biosDescription":          "Example Corp. 1.0",
		"assetId":                  9100201.0,
		"operatingSystem.osName":   "Debian GNU/Linux 12",
		"hardware.productName":     "Box",
		"hardware.manufacturer":    "Example",
		"hardware.category":        "Computers",
		"hardware.fullName":        "Example Box 3",
		"serviceList.service.name": "ntpd.service",
	}
	for path, want := range paths {
		var at any = body
		for key := range strings.SplitSeq(path, ".") {
			if entries, ok := at.([]any); ok {
				at = entries[0]
			}
			at = at.(map[string]any)[key]
		}
		assert.Equal(t, want, at, path)
	}
}

func TestLogTypeIsFirst(t *testing.T) {
	s := inJSON(testSettings())
	for want, out := range map[string]Chunk{
		`{"LogType":"vulnerabilityLogs",`: detectionsOf(t, s, testdata(t, "detections.xml")),
		`{"LogType":"knowledgeBaseLogs",`: entriesOf(t, s, testdata(t, "knowledgebase.xml")),
		`{"LogType":"assetInventory",`:    assetsOf(t, s, time.Time{}, testdata(t, "assets.json")),
	} {
		for _, lr := range recordsOf(out) {
			assert.True(t, strings.HasPrefix(lr.Body().Str(), want), lr.Body().Str())
		}
	}
}

func TestHostname(t *testing.T) {
	const data = "<DNS_DATA><HOSTNAME>data</HOSTNAME><FQDN>data.example.test</FQDN></DNS_DATA>"
	tests := []struct {
		name, elements, want string
	}{
		{"DNS first", "<NETBIOS>N</NETBIOS>" + data + "<DNS>dns</DNS>", "dns"},
		{"then FQDN", "<NETBIOS>N</NETBIOS>" + data + "<DNS/>", "data.example.test"},
		{"then HOSTNAME", "<NETBIOS>N</NETBIOS><DNS_DATA><HOSTNAME>data</HOSTNAME><FQDN/></DNS_DATA>", "data"},
		{"then NETBIOS", "<NETBIOS>N</NETBIOS><DNS_DATA><HOSTNAME/></DNS_DATA>", "N"},
		{"DNS_DATA without elements", "<DNS_DATA>x</DNS_DATA><NETBIOS>N</NETBIOS>", "N"},
		{"DNS twice", "<DNS>a</DNS><DNS>b</DNS>", "a"},
		{"unknown", "<IP>192.0.2.1</IP>", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := detectionsOf(t, testSettings(), oneHost(tt.elements, "<DETECTION/>"))
			v, _ := onlyRecord(t, out).Body().Map().Get("Hostname")
			assert.Equal(t, tt.want, v.Str())
			name, ok := out.Logs.ResourceLogs().At(0).Resource().Attributes().Get("host.name")
			assert.Equal(t, tt.want != "", ok, "host.name is left out when it is unknown")
			if ok {
				assert.Equal(t, tt.want, name.Str())
			}
		})
	}
}

func TestMissingHostKeys(t *testing.T) {
	const missing = `"Detection":{"Qid":0,"Type":"","Severity":0,"Ssl":0,"Results":"","Status":"","LastFoundDateTime":""}`
	tests := []struct {
		name, host, want string
	}{
		{"nothing known", "<HOST><DETECTION/></HOST>", `"IP":"","Hostname":"","Id":0,` + missing},
		{"Hostname after IP", "<HOST><IP>192.0.2.1</IP><OS>o</OS><ID>1</ID><DETECTION/></HOST>", `"IP":"192.0.2.1","Hostname":"","OS":"o","Id":1,` + missing},
		{"without IP", "<HOST><ID>1</ID><NETBIOS>n</NETBIOS><DETECTION/></HOST>", `"Id":1,"Netbios":"n","IP":"","Hostname":"n",` + missing},
		{"its own HOSTNAME", "<HOST><ID>1</ID><HOSTNAME>h</HOSTNAME><DNS>d</DNS><DETECTION/></HOST>", `"Id":1,"Hostname":"h","Dns":"d","IP":"",` + missing},
		{"keys of the record", "<HOST><ID>1</ID><IP/><LOG_TYPE>x</LOG_TYPE><X_LIST><DETECTION_>y</DETECTION_></X_LIST><DETECTION/></HOST>", `"Id":1,"IP":"","Hostname":"","QualysLogType":"x","QualysDetection":["y"],` + missing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := detectionsOf(t, inJSON(testSettings()), tt.host)
			assert.Equal(t, `{"LogType":"vulnerabilityLogs",`+tt.want+`}`, onlyRecord(t, out).Body().Str())
		})
	}
}
