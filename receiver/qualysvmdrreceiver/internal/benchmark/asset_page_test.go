// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
)

const assetSize = 100_000 // bytes of an asset's JSON

// assetPage is an answer of the asset inventory with so many assets, the same for the same number and form. It makes one
// asset after the other while it is read.
type assetPage struct {
	assets int
	random *rand.Rand
	line   string // what stands before a member
	buf    []byte
	read   int
	next   int
}

func newAssetPage(assets int, pretty bool) *assetPage {
	p := &assetPage{assets: assets, random: rand.New(rand.NewPCG(2026, 12)), next: -1}
	if pretty {
		p.line = "\n          "
	}
	return p
}

// Read implements io.Reader.
func (p *assetPage) Read(b []byte) (int, error) {
	for p.read == len(p.buf) {
		if p.next > p.assets {
			return 0, io.EOF
		}
		p.buf, p.read = p.buf[:0], 0
		p.write()
		p.next++
	}
	n := copy(b, p.buf[p.read:])
	p.read += n
	return n, nil
}

// write writes what comes next.
func (p *assetPage) write() {
	switch {
	case p.next < 0:
		p.buf = fmt.Appendf(p.buf, `{"responseMessage":"Valid API Access","count":%d,"responseCode":"SUCCESS","lastSeenAssetId":%d,"hasMore":0,"assetListData":{"asset":[`, p.assets, p.assetID(p.assets-1))
	case p.next < p.assets:
		if p.next > 0 {
			p.buf = append(p.buf, ',')
		}
		p.writeAsset()
	default:
		p.buf = append(p.buf, "]}}"...)
	}
}

func (p *assetPage) assetID(i int) int { return 67_000_000 + 5*i }

// member writes a member, whose value is in JSON.
func (p *assetPage) member(format string, args ...any) {
	p.buf = append(p.buf, p.line...)
	p.buf = fmt.Appendf(p.buf, format, args...)
}

func (p *assetPage) writeAsset() {
	from, i := len(p.buf), p.next
	p.buf = append(p.buf, '{')
	p.member(`"assetId":%d,`, p.assetID(i))
	p.member(`"assetUUID":"c0ffee00-0000-4000-8000-%012d",`, i)
	p.member(`"hostId":%d,`, firstHost+i)
	p.member(`"lastModifiedDate":"2026-11-%02dT10:11:12.000Z",`, 1+p.random.IntN(20))
	p.member(`"agentId":"a9e0%08x",`, p.random.Uint32())
	p.member(`"createdDate":"2024-05-06T07:08:09.000Z","assetType":"HOST",`)
	p.member(`"address":"10.0.%d.%d","dnsName":"press-%d.plant.example.test","assetName":"press-%d","netbiosName":null,`, i>>8&255, i&255, i, i)
	p.member(`"operatingSystem":{"osName":"Ubuntu Linux 24.04","category":"Linux / Server","productName":"Linux","lifecycle":{"gaDate":"2024-04-25T00:00:00.000Z","stage":"GA","detectionScore":100}},`)
	p.member(`"hardware":{"fullName":"VMware \"Virtual\" Platform","manufacturer":"VMware","lifecycle":null},`)
	p.member(`"agent":{"version":"6.1.0.28","lastCheckedIn":1763%09d,"errorStatus":false},`, p.random.IntN(1e9))
	p.buf = append(p.buf, `"openPortListData":{"openPort":[`...)
	for port := range 40 {
		if port > 0 {
			p.buf = append(p.buf, ',')
		}
		p.member(`{"port":%d,"description":"Port %d","protocol":"TCP","detectedService":"größer","firstFound":"2026-01-02T03:04:05.000Z","lastUpdated":"2026-11-19T20:00:00.000Z","authorization":null}`, 20+port, port)
	}
	p.buf = append(p.buf, `]},"softwareListData":{"software":[`...)
	for software := 0; len(p.buf)-from < assetSize; software++ {
		if software > 0 {
			p.buf = append(p.buf, ',')
		}
		p.writeSoftware(software)
	}
	p.buf = append(p.buf, "]},"...)
	p.member(`"criticality":{"score":%d,"isDefault":true,"lastUpdated":"2026-11-01T00:00:00.000Z"},`, 1+p.random.IntN(5))
	p.member(`"riskScore":%d.%d}`, p.random.IntN(1000), 1+p.random.IntN(9))
}

func (p *assetPage) writeSoftware(i int) {
	version := fmt.Sprintf("%d.%d.%d", 1+p.random.IntN(20), p.random.IntN(30), p.random.IntN(100))
	p.member(`{"id":%d,"discoverySources":"Cloud Agent","fullName":"Example Software %d %s 64-Bit",`, 8_464_359_598_295_000_000+p.random.IntN(1e9), i, version)
	p.member(`"softwareType":"Application","isIgnored":false,"ignoredReason":null,"category":"Plant / Control","gpcCategory":null,"category1":"Plant","category2":"Control",`)
	p.member(`"productName":"Software %d","component":null,"publisher":"Example","edition":null,"marketVersion":"%s","version":"%s","update":null,"architecture":"64-Bit",`, i, version, version)
	p.member(`"installDate":"2026-10-25T14:21:12.000Z","installPath":"C:\\Program Files\\Example\\software-%d","lastUpdated":"2026-11-19T14:21:12.000Z","lastUseDate":null,"language":null,`, i)
	p.member(`"formerlyKnownAs":null,"isPackage":true,"isPackageComponent":false,"packageName":"software-%d","productUrl":"https://example.test/software/%d?a=1&b=2",`, i, i)
	p.member(`"lifecycle":{"gaDate":null,"eolDate":null,"eosDate":null,"stage":"GA","lifeCycleConfidence":"Exact","eolSupportStage":"","eosSupportStage":"","detectionScore":%d},`, p.random.IntN(100))
	p.member(`"supportStageDesc":"The general support of this product – by its maker","license":{"category":"Open Source","subcategory":"Permissive"},"authorization":"Not Authorized"}`)
}

// assetPageOf is a page in memory.
func assetPageOf(assets int, pretty bool) []byte {
	var page bytes.Buffer
	_, _ = page.ReadFrom(newAssetPage(assets, pretty)) // neither fails
	return page.Bytes()
}
