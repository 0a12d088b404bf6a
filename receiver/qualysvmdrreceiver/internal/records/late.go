// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// refresh adds elements of the host that came after its first detections to those of its records that have not been
// taken. Qualys does not send such elements today, so this may cost.
func (d *Detections) refresh() {
	if d.stale == 0 || !d.open {
		d.stale = 0
		return
	}
	d.host.prepare(&d.builder)
	first := len(d.current.Items) - d.records.Len()
	for i := range d.stale {
		lr := d.records.At(i)
		item := &d.current.Items[first+i]
		item.Scanned = d.host.scanned
		before := item.Bytes
		if d.settings.JSON {
			d.rewrite(lr, &d.parts[i])
		} else {
			d.host.rebuild(lr.Body().Map(), d.tape.names.detection.text)
		}
		item.Bytes += int32(d.host.bytes - d.parts[i].host)
		d.parts[i].host = d.host.bytes
		d.current.Bytes += int(item.Bytes - before)
		if d.host.hasAssetID {
			lr.Attributes().PutInt(attrAssetID, d.host.assetID)
		}
		d.host.addCut(lr)
	}
	resources := d.current.Logs.ResourceLogs()
	d.describe(resources.At(resources.Len()-1).Resource().Attributes(), &d.host.machine)
	d.stale = 0
}

// rewrite makes the JSON of a record again, with its detection as it is.
func (d *Detections) rewrite(lr plog.LogRecord, its *part) {
	body := lr.Body().Str()
	d.json = append(d.buffer(), d.host.prefix...)
	d.json = append(d.json, body[its.from:its.to]...)
	its.from, its.to = len(d.host.prefix), len(d.json)
	d.json = append(d.json, d.host.suffix...)
	lr.Body().SetStr(d.blocks.cut(d.json))
}

// rebuild makes the map of a record again, with its detection as it is.
func (h *host) rebuild(body pcommon.Map, detection string) {
	fresh := pcommon.NewMap()
	h.body.CopyTo(fresh)
	from, _ := body.Get(detection)
	to, _ := fresh.Get(detection)
	from.MoveTo(to)
	fresh.MoveTo(body)
}

// addCut names the host's values that were cut, before those of the detection.
func (h *host) addCut(lr plog.LogRecord) {
	if len(h.cut) == 0 {
		return
	}
	var own []string
	if v, ok := lr.Attributes().Get(attrTruncated); ok {
		for _, path := range v.Slice().All() {
			own = append(own, path.Str())
		}
	}
	paths := append([]string(nil), h.cut...)
	for _, path := range own {
		paths = appendNew(paths, path)
	}
	nameCut(lr, paths)
}
