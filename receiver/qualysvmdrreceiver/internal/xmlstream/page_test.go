// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package xmlstream

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// detectionPage makes a page of host detections as Qualys sends them, always the
// same one for the same size and form.
func detectionPage(size int, pretty bool) []byte {
	p := &pageWriter{rand: rand.New(rand.NewPCG(1, 2)), pretty: pretty}
	p.out.WriteString(`<?xml version="1.0" encoding="UTF-8" ?>` + "\n" +
		`<!DOCTYPE HOST_LIST_VM_DETECTION_OUTPUT SYSTEM "https://example.com/detection_output.dtd">` + "\n" +
		"<!-- generated for tests //-->\n")
	p.open("HOST_LIST_VM_DETECTION_OUTPUT")
	p.open("RESPONSE")
	p.leaf("DATETIME", "2026-11-20T09:15:00Z")
	p.open("HOST_LIST")
	for id := 1000; p.out.Len() < size; id++ {
		p.host(id)
	}
	p.close("HOST_LIST")
	p.close("RESPONSE")
	p.close("HOST_LIST_VM_DETECTION_OUTPUT")
	return []byte(p.out.String())
}

type pageWriter struct {
	rand   *rand.Rand
	out    strings.Builder
	depth  int
	pretty bool
}

func (p *pageWriter) indent() {
	if p.pretty {
		p.out.WriteString("\n" + strings.Repeat("  ", p.depth))
	}
}

func (p *pageWriter) open(name string) {
	p.indent()
	p.out.WriteString("<" + name + ">")
	p.depth++
}

func (p *pageWriter) close(name string) {
	p.depth--
	p.indent()
	p.out.WriteString("</" + name + ">")
}

func (p *pageWriter) leaf(name, value string) {
	p.indent()
	p.out.WriteString("<" + name + ">" + value + "</" + name + ">")
}

func (p *pageWriter) host(id int) {
	p.open("HOST")
	p.leaf("ID", fmt.Sprint(id))
	p.leaf("IP", fmt.Sprintf("10.%d.%d.%d", id>>16&255, id>>8&255, id&255))
	p.leaf("TRACKING_METHOD", "AGENT")
	p.leaf("OS", "<![CDATA[Ubuntu Linux 24.04 LTS]]>")
	p.leaf("DNS", fmt.Sprintf("<![CDATA[host-%d.example.com]]>", id))
	p.leaf("LAST_SCAN_DATETIME", "2026-11-20T08:00:00Z")
	p.open("TAGS")
	for tag := range 5 {
		p.open("TAG")
		p.leaf("TAG_ID", fmt.Sprint(7000+tag))
		p.leaf("NAME", "<![CDATA[Büro & Co]]>")
		p.close("TAG")
	}
	p.close("TAGS")
	p.open("DETECTION_LIST")
	for range 50 + p.rand.IntN(251) {
		p.detection()
	}
	p.close("DETECTION_LIST")
	p.close("HOST")
}

func (p *pageWriter) detection() {
	p.open("DETECTION")
	p.leaf("UNIQUE_VULN_ID", fmt.Sprint(p.rand.IntN(1<<30)))
	p.leaf("QID", fmt.Sprint(10000+p.rand.IntN(900000)))
	p.leaf("TYPE", "Confirmed")
	p.leaf("SEVERITY", fmt.Sprint(1+p.rand.IntN(5)))
	p.leaf("PORT", fmt.Sprint(p.rand.IntN(1<<16)))
	p.leaf("PROTOCOL", "tcp")
	p.leaf("SSL", "0")
	p.results()
	p.leaf("STATUS", "Active")
	for _, name := range []string{
		"FIRST_FOUND_DATETIME", "LAST_FOUND_DATETIME", "LAST_TEST_DATETIME", "LAST_UPDATE_DATETIME", "LAST_PROCESSED_DATETIME",
	} {
		p.leaf(name, fmt.Sprintf("2026-%02d-%02dT10:11:12Z", 1+p.rand.IntN(12), 1+p.rand.IntN(28)))
	}
	p.indent()
	p.out.WriteString(`<QDS severity="CRITICAL">95</QDS>`)
	p.open("QDS_FACTORS")
	for _, name := range []string{"CVSS", "CVSS_version", "epss", "rti"} {
		p.indent()
		p.out.WriteString(`<QDS_FACTOR name="` + name + `"><![CDATA[0.97]]></QDS_FACTOR>`)
	}
	p.close("QDS_FACTORS")
	p.leaf("TIMES_FOUND", fmt.Sprint(p.rand.IntN(300)))
	p.leaf("IS_IGNORED", "0")
	p.leaf("IS_DISABLED", "0")
	p.close("DETECTION")
}

// results writes what a scan has found: mostly short, mostly in CDATA.
func (p *pageWriter) results() {
	size := 100 + p.rand.IntN(900)
	switch n := p.rand.IntN(100); {
	case n < 5:
		size = 3000 + p.rand.IntN(7000)
	case n < 30:
		size = 1000 + p.rand.IntN(2000)
	}
	var value strings.Builder
	for value.Len() < size {
		fmt.Fprintf(&value, "Package%d\t1.%d.0-ubuntu\trequired 1.%d.4\n", p.rand.IntN(5000), p.rand.IntN(90), p.rand.IntN(90))
		switch p.rand.IntN(20) {
		case 0:
			value.WriteString("größer – 日本語\n")
		case 1:
			value.WriteString("HKLM\\Software [x] a<b && c>d\n")
		}
	}
	if p.rand.IntN(20) == 0 {
		p.leaf("RESULTS", strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(value.String()))
		return
	}
	p.leaf("RESULTS", "<![CDATA["+value.String()+"]]>")
}
