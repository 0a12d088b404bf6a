// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"net/http"
	"net/url"
	"strings"
)

const (
	hostListRoot = "HOST_LIST_OUTPUT"
	hostListDTD  = "fo/asset/host/host_list_output.dtd"
)

// hostListParameters are those that the specification names; everything else is refused.
var hostListParameters = map[string]check{
	"action":               oneOf("list"),
	"details":              oneOf("Basic", "Basic/AGs", "All", "All/AGs", "None"),
	"truncation_limit":     isNumber,
	"id_min":               isNumber,
	"id_max":               isNumber,
	"ids":                  isRanges,
	"vm_scan_since":        isTime,
	"vm_processed_after":   isTime,
	"show_asset_id":        yesOrNo,
	"show_tags":            yesOrNo,
	"show_trurisk":         yesOrNo,
	"show_trurisk_factors": yesOrNo,
	"show_ars":             yesOrNo,
	"show_ars_factors":     yesOrNo,
	"show_cloud_tags":      yesOrNo,
	"host_metadata":        oneOf("all", "ec2", "azure", "google"),

	// Accepted without effect.
	"ips":                  anything,
	"ag_ids":               isRanges,
	"ag_titles":            anything,
	"network_ids":          isRanges,
	"use_tags":             yesOrNo,
	"tag_set_by":           oneOf("id", "name"),
	"tag_include_selector": oneOf("any", "all"),
	"tag_set_include":      anything,
	"tag_set_exclude":      anything,
	"os_pattern":           anything,
}

// hostListQuery is a checked request for the host list.
type hostListQuery struct {
	page           hostPage
	processedAfter int64
	scannedSince   int64
	details        string
	show           hostListShow
}

func parseHostListQuery(form url.Values, version int) (*hostListQuery, error) {
	if err := checkParameters(form, hostListParameters); err != nil {
		return nil, err
	}
	yes := func(name string) bool { return form.Get(name) == "1" }
	details := form.Get("details")
	all, groups := strings.CutSuffix(details, "/AGs")
	return &hostListQuery{
		page:           parseHostPage(form),
		processedAfter: timeOf(form, "vm_processed_after"),
		scannedSince:   timeOf(form, "vm_scan_since"),
		details:        details,
		show: hostListShow{
			hostShow: hostShow{
				version: version, assetID: yes("show_asset_id"), tags: yes("show_tags"), cloudTags: yes("show_cloud_tags"),
				metadata: form.Get("host_metadata"),
			},
			all: all == "All", groups: groups,
			truRisk: yes("show_trurisk"), truRiskFactors: yes("show_trurisk_factors"),
			ars: yes("show_ars"), arsFactor: yes("show_ars_factors"),
		},
	}, nil
}

func (q *hostListQuery) keeps(h *host) bool {
	return h.processed > q.processedAfter && h.scanned > q.scannedSince
}

// serveHostList answers with one page of the host list; hosts without detections are in it, too.
func serveHostList(c *call) {
	version := hostVersions[c.r.PathValue("version")]
	if version == 0 {
		serveUnknownAPI(c)
		return
	}
	if c.s.options.NoHostListPermission {
		c.simpleReturn(http.StatusForbidden, codeNoPermission, "The user may not list hosts.", 0)
		return
	}
	q, err := parseHostListQuery(c.form, version)
	if err != nil {
		c.refuse(err)
		return
	}
	q.show.unknownElements = c.mishap.answer[UnknownElements]
	q.show.invalidUTF8 = c.mishap.answer[InvalidUTF8]
	list := &hostPages{root: hostListRoot, dtd: hostListDTD, page: q.page, keeps: q.keeps, bytes: hostListBytes, idsOnly: q.details == "None"}
	list.write = func(x *xmlBuilder, h *host) {
		q.show.malformed = c.mishap.malformed(h.id)
		c.s.appendListedHost(x, h, &q.show)
	}
	c.sendHosts(list)
}
