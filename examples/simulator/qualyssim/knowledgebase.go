// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"net/http"
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
	var ids numbers
	asked := int64(c.s.content.entries())
	if list := c.form.Get("ids"); list != "" {
		ids, _ = parseRanges(list)
		asked = ids.count()
	}
	since, _ := parseTime(c.form.Get("last_modified_after"))
	if !c.form.Has("last_modified_after") {
		since = -1 << 62
	}
	if c.pause(time.Duration(asked)*c.s.options.KnowledgeBaseDelay) != nil {
		return
	}

	b := c.body("application/xml", min(asked, int64(c.s.content.entries()))*entryBytes)
	defer b.end()
	x := &xmlBuilder{pretty: c.s.options.Pretty, buf: make([]byte, 0, 2*chunk)}
	x.prolog(knowledgeBaseRoot, c.base()+"/api/"+version+"/"+knowledgeBaseDTD, c.at.now)
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
	if c.form.Get("details") == "None" {
		c.appendIDs(x, ids, since)
	} else if c.sendEntries(b, x, ids, since, &show) != nil {
		return
	}
	x.epilog(knowledgeBaseRoot)
	_ = b.sendNow(x) // the call keeps the error
}

func (c *call) sendEntries(b *body, x *xmlBuilder, ids numbers, since int64, show *entryShow) error {
	listed := false
	for e, found := c.nextEntry(0, ids, since); found; e, found = c.nextEntry(e.qid.number+1, ids, since) {
		if !listed {
			listed = true
			x.open("VULN_LIST")
		}
		c.s.appendEntry(x, &e, show)
		if err := b.send(x); err != nil {
			return err
		}
	}
	if listed {
		x.close("VULN_LIST")
	}
	return nil
}

// appendIDs writes the QIDs alone; neighbours become a range.
func (c *call) appendIDs(x *xmlBuilder, ids numbers, since int64) {
	var ranges numbers
	for e, found := c.nextEntry(0, ids, since); found; e, found = c.nextEntry(e.qid.number+1, ids, since) {
		number := e.qid.number
		if last := len(ranges) - 1; last >= 0 && ranges[last][1]+1 == number {
			ranges[last][1] = number
		} else {
			ranges = append(ranges, [2]int64{number, number})
		}
	}
	if len(ranges) == 0 {
		return
	}
	x.open("ID_SET")
	for _, r := range ranges {
		if r[0] == r[1] {
			x.int("ID", r[0])
			continue
		}
		x.start("ID_RANGE")
		x.buf = appendRange(x.buf, r)
		x.end("ID_RANGE")
	}
	x.close("ID_SET")
}

// nextEntry returns the first entry from a QID on that is asked for.
func (c *call) nextEntry(from int64, ids numbers, since int64) (entry, bool) {
	for ; ; from++ {
		first, found := ids.from(from)
		if !found {
			return entry{}, false
		}
		e, found := c.s.content.entry(first, c.at)
		if !found || e.qid.hasEntry && ids.contains(e.qid.number) && e.changed > since {
			return e, found
		}
		from = e.qid.number
	}
}
