// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"strconv"
	"strings"
)

// hostShow is what a request wants to see of a host and its detections.
type hostShow struct {
	version int // of the API: 2 to 5

	results, assetID, tags, cloudTags, qds, qdsFactors, reopened, sources bool

	metadata string // "", "all", "ec2", "azure" or "google"

	// What faults add.
	controlCharacters, invalidUTF8, unknownElements bool
	upperCase, lowerCase                            bool   // of statuses
	malformed                                       string // stands after the first detection
}

var (
	hostSystems = []string{
		"Windows Server 2022 Datacenter 64 bit Edition", "Red Hat Enterprise Linux 9.4", "Ubuntu Linux 22.04.4",
		"Linux 2.4-2.6 / Embedded Device / F5 Networks & others", "Windows 11 Enterprise <23H2>", "macOS 15.1",
	}
	hostRoles  = []string{"web", "db", "app", "mail", "büro", "build", "dc", "vpn"}
	tagNames   = []string{"Production", "Research & Development", "Zürich <DMZ>", "PCI \"in scope\"", "東京", "Cloud Agent", "Internet Facing"}
	detectedBy = []string{"QAGENT", "SCANNER"}
	// The names of detectedBy as version 5.0 tells them on demand.
	sourceNames      = map[string]string{"QAGENT": "Cloud Agent", "SCANNER": "Internal Scanner"}
	detectionSources = []string{"Cloud Agent", "Internal Scanner"}
	qdsFactors       = []string{"RTI", "exploit_maturity", "CVSS", "CVSS_version", "epss", "trending", "mitigation_controls"}
	mitreTactics     = []string{"lateral-movement", "initial-access", "privilege-escalation"}
	mitreTacticIDs   = []string{"TA0008", "TA0001", "TA0004"}
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
		show.appendUnknown(x)
	} else {
		s.appendTraits(x, h, show)
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
	t := s.traits(h.index)
	x.plain("IP", t.ip)
	if t.ipv6 != "" {
		x.plain("IPV6", t.ipv6)
	}
	t.appendNetwork(x, h.index, func() {
		t.appendSystem(x)
		if t.cpe != "" {
			x.cdata("OS_CPE", t.cpe)
		}
	})
	if t.agent != "" {
		x.cdata("QG_HOSTID", t.agent)
	}
	x.time("LAST_SCAN_DATETIME", h.processed)
	x.time("LAST_VM_SCANNED_DATE", h.scanned)
	x.int("LAST_VM_SCANNED_DURATION", t.scanSeconds)
	if t.authenticated {
		x.time("LAST_VM_AUTH_SCANNED_DATE", h.scanned)
		x.int("LAST_VM_AUTH_SCANNED_DURATION", t.scanSeconds)
	}
	if t.policyScanned {
		x.time("LAST_PC_SCANNED_DATE", h.scanned-day)
	}
	s.appendTags(x, &t, h, show)
}

// spelled is a status as the answer writes it.
func (show *hostShow) spelled(status Status) string {
	switch {
	case show.upperCase:
		return strings.ToUpper(string(status))
	case show.lowerCase:
		return strings.ToLower(string(status))
	}
	return string(status)
}

func (show *hostShow) appendUnknown(x *xmlBuilder) {
	if show.unknownElements {
		x.open("FUTURE_HOST_ELEMENT")
		x.attribute("PART", "kind", "a<b", "one")
		x.attribute("PART", "kind", "c&d", "two")
		x.close("FUTURE_HOST_ELEMENT")
	}
}

func (s *ScriptedHost) address() string {
	if s.IP == "" {
		return "192.0.2.1"
	}
	return s.IP
}

// append writes what the script says about a host.
func (s *ScriptedHost) append(x *xmlBuilder, h *host) {
	x.plain("IP", s.address())
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
