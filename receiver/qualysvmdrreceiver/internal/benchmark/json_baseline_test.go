// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// decodeAssets reads the assets of a page by encoding/json, one at a time. Numbers stay as they are written, as whole ones
// must not lose digits.
func decodeAssets(page io.Reader, each func(map[string]any) error) error {
	decoder := json.NewDecoder(page)
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		if token == "asset" {
			break
		}
	}
	if _, err := decoder.Token(); err != nil { // [
		return err
	}
	for decoder.More() {
		var asset map[string]any
		if err := decoder.Decode(&asset); err != nil {
			return err
		}
		if err := each(asset); err != nil {
			return err
		}
	}
	return nil
}

// addAsset builds the record of an asset. encoding/json does not tell the order of the members.
func addAsset(logs plog.Logs, asset map[string]any) error {
	resource := logs.ResourceLogs().AppendEmpty()
	attrs := resource.Resource().Attributes()
	attrs.PutStr("host.id", asset["agentId"].(string))
	attrs.PutEmptySlice("host.ip").AppendEmpty().SetStr(asset["address"].(string))
	attrs.PutStr("host.name", asset["dnsName"].(string))
	hostID, err := asset["hostId"].(json.Number).Int64()
	if err != nil {
		return err
	}
	attrs.PutInt("qualys.host.id", hostID)
	attrs.PutStr("qualys.server", gatewayName)
	attrs.PutStr("qualys.receiver", sourceName)
	scope := resource.ScopeLogs().AppendEmpty()
	scope.Scope().SetName(scopeName)
	scope.Scope().SetVersion(scopeVersion)
	lr := scope.LogRecords().AppendEmpty()
	lr.SetEventName("qualys.vmdr.asset")
	lr.SetTimestamp(pcommon.NewTimestampFromTime(collected))
	lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(collected))
	id, err := asset["assetId"].(json.Number).Int64()
	if err != nil {
		return err
	}
	lr.Attributes().PutStr("LogType", "assetInventory")
	lr.Attributes().PutStr("log.record.uid", strconv.FormatInt(id, 10))
	lr.Attributes().PutInt("qualys.asset.id", id)

	software := asset["softwareListData"].(map[string]any)["software"].([]any)
	for i, one := range software {
		software[i] = one.(map[string]any)["fullName"]
	}
	asset["softwareListData"] = software
	asset["LogType"] = "assetInventory"
	return putJSON(lr.Body(), asset)
}

func putJSON(v pcommon.Value, from any) error {
	switch from := from.(type) {
	case nil:
	case bool:
		v.SetBool(from)
	case string:
		v.SetStr(from)
	case json.Number:
		if !strings.ContainsAny(from.String(), ".eE") {
			n, err := from.Int64()
			v.SetInt(n)
			return err
		}
		f, err := from.Float64()
		v.SetDouble(f)
		return err
	case []any:
		s := v.SetEmptySlice()
		s.EnsureCapacity(len(from))
		for _, one := range from {
			if err := putJSON(s.AppendEmpty(), one); err != nil {
				return err
			}
		}
	case map[string]any:
		m := v.SetEmptyMap()
		m.EnsureCapacity(len(from))
		for key, one := range from {
			if err := putJSON(m.PutEmpty(key), one); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("a %T in JSON", from)
	}
	return nil
}
