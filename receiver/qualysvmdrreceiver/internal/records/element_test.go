// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// asJSON reads an element as an entry of the KnowledgeBase is read, and returns its map.
func asJSON(t *testing.T, text string) string {
	t.Helper()
	n := newInterner(elementRoles)
	tp := newTape(n)
	x := xmlstream.NewReader(strings.NewReader(text))
	_, err := x.Next()
	require.NoError(t, err)
	at := tp.push(n.empty, object)
	require.NoError(t, tp.root(x, at, &element{text: "VULN", key: n.key("Vuln"), root: true, body: true}))
	return string(appendValue(nil, tp.nodes, tp.text))
}

func TestElementRules(t *testing.T) {
	tests := []struct {
		name, in, want string
	}{
		{"text", `<NEW_THING>yes</NEW_THING>`, `{"NewThing":"yes"}`},
		{"empty element", `<NEW_THING/>`, `{"NewThing":""}`},
		{"children are a map", `<NEW_THING><A_B>1</A_B><C>2</C></NEW_THING>`, `{"NewThing":{"AB":"1","C":"2"}}`},
		{"repeated name is a list", `<A>1</A><B>2</B><A>3</A>`, `{"A":["1","3"],"B":"2"}`},
		{"repeated maps", `<A><X>1</X></A><A><X>2</X></A>`, `{"A":[{"X":"1"},{"X":"2"}]}`},
		{"known to repeat", `<METADATA><EC2><ATTRIBUTE><NAME>a</NAME></ATTRIBUTE></EC2></METADATA>`, `{"Metadata":{"Ec2":{"Attribute":[{"Name":"a"}]}}}`},
		{"two clouds of a kind", `<METADATA><EC2><A>1</A></EC2><EC2><A>2</A></EC2></METADATA>`, `{"Metadata":{"Ec2":[{"A":"1"},{"A":"2"}]}}`},
		{"known to repeat, with text", `<CVE>CVE-2020-1</CVE>`, `{"Cve":["CVE-2020-1"]}`},

		{"wrapper", `<CVE_LIST><CVE><ID>7</ID><URL>u</URL></CVE></CVE_LIST>`, `{"Cve":[{"ID":"7","URL":"u"}]}`},
		{"ID outside of a reference", `<NEW_LIST><NEW><ID>7</ID></NEW></NEW_LIST>`, `{"New":[{"Id":"7"}]}`},
		{"wrapper of text", `<AUTH_TYPE_LIST><AUTH_TYPE>Unix</AUTH_TYPE><AUTH_TYPE>SNMP</AUTH_TYPE></AUTH_TYPE_LIST>`, `{"AuthType":["Unix","SNMP"]}`},
		{"unknown wrapper", `<THING_LIST><WIDGET>a</WIDGET></THING_LIST>`, `{"Widget":["a"]}`},
		{"wrapper of wrappers", `<EXPLOITS><EXPLT_SRC><SRC_NAME>s</SRC_NAME><EXPLT_LIST><EXPLT><REF>r</REF></EXPLT></EXPLT_LIST></EXPLT_SRC></EXPLOITS>`, `{"ExpltSrc":[{"SrcName":"s","Explt":[{"Ref":"r"}]}]}`},
		{"empty list", `<CVE_LIST></CVE_LIST>`, `{"Cve":[]}`},
		{"empty list, white space", "<SOFTWARE_LIST>\n </SOFTWARE_LIST>", `{"Software":[]}`},
		{"empty plurals", `<TAGS/><CLOUD_PROVIDER_TAGS/><THREAT_INTELLIGENCE/><PCI_REASONS/><EXPLOITS/><MALWARE/>`, `{"Tag":[],"CloudProviderTag":[],"ThreatIntel":[],"PciReason":[],"Exploit":[],"Malware":[]}`},
		{"list with text only", `<FOO_LIST>none</FOO_LIST>`, `{"FooList":"none"}`},
		{"plural with text only", `<TAGS>none</TAGS>`, `{"Tags":"none"}`},
		{"list of different names", `<FOO_LIST><A>1</A><B>2</B></FOO_LIST>`, `{"FooList":{"A":"1","B":"2"}}`},
		{"list with text between", `<FOO_LIST>x<A>1</A></FOO_LIST>`, `{"FooList":{"Text":"x","A":"1"}}`},
		{"two wrappers of a kind", `<CVE_LIST><CVE>a</CVE></CVE_LIST><X>1</X><CVE_LIST><CVE>b</CVE></CVE_LIST>`, `{"Cve":["a","b"],"X":"1"}`},
		{"wrapper and element of a name", `<WIDGET>a</WIDGET><THING_LIST><WIDGET>b</WIDGET><WIDGET>c</WIDGET></THING_LIST>`, `{"Widget":["a","b","c"]}`},
		{"different names of one key", `<VULN_TYPE>a</VULN_TYPE><VULNERABILITY_TYPE/>`, `{"VulnerabilityType":["a",""]}`},

		{"attribute", `<QDS severity="LOW">35</QDS>`, `{"Qds":35,"QdsSeverity":"LOW"}`},
		{"attribute of an empty element", `<A b="1"/>`, `{"A":"","AB":"1"}`},
		{"attribute of a map", `<A b="1"><C>2</C></A>`, `{"A":{"C":"2"},"AB":"1"}`},
		{"attribute in an unknown element", `<X><QDS severity="LOW">35</QDS></X>`, `{"X":{"Qds":35,"QdsSeverity":"LOW"}}`},
		{"attributes of entries", `<THREAT_INTELLIGENCE><THREAT_INTEL id="8">No_Patch</THREAT_INTEL><THREAT_INTEL id="5">Easy_Exploit</THREAT_INTEL></THREAT_INTELLIGENCE>`, `{"ThreatIntel":["No_Patch","Easy_Exploit"],"ThreatIntelId":[8,5]}`},
		{"attribute of one entry", `<THREAT_INTELLIGENCE><THREAT_INTEL id="8">a</THREAT_INTEL></THREAT_INTELLIGENCE>`, `{"ThreatIntel":["a"],"ThreatIntelId":[8]}`},
		{"attribute that is no number", `<THREAT_INTELLIGENCE><THREAT_INTEL id="x">a</THREAT_INTEL></THREAT_INTELLIGENCE>`, `{"ThreatIntel":["a"],"ThreatIntelId":["x"]}`},
		{"attribute missing at some entries", `<A_LIST><A>1</A><A n="2">3</A><A>4</A></A_LIST>`, `{"A":["1","3","4"],"AN":["","2",""]}`},
		{"attributes of repeated elements", `<A n="1">x</A><A n="2">y</A>`, `{"A":["x","y"],"AN":["1","2"]}`},
		{"attribute of a wrapper", `<CVE_LIST count="1"><CVE>a</CVE></CVE_LIST>`, `{"Cve":["a"],"CveListCount":"1"}`},
		{"attribute of an empty wrapper", `<CVE_LIST count="0"/>`, `{"Cve":[],"CveListCount":"0"}`},
		{"attribute and element of a key", `<QDS severity="LOW">35</QDS><QDS_SEVERITY>HIGH</QDS_SEVERITY>`, `{"Qds":35,"QdsSeverity":["LOW","HIGH"]}`},
		{"several attributes", `<BASE source="service" kind="x">5</BASE>`, `{"Base":"5","BaseSource":"service","BaseKind":"x"}`},
		{"attribute with references", `<A b="&lt;&#65;&amp;"/>`, `{"A":"","AB":"<A&"}`},

		{"factors", `<QDS_FACTORS><QDS_FACTOR name="CVSS">7.7</QDS_FACTOR><QDS_FACTOR name="epss">0.00232</QDS_FACTOR></QDS_FACTORS>`, `{"QdsFactors":{"CVSS":"7.7","epss":"0.00232"}}`},
		{"one factor", `<QDS_FACTORS><QDS_FACTOR name="CVSS">7.7</QDS_FACTOR></QDS_FACTORS>`, `{"QdsFactors":{"CVSS":"7.7"}}`},
		{"no factors", `<QDS_FACTORS/>`, `{"QdsFactors":{}}`},
		{"factor twice", `<QDS_FACTORS><QDS_FACTOR name="x">1</QDS_FACTOR><QDS_FACTOR name="x">2</QDS_FACTOR></QDS_FACTORS>`, `{"QdsFactors":{"x":["1","2"]}}`},
		{"factor without a name", `<QDS_FACTORS><QDS_FACTOR>1</QDS_FACTOR></QDS_FACTORS>`, `{"QdsFactors":{"QdsFactor":"1"}}`},
		{"factor with more attributes", `<QDS_FACTORS><QDS_FACTOR name="x" of="y">1</QDS_FACTOR></QDS_FACTORS>`, `{"QdsFactors":{"x":"1","xOf":"y"}}`},

		{"white space around", "<A>\n  x \t y\n</A>", `{"A":"x \t y"}`},
		{"white space in CDATA", "<A><![CDATA[ x\n]]></A>", `{"A":" x\n"}`},
		{"white space around CDATA", "<A>\n <![CDATA[ x ]]>\n </A>", `{"A":" x "}`},
		{"text around CDATA", "<A> a <![CDATA[ x ]]> b </A>", `{"A":"a  x  b"}`},
		{"pieces", "<A>a<!-- c -->b&amp;<![CDATA[<]]>c</A>", `{"A":"ab&<c"}`},
		{"text between elements", "<A> one <B/> two <B/>\n</A>", `{"A":{"Text":["one","two"],"B":["",""]}}`},
		{"no HTML escaping", "<A><![CDATA[<P>&amp;]]></A>", `{"A":"<P>&amp;"}`},

		{"int", `<QID>38170</QID>`, `{"Qid":38170}`},
		{"int, pretty", "<QID>\n 38170\n</QID>", `{"Qid":38170}`},
		{"int that does not parse", `<PORT>http</PORT>`, `{"Port":"http"}`},
		{"int beyond 64 bits", `<UNIQUE_VULN_ID>9223372036854775808</UNIQUE_VULN_ID>`, `{"UniqueVulnId":"9223372036854775808"}`},
		{"empty int", `<PORT/>`, `{"Port":""}`},
		{"int in CDATA", `<PORT><![CDATA[22]]></PORT>`, `{"Port":22}`},
		{"ID is an int of hosts only", `<ID>5</ID>`, `{"Id":"5"}`},
		{"ratings", `<CVSS><BASE source="service">5</BASE><TEMPORAL>4.25</TEMPORAL></CVSS><CVSS_V3><BASE>-</BASE></CVSS_V3>`, `{"Cvss":{"Base":5.0,"BaseSource":"service","Temporal":4.25},"CvssV3":{"Base":"-"}}`},
		{"unknown text stays text", `<X><Y>5</Y><Z>5.0</Z></X>`, `{"X":{"Y":"5","Z":"5.0"}}`},

		{"a key of the record itself", `<LOG_TYPE>x</LOG_TYPE>`, `{"QualysLogType":"x"}`},
		{"it comes out of a wrapper", `<A_LIST><LOG_TYPE>x</LOG_TYPE></A_LIST>`, `{"QualysLogType":["x"]}`},
		{"deeper it is a name like others", `<A><LOG_TYPE>x</LOG_TYPE></A>`, `{"A":{"LogType":"x"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, asJSON(t, "<VULN>"+tt.in+"</VULN>"))
		})
	}
}

func TestRootAttributesBecomeKeysInside(t *testing.T) {
	assert.Equal(t, `{"VulnState":"new","Title":"t"}`, asJSON(t, `<VULN state="new"><TITLE>t</TITLE></VULN>`))
}

func TestAttributesOfAHostBecomeItsKeys(t *testing.T) {
	const missing = `"Qid":0,"Type":"","Severity":0,"Ssl":0,"Results":"","Status":"","LastFoundDateTime":""`
	body := onlyRecord(t, detectionsOf(t, inJSON(testSettings()), `<HOST id="8" log_type="x" name="n"><ID>7</ID><IP>192.0.2.1</IP>`+
		`<DETECTION_LIST log_type="y" a="z"><DETECTION/></DETECTION_LIST></HOST>`)).Body().Str()
	assert.Equal(t, `{"LogType":"vulnerabilityLogs","HostId":"8","HostLogType":"x","HostName":"n","Id":7,"IP":"192.0.2.1","Hostname":"",`+
		`"DetectionListLogType":"y","DetectionListA":"z","Detection":{`+missing+`}}`, body)
}

func TestManyUnknownNames(t *testing.T) {
	// More names than the tables keep, in one record and in many: they arrive all the same.
	n := newInterner(elementRoles)
	tp := newTape(n)
	for round := range 3 {
		var doc, want strings.Builder
		doc.WriteString("<VULN><M>")
		for i := range maxKeys - 1 {
			id := strings.Repeat("X", round+1) + strings.Map(func(r rune) rune { return 'A' + (r - '0') }, strconv.Itoa(i))
			doc.WriteString("<" + id + ">v</" + id + ">")
			if i > 0 {
				want.WriteByte(',')
			}
			want.WriteString(`"` + keyText(id) + `":"v"`)
		}
		doc.WriteString("</M></VULN>")
		tp.reset(maxRecord)
		x := xmlstream.NewReader(strings.NewReader(doc.String()))
		_, err := x.Next()
		require.NoError(t, err)
		require.NoError(t, tp.root(x, tp.push(n.empty, object), &element{text: "VULN", key: n.key("Vuln"), root: true}))
		assert.Equal(t, `{"M":{`+want.String()+`}}`, string(appendValue(nil, tp.nodes, tp.text)))
		assert.LessOrEqual(t, len(n.elements.kept), maxNames)
	}
}
