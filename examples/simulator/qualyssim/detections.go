// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"errors"
	"net/http"
	"strings"
)

const (
	detectionsRoot = "HOST_LIST_VM_DETECTION_OUTPUT"
	detectionsDTD  = "fo/asset/host/vm/detection/host_list_vm_detection_output.dtd"

	codeTruncated = 1980
	codeMessage   = 1981
)

// serveDetections answers with one page of hosts, each made and sent before the next.
func serveDetections(c *call) {
	version := hostVersions[c.r.PathValue("version")]
	if version == 0 {
		serveUnknownAPI(c)
		return
	}
	q, err := parseDetectionQuery(c.form, version, c.at)
	if err != nil {
		c.refuse(err)
		return
	}
	q.show.controlCharacters = c.mishap.answer[ControlCharacters]
	q.show.invalidUTF8 = c.mishap.answer[InvalidUTF8]
	q.show.unknownElements = c.mishap.answer[UnknownElements]
	q.show.upperCase, q.show.lowerCase = c.mishap.answer[UpperCaseStatus], c.mishap.answer[LowerCaseStatus]
	_, bytes := c.s.content.size(0, c.at)
	list := &hostPages{root: detectionsRoot, dtd: detectionsDTD, page: q.page, keeps: q.keeps, bytes: bytes}
	list.write = func(x *xmlBuilder, h *host) {
		q.show.malformed = c.mishap.malformed(h.id)
		c.s.appendHost(x, h, &q.show)
	}
	c.sendHosts(list)
}

// refuse answers a request with a parameter that is not right.
func (c *call) refuse(err error) {
	var wrong *parameterError
	if errors.As(err, &wrong) {
		c.simpleReturn(http.StatusBadRequest, wrong.code, wrong.text, 0)
		return
	}
	c.simpleReturn(http.StatusBadRequest, codeInvalid, strings.TrimSpace(err.Error()), 0)
}

// hostBytes is about how long the XML of a host is.
func (s *subscription) hostBytes() int64 {
	const detection, host = 900, 1500
	mean := int64(s.options.MinDetections+s.options.MaxDetections) / 2
	return host + mean*int64(detection+s.options.ResultsSize)
}
