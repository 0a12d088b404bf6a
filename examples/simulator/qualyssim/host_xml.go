// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"strconv"
)

// hostShow is what a request wants to see of a host and its detections.
type hostShow struct {
	version int // of the API: 2 to 5

	results, assetID, tags, cloudTags, qds, qdsFactors, reopened bool

	metadata string // "", "all", "ec2", "azure" or "google"

	// What faults add.
	controlCharacters, invalidUTF8, unknownElements bool
	malformed                                       string // stands after the first detection
}

var (
	hostSystems = []string{
		"Windows Server 2022 Datacenter 64 bit Edition", "Red Hat Enterprise Linux 9.4", "Ubuntu Linux 22.04.4",
		"Linux 2.4-2.6 / Embedded Device / F5 Networks & others", "Windows 11 Enterprise <23H2>", "macOS 15.1",
	}
	hostRoles      = []string{"web", "db", "app", "mail", "büro", "build", "dc", "vpn"}
	tagNames       = []string{"Production", "Research & Development", "Zürich <DMZ>", "PCI \"in scope\"", "東京", "Cloud Agent", "Internet Facing"}
	detectedBy     = []string{"QAGENT", "SCANNER"}
	qdsFactors     = []string{"RTI", "exploit_maturity", "CVSS", "CVSS_version", "epss", "trending", "mitigation_controls"}
	mitreTactics   = []string{"lateral-movement", "initial-access", "privilege-escalation"}
	mitreTacticIDs = []string{"TA0008", "TA0001", "TA0004"}
)

// appendHost writes a host with the detections it holds.
func (s *subscription) appendHost(x *xmlBuilder, h *host, show *hostShow) {
	x.open("HOST")
	x.int("ID", h.id)
	if show.assetID {
		x.int("ASSET_ID", h.assetID)
	}
	if h.script != nil {
		h.script.append(x, h)
	} else {
		s.appendTraits(x, h, show)
	}
	if show.unknownElements {
		x.open("FUTURE_HOST_ELEMENT")
		x.attribute("PART", "kind", "a<b", "one")
		x.attribute("PART", "kind", "c&d", "two")
		x.close("FUTURE_HOST_ELEMENT")
	}
	x.open("DETECTION_LIST")
	for i := range h.detections {
		s.appendDetection(x, h, &h.detections[i], show)
		if i == 0 {
			x.buf = append(x.buf, show.malformed...)
		}
	}
	x.close("DETECTION_LIST")
	x.close("HOST")
}

// appendTraits writes what is known about a generated host besides its IDs.
func (s *subscription) appendTraits(x *xmlBuilder, h *host, show *hostShow) {
	d := newDice(s.options.Seed, purposeHostText, uint64(h.index), 0)
	a, b, c := h.index>>16&0xff, h.index>>8&0xff, h.index&0xff
	ip := "10." + strconv.Itoa(a) + "." + strconv.Itoa(b) + "." + strconv.Itoa(c)
	name := pick(&d, hostRoles) + "-" + strconv.Itoa(h.index)
	fqdn := name + ".corp.example.com"
	linux := d.oneIn(2)

	x.plain("IP", ip)
	if d.oneIn(8) {
		x.plain("IPV6", "2001:db8::"+strconv.FormatInt(int64(h.index), 16))
	}
	tracking := pick(&d, []string{"IP", "DNS", "NETBIOS", "AGENT", "EC2"})
	x.plain("TRACKING_METHOD", tracking)
	if d.oneIn(4) {
		x.int("NETWORK_ID", int64(d.below(9)))
		x.cdata("NETWORK_NAME", "Global Default Network")
	}
	if d.oneIn(3) {
		x.text("OS", pick(&d, hostSystems))
	} else {
		x.cdata("OS", pick(&d, hostSystems))
	}
	if d.oneIn(3) {
		x.cdata("OS_CPE", "cpe:/o:example:system:"+strconv.Itoa(d.below(20))+"::")
	}
	x.cdata("DNS", fqdn)
	x.open("DNS_DATA")
	x.cdata("HOSTNAME", name)
	x.cdata("DOMAIN", "corp.example.com")
	x.cdata("FQDN", fqdn)
	x.close("DNS_DATA")
	cloud := d.oneIn(3)
	if cloud {
		x.cdata("CLOUD_PROVIDER", "AWS")
		x.cdata("CLOUD_SERVICE", "EC2")
		x.cdata("CLOUD_RESOURCE_ID", "i-0"+strconv.FormatInt(0xabcdef0000+int64(h.index), 16))
		x.cdata("EC2_INSTANCE_ID", "i-0"+strconv.FormatInt(0xabcdef0000+int64(h.index), 16))
	}
	if !linux {
		if x.pretty && d.oneIn(4) {
			x.spacedCDATA("NETBIOS", "HOST-"+strconv.Itoa(h.index))
		} else {
			x.cdata("NETBIOS", "HOST-"+strconv.Itoa(h.index))
		}
	}
	if tracking == "AGENT" {
		x.cdata("QG_HOSTID", "2f1c8a40-0000-4000-8000-"+padded(int64(h.index), 12))
	}
	x.time("LAST_SCAN_DATETIME", h.processed)
	x.time("LAST_VM_SCANNED_DATE", h.scanned)
	x.int("LAST_VM_SCANNED_DURATION", int64(d.between(30, 4000)))
	if d.oneIn(2) {
		x.time("LAST_VM_AUTH_SCANNED_DATE", h.scanned)
		x.int("LAST_VM_AUTH_SCANNED_DURATION", int64(d.between(30, 4000)))
	}
	if d.oneIn(5) {
		x.time("LAST_PC_SCANNED_DATE", h.scanned-day)
	}
	if show.tags {
		x.open("TAGS")
		first := d.below(len(tagNames))
		for i := range 1 + d.below(4) {
			tag := (first + i) % len(tagNames)
			x.open("TAG")
			x.int("TAG_ID", int64(7_000_000+tag))
			x.text("NAME", tagNames[tag])
			if show.version >= 5 {
				x.plain("COLOR", "#FFFFFF")
				x.plain("BACKGROUND_COLOR", "#33"+strconv.Itoa(10+tag)+"AA")
			}
			x.close("TAG")
		}
		x.close("TAGS")
	}
	if cloud && show.metadata != "" {
		s.appendMetadata(x, h, show.metadata)
	}
	if cloud && show.cloudTags {
		x.open("CLOUD_PROVIDER_TAGS")
		for _, tag := range [...][2]string{{"Owner", "r&d"}, {"Umgebung", "größer"}} {
			x.open("CLOUD_TAG")
			x.cdata("NAME", tag[0])
			x.cdata("VALUE", tag[1])
			x.time("LAST_SUCCESS_DATE", h.scanned)
			x.close("CLOUD_TAG")
		}
		x.close("CLOUD_PROVIDER_TAGS")
	}
}

// append writes what the script says about a host.
func (s *ScriptedHost) append(x *xmlBuilder, h *host) {
	ip := s.IP
	if ip == "" {
		ip = "192.0.2.1"
	}
	x.plain("IP", ip)
	x.plain("TRACKING_METHOD", "IP")
	if s.Name != "" {
		x.cdata("DNS", s.Name)
	}
	x.time("LAST_VM_SCANNED_DATE", h.scanned)
	x.buf = append(x.buf, s.Elements...)
}

func (s *subscription) appendMetadata(x *xmlBuilder, h *host, wanted string) {
	if wanted != "all" && wanted != "ec2" {
		return
	}
	x.open("METADATA")
	x.open("EC2")
	for _, attribute := range [...][2]string{
		{"latest/dynamic/instance-identity/document/region", "eu-central-1"},
		{"latest/dynamic/instance-identity/document/accountId", "000000000000"},
		{"latest/meta-data/tags", "a=1&b=<2>"},
	} {
		x.open("ATTRIBUTE")
		x.plain("NAME", attribute[0])
		x.plain("LAST_STATUS", "Success")
		x.cdata("VALUE", attribute[1])
		x.time("LAST_SUCCESS_DATE", h.scanned)
		x.plain("LAST_ERROR_DATE", "")
		x.cdata("LAST_ERROR", "")
		x.close("ATTRIBUTE")
	}
	x.close("EC2")
	x.close("METADATA")
}

// padded is a number with leading zeros.
func padded(n int64, width int) string {
	digits := strconv.FormatInt(n, 10)
	for len(digits) < width {
		digits = "0" + digits
	}
	return digits
}
