// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"
)

// key is a key of records. There is one of each text while a record is read, so that pointers can be compared.
type key struct {
	text   string
	quoted string // as JSON, with the colon
	member string // the same with the comma that stands before all members but the first
	hash   uint64
	role   role
	kept   bool // is known to later records, too
	next   *key // that of the member which followed last time
}

func newKey(text string, r role) *key {
	text = strings.ToValidUTF8(text, "\ufffd")
	quoted, _ := jsontext.AppendQuote(nil, text) // it is valid UTF-8
	member := "," + string(quoted) + ":"
	return &key{text: text, quoted: member[len(","):], member: member, hash: xxhash.Sum64String(text), role: r}
}

// words are the words of element names that have a spelling of their own.
var words = map[string]string{
	"IP":       "IP",
	"IPV6":     "IPv6",
	"OS":       "OS",
	"URL":      "URL",
	"DATETIME": "DateTime",
	"HOSTID":   "HostId",
}

// keyText is what the name of an element, or of an element with an attribute, becomes as a key.
func keyText(name string) string {
	if name == "VULN_TYPE" {
		return "VulnerabilityType"
	}
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		if spelling, ok := words[strings.ToUpper(word)]; ok {
			b.WriteString(spelling)
			continue
		}
		first, size := utf8.DecodeRuneInString(word)
		if size > 0 {
			b.WriteRune(unicode.ToUpper(first))
			b.WriteString(strings.ToLower(word[size:]))
		}
	}
	if b.Len() == 0 {
		return name
	}
	return b.String()
}

// role is what a value means to the record beyond being one of its values. It goes by the key.
type role uint8

const (
	noRole role = iota

	// Of hosts, detections and entries.
	roleAssetID
	roleCategory
	roleCloudResourceID
	roleConsequence
	roleCVE
	roleDatetime
	roleDetection
	roleDiagnosis
	roleDiscovery
	roleDNS
	roleDNSData
	roleEC2InstanceID
	roleFQDN
	roleHostname
	roleID
	roleInstance
	roleIP
	roleIPv6
	roleLastCustomization
	roleLastFixed
	roleLastFound
	roleLastPCScanned
	roleLastProcessed
	roleLastScan
	roleLastServiceModification
	roleLastTest
	roleLastUpdate
	roleLastVMAuthScanned
	roleLastVulnScan
	roleLastVMScanned
	roleNetbios
	rolePatchable
	rolePCIFlag
	rolePort
	roleProtocol
	roleQGHostID
	roleQID
	roleResults
	roleSeverity
	roleSeverityLevel
	roleSoftware
	roleSolution
	roleSSL
	roleStatus
	roleThreatIntel
	roleTimesFound
	roleTitle
	roleTrackingMethod
	roleType
	roleUniqueVulnID
	roleVendorReference
	roleVulnerabilityType

	// Of assets.
	roleAddress
	roleAgent
	roleAgentID
	roleAssetUUID
	roleCloudProvider
	roleDNSName
	roleFullName
	roleHostID
	roleInstanceID
	roleInterfaceAddress
	roleLastModified
	roleLastUpdated
	roleLastUpdatedDate
	roleNetworkInterfaces
	roleOpenPort
	roleOpenPorts
	roleSoftwareEntries
	roleSoftwareList

	// Of rows of the activity log.
	roleDate

	roleCount
)

// elementRoles are the keys with a role in what comes as XML.
var elementRoles = map[string]role{
	"AssetId":                         roleAssetID,
	"Category":                        roleCategory,
	"CloudResourceId":                 roleCloudResourceID,
	"Consequence":                     roleConsequence,
	"Cve":                             roleCVE,
	"DateTime":                        roleDatetime,
	"Detection":                       roleDetection,
	"Diagnosis":                       roleDiagnosis,
	"Discovery":                       roleDiscovery,
	"Dns":                             roleDNS,
	"DnsData":                         roleDNSData,
	"Ec2InstanceId":                   roleEC2InstanceID,
	"Fqdn":                            roleFQDN,
	"Hostname":                        roleHostname,
	"Id":                              roleID,
	"Instance":                        roleInstance,
	"IP":                              roleIP,
	"IPv6":                            roleIPv6,
	"LastCustomization":               roleLastCustomization,
	"LastFixedDateTime":               roleLastFixed,
	"LastFoundDateTime":               roleLastFound,
	"LastPcScannedDate":               roleLastPCScanned,
	"LastProcessedDateTime":           roleLastProcessed,
	"LastScanDateTime":                roleLastScan,
	"LastServiceModificationDateTime": roleLastServiceModification,
	"LastTestDateTime":                roleLastTest,
	"LastUpdateDateTime":              roleLastUpdate,
	"LastVmAuthScannedDate":           roleLastVMAuthScanned,
	"LastVmScannedDate":               roleLastVMScanned,
	"LastVulnScanDateTime":            roleLastVulnScan,
	"Netbios":                         roleNetbios,
	"Patchable":                       rolePatchable,
	"PciFlag":                         rolePCIFlag,
	"Port":                            rolePort,
	"Protocol":                        roleProtocol,
	"QgHostId":                        roleQGHostID,
	"Qid":                             roleQID,
	"Results":                         roleResults,
	"Severity":                        roleSeverity,
	"SeverityLevel":                   roleSeverityLevel,
	"Software":                        roleSoftware,
	"Solution":                        roleSolution,
	"Ssl":                             roleSSL,
	"Status":                          roleStatus,
	"ThreatIntel":                     roleThreatIntel,
	"TimesFound":                      roleTimesFound,
	"Title":                           roleTitle,
	"TrackingMethod":                  roleTrackingMethod,
	"Type":                            roleType,
	"UniqueVulnId":                    roleUniqueVulnID,
	"VendorReference":                 roleVendorReference,
	"VulnerabilityType":               roleVulnerabilityType,
}

// memberRoles are the keys with a role in assets.
var memberRoles = map[string]role{
	"address":                  roleAddress,
	"addresses":                roleInterfaceAddress,
	"addressIpV4":              roleInterfaceAddress,
	"addressIpV6":              roleInterfaceAddress,
	"agent":                    roleAgent,
	"agentId":                  roleAgentID,
	"assetId":                  roleAssetID,
	"assetUUID":                roleAssetUUID,
	"cloudProvider":            roleCloudProvider,
	"dnsName":                  roleDNSName,
	"fullName":                 roleFullName,
	"hostId":                   roleHostID,
	"instanceId":               roleInstanceID, // of EC2 and of Google's
	"lastModifiedDate":         roleLastModified,
	"lastUpdated":              roleLastUpdated,
	"lastUpdatedDate":          roleLastUpdatedDate,
	"networkInterfaceListData": roleNetworkInterfaces,
	"openPort":                 roleOpenPort,
	"openPortListData":         roleOpenPorts,
	"software":                 roleSoftwareEntries,
	"softwareListData":         roleSoftwareList,
	"vmId":                     roleInstanceID, // of Azure's
}

// columnRoles are the keys with a role in rows of the activity log.
var columnRoles = map[string]role{
	"Date": roleDate,
}

// places are where in a tape the values with a role are, 0: nowhere.
type places [roleCount]int32

// find notes the values among the siblings from index from up to to.
func (p *places) find(nodes []node, from, to int) {
	*p = places{}
	for i := from; i < to; i += int(nodes[i].size) {
		if r := nodes[i].key.role; r != noRole && p[r] == 0 {
			p[r] = int32(i)
		}
	}
}
