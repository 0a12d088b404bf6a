// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	detectionsRoot = "HOST_LIST_VM_DETECTION_OUTPUT"
	detectionsDTD  = "fo/asset/host/vm/detection/host_list_vm_detection_output.dtd"

	codeTruncated = 1980
	codeMessage   = 1981
)

var detectionVersions = map[string]int{"2.0": 2, "3.0": 3, "4.0": 4, "5.0": 5}

// serveDetections answers with one page of hosts, each made and sent before the next.
func serveDetections(c *call) {
	version := detectionVersions[c.r.PathValue("version")]
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

	o := &c.s.options
	limit := q.limit
	if o.PageCap > 0 && (limit == 0 || limit > o.PageCap) {
		limit = o.PageCap
	}

	hosts, bytes := c.s.content.size(q.idMin)
	if limit > 0 {
		hosts = min(hosts, limit)
	}
	b := c.body("application/xml", int64(hosts)*bytes)
	defer b.end()
	x := &xmlBuilder{pretty: o.Pretty, buf: make([]byte, 0, 2*chunk)}
	x.prolog(detectionsRoot, c.base()+"/api/"+c.r.PathValue("version")+"/"+detectionsDTD, c.at.now)
	if b.keepAlive(x, detectionsRoot) != nil {
		return
	}

	var h host
	listed, size, full := 0, int64(0), false
	for found := nextHost(c.s.content, &h, 0, q, c.at); found; found = nextHost(c.s.content, &h, h.id+1, q, c.at) {
		full = (limit > 0 && listed >= limit) || (o.PageBytes > 0 && size >= o.PageBytes)
		if full {
			break
		}
		if listed == 0 {
			x.open("HOST_LIST")
		}
		listed++
		q.show.malformed = c.mishap.malformed(h.id)
		before := len(x.buf)
		c.s.appendHost(x, &h, &q.show)
		size += int64(len(x.buf) - before)
		if b.send(x) != nil {
			return
		}
	}
	if listed > 0 {
		x.close("HOST_LIST")
	}
	switch {
	case full:
		c.appendNextPage(x, listed, h.id)
	case c.mishap.answer[WarningWithoutURL]:
		x.open("WARNING")
		x.int("CODE", codeMessage)
		x.text("TEXT", "This version of the API will end. Move to the next one & be safe.")
		x.close("WARNING")
	}
	x.epilog(detectionsRoot)
	_ = b.sendNow(x) // the call keeps the error
}

// appendNextPage writes the warning that leads to the page that begins with a host.
func (c *call) appendNextPage(x *xmlBuilder, listed int, first int64) {
	base := c.base()
	if c.mishap.answer[ForeignURL] {
		base = "https://" + ForeignHost
	}
	next := url.Values{}
	for name, values := range c.form {
		next[name] = values
	}
	next.Del("action")
	next.Set("id_min", strconv.FormatInt(first, 10))
	x.open("WARNING")
	x.int("CODE", codeTruncated)
	x.text("TEXT", strconv.Itoa(listed)+" record limit exceeded. Use URL to get next batch of results.")
	x.cdata("URL", base+c.r.URL.Path+"?action=list&"+next.Encode())
	x.close("WARNING")
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
