// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import "strconv"

// hostListBytes is about how long the XML of a host in the host list is.
const hostListBytes = 1_500

// hostListShow is what a request wants to see of a host in the host list.
type hostListShow struct {
	hostShow

	all, groups                             bool // details=All, details=…/AGs
	truRisk, truRiskFactors, ars, arsFactor bool
}

// appendListedHost writes a host of the host list.
func (s *subscription) appendListedHost(x *xmlBuilder, h *host, show *hostListShow) {
	x.open("HOST")
	x.int("ID", h.id)
	if show.assetID {
		x.int("ASSET_ID", h.assetID)
	}
	if h.script != nil {
		h.script.append(x, h)
		show.appendUnknown(x)
	} else {
		s.appendListedTraits(x, h, show)
	}
	x.buf = append(x.buf, show.malformed...)
	x.close("HOST")
}

func (s *subscription) appendListedTraits(x *xmlBuilder, h *host, show *hostListShow) {
	t := s.traits(h.index)
	x.plain("IP", t.ip)
	if t.ipv6 != "" {
		x.plain("IPV6", t.ipv6)
	}
	if show.ars {
		x.int("ASSET_RISK_SCORE", t.risk)
	}
	if show.truRisk {
		x.int("TRURISK_SCORE", t.risk)
	}
	if show.ars || show.truRisk {
		x.int("ASSET_CRITICALITY_SCORE", t.criticality)
	}
	if show.arsFactor {
		appendRiskFactors(x, "ARS", h, &t)
	}
	if show.truRiskFactors {
		appendRiskFactors(x, "TRURISK_SCORE", h, &t)
	}
	t.appendNetwork(x, h.index, func() {})
	t.appendSystem(x)
	if t.agent != "" {
		x.cdata("QG_HOSTID", t.agent)
	}
	s.appendTags(x, &t, h, &show.hostShow)
	x.time("LAST_BOOT", h.scanned-t.booted*day)
	x.plain("SERIAL_NUMBER", "SN"+padded(int64(h.index), 6))
	x.plain("HARDWARE_UUID", "4d4d4545-7a10-4e5c-9b1d-"+padded(int64(h.index), 12))
	x.time("FIRST_FOUND_DATE", s.start.Unix()-int64(700+h.index%300)*day)
	x.time("LAST_ACTIVITY", h.processed)
	if t.agent != "" {
		x.plain("AGENT_STATUS", "Inventory Scan Complete")
		x.plain("CLOUD_AGENT_RUNNING_ON", "QG_AGENT")
	}
	x.time("LAST_VULN_SCAN_DATETIME", h.scanned)
	x.time("LAST_VM_SCANNED_DATE", h.scanned)
	x.int("LAST_VM_SCANNED_DURATION", t.scanSeconds)
	if t.authenticated {
		x.time("LAST_VM_AUTH_SCANNED_DATE", h.scanned)
	}
	if t.policyScanned {
		x.time("LAST_COMPLIANCE_SCAN_DATETIME", h.scanned-day)
	}
	if t.lacksPrivileges {
		x.flag("VM_AUTH_INSUFFICIENT_PRIVILEGE", true)
	}
	if show.all {
		x.plain("OWNER", "qualys_user")
		comment := "Moved to rack <7> & labelled"
		if show.invalidUTF8 {
			comment += " caf\xe9"
		}
		x.cdata("COMMENTS", comment)
		x.open("USER_DEF")
		x.cdata("VALUE_1", "cost centre 42")
		x.close("USER_DEF")
	}
	if show.groups {
		x.plain("ASSET_GROUP_IDS", "1001,"+strconv.Itoa(1002+h.index%7))
	}
}

// appendRiskFactors writes what a score was made of.
func appendRiskFactors(x *xmlBuilder, score string, h *host, t *traits) {
	parent := score + "_FACTORS"
	x.open(parent)
	x.plain(score+"_FORMULA", "ACS * {wc * (1 - (1 - AVGcritical)^0.5)}")
	for i, severity := range []string{"1", "2", "3", "4", "5"} {
		x.attribute("VULN_COUNT", "qds_severity", severity, strconv.Itoa((len(h.detections)+i+int(t.criticality))%9))
	}
	x.close(parent)
}
