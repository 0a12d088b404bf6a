// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import "strconv"

func writeOperatingSystem(j *jsonBuilder, name string, w *assetWriter) {
	product, publisher := "Example Linux", "Example & Sons"
	if w.category == "Windows" {
		product, publisher = "Windows Server", "Microsoft"
	}
	j.object(name, func() {
		j.texts("osName", product+" 9.4", "fullName", publisher+" "+product+" 9.4", "category", w.category+" / Server",
			"category1", w.category, "category2", "Server", "productName", product, "publisher", publisher)
		j.null("edition")
		j.texts("marketVersion", "9", "version", "9.4")
		j.null("update")
		j.text("architecture", "x86_64")
		j.object("lifecycle", func() {
			j.time("gaDate", 1_650_499_200)
			j.time("eolDate", 1_806_537_600)
			j.texts("eosDate", "Not Announced", "stage", "GA", "lifeCycleConfidence", "Exact", "eolSupportStage", "Standard")
			j.null("eosSupportStage")
			j.int("detectionScore", 0)
		})
		writeTaxonomy(j, w.category, "Server")
		j.texts("productUrl", "https://os.example.com,,", "productFamily", product)
		j.null("installDate")
		j.text("release", "Nine")
		j.null("cpeId", "cpe", "cpeType")
	})
}

func writeTaxonomy(j *jsonBuilder, category1, category2 string) {
	j.object("taxonomy", func() {
		j.null("id")
		j.texts("name", category1+" / "+category2, "category1", category1, "category2", category2)
	})
}

func writeHardware(j *jsonBuilder, name string, _ *assetWriter) {
	j.object(name, func() {
		j.texts("fullName", "Example Edge 640", "category", "Computers / Server", "category1", "Computers",
			"category2", "Server", "manufacturer", "Example", "productName", "Edge", "model", "640")
		j.object("lifecycle", func() {
			j.time("introDate", 1_499_731_200)
			j.time("gaDate", 1_499_731_200)
			j.texts("eosDate", "Not Announced", "obsoleteDate", "Not Announced", "stage", "GA", "lifeCycleConfidence", "Exact")
		})
		writeTaxonomy(j, "Computers", "Server")
		j.texts("productUrl", "https://hardware.example.com", "productFamily", "Edge")
	})
}

func writeUserAccounts(j *jsonBuilder, name string, w *assetWriter) {
	j.list(name, "userAccount", 1+w.dice.below(4), func(i int) { j.text("name", "user"+strconv.Itoa(i)) })
}

func writeOpenPorts(j *jsonBuilder, name string, w *assetWriter) {
	j.list(name, "openPort", 1+w.dice.below(5), func(i int) {
		j.int("port", ports[i])
		j.texts("description", "Port <"+strconv.FormatInt(ports[i], 10)+">", "protocol", "TCP", "detectedService", "service-"+strconv.Itoa(i))
		j.time("firstFound", w.created)
		j.time("lastUpdated", w.changed)
		j.null("authorization")
		j.int("detectionScore", 0)
		j.text("discoverySources", "SCANNER")
	})
}

func writeVolumes(j *jsonBuilder, name string, w *assetWriter) {
	j.list(name, "volume", 1+w.dice.below(3), func(i int) {
		j.text("name", `D:\vol`+strconv.Itoa(i))
		j.int("free", int64(w.dice.below(1<<35)))
		j.int("size", 1<<36)
	})
}

func writeNetworkInterfaces(j *jsonBuilder, name string, w *assetWriter) {
	j.list(name, "networkInterface", 1, func(int) {
		j.texts("hostname", w.name, "addressIpV4", w.address+", 192.0.2."+strconv.Itoa(w.index%250))
		j.null("addressIpV6")
		j.texts("macAddress", "00:00:5e:00:53:10", "interfaceName", "eth0", "dnsAddress", "10.20.0.2",
			"gatewayAddress", "10.20.0.1", "manufacturer", "Example & Sons")
		j.millis("macVendorIntroDate", 946_944_000)
		j.null("netmask", "addresses")
	})
}

// softwareID is beyond what a float64 holds.
func softwareID(d *dice) int64 { return 1<<62 + int64(d.next()>>3) }

// writeSoftware brings the asset to its size: half to one and a half times the mean.
func writeSoftware(j *jsonBuilder, name string, w *assetWriter) {
	size := w.subscription.options.AssetSize
	size = size/2 + w.dice.below(size+1)
	count := max(1, (size-assetBytes)/softwareBytes)
	if w.subscription.options.Pretty {
		count = max(1, (size-indentedAssetBytes)/indentedSoftBytes)
	}
	j.list(name, "software", count, func(int) {
		product := pick(&w.dice, resultPackages)
		version := strconv.Itoa(w.dice.below(20)) + "." + strconv.Itoa(w.dice.below(100)) + "." + strconv.FormatInt(w.number, 10)
		j.int("id", softwareID(&w.dice))
		j.texts("discoverySources", "AGENT", "fullName", product+" "+version+" \"64-Bit\"", "softwareType", "Application")
		j.bool("isIgnored", false)
		j.null("ignoredReason")
		j.texts("category", "Network Application / Web Servers", "category1", "Network Application", "category2", "Web Servers", "productName", product)
		j.null("component")
		j.text("publisher", "Größe & Söhne")
		j.null("edition")
		j.texts("marketVersion", "2", "version", version)
		j.null("update")
		j.text("architecture", "64-Bit")
		j.time("installDate", w.created+int64(w.dice.below(90*day)))
		j.text("installPath", `C:\Program Files\`+product)
		j.time("lastUpdated", w.changed)
		j.null("lastUseDate", "language", "formerlyKnownAs")
		j.bool("isPackage", true)
		j.bool("isPackageComponent", false)
		j.texts("packageName", product, "productUrl", ",,")
		j.object("lifecycle", func() {
			j.null("gaDate", "eolDate", "eosDate")
			j.texts("stage", "GA", "lifeCycleConfidence", "Exact")
			j.null("eolSupportStage", "eosSupportStage")
			j.int("detectionScore", 0)
		})
		j.null("supportStageDesc")
		j.object("license", func() { j.texts("category", "Open Source", "subcategory", "Apache") })
		j.null("authorization", "discoveredPublisher")
		j.texts("discoveredName", product+" "+version, "discoveredVersion", version)
		j.int("authorizationDetectionScore", 0)
		j.null("cpeId", "cpe", "cpeType", "softwareInstances")
	})
}

func writeCloudProvider(j *jsonBuilder, name string, w *assetWriter) {
	if w.hasAgent() {
		j.null(name)
		return
	}
	j.object(name, func() {
		j.object("aws", func() {
			j.object("ec2", func() {
				j.texts("accountId", "000000000000", "availabilityZone", "eu-central-1a")
				j.bool("hasAgent", false)
				j.null("hostname")
				j.texts("imageId", "ami-0", "instanceId", "i-0"+strconv.Itoa(w.index), "instanceState", "RUNNING", "instanceType", "m5.large")
				j.bool("qualysScanner", false)
				j.null("kernelId")
				j.millis("launchdate", w.created)
				j.null("privateDNS")
				j.text("privateIpAddress", w.address)
				j.null("publicDNS", "publicIpAddress")
				j.object("region", func() { j.texts("code", "eu-central-1", "name", "EU (Frankfurt)") })
				j.bool("spotInstance", false)
				j.texts("subnetId", "subnet-1", "vpcId", "vpc-1")
			})
			j.key("tags")
			j.open('[')
			j.separate()
			j.open('{')
			j.texts("key", "owner", "value", "r&d")
			j.close('}')
			j.close(']')
		})
		j.null("azure", "gcp", "oci", "ibm", "alibaba")
	})
}

func writeAgent(j *jsonBuilder, name string, w *assetWriter) {
	if !w.hasAgent() {
		j.null(name)
		return
	}
	j.object(name, func() {
		j.texts("version", "6.4.0.15", "configurationProfile", "Servers")
		j.key("activations")
		j.open('[')
		j.separate()
		j.open('{')
		j.texts("key", "2f", "status", "ACTIVE")
		j.close('}')
		j.close(']')
		j.text("connectedFrom", "203.0.113.9")
		j.millis("lastActivity", w.changed)
		j.millis("lastCheckedIn", w.changed)
		j.millis("lastInventory", w.changed)
		j.bool("udcManifestAssigned", false)
		j.bool("errorStatus", false)
	})
}

func writeSensor(j *jsonBuilder, name string, w *assetWriter) {
	j.object(name, func() {
		j.key("activatedForModules")
		j.buf = append(j.buf, `["VM","PC"]`...)
		j.key("pendingActivationForModules")
		j.buf = append(j.buf, `[]`...)
		j.millis("lastVMScan", w.changed)
		j.int("lastComplianceScan", 0)
		j.millis("lastFullScan", w.changed)
		j.int("lastVmScanDateScanner", 0)
		j.millis("lastVmScanDateAgent", w.changed)
		j.int("lastPcScanDateScanner", 0)
		j.int("lastPcScanDateAgent", 0)
		j.null("firstEasmScanDate", "lastEasmScanDate")
	})
}
