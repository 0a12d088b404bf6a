// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/records"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// entries is how many different entries there are.
const entries = 300

// typicalFields are what detections carry of entries like those of Qualys: one to three CVEs, both ratings, threats.
func typicalFields() (list []*records.EntryFields, err error) {
	random := rand.New(rand.NewPCG(2026, 12))
	settings := recordSettings(serverName)
	settings.EnrichFields = enrichFields
	builder := records.NewKnowledgeBase(settings)
	builder.Begin(collected, "", nil, func(_ *records.Item, stored []byte) {
		fields, failed := records.ParseEntryFields(stored)
		if failed != nil {
			err = failed
		}
		list = append(list, fields)
	})
	for qid := range entries {
		xml := xmlstream.NewReader(strings.NewReader(entryOf(38_000+qid, random)))
		if _, err := xml.Next(); err != nil {
			return nil, err
		}
		if err := builder.Entry(xml); err != nil {
			return nil, err
		}
		builder.Take()
	}
	return list, err
}

func entryOf(qid int, random *rand.Rand) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<VULN><QID>%d</QID><VULN_TYPE>Vulnerability</VULN_TYPE><SEVERITY_LEVEL>%d</SEVERITY_LEVEL>", qid, 1+random.IntN(5))
	fmt.Fprintf(&b, "<TITLE><![CDATA[Example Linux Security Update for library%d (EXSA-2026:%d)]]></TITLE><CATEGORY>Example Linux</CATEGORY>", qid, qid)
	b.WriteString("<LAST_SERVICE_MODIFICATION_DATETIME>2026-10-02T12:00:00Z</LAST_SERVICE_MODIFICATION_DATETIME>" +
		"<PUBLISHED_DATETIME>2026-05-11T09:00:00Z</PUBLISHED_DATETIME><PATCHABLE>1</PATCHABLE>" +
		"<SOFTWARE_LIST><SOFTWARE><PRODUCT>library</PRODUCT><VENDOR>example</VENDOR></SOFTWARE></SOFTWARE_LIST>")
	fmt.Fprintf(&b, "<VENDOR_REFERENCE_LIST><VENDOR_REFERENCE><ID>EXSA-2026:%d</ID><URL>https://vendor.example.test/EXSA-2026:%d</URL></VENDOR_REFERENCE></VENDOR_REFERENCE_LIST>", qid, qid)
	b.WriteString("<CVE_LIST>")
	for range 1 + random.IntN(3) {
		id := random.IntN(60_000)
		fmt.Fprintf(&b, "<CVE><ID>CVE-2026-%d</ID><URL>https://cve.example.test/CVE-2026-%d</URL></CVE>", id, id)
	}
	b.WriteString("</CVE_LIST><DIAGNOSIS>A long text.</DIAGNOSIS><CVSS><BASE source=\"service\">7.5</BASE><TEMPORAL>5.5</TEMPORAL>" +
		"<VECTOR_STRING>CVSS:2.0/AV:N/AC:L/Au:N/C:P/I:P/A:P/E:U/RL:OF/RC:C</VECTOR_STRING></CVSS>" +
		"<CVSS_V3><BASE>9.8</BASE><TEMPORAL>8.5</TEMPORAL><VECTOR_STRING>CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:U/RL:O/RC:C</VECTOR_STRING>" +
		"<CVSS3_VERSION>3.1</CVSS3_VERSION></CVSS_V3><PCI_FLAG>1</PCI_FLAG><THREAT_INTELLIGENCE>")
	for i, threat := range []string{"Easy_Exploit", "No_Patch", "High_Lateral_Movement"}[:random.IntN(4)] {
		fmt.Fprintf(&b, "<THREAT_INTEL id=\"%d\"><![CDATA[%s]]></THREAT_INTEL>", i+5, threat)
	}
	b.WriteString("</THREAT_INTELLIGENCE><DISCOVERY><REMOTE>0</REMOTE></DISCOVERY></VULN>")
	return b.String()
}
