// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

const (
	serverName   = "qualysapi.example.test"
	gatewayName  = "gateway.example.test"
	sourceName   = "qualysvmdr"
	scopeName    = "github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver"
	scopeVersion = "0.0.0"
	batchSize    = 1000
	batchBytes   = 2 << 20
)

var collected = time.Date(2026, time.November, 20, 10, 0, 0, 0, time.UTC)

// detectionRecords builds the records of detections from values in memory, in batches.
type detectionRecords struct {
	logs plog.Logs
	size int
	take func(plog.Logs)
	// copies makes it build what a host says once, and copy it into each of its records, as the receiver does. A
	// straightforward program puts the same values again and again.
	copies bool
	// json makes it write bodies that are JSON; err is the first error of that.
	json bool
	err  error
	hash []byte
}

func newDetectionRecords(copies bool, take func(plog.Logs)) *detectionRecords {
	return &detectionRecords{logs: plog.NewLogs(), take: take, copies: copies}
}

func (r *detectionRecords) flush() {
	if r.size > 0 {
		r.take(r.logs)
		r.logs, r.size = plog.NewLogs(), 0
	}
}

// add adds the records of a host.
func (r *detectionRecords) add(h *xmlHost) {
	host := pcommon.NewMap()
	if r.copies {
		r.hostBody(host, h)
	}
	var records plog.LogRecordSlice
	for i := range h.Detections {
		if i == 0 || r.size == 0 {
			records = r.resource(h)
		}
		r.record(records.AppendEmpty(), h, &h.Detections[i], host)
		if r.size++; r.size == batchSize {
			r.flush()
		}
	}
}

func (r *detectionRecords) resource(h *xmlHost) plog.LogRecordSlice {
	resource := r.logs.ResourceLogs().AppendEmpty()
	attrs := resource.Resource().Attributes()
	attrs.EnsureCapacity(6)
	attrs.PutStr("host.id", h.QGHostID)
	ip := attrs.PutEmptySlice("host.ip")
	ip.EnsureCapacity(1)
	ip.AppendEmpty().SetStr(h.IP)
	attrs.PutStr("host.name", h.DNS)
	attrs.PutInt("qualys.host.id", h.ID)
	attrs.PutStr("qualys.server", serverName)
	attrs.PutStr("qualys.receiver", sourceName)
	scope := resource.ScopeLogs().AppendEmpty()
	scope.Scope().SetName(scopeName)
	scope.Scope().SetVersion(scopeVersion)
	return scope.LogRecords()
}

func (r *detectionRecords) hostBody(m pcommon.Map, h *xmlHost) {
	m.EnsureCapacity(17)
	m.PutStr("LogType", "vulnerabilityLogs")
	m.PutInt("Id", h.ID)
	m.PutInt("AssetId", h.AssetID)
	m.PutStr("IP", h.IP)
	m.PutStr("Hostname", h.DNS)
	m.PutStr("TrackingMethod", h.TrackingMethod)
	m.PutInt("NetworkId", h.NetworkID)
	m.PutStr("OS", h.OS)
	m.PutStr("Dns", h.DNS)
	dns := m.PutEmptyMap("DnsData")
	dns.EnsureCapacity(3)
	dns.PutStr("Hostname", h.DNSData.Hostname)
	dns.PutStr("Domain", h.DNSData.Domain)
	dns.PutStr("Fqdn", h.DNSData.FQDN)
	if h.Netbios != nil {
		m.PutStr("Netbios", *h.Netbios)
	}
	m.PutStr("QgHostId", h.QGHostID)
	m.PutStr("LastScanDateTime", h.LastScan)
	m.PutStr("LastVmScannedDate", h.LastVMScanned)
	m.PutInt("LastVmScannedDuration", h.LastVMScannedDuration)
	tags := m.PutEmptySlice("Tag")
	tags.EnsureCapacity(len(h.Tags))
	for i := range h.Tags {
		tag := tags.AppendEmpty().SetEmptyMap()
		tag.EnsureCapacity(2)
		tag.PutInt("TagId", h.Tags[i].ID)
		tag.PutStr("Name", h.Tags[i].Name)
	}
	m.PutEmpty("Detection")
}

func (r *detectionRecords) record(lr plog.LogRecord, h *xmlHost, d *xmlDetection, host pcommon.Map) {
	lr.SetEventName("qualys.vmdr.detection")
	lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(collected))
	found := d.LastFound
	if d.Status == "Fixed" && d.LastFixed != nil {
		found = *d.LastFixed
	}
	if t, err := time.Parse(time.RFC3339, found); err == nil {
		lr.SetTimestamp(pcommon.NewTimestampFromTime(t))
	}
	severity := [...]plog.SeverityNumber{plog.SeverityNumberInfo, plog.SeverityNumberInfo2, plog.SeverityNumberWarn, plog.SeverityNumberError, plog.SeverityNumberFatal}[d.Severity-1]
	if d.Status == "Fixed" {
		severity = plog.SeverityNumberInfo
	}
	lr.SetSeverityNumber(severity)
	lr.SetSeverityText([...]string{"Minimal", "Medium", "Serious", "Critical", "Urgent"}[d.Severity-1])
	attrs := lr.Attributes()
	attrs.EnsureCapacity(6)
	attrs.PutStr("LogType", "vulnerabilityLogs")
	attrs.PutStr("log.record.uid", r.uid(d))
	attrs.PutInt("qualys.asset.id", h.AssetID)
	attrs.PutInt("qualys.detection.id", d.UniqueVulnID)
	attrs.PutStr("qualys.detection.status", d.Status)
	attrs.PutInt("qualys.qid", d.QID)
	if r.json {
		text, err := jsonText(h, d)
		if r.err == nil {
			r.err = err
		}
		lr.Body().SetStr(text)
		return
	}
	body := lr.Body().SetEmptyMap()
	if r.copies {
		host.CopyTo(body)
	} else {
		r.hostBody(body, h)
	}
	detection, _ := body.Get("Detection")
	r.detection(detection.SetEmptyMap(), d)
}

func (r *detectionRecords) detection(m pcommon.Map, d *xmlDetection) {
	m.EnsureCapacity(23)
	m.PutInt("UniqueVulnId", d.UniqueVulnID)
	m.PutInt("Qid", d.QID)
	m.PutStr("Type", d.Type)
	m.PutInt("Severity", d.Severity)
	if d.Port != nil {
		m.PutInt("Port", *d.Port)
	}
	if d.Protocol != nil {
		m.PutStr("Protocol", *d.Protocol)
	}
	m.PutInt("Ssl", d.SSL)
	m.PutStr("Results", d.Results)
	m.PutStr("Status", d.Status)
	m.PutStr("FirstFoundDateTime", d.FirstFound)
	m.PutStr("LastFoundDateTime", d.LastFound)
	m.PutStr("Source", d.Source)
	m.PutInt("Qds", d.QDS.Score)
	m.PutStr("QdsSeverity", d.QDS.Severity)
	factors := m.PutEmptyMap("QdsFactors")
	factors.EnsureCapacity(len(d.QDSFactors))
	for i := range d.QDSFactors {
		factors.PutStr(d.QDSFactors[i].Name, d.QDSFactors[i].Value)
	}
	m.PutInt("TimesFound", d.TimesFound)
	m.PutStr("LastTestDateTime", d.LastTest)
	m.PutStr("LastUpdateDateTime", d.LastUpdate)
	if d.LastFixed != nil {
		m.PutStr("LastFixedDateTime", *d.LastFixed)
	}
	m.PutInt("IsIgnored", d.IsIgnored)
	m.PutInt("IsDisabled", d.IsDisabled)
	m.PutStr("LastProcessedDateTime", d.LastProcessed)
}

// uid is a hash of a detection, made like the receiver's of the identity and of all values. It is another one, as it goes
// by fields and not by elements.
func (r *detectionRecords) uid(d *xmlDetection) string {
	b := r.hash[:0]
	for _, n := range [...]int64{d.QID, d.Severity, d.SSL, d.QDS.Score, d.TimesFound, d.IsIgnored, d.IsDisabled} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	for _, s := range [...]string{d.Type, d.Results, d.Status, d.FirstFound, d.LastFound, d.Source, d.QDS.Severity, d.LastTest, d.LastUpdate, d.LastProcessed} {
		b = append(append(b, s...), 0)
	}
	for i := range d.QDSFactors {
		b = append(append(b, d.QDSFactors[i].Name...), 0)
		b = append(append(b, d.QDSFactors[i].Value...), 0)
	}
	if d.LastFixed != nil {
		b = append(b, *d.LastFixed...)
	}
	r.hash = b
	var sum [16]byte
	binary.BigEndian.PutUint64(sum[:8], uint64(d.UniqueVulnID))
	binary.BigEndian.PutUint64(sum[8:], xxhash.Sum64(b))
	return hex.EncodeToString(sum[:])
}
