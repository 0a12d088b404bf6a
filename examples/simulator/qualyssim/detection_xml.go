// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"strconv"
	"strings"
)

// appendDetection writes one detection. It runs half a million times for a page of 1 GB: no fmt, no allocation.
func (s *subscription) appendDetection(x *xmlBuilder, h *host, found *detection, show *hostShow) {
	script := found.script
	if script != nil && script.Raw != "" {
		x.buf = append(x.buf, script.Raw...)
		return
	}
	d := newDice(s.options.Seed, purposeDetectionText, uint64(h.index), uint64(found.number)|1<<40)
	// A script says everything that is there.
	some := func(oneIn int) bool { return script == nil && d.oneIn(oneIn) }

	x.open("DETECTION")
	if !s.options.OmitUniqueVulnIDs && found.uniqueVulnID != 0 {
		x.int("UNIQUE_VULN_ID", found.uniqueVulnID)
	}
	x.int("QID", found.qid.number)
	x.plain("TYPE", string(found.qid.vulnType))
	x.int("SEVERITY", found.qid.severity)
	if found.port != 0 {
		x.int("PORT", found.port)
		x.plain("PROTOCOL", "tcp")
	}
	if some(12) {
		x.cdata("FQDN", "portal.example.com")
	}
	x.flag("SSL", found.port == 443 || found.port == 8443)
	if some(24) {
		x.cdata("INSTANCE", "MSSQL & friends")
		x.cdata("RESULT_INSTANCE", "instance:1")
	}
	if show.results {
		s.appendResults(x, h, found, &d, show)
	}
	x.plain("STATUS", show.spelled(found.status))
	x.time("FIRST_FOUND_DATETIME", found.firstFound)
	x.time("LAST_FOUND_DATETIME", found.lastFound)
	source := detectedBy[d.below(len(detectedBy))]
	x.plain("SOURCE", source)
	if show.qds {
		appendQDS(x, &d)
	}
	if show.qdsFactors {
		x.open("QDS_FACTORS")
		for _, factor := range qdsFactors[:3+d.below(len(qdsFactors)-2)] {
			x.attribute("QDS_FACTOR", "name", factor, factorValues[d.below(len(factorValues))])
		}
		x.close("QDS_FACTORS")
	}
	x.int("TIMES_FOUND", found.timesFound)
	x.time("LAST_TEST_DATETIME", found.lastTest)
	x.time("LAST_UPDATE_DATETIME", found.lastUpdate)
	x.time("LAST_FIXED_DATETIME", found.lastFixed)
	if show.reopened {
		x.time("FIRST_REOPENED_DATETIME", found.firstReopened)
		x.time("LAST_REOPENED_DATETIME", found.lastReopened)
		if found.timesReopened > 0 {
			x.int("TIMES_REOPENED", found.timesReopened)
		}
	}
	if some(10) {
		x.cdata("SERVICE", "ssh over tcp")
	}
	x.flag("IS_IGNORED", found.ignored)
	x.flag("IS_DISABLED", found.disabled)
	if some(16) {
		x.flag("AFFECT_RUNNING_KERNEL", d.oneIn(2))
		x.flag("AFFECT_RUNNING_SERVICE", d.oneIn(2))
		x.flag("AFFECT_EXPLOITABLE_CONFIG", d.oneIn(2))
	}
	x.time("LAST_PROCESSED_DATETIME", found.processed)
	if some(3) {
		x.start("ASSET_CVE")
		x.buf = appendCVE(x.buf, found.qid, 0)
		x.end("ASSET_CVE")
	}
	if script != nil {
		x.buf = append(x.buf, script.Elements...)
	} else if show.version >= 5 {
		appendSince5(x, found, &d, source, show)
	}
	if show.unknownElements {
		x.attribute("FUTURE_ELEMENT", "since", "9.9", "tomorrow")
		x.open("FUTURE_LIST")
		x.plain("ITEM", "a")
		x.plain("ITEM", "b")
		x.close("FUTURE_LIST")
	}
	x.close("DETECTION")
	if some(500) {
		x.comment("keep-alive for HOST_LIST_VM_DETECTION_OUTPUT ")
	}
}

var factorValues = []string{"7.8", "0.00043", "poc", "Exploit_Public,High_Lateral_Movement", "v3.x", "11102024"}

func (s *subscription) appendResults(x *xmlBuilder, h *host, found *detection, d *dice, show *hostShow) {
	x.indent()
	x.buf = append(x.buf, "<RESULTS"...)
	if x.pretty && d.oneIn(8) {
		x.buf = append(x.buf, "\n  "...)
	}
	x.buf = append(x.buf, '>')
	inCDATA := false
	if found.script != nil {
		x.buf = appendEscaped(x.buf, found.script.Results)
	} else {
		text := s.resultsText(h.index, found.number)
		form := &s.corpus.escaped
		if inCDATA = text.cdata; inCDATA {
			form = &s.corpus.cdata
			x.buf = append(x.buf, cdataStart...)
		}
		x.buf = s.corpus.appendTo(x.buf, form, &text.dice, text.size)
	}
	if show.controlCharacters {
		x.buf = append(x.buf, "\x01\x0b bell\x07 escape\x1b[0m nul\x00 delete\x7f"...)
	}
	if show.invalidUTF8 {
		x.buf = append(x.buf, " latin1 \xfc cut \xe2\x82 surrogate \xed\xa0\x80 never \xff\xfe"...)
	}
	if inCDATA {
		x.buf = append(x.buf, cdataEnd...)
	}
	x.end("RESULTS")
}

func appendQDS(x *xmlBuilder, d *dice) {
	score := d.between(1, 100)
	severity := "LOW"
	switch {
	case score >= 90:
		severity = "CRITICAL"
	case score >= 70:
		severity = "HIGH"
	case score >= 40:
		severity = "MEDIUM"
	}
	x.indent()
	x.buf = append(x.buf, `<QDS severity="`...)
	x.buf = append(x.buf, severity...)
	x.buf = append(x.buf, '"', '>')
	x.buf = strconv.AppendInt(x.buf, int64(score), 10)
	x.end("QDS")
}

// appendSince5 writes what version 5.0 added; nobody has seen its inner shape yet, so it is kept simple.
func appendSince5(x *xmlBuilder, found *detection, d *dice, source string, show *hostShow) {
	for i := range 1 + d.below(2) {
		x.start("CVE")
		x.buf = appendCVE(x.buf, found.qid, i)
		x.end("CVE")
	}
	if show.sources {
		x.plain("VULNERABILITY_DETECTION_SOURCES", strings.Join(detectionSources[:1+d.below(len(detectionSources))], ","))
		x.plain("LATEST_VULNERABILITY_DETECTION_SOURCE", sourceNames[source])
	}
	if d.oneIn(4) {
		tactic := d.below(len(mitreTactics))
		x.plain("MITRE_TACTIC_NAME", mitreTactics[tactic])
		x.plain("MITRE_TACTIC_ID", mitreTacticIDs[tactic])
		x.plain("MITRE_TECHNIQUE_NAME", "Exploitation of Remote Services")
		x.plain("MITRE_TECHNIQUE_ID", "T1210")
	}
	if found.status == StatusFixed {
		x.plain("TRURISK_ELIMINATION_STATUS", "Patched")
	}
}

// appendCVE appends the n-th CVE of a QID.
func appendCVE(b []byte, q *qid, n int) []byte {
	b = append(b, "CVE-20"...)
	b = strconv.AppendInt(b, 10+q.number%17, 10)
	b = append(b, '-')
	return strconv.AppendInt(b, 10_000+(q.number*31+int64(n)*7)%80_000, 10)
}
