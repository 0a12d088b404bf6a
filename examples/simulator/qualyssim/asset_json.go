// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"slices"
	"strconv"
	"strings"
)

const (
	firstAssetID  = 67_000_000
	assetIDStride = 5

	// An asset without software, and one piece of software, in bytes of compact and of indented JSON.
	assetBytes, softwareBytes             = 5_400, 1_170
	indentedAssetBytes, indentedSoftBytes = 7_450, 1_650
)

func (s *subscription) assetID(index int) int64 {
	d := newDice(s.options.Seed, purposeAsset, uint64(index), 1)
	return firstAssetID + int64(index*assetIDStride+d.below(assetIDStride))
}

// assetAfter is the index of the first asset whose ID is above id.
func (s *subscription) assetAfter(id int64) int {
	switch {
	case id < firstAssetID:
		return 0
	case id >= firstAssetID+int64(s.options.Assets)*assetIDStride:
		return s.options.Assets
	}
	index := int((id - firstAssetID) / assetIDStride)
	if s.assetID(index) <= id {
		index++
	}
	return index
}

// asset is what is known about an asset before it is written.
type asset struct {
	index    int
	id       int64
	hostID   int64 // 0 if it is no host
	name     string
	category string // empty if it is not known
	address  string
	bare     bool  // without hardware, system and interfaces
	created  int64 // Unix seconds
	revision

	script *ScriptedAsset // nil if the asset is generated
}

func (s *subscription) assetAt(index int, m moment) asset {
	a := asset{
		index: index, id: s.assetID(index), revision: s.assetRevision(index, m),
		name: "asset-" + strconv.Itoa(index), category: "Linux", address: "10.20." + strconv.Itoa(index>>8&0xff) + "." + strconv.Itoa(index&0xff),
	}
	bare := newDice(s.options.Seed, purposeAsset, uint64(index), 0)
	a.bare = bare.oneIn(20)
	a.created = s.start.Unix() - int64(700+index%300)*day
	if index%3 == 0 {
		a.category = "Windows"
	}
	if index < s.options.Hosts {
		t := s.traits(index)
		a.hostID, a.name, a.address, a.category = s.hostID(index), t.name, t.ip, "Linux"
		if t.windows() {
			a.category = "Windows"
		}
	}
	if a.bare {
		a.category = ""
	}
	return a
}

// assetShow is what a request wants to see of an asset: everything, only some fields, or all but some.
type assetShow struct {
	include, exclude []string

	// What faults add.
	unknown, spoiled bool
}

func (show *assetShow) shows(field string) bool {
	if len(show.include) > 0 && !slices.Contains(show.include, field) {
		return false
	}
	return !slices.Contains(show.exclude, field)
}

// assetField writes one field of an asset at the top level.
type assetField struct {
	name  string
	write func(j *jsonBuilder, name string, w *assetWriter)
}

// assetWriter is an asset while it is written.
type assetWriter struct {
	*asset
	subscription *subscription
	dice         dice
	spoiled      bool
}

// appendAsset writes an asset; what is not shown is null.
func (s *subscription) appendAsset(j *jsonBuilder, a *asset, show *assetShow) {
	if a.script != nil {
		a.script.append(j, a)
		return
	}
	w := &assetWriter{asset: a, subscription: s, spoiled: show.spoiled}
	j.open('{')
	for i, field := range assetFields {
		if !show.shows(field.name) && field.name != "assetId" {
			j.null(field.name)
			continue
		}
		// Its own dice: what other fields show does not change this one.
		w.dice = newDice(s.options.Seed, purposeAsset, uint64(a.index), uint64(i)+2)
		field.write(j, field.name, w)
	}
	if show.unknown {
		j.key("futureField")
		j.buf = append(j.buf, `{"id":18446744073709551615,"list":[1,2.5,null,true,"x"]}`...)
	}
	j.close('}')
}

// append writes the asset that the script says, whatever fields are asked for.
func (s *ScriptedAsset) append(j *jsonBuilder, a *asset) {
	j.open('{')
	j.int("assetId", a.id)
	if a.hostID != 0 {
		j.int("hostId", a.hostID)
	} else {
		j.null("hostId")
	}
	j.text("assetName", a.name)
	told := a.changed
	if !s.Told.IsZero() {
		told = s.Told.Unix()
	}
	j.time("lastModifiedDate", told)
	if s.Members != "" {
		j.separate()
		j.buf = append(j.buf, s.Members...)
	}
	j.close('}')
}

func nothing(j *jsonBuilder, name string, _ *assetWriter) { j.null(name) }

// unlessBare writes null for assets of which little is known.
func unlessBare(write func(*jsonBuilder, string, *assetWriter)) func(*jsonBuilder, string, *assetWriter) {
	return func(j *jsonBuilder, name string, w *assetWriter) {
		if w.bare {
			j.null(name)
			return
		}
		write(j, name, w)
	}
}

func constant(value string) func(*jsonBuilder, string, *assetWriter) {
	return func(j *jsonBuilder, name string, _ *assetWriter) { j.text(name, value) }
}

// uuid is an identifier that belongs to the asset.
func (w *assetWriter) uuid(group string) string {
	return group + "-7a10-4e5c-9b1d-" + padded(int64(w.index), 12)
}

// hasAgent is false for every fourth asset, which is a cloud instance.
func (w *assetWriter) hasAgent() bool { return w.index%4 != 3 }

// assetFields are the fields in the order of the inventory.
var assetFields = []assetField{
	{"assetId", func(j *jsonBuilder, name string, w *assetWriter) { j.int(name, w.id) }},
	{"assetUUID", func(j *jsonBuilder, name string, w *assetWriter) { j.text(name, w.uuid("1d0c2b3a")) }},
	{"hostId", func(j *jsonBuilder, name string, w *assetWriter) {
		if w.hostID == 0 {
			j.null(name)
			return
		}
		j.int(name, w.hostID)
	}},
	{"lastModifiedDate", func(j *jsonBuilder, name string, w *assetWriter) { j.time(name, w.changed) }},
	{"agentId", func(j *jsonBuilder, name string, w *assetWriter) {
		if !w.hasAgent() {
			j.null(name)
			return
		}
		j.text(name, w.uuid("1d0c2b3a"))
	}},
	{"createdDate", func(j *jsonBuilder, name string, w *assetWriter) { j.time(name, w.created) }},
	{"sensorLastUpdatedDate", func(j *jsonBuilder, name string, w *assetWriter) { j.time(name, w.changed) }},
	{"assetType", constant("HOST")},
	{"address", func(j *jsonBuilder, name string, w *assetWriter) { j.text(name, w.address) }},
	{"dnsName", func(j *jsonBuilder, name string, w *assetWriter) { j.text(name, w.name+".corp.example.com") }},
	{"assetName", func(j *jsonBuilder, name string, w *assetWriter) { j.text(name, w.name) }},
	{"netbiosName", func(j *jsonBuilder, name string, w *assetWriter) { j.text(name, strings.ToUpper(w.name)) }},
	{"timeZone", constant("+01:00")},
	{"biosDescription", constant("Example BIOS \"2.4\" \\ rev B")},
	{"lastBoot", func(j *jsonBuilder, name string, w *assetWriter) { j.time(name, w.created+3*day) }},
	{"totalMemory", func(j *jsonBuilder, name string, w *assetWriter) { j.int(name, int64(4096<<w.dice.below(5))) }},
	{"cpuCount", func(j *jsonBuilder, name string, w *assetWriter) { j.int(name, int64(1<<w.dice.below(6))) }},
	{"lastLoggedOnUser", func(j *jsonBuilder, name string, w *assetWriter) {
		user := "jürgen"
		if w.spoiled {
			user = "j\xfcrgen \xe2\x82"
		}
		j.text(name, user)
	}},
	{"domainRole", constant("Member Server")},
	{"hwUUID", func(j *jsonBuilder, name string, w *assetWriter) { j.text(name, w.uuid("4d4d4545")) }},
	{"biosSerialNumber", func(j *jsonBuilder, name string, w *assetWriter) { j.text(name, "SN"+padded(int64(w.index), 6)) }},
	{"biosAssetTag", nothing},
	{"isContainerHost", func(j *jsonBuilder, name string, w *assetWriter) { j.bool(name, w.dice.oneIn(8)) }},
	{"operatingSystem", unlessBare(writeOperatingSystem)},
	{"hardware", unlessBare(writeHardware)},
	{"userAccountListData", writeUserAccounts},
	{"openPortListData", writeOpenPorts},
	{"volumeListData", writeVolumes},
	{"networkInterfaceListData", unlessBare(writeNetworkInterfaces)},
	{"softwareListData", writeSoftware},
	{"softwareComponent", nothing},
	{"provider", func(j *jsonBuilder, name string, w *assetWriter) {
		if w.hasAgent() {
			j.null(name)
			return
		}
		j.text(name, "AWS")
	}},
	{"cloudProvider", writeCloudProvider},
	{"agent", writeAgent},
	{"sensor", writeSensor},
	{"container", func(j *jsonBuilder, name string, _ *assetWriter) {
		j.object(name, func() {
			j.null("product", "version")
			j.int("noOfContainers", 0)
			j.int("noOfImages", 0)
			j.null("hasSensor")
		})
	}},
	{"inventory", func(j *jsonBuilder, name string, w *assetWriter) {
		j.object(name, func() {
			j.text("source", "QAGENT")
			j.millis("created", w.created)
			j.millis("lastUpdated", w.changed)
		})
	}},
	{"activity", func(j *jsonBuilder, name string, w *assetWriter) {
		j.object(name, func() {
			j.text("source", "QAGENT")
			j.millis("lastScannedDate", w.changed)
		})
	}},
	{"tagList", func(j *jsonBuilder, name string, w *assetWriter) {
		first := w.dice.below(len(tagNames))
		j.list(name, "tag", w.dice.below(4), func(i int) {
			tag := (first + i) % len(tagNames)
			j.int("tagId", int64(7_000_000+tag))
			j.text("tagName", tagNames[tag])
			j.int("foregroundColor", 0)
			j.int("backgroundColor", 0)
			j.null("businessImpact")
			j.int("criticalityScore", 3)
		})
	}},
	{"serviceList", func(j *jsonBuilder, name string, w *assetWriter) {
		j.list(name, "service", w.dice.below(4), func(i int) {
			j.texts("description", "Service "+strconv.Itoa(i), "name", "svc-"+strconv.Itoa(i)+".service", "status", "loaded/active/running")
		})
	}},
	{"lastLocation", func(j *jsonBuilder, name string, _ *assetWriter) {
		j.object(name, func() {
			j.texts("city", "Zürich", "state", "Zürich", "country", "Switzerland", "name", "Switzerland", "continent", "Europe")
			j.null("postal")
		})
	}},
	{"criticality", func(j *jsonBuilder, name string, w *assetWriter) {
		j.object(name, func() {
			j.int("score", int64(w.dice.between(1, 5)))
			j.bool("isDefault", false)
			j.time("lastUpdated", w.created)
		})
	}},
	{"businessInformation", nothing},
	{"assignedLocation", nothing},
	{"businessAppListData", nothing},
	{"riskScore", func(j *jsonBuilder, name string, w *assetWriter) { j.int(name, int64(w.dice.below(1000))) }},
	{"passiveSensor", nothing},
	{"domain", nothing},
	{"subdomain", nothing},
	{"missingSoftware", nothing},
	{"whois", nothing},
	{"organizationName", nothing},
	{"isp", nothing},
	{"asn", nothing},
	{"easmTags", nothing},
	{"hostingCategory1", nothing},
	{"customAttributes", nothing},
	{"lparId", nothing},
	{"processor", func(j *jsonBuilder, name string, _ *assetWriter) {
		j.object(name, func() {
			j.text("description", "Example(R) CPU 1234")
			j.int("speed", 2100)
			j.int("numCPUs", 8)
			j.int("noOfSocket", 1)
			j.int("threadsPerCore", 2)
			j.int("coresPerSocket", 4)
			j.text("multithreadingStatus", "ENABLED")
		})
	}},
}
