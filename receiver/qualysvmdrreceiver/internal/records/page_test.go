// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// page is an answer with many detections, the same for the same numbers: hosts of as many detections each, about 1.9 kB
// a detection, as scanners and agents report them.
func page(hosts, detections int) string {
	random := rand.New(rand.NewPCG(11, 20))
	var b strings.Builder
	b.WriteString("<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><DATETIME>2026-11-20T10:00:00Z</DATETIME>\n<HOST_LIST>\n")
	for h := range hosts {
		id := 4100000 + h
		fmt.Fprintf(&b, "<HOST>\n  <ID>%d</ID>\n  <ASSET_ID>%d</ASSET_ID>\n  <IP>192.0.2.%d</IP>\n", id, 9100000+h, h%250+1)
		fmt.Fprintf(&b, "  <TRACKING_METHOD>AGENT</TRACKING_METHOD>\n  <OS><![CDATA[Debian GNU/Linux 12]]></OS>\n")
		fmt.Fprintf(&b, "  <DNS><![CDATA[press-%d.plant.example.test]]></DNS>\n  <DNS_DATA>\n    <HOSTNAME>press-%d</HOSTNAME>\n    <FQDN>press-%d.plant.example.test</FQDN>\n  </DNS_DATA>\n", h, h, h)
		b.WriteString("  <LAST_SCAN_DATETIME>2026-11-19T22:10:05Z</LAST_SCAN_DATETIME>\n  <LAST_VM_SCANNED_DATE>2026-11-19T22:10:04Z</LAST_VM_SCANNED_DATE>\n  <LAST_VM_SCANNED_DURATION>412</LAST_VM_SCANNED_DURATION>\n")
		b.WriteString("  <TAGS>\n    <TAG><TAG_ID>7700</TAG_ID><NAME>Plant</NAME></TAG>\n    <TAG><TAG_ID>7701</TAG_ID><NAME>Linux</NAME></TAG>\n  </TAGS>\n  <DETECTION_LIST>\n")
		for d := range detections {
			fmt.Fprintf(&b, "    <DETECTION>\n      <UNIQUE_VULN_ID>%d</UNIQUE_VULN_ID>\n      <QID>%d</QID>\n      <TYPE>Confirmed</TYPE>\n      <SEVERITY>%d</SEVERITY>\n      <SSL>0</SSL>\n", 880000000000+h*1000+d, 100000+random.IntN(60000), 1+random.IntN(5))
			results := results(random)
			if random.IntN(20) == 0 {
				fmt.Fprintf(&b, "      <RESULTS>%s &amp; more</RESULTS>\n", results)
			} else {
				fmt.Fprintf(&b, "      <RESULTS><![CDATA[%s]]></RESULTS>\n", results)
			}
			b.WriteString("      <STATUS>Active</STATUS>\n      <FIRST_FOUND_DATETIME>2026-01-03T04:05:06Z</FIRST_FOUND_DATETIME>\n      <LAST_FOUND_DATETIME>2026-11-19T22:10:04Z</LAST_FOUND_DATETIME>\n      <SOURCE>QAGENT</SOURCE>\n")
			fmt.Fprintf(&b, "      <QDS severity=\"LOW\">%d</QDS>\n      <QDS_FACTORS>\n        <QDS_FACTOR name=\"CVSS\">7.7</QDS_FACTOR>\n        <QDS_FACTOR name=\"epss\">0.0%d</QDS_FACTOR>\n      </QDS_FACTORS>\n", random.IntN(100), random.IntN(1000))
			b.WriteString("      <TIMES_FOUND>31</TIMES_FOUND>\n      <LAST_TEST_DATETIME>2026-11-19T22:10:04Z</LAST_TEST_DATETIME>\n      <LAST_UPDATE_DATETIME>2026-11-19T22:30:00Z</LAST_UPDATE_DATETIME>\n      <IS_IGNORED>0</IS_IGNORED>\n      <IS_DISABLED>0</IS_DISABLED>\n      <LAST_PROCESSED_DATETIME>2026-11-19T22:31:00Z</LAST_PROCESSED_DATETIME>\n    </DETECTION>\n")
		}
		b.WriteString("  </DETECTION_LIST>\n</HOST>\n")
	}
	b.WriteString("</HOST_LIST></RESPONSE></HOST_LIST_VM_DETECTION_OUTPUT>\n")
	return b.String()
}

// results is what a detection found: mostly short, now and then long, with tabs, line ends and more than ASCII.
func results(random *rand.Rand) string {
	n := 100 + random.IntN(900)
	switch p := random.IntN(100); {
	case p >= 95:
		n = 3000 + random.IntN(7000)
	case p >= 70:
		n = 1000 + random.IntN(2000)
	}
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "/opt/example/lib%d.so\t1.%d.3\tgrößer\n", random.IntN(1000), random.IntN(100))
	}
	return b.String()
}
