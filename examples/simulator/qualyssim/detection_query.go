// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"net/url"
	"slices"
	"strings"
)

// detectionParameters are those that the receiver's specification names; everything else is refused.
var detectionParameters = map[string]check{
	"action":                    oneOf("list"),
	"truncation_limit":          isNumber,
	"id_min":                    isNumber,
	"id_max":                    isNumber,
	"ids":                       isRanges,
	"detection_updated_since":   isTime,
	"detection_processed_after": isTime,
	"vm_processed_after":        isTime,
	"vm_scan_date_after":        isTime,
	"status":                    listOf(string(StatusNew), string(StatusActive), string(StatusFixed), string(StatusReopened)),
	"severities":                isRanges,
	"include_vuln_type":         listOf("confirmed", "potential"),
	"qids":                      isRanges,
	"show_results":              yesOrNo,
	"show_igs":                  yesOrNo,
	"show_reopened_info":        yesOrNo,
	"show_tags":                 yesOrNo,
	"show_asset_id":             yesOrNo,
	"show_qds":                  yesOrNo,
	"show_qds_factors":          yesOrNo,
	"show_cloud_tags":           yesOrNo,
	"host_metadata":             oneOf("all", "ec2", "azure", "google"),
	"vuln_detection_source":     yesOrNo,
	"output_format":             oneOf("XML"),
	"include_ignored":           yesOrNo,
	"include_disabled":          yesOrNo,

	"max_days_since_detection_updated": isNumber,

	// Accepted without effect.
	"arf_kernel_filter":      oneOf("0", "1", "2", "3", "4"),
	"arf_service_filter":     oneOf("0", "1", "2", "3", "4"),
	"arf_config_filter":      oneOf("0", "1", "2", "3", "4"),
	"filter_superseded_qids": yesOrNo,
	"use_tags":               yesOrNo,
	"tag_set_by":             oneOf("id", "name"),
	"tag_include_selector":   oneOf("any", "all"),
	"tag_set_include":        anything,
	"tag_set_exclude":        anything,
	"ag_titles":              anything,
	"ag_ids":                 isRanges,
	"ips":                    anything,
	"network_ids":            isRanges,
	"os_pattern":             anything,
}

// detectionQuery is a checked request for detections. "After" is strict, in whole seconds; a negative number does not
// filter.
type detectionQuery struct {
	page           hostPage
	updatedSince   int64
	processedAfter int64
	hostProcessed  int64
	hostScanned    int64
	statuses       []string
	severities     numbers
	types          []VulnType
	qids           numbers
	ignored        bool // ignored detections are listed, too
	disabled       bool // detections of disabled QIDs are listed, too
	show           hostShow
}

func parseDetectionQuery(form url.Values, version int, m moment) (*detectionQuery, error) {
	if err := checkParameters(form, detectionParameters); err != nil {
		return nil, err
	}
	yes := func(name string) bool { return form.Get(name) == "1" }

	q := &detectionQuery{
		page:           parseHostPage(form),
		updatedSince:   timeOf(form, "detection_updated_since"),
		processedAfter: timeOf(form, "detection_processed_after"),
		hostProcessed:  timeOf(form, "vm_processed_after"),
		hostScanned:    timeOf(form, "vm_scan_date_after"),
		statuses:       []string{string(StatusNew), string(StatusActive), string(StatusReopened)},
		severities:     rangesOf(form, "severities"),
		types:          []VulnType{Confirmed, Potential},
		qids:           rangesOf(form, "qids"),
		ignored:        yes("include_ignored"),
		disabled:       yes("include_disabled"),
		show: hostShow{
			version:    version,
			results:    form.Get("show_results") != "0",
			assetID:    yes("show_asset_id"),
			tags:       yes("show_tags"),
			cloudTags:  yes("show_cloud_tags"),
			qds:        yes("show_qds"),
			qdsFactors: yes("show_qds_factors"),
			reopened:   yes("show_reopened_info"),
			sources:    yes("vuln_detection_source"),
			metadata:   form.Get("host_metadata"),
		},
	}
	if form.Has("status") {
		q.statuses = strings.Split(form.Get("status"), ",")
	}
	if wanted := form.Get("include_vuln_type"); wanted != "" {
		q.types = slices.DeleteFunc(q.types, func(t VulnType) bool {
			return !slices.Contains(strings.Split(wanted, ","), strings.ToLower(string(t)))
		})
	}
	if yes("show_igs") {
		q.types = append(q.types, Info)
	}
	if days := numberOf(form, "max_days_since_detection_updated", -1); days >= 0 {
		q.updatedSince = max(q.updatedSince, m.now-days*day)
	}
	return q, nil
}

// keeps takes the detections that are not asked for from h, and says whether any is left.
func (q *detectionQuery) keeps(h *host) bool {
	if h.processed <= q.hostProcessed || h.scanned <= q.hostScanned {
		return false
	}
	h.detections = slices.DeleteFunc(h.detections, func(d detection) bool {
		return d.ignored && !q.ignored || d.disabled && !q.disabled ||
			d.updated() <= q.updatedSince || d.processed <= q.processedAfter ||
			!slices.Contains(q.statuses, string(d.status)) || !slices.Contains(q.types, d.qid.vulnType) ||
			!q.severities.contains(d.qid.severity) || !q.qids.contains(d.qid.number)
	})
	return len(h.detections) > 0
}

// hostsFor is how many hosts weigh about so many bytes together.
func (s *subscription) hostsFor(bytes int64) int {
	const sample = 32
	x := &xmlBuilder{pretty: s.options.Pretty, depth: 3, zone: "Z"}
	show := hostShow{version: 5, results: true, assetID: true, tags: true, qds: true, qdsFactors: true}
	var h host
	for index := range sample {
		s.load(&h, index, s.at(s.options.Start))
		h.detections = slices.DeleteFunc(h.detections, func(d detection) bool { return d.ignored || d.disabled })
		s.appendHost(x, &h, &show)
	}
	return int(max(1, bytes*sample/int64(len(x.buf))))
}
