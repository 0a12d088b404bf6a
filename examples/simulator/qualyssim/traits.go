// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"strconv"
	"strings"
)

// traits are what is known about a generated host besides its detections, in whichever list it stands.
type traits struct {
	name, ip, ipv6  string
	system, cpe     string // cpe is empty if it is not known
	tracking        string
	network         int // -1 for none
	cloud           bool
	netbios         string // empty for none
	agent           string // the ID of its agent, empty for none
	scanSeconds     int64
	authenticated   bool
	policyScanned   bool
	firstTag, tags  int
	risk            int64
	criticality     int64
	booted          int64 // days before the latest scan
	plainSystem     bool  // the system is written with entities, not as CDATA
	spacedNetBIOS   bool
	tagWithoutID    bool
	lacksPrivileges bool
}

func (t *traits) fqdn() string { return t.name + ".corp.example.com" }

// traits draws the traits of a host.
func (s *subscription) traits(index int) traits {
	d := newDice(s.options.Seed, purposeHostText, uint64(index), 0)
	t := traits{network: -1}
	t.ip = "10." + strconv.Itoa(index>>16&0xff) + "." + strconv.Itoa(index>>8&0xff) + "." + strconv.Itoa(index&0xff)
	t.name = pick(&d, hostRoles) + "-" + strconv.Itoa(index)
	t.system = pick(&d, hostSystems)
	if d.oneIn(8) {
		t.ipv6 = "2001:db8::" + strconv.FormatInt(int64(index), 16)
	}
	t.tracking = pick(&d, []string{"IP", "DNS", "NETBIOS", "AGENT", "EC2"})
	if d.oneIn(4) {
		t.network = d.below(9)
	}
	t.plainSystem = d.oneIn(3)
	if d.oneIn(3) {
		t.cpe = "cpe:/o:example:system:" + strconv.Itoa(d.below(20)) + "::"
	}
	t.cloud = t.tracking == "EC2" || d.oneIn(4)
	if t.windows() {
		t.netbios = "HOST-" + strconv.Itoa(index)
	}
	t.spacedNetBIOS = d.oneIn(4)
	if t.tracking == "AGENT" {
		t.agent = agentID(index)
	}
	s.mu.RLock()
	merged, ok := s.merged[index]
	s.mu.RUnlock()
	if ok {
		t.agent = agentID(merged)
	}
	t.scanSeconds = int64(d.between(30, 4000))
	t.authenticated = d.oneIn(2)
	t.policyScanned = d.oneIn(5)
	t.firstTag, t.tags = d.below(len(tagNames)), 1+d.below(4)
	t.risk, t.criticality = int64(d.below(1001)), int64(d.between(1, 5))
	t.booted = int64(d.between(1, 90))
	t.tagWithoutID = d.oneIn(12)
	t.lacksPrivileges = d.oneIn(6)
	return t
}

func (t *traits) windows() bool { return strings.HasPrefix(t.system, "Windows") }

func agentID(index int) string { return "2f1c8a40-0000-4000-8000-" + padded(int64(index), 12) }

func cloudID(index int) string { return "i-0" + strconv.FormatInt(0xabcdef0000+int64(index), 16) }

// appendNetwork writes what both lists say of a host's place in the network. They differ in where the system stands.
func (t *traits) appendNetwork(x *xmlBuilder, index int, system func()) {
	x.plain("TRACKING_METHOD", t.tracking)
	if t.network >= 0 {
		x.int("NETWORK_ID", int64(t.network))
		x.cdata("NETWORK_NAME", "Global Default Network")
	}
	system()
	x.cdata("DNS", t.fqdn())
	x.open("DNS_DATA")
	x.cdata("HOSTNAME", t.name)
	x.cdata("DOMAIN", "corp.example.com")
	x.cdata("FQDN", t.fqdn())
	x.close("DNS_DATA")
	if t.cloud {
		x.cdata("CLOUD_PROVIDER", "AWS")
		x.cdata("CLOUD_SERVICE", "EC2")
		x.cdata("CLOUD_RESOURCE_ID", cloudID(index))
		x.cdata("EC2_INSTANCE_ID", cloudID(index))
	}
	if t.netbios != "" {
		if x.pretty && t.spacedNetBIOS {
			x.spacedCDATA("NETBIOS", t.netbios)
		} else {
			x.cdata("NETBIOS", t.netbios)
		}
	}
}

func (t *traits) appendSystem(x *xmlBuilder) {
	if t.plainSystem {
		x.text("OS", t.system)
	} else {
		x.cdata("OS", t.system)
	}
}

// appendTags writes tags, metadata and cloud tags as far as they are to be shown.
func (s *subscription) appendTags(x *xmlBuilder, t *traits, h *host, show *hostShow) {
	if show.tags {
		x.open("TAGS")
		for i := range t.tags {
			tag := (t.firstTag + i) % len(tagNames)
			x.open("TAG")
			if i > 0 || !t.tagWithoutID {
				x.int("TAG_ID", int64(7_000_000+tag))
			}
			x.text("NAME", tagNames[tag])
			if show.version >= 5 {
				x.plain("COLOR", "#FFFFFF")
				x.plain("BACKGROUND_COLOR", "#33"+strconv.Itoa(10+tag)+"AA")
			}
			x.close("TAG")
		}
		x.close("TAGS")
	}
	if t.cloud && show.metadata != "" {
		s.appendMetadata(x, h, show.metadata)
	}
	if t.cloud && show.cloudTags {
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
	show.appendUnknown(x)
}
