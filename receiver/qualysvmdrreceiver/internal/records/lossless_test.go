// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// document makes elements that collide in every way the rules know of. Every text in them is another one.
type document struct {
	strings.Builder
	random *rand.Rand
	texts  []string
}

// documentNames have keys in common, in pairs or behind a wrapper, or rules of their own.
var documentNames = []string{
	"A", "A_B", "A__B", "B", "A_LIST", "B_LIST", "AS", "ID", "URL", "CVE", "CVE_LIST", "TAG", "TAGS", "TEXT", "QDS", "QDS_SEVERITY",
	"QDS_FACTORS", "QDS_FACTOR", "METADATA", "ATTRIBUTE", "THREAT_INTEL", "THREAT_INTELLIGENCE", "THREAT_INTEL_ID", "LOG_TYPE", "CVSS", "BASE",
	"IP", "DNS", "DNS_DATA", "FQDN", "HOSTNAME", "DETECTION_", "VULN_TYPE", "VULNERABILITY_TYPE", "SEVERITY", "STATUS", "PORT",
}

func (d *document) text() string {
	text := fmt.Sprintf("text-%d.", len(d.texts))
	d.texts = append(d.texts, text)
	return text
}

func (d *document) element(depth int) {
	name := documentNames[d.random.IntN(len(documentNames))]
	d.WriteString("<" + name)
	for _, attr := range []string{"b", "id", "severity", "name"} {
		if d.random.IntN(8) == 0 {
			fmt.Fprintf(d, " %s='%s'", attr, d.text())
		}
	}
	d.WriteString(">")
	for range d.random.IntN(4) {
		switch d.random.IntN(4) {
		case 0:
			d.WriteString("<![CDATA[" + d.text() + "]]>")
		case 1:
			d.WriteString("\n  " + d.text())
		default:
			if depth > 0 {
				d.element(depth - 1)
			}
		}
	}
	d.WriteString("</" + name + ">")
}

func (d *document) elements(n int) {
	for range n {
		d.element(3)
	}
}

func TestNothingIsLost(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		d := &document{random: random}
		d.WriteString("<HOST v='" + d.text() + "'>")
		d.elements(random.IntN(6))
		d.WriteString("<DETECTION_LIST v='" + d.text() + "'></DETECTION_LIST>")
		d.WriteString("<DETECTION v='" + d.text() + "'>")
		d.elements(random.IntN(10))
		d.WriteString("</DETECTION>")
		d.elements(random.IntN(6))
		d.WriteString("<DETECTION_LIST v='" + d.text() + "'><DETECTION></DETECTION></DETECTION_LIST></HOST>")
		inMap, inJSON := detectionsOf(t, unlimited(), d.String()), detectionsOf(t, inJSON(unlimited()), d.String())
		body := ""
		for _, lr := range recordsOf(inJSON) {
			body += lr.Body().Str()
		}
		for _, text := range d.texts {
			require.Contains(t, body, text, "round %d: %s", round, d.String())
		}
		agree(t, inMap, inJSON)
		if t.Failed() {
			t.Fatal(d.String())
		}

		e := &document{random: random}
		e.WriteString("<VULN v='" + e.text() + "'>")
		e.elements(random.IntN(12))
		e.WriteString("</VULN>")
		entry := entriesOf(t, unlimited(), e.String())
		body = onlyRecord(t, entriesOf(t, Settings{JSON: true}, e.String())).Body().Str()
		for _, text := range e.texts {
			require.Contains(t, body, text, "round %d: %s", round, e.String())
		}
		assert.Equal(t, 1, entry.Logs.LogRecordCount())
	}
}
