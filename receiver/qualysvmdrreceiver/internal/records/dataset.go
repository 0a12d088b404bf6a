// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

// dataset is how the records of a dataset are called.
type dataset struct {
	logType, event string
}

var (
	vulnerabilityLogs = dataset{logType: "vulnerabilityLogs", event: "qualys.vmdr.detection"}
	knowledgeBaseLogs = dataset{logType: "knowledgeBaseLogs", event: "qualys.vmdr.knowledge_base"}
	assetInventory    = dataset{logType: "assetInventory", event: "qualys.vmdr.asset"}
	hostLogs          = dataset{logType: "hostLogs", event: "qualys.vmdr.host"}
	userActivityLogs  = dataset{logType: "userActivityLogs", event: "qualys.vmdr.activity"}

	removedHostLogs      = dataset{logType: "removedHostLogs", event: "qualys.vmdr.host.removed"}
	removedDetectionLogs = dataset{logType: "removedDetectionLogs", event: "qualys.vmdr.detection.removed"}
	collectionEvents     = dataset{logType: "collectionEvents", event: "qualys.vmdr.collection"}
)

// The attributes of records.
const (
	attrAssetID         = "qualys.asset.id"
	attrCollectionID    = "qualys.collection.id"
	attrDataset         = "qualys.dataset"
	attrDetectionID     = "qualys.detection.id"
	attrDetectionStatus = "qualys.detection.status"
	attrLogType         = "LogType"
	attrQID             = "qualys.qid"
	attrTruncated       = "qualys.truncated"
	attrUID             = "log.record.uid"
)
