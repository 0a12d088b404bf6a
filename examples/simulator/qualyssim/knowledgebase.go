// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	knowledgeBaseRoot = "KNOWLEDGE_BASE_VULN_LIST_OUTPUT"
	knowledgeBaseDTD  = "fo/knowledge_base/vuln/knowledge_base_vuln_list_output.dtd"
)

var knowledgeBaseVersions = map[string]int{"2.0": 2, "3.0": 3, "4.0": 4}

// knowledgeBaseParameters hold no truncation_limit: the real one refuses it too. An empty ids asks for everything.
var knowledgeBaseParameters = map[string]check{
	"action": oneOf("list"),
	"ids": func(value string) string {
		if value == "" {
			return ""
		}
		return isRanges(value)
	},
	"id_min":                      isNumber,
	"id_max":                      isNumber,
	"details":                     oneOf("Basic", "All", "None"),
	"last_modified_after":         isTime,
	"show_supported_modules_info": yesOrNo,
	"show_pci_reasons":            yesOrNo,
	"show_qid_change_log":         yesOrNo,
}

// serveKnowledgeBase answers with the entries of the QIDs asked for, or with all there are.
func serveKnowledgeBase(c *call) {
	version := c.r.PathValue("version")
	if knowledgeBaseVersions[version] == 0 {
		serveUnknownAPI(c)
		return
	}
	if c.s.options.NoKnowledgeBasePermission {
		c.simpleReturn(http.StatusForbidden, codeNoPermission, "The user may not download vulnerability data from the KnowledgeBase.", 0)
		return
	}
	if err := checkParameters(c.form, knowledgeBaseParameters); err != nil {
		c.refuse(err)
		return
	}
	q := parseEntryQuery(c.form)
	asked := int64(c.s.content.entries())
	if q.ids != nil {
		asked = q.ids.count()
	}
	if c.pause(time.Duration(asked)*c.s.options.KnowledgeBaseDelay) != nil {
		return
	}
	page, next := c.entries(q)
	idsOnly := c.form.Get("details") == "None"
	unrenderable := func(e entry) bool { return slices.Contains(c.mishap.faults.UnrenderableQIDs, e.qid.number) }
	if !idsOnly && slices.ContainsFunc(page, unrenderable) {
		c.unrenderable()
		return
	}

	b := c.body("application/xml", int64(len(page))*entryBytes)
	defer b.end()
	x := c.xml()
	x.prolog(knowledgeBaseRoot, c.base()+"/api/"+version+"/"+knowledgeBaseDTD, c.datetime())
	if b.keepAlive(x, knowledgeBaseRoot) != nil {
		return
	}
	show := entryShow{
		all:     c.form.Get("details") == "All",
		modules: c.form.Get("show_supported_modules_info") == "1",
		reasons: c.form.Get("show_pci_reasons") == "1",
		changes: c.form.Get("show_qid_change_log") == "1",
		unknown: c.mishap.answer[UnknownElements],
		spoiled: c.mishap.answer[InvalidUTF8],
		control: c.mishap.answer[ControlCharacters],
	}
	if idsOnly {
		var set numbers
		for i := range page {
			set = set.with(page[i].qid.number)
		}
		x.idSet(set)
	} else if len(page) > 0 {
		x.open("VULN_LIST")
		for i := range page {
			c.s.appendEntry(x, &page[i], &show)
			if b.send(x) != nil {
				return
			}
		}
		x.close("VULN_LIST")
	}
	c.appendWarning(x, len(page), next)
	x.epilog(knowledgeBaseRoot)
	_ = b.sendNow(x) // the call keeps the error
}

// entryQuery is which entries a request wants. "Since" is strict, in whole seconds.
type entryQuery struct {
	ids          numbers
	idMin, idMax int64
	since        int64
}

func parseEntryQuery(form url.Values) *entryQuery {
	q := &entryQuery{ids: rangesOf(form, "ids"), idMin: numberOf(form, "id_min", 0), idMax: numberOf(form, "id_max", math.MaxInt64), since: math.MinInt64}
	if form.Has("last_modified_after") {
		q.since = timeOf(form, "last_modified_after")
	}
	return q
}

// entries lists the entries of a page, and the QID of the first one that has no room on it, 0 if there is none.
func (c *call) entries(q *entryQuery) (page []entry, next int64) {
	for from := q.idMin; ; from++ {
		first, found := q.ids.from(from)
		if !found {
			return page, 0
		}
		e, found := c.s.content.entry(first, c.at)
		if !found || e.qid.number > q.idMax {
			return page, 0
		}
		if from = e.qid.number; !e.qid.hasEntry || !q.ids.contains(from) || e.changed <= q.since {
			continue
		}
		if limit := c.s.options.KnowledgeBasePageCap; limit > 0 && len(page) == limit {
			return page, from
		}
		page = append(page, e)
	}
}
