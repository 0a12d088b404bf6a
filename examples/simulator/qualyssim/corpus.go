// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"slices"
	"strconv"
	"strings"
)

const (
	corpusSize = 160 << 10
	// meanResults is the mean of the sizes that resultsSize draws.
	meanResults = 1210
)

// corpus is the text that RESULTS are cut from, at line ends, in the forms in which they are written.
type corpus struct {
	raw, cdata, escaped text
}

// text is lines that end in a newline, and the offset of each with that of the end.
type text struct {
	data  string
	lines []int
}

func (t *text) append(b *strings.Builder, line string) {
	t.lines = append(t.lines, b.Len())
	b.WriteString(line)
}

func newCorpus(seed uint64) *corpus {
	var raw, cdata, escaped strings.Builder
	c := new(corpus)
	d := newDice(seed, purposeCorpus, 0, 0)
	for raw.Len() < corpusSize {
		line := resultLine(&d)
		c.raw.append(&raw, line)
		c.cdata.append(&cdata, strings.ReplaceAll(line, cdataEnd, cdataSplit))
		c.escaped.append(&escaped, string(appendEscaped(nil, line)))
	}
	c.raw.data, c.cdata.data, c.escaped.data = raw.String(), cdata.String(), escaped.String()
	c.raw.lines = append(c.raw.lines, len(c.raw.data))
	c.cdata.lines = append(c.cdata.lines, len(c.cdata.data))
	c.escaped.lines = append(c.escaped.lines, len(c.escaped.data))
	return c
}

var (
	resultPackages = []string{"openssl", "openssl-libs", "kernel-core", "glibc", "libcurl4", "python3-urllib3", "libxml2", "bind9-host", "sudo", "vim-minimal", "nginx", "log4j-core", "zlib1g"}
	resultPaths    = []string{`C:\Program Files\Contoso\Agent\agent.exe`, `%windir%\System32\mshtml.dll`, `HKLM\SOFTWARE\Policies\Microsoft\Windows`, "/usr/lib/x86_64-linux-gnu/libssl.so.3", "/opt/app/lib/app-core.jar", "/etc/ssh/sshd_config"}
	resultWords    = []string{"Überprüfung der größeren Pakete", "déjà installé — voir l'annexe", "パッチが適用されていません", "требуется обновление", "naïve façade", "10 µs ≤ 50 µs"}
)

func resultLine(d *dice) string {
	version := func() string {
		return strconv.Itoa(d.below(12)) + "." + strconv.Itoa(d.below(40)) + "." + strconv.Itoa(d.below(200))
	}
	switch d.below(12) {
	case 0, 1, 2, 3:
		return pick(d, resultPackages) + "\t" + version() + "-" + strconv.Itoa(d.below(99)) + ".el9\t" + version() + "\n"
	case 4, 5:
		return pick(d, resultPaths) + "  Version is  " + version() + "\n"
	case 6:
		return "Vulnerable version: < " + version() + " && >= " + version() + " (\"" + pick(d, resultPackages) + "\")\n"
	case 7:
		return "<config name=\"" + pick(d, resultPackages) + "\" enabled='" + strconv.Itoa(d.below(2)) + "'>A&B</config>\n"
	case 8:
		return pick(d, resultWords) + "\t" + version() + "\n"
	case 9:
		return "Cipher TLS_RSA_WITH_AES_" + strconv.Itoa(128*(1+d.below(2))) + "_CBC_SHA\tRSA\tSHA1\tAES(" + strconv.Itoa(128*(1+d.below(2))) + ")\tMEDIUM\n"
	case 10:
		return "#table cols=\"3\"\n"
	default:
		if d.oneIn(64) {
			return "if (a[b[0]]> 1) { return; } /* " + version() + " */\n"
		}
		return "Port " + strconv.Itoa(d.below(65536)) + "/tcp is open; the service answered in " + strconv.Itoa(d.below(900)) + " ms.\n"
	}
}

// resultsSize draws the size of one RESULTS: 70 % of 100 to 1000 bytes, 25 % to 3000 and 5 % to 10000, scaled to a mean.
func resultsSize(d *dice, mean int) int {
	var size int
	switch p := d.below(100); {
	case p < 70:
		size = d.between(100, 1000)
	case p < 95:
		size = d.between(1000, 3000)
	default:
		size = d.between(3000, 10000)
	}
	return max(1, size*mean/meanResults)
}

// appendTo appends about size bytes of the corpus in one of its forms, from a line that d draws. Which lines depends
// only on d and size, not on the form.
func (c *corpus) appendTo(b []byte, form *text, d *dice, size int) []byte {
	first := d.below(len(c.raw.lines) - 1)
	for {
		end, _ := slices.BinarySearch(c.raw.lines, c.raw.lines[first]+size)
		if end < len(c.raw.lines) {
			b = append(b, form.data[form.lines[first]:form.lines[end]]...)
			// The last line has no newline at its end.
			return b[:len(b)-1]
		}
		b = append(b, form.data[form.lines[first]:]...)
		size -= len(c.raw.data) - c.raw.lines[first]
		if size <= 0 {
			return b[:len(b)-1]
		}
		first = 0
	}
}
