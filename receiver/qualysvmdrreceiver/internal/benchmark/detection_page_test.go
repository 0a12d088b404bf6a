// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
)

const (
	xmlHead = `<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE HOST_LIST_VM_DETECTION_OUTPUT SYSTEM "https://qualysapi.example.test/dtd/output.dtd">
`
	firstHost = 4_100_000
)

// detectionPage is an answer of the host detection list of about so many bytes, the same for the same size and form. It
// makes one host after the other while it is read.
type detectionPage struct {
	left   int64
	random *rand.Rand
	text   *corpus
	xml    xmlWriter
	read   int // of xml.buf
	host   int
	begun  bool
	ended  bool
}

func newDetectionPage(size int64, pretty bool) *detectionPage {
	random := rand.New(rand.NewPCG(2026, 11))
	return &detectionPage{left: size, random: random, text: newCorpus(random), xml: xmlWriter{pretty: pretty}}
}

// Read implements io.Reader.
func (p *detectionPage) Read(b []byte) (int, error) {
	for p.read == len(p.xml.buf) {
		if p.ended {
			return 0, io.EOF
		}
		p.xml.buf, p.read = p.xml.buf[:0], 0
		p.write()
		p.left -= int64(len(p.xml.buf))
	}
	n := copy(b, p.xml.buf[p.read:])
	p.read += n
	return n, nil
}

// write writes what comes next.
func (p *detectionPage) write() {
	x := &p.xml
	switch {
	case !p.begun:
		x.buf = append(x.buf, xmlHead...)
		x.open("HOST_LIST_VM_DETECTION_OUTPUT")
		x.open("RESPONSE")
		x.leaf("DATETIME", "2026-11-20T10:00:00Z")
		x.open("HOST_LIST")
		p.begun = true
	case p.left > 0:
		p.writeHost()
		p.host++
	default:
		x.close("HOST_LIST")
		x.close("RESPONSE")
		x.close("HOST_LIST_VM_DETECTION_OUTPUT")
		p.ended = true
	}
}

func (p *detectionPage) writeHost() {
	x, random := &p.xml, p.random
	id := firstHost + p.host*3 + random.IntN(3)
	name := "press-" + strconv.Itoa(p.host)
	x.open("HOST")
	x.number("ID", id)
	x.number("ASSET_ID", 9_100_000+id)
	x.leaf("IP", fmt.Sprintf("10.%d.%d.%d", p.host>>16&255, p.host>>8&255, p.host&255))
	x.leaf("TRACKING_METHOD", "AGENT")
	x.number("NETWORK_ID", 0)
	x.cdata("OS", "Ubuntu Linux 24.04.2 LTS")
	x.cdata("DNS", name+".plant.example.test")
	x.open("DNS_DATA")
	x.cdata("HOSTNAME", name)
	x.cdata("DOMAIN", "plant.example.test")
	x.cdata("FQDN", name+".plant.example.test")
	x.close("DNS_DATA")
	if random.IntN(2) == 0 {
		x.cdata("NETBIOS", strings.ToUpper(name))
	}
	x.cdata("QG_HOSTID", fmt.Sprintf("%08x-0000-4000-8000-%012x", random.Uint32(), id))
	x.leaf("LAST_SCAN_DATETIME", p.time(19))
	x.leaf("LAST_VM_SCANNED_DATE", p.time(19))
	x.number("LAST_VM_SCANNED_DURATION", 100+random.IntN(1000))
	x.open("TAGS")
	for i := range 1 + random.IntN(4) {
		x.open("TAG")
		x.number("TAG_ID", 7_700_000+i)
		x.leaf("NAME", []string{"Plant", "Linux &amp; Unix", "Gebäude 7", "Internet facing"}[i])
		x.close("TAG")
	}
	x.close("TAGS")
	x.open("DETECTION_LIST")
	for i := range 50 + random.IntN(251) {
		p.writeDetection(id*1000 + i)
	}
	x.close("DETECTION_LIST")
	x.close("HOST")
}

func (p *detectionPage) writeDetection(id int) {
	x, random := &p.xml, p.random
	status := []string{"Active", "Active", "Active", "New", "Re-Opened", "Fixed"}[random.IntN(6)]
	x.open("DETECTION")
	x.number("UNIQUE_VULN_ID", id)
	x.number("QID", 38_000+random.IntN(350_000))
	x.leaf("TYPE", []string{"Confirmed", "Potential"}[random.IntN(2)])
	x.number("SEVERITY", 1+random.IntN(5))
	if random.IntN(3) == 0 {
		x.number("PORT", 1+random.IntN(65_000))
		x.leaf("PROTOCOL", "tcp")
	}
	x.number("SSL", random.IntN(2))
	if random.IntN(100) < 95 {
		x.cdata("RESULTS", p.text.take(&p.text.plain, random, resultsSize(random)))
	} else {
		x.leaf("RESULTS", p.text.take(&p.text.escaped, random, resultsSize(random)))
	}
	x.leaf("STATUS", status)
	x.leaf("FIRST_FOUND_DATETIME", p.time(3))
	x.leaf("LAST_FOUND_DATETIME", p.time(18))
	x.leaf("SOURCE", "QAGENT")
	x.indent()
	score := 1 + random.IntN(100)
	x.buf = fmt.Appendf(x.buf, "<QDS severity=%q>%d</QDS>", []string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}[score/26], score)
	x.open("QDS_FACTORS")
	for _, factor := range []string{"CVSS", "CVSS_version", "epss", "exploit_maturity"}[:2+random.IntN(3)] {
		x.indent()
		x.buf = fmt.Appendf(x.buf, "<QDS_FACTOR name=%q>%d.%d</QDS_FACTOR>", factor, random.IntN(10), random.IntN(1000))
	}
	x.close("QDS_FACTORS")
	x.number("TIMES_FOUND", 1+random.IntN(400))
	x.leaf("LAST_TEST_DATETIME", p.time(18))
	x.leaf("LAST_UPDATE_DATETIME", p.time(19))
	if status == "Fixed" {
		x.leaf("LAST_FIXED_DATETIME", p.time(17))
	}
	x.number("IS_IGNORED", random.IntN(2))
	x.number("IS_DISABLED", 0)
	x.leaf("LAST_PROCESSED_DATETIME", p.time(19))
	x.close("DETECTION")
}

func (p *detectionPage) time(day int) string {
	return fmt.Sprintf("2026-11-%02dT%02d:%02d:%02dZ", day, p.random.IntN(24), p.random.IntN(60), p.random.IntN(60))
}

// resultsSize is the size of RESULTS in bytes: mostly short, now and then long.
func resultsSize(random *rand.Rand) int {
	switch share := random.IntN(100); {
	case share < 70:
		return 100 + random.IntN(900)
	case share < 95:
		return 1000 + random.IntN(2000)
	default:
		return 3000 + random.IntN(7000)
	}
}

// corpus holds lines that RESULTS consist of, as they are and with their markup characters as entities.
type corpus struct{ plain, escaped []string }

func newCorpus(random *rand.Rand) *corpus {
	c := new(corpus)
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")
	for range 500 {
		line := fmt.Sprintf("/opt/example/lib%d.so\tInstalled: 1.%d.3\tRequired: 1.%d.0\n", random.IntN(1000), random.IntN(100), random.IntN(100))
		switch random.IntN(8) {
		case 0:
			line = fmt.Sprintf("Schlüssel größer als %d Bit – «geprüft» ✓\n", random.IntN(4096))
		case 1:
			line = fmt.Sprintf("<entry key=\"%d\">a & b's [%d]</entry>\n", random.IntN(100), random.IntN(100))
		}
		c.plain = append(c.plain, line)
		c.escaped = append(c.escaped, escape.Replace(line))
	}
	return c
}

// take returns text of about so many bytes. It ends as a line does not, since white space at the end of a value that is no
// CDATA would not belong to it.
func (c *corpus) take(lines *[]string, random *rand.Rand, size int) string {
	var b strings.Builder
	for i := random.IntN(len(*lines)); b.Len() < size; i = (i + 1) % len(*lines) {
		b.WriteString((*lines)[i])
	}
	return b.String() + "end"
}

// xmlWriter writes elements, in lines of their own if pretty.
type xmlWriter struct {
	buf    []byte
	pretty bool
	depth  int
}

func (x *xmlWriter) indent() {
	if x.pretty {
		x.buf = append(x.buf, '\n')
		x.buf = append(x.buf, "                "[:2*x.depth]...)
	}
}

func (x *xmlWriter) open(name string) {
	x.indent()
	x.buf = append(append(append(x.buf, '<'), name...), '>')
	x.depth++
}

func (x *xmlWriter) close(name string) {
	x.depth--
	x.indent()
	x.buf = append(append(append(x.buf, "</"...), name...), '>')
}

// leaf writes an element with text, which must be escaped.
func (x *xmlWriter) leaf(name, text string) {
	x.indent()
	x.buf = append(append(append(x.buf, '<'), name...), '>')
	x.buf = append(x.buf, text...)
	x.buf = append(append(append(x.buf, "</"...), name...), '>')
}

func (x *xmlWriter) cdata(name, text string) { x.leaf(name, "<![CDATA["+text+"]]>") }

func (x *xmlWriter) number(name string, n int) { x.leaf(name, strconv.Itoa(n)) }

// pageOf is a page in memory.
func pageOf(size int64, pretty bool) []byte {
	var page bytes.Buffer
	page.Grow(int(size) + 1<<20)
	_, _ = page.ReadFrom(newDetectionPage(size, pretty)) // neither fails
	return page.Bytes()
}
