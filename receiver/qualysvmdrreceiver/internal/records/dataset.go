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
	userActivityLogs  = dataset{logType: "userActivityLogs", event: "qualys.vmdr.activity"}
)

// The attributes of records.
const (
	attrAssetID         = "qualys.asset.id"
	attrCollectionID    = "qualys.collection.id"
	attrDetectionID     = "qualys.detection.id"
	attrDetectionStatus = "qualys.detection.status"
	attrLogType         = "LogType"
	attrQID             = "qualys.qid"
	attrTruncated       = "qualys.truncated"
	attrUID             = "log.record.uid"
)
