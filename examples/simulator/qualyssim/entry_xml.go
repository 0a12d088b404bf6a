// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import "strconv"

// entryBytes is about how long the XML of an entry is.
const entryBytes = 6_000

// entryShow is what a request wants to see of an entry of the KnowledgeBase.
type entryShow struct {
	all, modules, reasons, changes bool

	// What faults add.
	unknown, spoiled, control bool
}

var (
	entryProducts   = []string{"openssl", "windows_server_2022", "ios_xe", "nginx", "log4j", "größenwahn"}
	entryVendors    = []string{"openssl", "microsoft", "cisco", "f5", "apache", "example & sons"}
	entryCategories = []string{"Windows", "Cisco", "RedHat", "Web server", "General remote services", "Local"}
	threatNames     = []string{"Zero_Day", "Exploit_Public", "Active_Attacks", "High_Lateral_Movement", "Easy_Exploit", "Ransomware"}
	authTypes       = []string{"Windows", "Unix", "SNMP", "Oracle"}
)

// appendEntry writes one VULN. A revision shows in the title, the solution and the change log.
func (s *subscription) appendEntry(x *xmlBuilder, e *entry, show *entryShow) {
	if e.script != nil {
		e.script.append(x, e)
		return
	}
	q, r := e.qid, e.revision
	d := newDice(s.options.Seed, purposeEntry, uint64(e.index), 0)
	number := strconv.FormatInt(q.number, 10)
	product := d.below(len(entryProducts))
	published := s.start.Unix() - int64(d.between(60, 3000))*day

	x.open("VULN")
	x.int("QID", q.number)
	x.plain("VULN_TYPE", map[VulnType]string{
		Confirmed: "Vulnerability", Potential: "Potential Vulnerability", Info: "Information Gathered",
	}[q.vulnType])
	x.int("SEVERITY_LEVEL", q.severity)
	x.cdata("TITLE", entryVendors[product]+" <"+entryProducts[product]+"> Security Update for QID "+number+" & Co.")
	x.plain("CATEGORY", pick(&d, entryCategories))
	if d.oneIn(2) {
		x.cdata("TECHNOLOGY", "Operating System")
		x.cdata("DETECTION_INFO", "Version check")
	}
	if d.oneIn(8) {
		x.open("LAST_CUSTOMIZATION")
		x.time("DATETIME", published+30*day)
		x.plain("USER_LOGIN", "qualys_user")
		x.close("LAST_CUSTOMIZATION")
	}
	x.time("LAST_SERVICE_MODIFICATION_DATETIME", r.changed)
	x.time("PUBLISHED_DATETIME", published)
	x.time("CODE_MODIFIED_DATETIME", r.changed)
	if d.oneIn(3) {
		x.open("BUGTRAQ_LIST")
		appendReference(x, "BUGTRAQ", strconv.Itoa(d.between(1000, 90_000)), "https://bugtraq.example.com/bid?a=1&b="+number)
		x.close("BUGTRAQ_LIST")
	}
	patchable := !d.oneIn(4)
	x.flag("PATCHABLE", patchable)
	if patchable {
		x.time("PATCH_PUBLISHED_DATE", published)
	}
	x.open("SOFTWARE_LIST")
	for range 1 + d.below(3) {
		x.open("SOFTWARE")
		x.cdata("PRODUCT", pick(&d, entryProducts))
		x.cdata("VENDOR", pick(&d, entryVendors))
		x.close("SOFTWARE")
	}
	x.close("SOFTWARE_LIST")
	x.open("VENDOR_REFERENCE_LIST")
	for i := range 1 + d.below(2) {
		appendReference(x, "VENDOR_REFERENCE", "ADV-"+number+"-"+strconv.Itoa(i), "https://vendor.example.com/advisory/"+number)
	}
	x.close("VENDOR_REFERENCE_LIST")
	x.open("CVE_LIST")
	for i := range 1 + d.below(5) {
		cve := string(appendCVE(nil, q, i))
		appendReference(x, "CVE", cve, "https://cve.example.com/?name="+cve)
	}
	x.close("CVE_LIST")
	s.appendAdvice(x, q, r, &d, show)
	if show.all {
		appendCompliance(x, &d)
		appendCorrelation(x, &d, number)
	}
	appendScores(x, &d, show)
	x.flag("PCI_FLAG", d.oneIn(2))
	x.flag("AUTOMATIC_PCI_FAIL", d.oneIn(4))
	if show.reasons && d.oneIn(2) {
		x.open("PCI_REASONS")
		x.cdata("PCI_REASON", "The QID is listed as a \"must fix\".")
		x.cdata("PCI_REASON", "The CVSS base score is 4.0 or more.")
		x.close("PCI_REASONS")
	}
	if show.all {
		x.open("THREAT_INTELLIGENCE")
		for i := range 1 + d.below(len(threatNames)) {
			x.indent()
			x.buf = append(x.buf, `<THREAT_INTEL id="`...)
			x.buf = strconv.AppendInt(x.buf, int64(i+1), 10)
			x.buf = append(x.buf, '"', '>')
			x.buf = appendCDATA(x.buf, threatNames[i])
			x.end("THREAT_INTEL")
		}
		x.close("THREAT_INTELLIGENCE")
	}
	if show.modules {
		x.plain("SUPPORTED_MODULES", "VM,CA-Windows Agent,CA-Linux Agent")
	}
	x.open("DISCOVERY")
	x.flag("REMOTE", d.oneIn(2))
	if d.oneIn(2) {
		x.open("AUTH_TYPE_LIST")
		for _, auth := range authTypes[:1+d.below(len(authTypes))] {
			x.plain("AUTH_TYPE", auth)
		}
		x.close("AUTH_TYPE_LIST")
	}
	x.plain("ADDITIONAL_INFO", "Patch Available, Exploit Available")
	x.close("DISCOVERY")
	x.flag("IS_DISABLED", e.disabled)
	if show.changes {
		x.open("CHANGE_LOG_LIST")
		x.open("CHANGE_LOG_INFO")
		x.time("CHANGE_DATE", r.changed)
		x.cdata("COMMENTS", "Revision "+strconv.FormatInt(r.number, 10))
		x.close("CHANGE_LOG_INFO")
		x.open("CHANGE_LOG_INFO")
		x.time("CHANGE_DATE", published)
		x.cdata("COMMENTS", "First release")
		x.close("CHANGE_LOG_INFO")
		x.close("CHANGE_LOG_LIST")
	}
	if show.unknown {
		x.open("FUTURE_LIST")
		x.attribute("FUTURE", "id", "1", "one")
		x.attribute("FUTURE", "id", "2", "two")
		x.close("FUTURE_LIST")
	}
	x.close("VULN")
}

// append writes the VULN that the script says.
func (s *ScriptedEntry) append(x *xmlBuilder, e *entry) {
	title := s.Title
	if title == "" {
		title = "Entry " + strconv.FormatInt(e.qid.number, 10)
	}
	x.open("VULN")
	x.int("QID", e.qid.number)
	x.plain("VULN_TYPE", "Vulnerability")
	x.int("SEVERITY_LEVEL", e.qid.severity)
	x.cdata("TITLE", title)
	x.time("LAST_SERVICE_MODIFICATION_DATETIME", e.changed)
	x.flag("IS_DISABLED", e.disabled)
	x.buf = append(x.buf, s.Elements...)
	x.close("VULN")
}

// appendAdvice writes the HTML of an entry.
func (s *subscription) appendAdvice(x *xmlBuilder, q *qid, r revision, d *dice, show *entryShow) {
	number := strconv.FormatInt(q.number, 10)
	diagnosis := "<P>The product reads <B>untrusted</B> input &amp; trusts it.<BR>\nAffected: versions &lt; " +
		strconv.Itoa(d.between(2, 20)) + "." + strconv.Itoa(d.below(50)) + " – auch „ältere“ Ausgaben.<P>\n\n" +
		"<TABLE><TR><TD>QID</TD><TD>" + number + "</TD></TR></TABLE>"
	for range d.below(20) {
		diagnosis += "\n<LI>" + pick(d, resultWords) + "\t<I>" + pick(d, resultPackages) + "</I>"
	}
	if show.control {
		diagnosis += "\x01\x1b[0m"
	}
	if show.spoiled {
		diagnosis += " \xfc \xe2\x82"
	}
	x.cdata("DIAGNOSIS", diagnosis)
	if d.oneIn(10) {
		x.cdata("DIAGNOSIS_COMMENT", "Our own note: <none>")
	}
	x.cdata("CONSEQUENCE", "An attacker could run code.<P>")
	if d.oneIn(10) {
		x.text("CONSEQUENCE_COMMENT", "Not on hosts behind the \"jump\" server & co.")
	}
	x.cdata("SOLUTION", "<P>Install the update of "+number+", revision "+strconv.FormatInt(r.number, 10)+
		`. See <A HREF="https://vendor.example.com/advisory/`+number+`?a=1&b=2" TARGET="_blank">the advisory</A>.<P>`)
	if d.oneIn(10) {
		x.cdata("SOLUTION_COMMENT", "Planned for the next window.")
	}
}

func appendReference(x *xmlBuilder, name, id, url string) {
	x.open(name)
	x.cdata("ID", id)
	x.cdata("URL", url)
	x.close(name)
}

func appendCompliance(x *xmlBuilder, d *dice) {
	if !d.oneIn(3) {
		return
	}
	x.open("COMPLIANCE_LIST")
	for _, kind := range []string{"HIPAA", "SOX"} {
		x.open("COMPLIANCE")
		x.plain("TYPE", kind)
		x.cdata("SECTION", "164.308 & others")
		x.cdata("DESCRIPTION", "<P>Protect against malicious software.")
		x.close("COMPLIANCE")
	}
	x.close("COMPLIANCE_LIST")
}

func appendCorrelation(x *xmlBuilder, d *dice, number string) {
	if d.oneIn(3) {
		return
	}
	x.open("CORRELATION")
	x.open("EXPLOITS")
	for _, source := range []string{"Exploit Archive", "Nobody's Toolkit"} {
		x.open("EXPLT_SRC")
		x.cdata("SRC_NAME", source)
		x.open("EXPLT_LIST")
		for i := range 1 + d.below(3) {
			x.open("EXPLT")
			x.cdata("REF", "REF-"+number+"-"+strconv.Itoa(i))
			x.cdata("DESC", "Proof of concept <"+strconv.Itoa(i)+">")
			x.cdata("LINK", "https://exploits.example.com/"+number+"?n="+strconv.Itoa(i)+"&raw=1")
			x.close("EXPLT")
		}
		x.close("EXPLT_LIST")
		x.close("EXPLT_SRC")
	}
	x.close("EXPLOITS")
	if d.oneIn(2) {
		x.open("MALWARE")
		x.open("MW_SRC")
		x.cdata("SRC_NAME", "Malware Archive")
		x.open("MW_LIST")
		for i := range 1 + d.below(3) {
			x.open("MW_INFO")
			x.cdata("MW_ID", "WORM_"+strconv.Itoa(i)+".A")
			x.cdata("MW_TYPE", "Worm")
			x.cdata("MW_PLATFORM", "Win32")
			x.cdata("MW_ALIAS", "Würmchen")
			x.cdata("MW_RATING", "High")
			x.cdata("MW_LINK", "https://malware.example.com/"+strconv.Itoa(i))
			x.close("MW_INFO")
		}
		x.close("MW_LIST")
		x.close("MW_SRC")
		x.close("MALWARE")
	}
	x.close("CORRELATION")
}

func appendScores(x *xmlBuilder, d *dice, show *entryShow) {
	score := func() string { return strconv.Itoa(d.below(10)) + "." + strconv.Itoa(d.below(10)) }
	impact := func(values ...string) {
		x.open("IMPACT")
		for _, name := range []string{"CONFIDENTIALITY", "INTEGRITY", "AVAILABILITY"} {
			x.plain(name, pick(d, values))
		}
		x.close("IMPACT")
	}

	x.open("CVSS")
	x.attribute("BASE", "source", "service", score())
	x.plain("TEMPORAL", score())
	if show.all {
		x.plain("VECTOR_STRING", "CVSS:2.0/AV:N/AC:L/Au:N/C:P/I:P/A:P/E:U/RL:OF/RC:C")
		x.open("ACCESS")
		x.plain("VECTOR", "3")
		x.plain("COMPLEXITY", "1")
		x.close("ACCESS")
		impact("1", "2", "3")
		x.plain("AUTHENTICATION", "1")
		x.plain("EXPLOITABILITY", "1")
		x.plain("REMEDIATION_LEVEL", "1")
		x.plain("REPORT_CONFIDENCE", "3")
	}
	x.close("CVSS")

	x.open("CVSS_V3")
	x.plain("BASE", score())
	x.plain("TEMPORAL", score())
	if show.all {
		x.plain("VECTOR_STRING", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
		x.plain("CVSS3_VERSION", "3.1")
		x.open("ATTACK")
		x.plain("VECTOR", "Network")
		x.plain("COMPLEXITY", "Low")
		x.close("ATTACK")
		impact("None", "Low", "High")
		x.plain("PRIVILEGES_REQUIRED", "None")
		x.plain("USER_INTERACTION", "None")
		x.plain("SCOPE", "Unchanged")
		x.plain("EXPLOIT_CODE_MATURITY", "Unproven")
		x.plain("REMEDIATION_LEVEL", "Official Fix")
		x.plain("REPORT_CONFIDENCE", "Confirmed")
	}
	x.close("CVSS_V3")
}

// appendRange appends numbers as "1-2".
func appendRange(b []byte, r [2]int64) []byte {
	b = strconv.AppendInt(b, r[0], 10)
	b = append(b, '-')
	return strconv.AppendInt(b, r[1], 10)
}
