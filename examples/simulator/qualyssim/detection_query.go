// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"net/url"
	"slices"
	"strconv"
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

const defaultTruncation = 1000

// detectionQuery is a checked request for detections. "After" is strict, in whole seconds; 0 does not filter.
type detectionQuery struct {
	limit          int // hosts; 0 is no limit
	idMin, idMax   int64
	ids            numbers
	updatedSince   int64
	processedAfter int64
	hostProcessed  int64
	hostScanned    int64
	statuses       []string
	severities     numbers
	types          []VulnType
	qids           numbers
	show           hostShow
}

func parseDetectionQuery(form url.Values, version int, m moment) (*detectionQuery, error) {
	if err := checkParameters(form, detectionParameters); err != nil {
		return nil, err
	}
	number := func(name string, byDefault int64) int64 {
		if n, err := strconv.ParseInt(form.Get(name), 10, 64); err == nil {
			return n
		}
		return byDefault
	}
	after := func(name string) int64 {
		unix, ok := parseTime(form.Get(name))
		if !ok {
			return 0
		}
		return unix
	}
	ranges := func(name string) numbers {
		if !form.Has(name) {
			return nil
		}
		r, _ := parseRanges(form.Get(name))
		return r
	}
	yes := func(name string) bool { return form.Get(name) == "1" }

	q := &detectionQuery{
		limit:          int(number("truncation_limit", defaultTruncation)),
		idMin:          number("id_min", 0),
		idMax:          number("id_max", 1<<62),
		ids:            ranges("ids"),
		updatedSince:   after("detection_updated_since"),
		processedAfter: after("detection_processed_after"),
		hostProcessed:  after("vm_processed_after"),
		hostScanned:    after("vm_scan_date_after"),
		statuses:       []string{string(StatusNew), string(StatusActive), string(StatusReopened)},
		severities:     ranges("severities"),
		types:          []VulnType{Confirmed, Potential},
		qids:           ranges("qids"),
		show: hostShow{
			version:    version,
			results:    form.Get("show_results") != "0",
			assetID:    yes("show_asset_id"),
			tags:       yes("show_tags"),
			cloudTags:  yes("show_cloud_tags"),
			qds:        yes("show_qds"),
			qdsFactors: yes("show_qds_factors"),
			reopened:   yes("show_reopened_info"),
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
	if days := number("max_days_since_detection_updated", -1); days >= 0 {
		q.updatedSince = max(q.updatedSince, m.now-days*day)
	}
	return q, nil
}

// filter takes the detections that are not asked for from h, and says whether any is left.
func (q *detectionQuery) filter(h *host) bool {
	if h.id < q.idMin || h.id > q.idMax || !q.ids.contains(h.id) ||
		h.processed <= q.hostProcessed || h.scanned <= q.hostScanned {
		h.detections = h.detections[:0]
		return false
	}
	h.detections = slices.DeleteFunc(h.detections, func(d detection) bool {
		return d.updated() <= q.updatedSince || d.processed <= q.processedAfter ||
			!slices.Contains(q.statuses, string(d.status)) || !slices.Contains(q.types, d.qid.vulnType) ||
			!q.severities.contains(d.qid.severity) || !q.qids.contains(d.qid.number)
	})
	return len(h.detections) > 0
}

// next loads the next host from index on that the query asks for; its index is Hosts if there is none.
func (s *subscription) next(h *host, index int, q *detectionQuery, m moment) bool {
	if first := s.hostFrom(q.idMin); index < first {
		index = first
	}
	for ; index < s.options.Hosts; index++ {
		s.load(h, index, m)
		if h.id > q.idMax {
			break
		}
		if q.filter(h) {
			return true
		}
	}
	return false
}

// hostsFor is how many hosts weigh about so many bytes together.
func (s *subscription) hostsFor(bytes int64) int {
	const sample = 32
	x := &xmlBuilder{pretty: s.options.Pretty, depth: 3}
	show := hostShow{version: 5, results: true, assetID: true, tags: true, qds: true, qdsFactors: true}
	var h host
	for index := range sample {
		s.load(&h, index, s.at(s.options.Start))
		s.appendHost(x, &h, &show)
	}
	return int(max(1, bytes*sample/int64(len(x.buf))))
}
