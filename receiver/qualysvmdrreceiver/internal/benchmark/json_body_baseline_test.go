// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"bytes"
	"encoding/json"
)

// What a body is as JSON, as a straightforward program would write it.
type (
	jsonBody struct {
		LogType               string
		ID                    int64 `json:"Id"`
		AssetID               int64 `json:"AssetId"`
		IP                    string
		Hostname              string
		TrackingMethod        string
		NetworkID             int64 `json:"NetworkId"`
		OS                    string
		DNS                   string      `json:"Dns"`
		DNSData               jsonDNSData `json:"DnsData"`
		Netbios               *string     `json:",omitempty"`
		QGHostID              string      `json:"QgHostId"`
		LastScan              string      `json:"LastScanDateTime"`
		LastVMScanned         string      `json:"LastVmScannedDate"`
		LastVMScannedDuration int64       `json:"LastVmScannedDuration"`
		Tags                  []jsonTag   `json:"Tag"`
		Detection             jsonDetection
	}
	jsonDNSData struct {
		Hostname string
		Domain   string
		FQDN     string `json:"Fqdn"`
	}
	jsonTag struct {
		ID   int64 `json:"TagId"`
		Name string
	}
	jsonDetection struct {
		UniqueVulnID  int64 `json:"UniqueVulnId"`
		QID           int64 `json:"Qid"`
		Type          string
		Severity      int64
		Port          *int64  `json:",omitempty"`
		Protocol      *string `json:",omitempty"`
		SSL           int64   `json:"Ssl"`
		Results       string
		Status        string
		FirstFound    string `json:"FirstFoundDateTime"`
		LastFound     string `json:"LastFoundDateTime"`
		Source        string
		QDS           int64             `json:"Qds"`
		QDSSeverity   string            `json:"QdsSeverity"`
		QDSFactors    map[string]string `json:"QdsFactors"`
		TimesFound    int64
		LastTest      string  `json:"LastTestDateTime"`
		LastUpdate    string  `json:"LastUpdateDateTime"`
		LastFixed     *string `json:"LastFixedDateTime,omitempty"`
		IsIgnored     int64
		IsDisabled    int64
		LastProcessed string `json:"LastProcessedDateTime"`
	}
)

// jsonText is the body of a detection by encoding/json, without the escapes that are for HTML.
func jsonText(h *xmlHost, d *xmlDetection) (string, error) {
	body := jsonBody{
		LogType: "vulnerabilityLogs", ID: h.ID, AssetID: h.AssetID, IP: h.IP, Hostname: h.DNS, TrackingMethod: h.TrackingMethod, NetworkID: h.NetworkID,
		OS: h.OS, DNS: h.DNS, DNSData: jsonDNSData(h.DNSData), Netbios: h.Netbios, QGHostID: h.QGHostID, LastScan: h.LastScan,
		LastVMScanned: h.LastVMScanned, LastVMScannedDuration: h.LastVMScannedDuration,
		Detection: jsonDetection{
			UniqueVulnID: d.UniqueVulnID, QID: d.QID, Type: d.Type, Severity: d.Severity, Port: d.Port, Protocol: d.Protocol, SSL: d.SSL,
			Results: d.Results, Status: d.Status, FirstFound: d.FirstFound, LastFound: d.LastFound, Source: d.Source, QDS: d.QDS.Score,
			QDSSeverity: d.QDS.Severity, QDSFactors: make(map[string]string, len(d.QDSFactors)), TimesFound: d.TimesFound, LastTest: d.LastTest,
			LastUpdate: d.LastUpdate, LastFixed: d.LastFixed, IsIgnored: d.IsIgnored, IsDisabled: d.IsDisabled, LastProcessed: d.LastProcessed,
		},
	}
	for _, tag := range h.Tags {
		body.Tags = append(body.Tags, jsonTag(tag))
	}
	for _, factor := range d.QDSFactors {
		body.Detection.QDSFactors[factor.Name] = factor.Value
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(&body); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(text.Bytes(), []byte("\n"))), nil
}
