// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"encoding/xml"
	"io"
)

// What a page consists of, as a straightforward program would read it.
type (
	xmlHost struct {
		ID                    int64          `xml:"ID"`
		AssetID               int64          `xml:"ASSET_ID"`
		IP                    string         `xml:"IP"`
		TrackingMethod        string         `xml:"TRACKING_METHOD"`
		NetworkID             int64          `xml:"NETWORK_ID"`
		OS                    string         `xml:"OS"`
		DNS                   string         `xml:"DNS"`
		DNSData               xmlDNSData     `xml:"DNS_DATA"`
		Netbios               *string        `xml:"NETBIOS"`
		QGHostID              string         `xml:"QG_HOSTID"`
		LastScan              string         `xml:"LAST_SCAN_DATETIME"`
		LastVMScanned         string         `xml:"LAST_VM_SCANNED_DATE"`
		LastVMScannedDuration int64          `xml:"LAST_VM_SCANNED_DURATION"`
		Tags                  []xmlTag       `xml:"TAGS>TAG"`
		Detections            []xmlDetection `xml:"DETECTION_LIST>DETECTION"`
	}
	xmlDNSData struct {
		Hostname string `xml:"HOSTNAME"`
		Domain   string `xml:"DOMAIN"`
		FQDN     string `xml:"FQDN"`
	}
	xmlTag struct {
		ID   int64  `xml:"TAG_ID"`
		Name string `xml:"NAME"`
	}
	xmlDetection struct {
		UniqueVulnID  int64       `xml:"UNIQUE_VULN_ID"`
		QID           int64       `xml:"QID"`
		Type          string      `xml:"TYPE"`
		Severity      int64       `xml:"SEVERITY"`
		Port          *int64      `xml:"PORT"`
		Protocol      *string     `xml:"PROTOCOL"`
		SSL           int64       `xml:"SSL"`
		Results       string      `xml:"RESULTS"`
		Status        string      `xml:"STATUS"`
		FirstFound    string      `xml:"FIRST_FOUND_DATETIME"`
		LastFound     string      `xml:"LAST_FOUND_DATETIME"`
		Source        string      `xml:"SOURCE"`
		QDS           xmlQDS      `xml:"QDS"`
		QDSFactors    []xmlFactor `xml:"QDS_FACTORS>QDS_FACTOR"`
		TimesFound    int64       `xml:"TIMES_FOUND"`
		LastTest      string      `xml:"LAST_TEST_DATETIME"`
		LastUpdate    string      `xml:"LAST_UPDATE_DATETIME"`
		LastFixed     *string     `xml:"LAST_FIXED_DATETIME"`
		IsIgnored     int64       `xml:"IS_IGNORED"`
		IsDisabled    int64       `xml:"IS_DISABLED"`
		LastProcessed string      `xml:"LAST_PROCESSED_DATETIME"`
	}
	xmlQDS struct {
		Severity string `xml:"severity,attr"`
		Score    int64  `xml:",chardata"`
	}
	xmlFactor struct {
		Name  string `xml:"name,attr"`
		Value string `xml:",chardata"`
	}
)

// decodeHosts reads the hosts of a page by encoding/xml, one at a time.
func decodeHosts(page io.Reader, each func(*xmlHost)) error {
	decoder := xml.NewDecoder(page)
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "HOST" {
			var host xmlHost
			if err := decoder.DecodeElement(&host, &start); err != nil {
				return err
			}
			each(&host)
		}
	}
}

// readStandardTokens reads the tokens of a page by encoding/xml.
func readStandardTokens(page io.Reader) error {
	decoder := xml.NewDecoder(page)
	for {
		if _, err := decoder.Token(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
