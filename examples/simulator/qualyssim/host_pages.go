// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"math"
	"net/url"
	"slices"
	"strconv"
)

const (
	defaultTruncation = 1000
	// everyHost is the largest ID of a request that names none.
	everyHost = math.MaxInt64 >> 1
)

var hostVersions = map[string]int{"2.0": 2, "3.0": 3, "4.0": 4, "5.0": 5}

// hostPage is which hosts a request wants, and how many on a page: 0 is no limit.
type hostPage struct {
	limit        int
	idMin, idMax int64
	ids          numbers
}

func parseHostPage(form url.Values) hostPage {
	return hostPage{
		limit: int(numberOf(form, "truncation_limit", defaultTruncation)),
		idMin: numberOf(form, "id_min", 0),
		idMax: numberOf(form, "id_max", everyHost),
		ids:   rangesOf(form, "ids"),
	}
}

// next makes h the first host from an ID on that is wanted and that keeps accepts.
func (p *hostPage) next(src content, h *host, from int64, keeps func(*host) bool, m moment) bool {
	for from = max(from, p.idMin); ; from = h.id + 1 {
		first, found := p.ids.from(from)
		if !found || first > p.idMax || !src.host(h, first, m) || h.id > p.idMax {
			return false
		}
		if p.ids.contains(h.id) && keeps(h) {
			return true
		}
	}
}

// hostPages is a list of hosts of which an answer is one page.
type hostPages struct {
	root, dtd string
	page      hostPage
	keeps     func(*host) bool
	write     func(*xmlBuilder, *host)
	bytes     int64 // about how long a host is
	idsOnly   bool  // an ID_SET in place of the hosts
}

// sendHosts answers with a page of hosts, each made and sent before the next.
func (c *call) sendHosts(l *hostPages) {
	o := &c.s.options
	if o.PageCap > 0 && (l.page.limit == 0 || l.page.limit > o.PageCap) {
		l.page.limit = o.PageCap
	}
	// What goes wrong with a page as a whole has to know its hosts before.
	var known []int64
	if unordered := c.mishap.answer[Descending]; !l.idsOnly && (unordered || len(c.mishap.faults.UnrenderableHosts) > 0) {
		known = c.hostIDs(l)
		if slices.ContainsFunc(known, func(id int64) bool { return slices.Contains(c.mishap.faults.UnrenderableHosts, id) }) {
			c.unrenderable()
			return
		}
		if unordered {
			slices.Reverse(known)
		} else {
			known = nil
		}
	}

	hosts, _ := c.s.content.size(l.page.idMin, c.at)
	if l.page.limit > 0 {
		hosts = min(hosts, l.page.limit)
	}
	b := c.body("application/xml", int64(hosts)*l.bytes)
	defer b.end()
	x := c.xml()
	x.prolog(l.root, c.base()+"/api/"+c.r.PathValue("version")+"/"+l.dtd, c.datetime())
	if b.keepAlive(x, l.root) != nil {
		return
	}
	listed, next, err := c.sendListed(b, x, l, known)
	if err != nil {
		return
	}
	c.appendWarning(x, listed, next)
	x.epilog(l.root)
	_ = b.sendNow(x) // the call keeps the error
}

// hostIDs lists the hosts of a page by what its limit says.
func (c *call) hostIDs(l *hostPages) []int64 {
	var all []int64
	var h host
	for found := l.page.next(c.s.content, &h, 0, l.keeps, c.at); found; found = l.page.next(c.s.content, &h, h.id+1, l.keeps, c.at) {
		if l.page.limit > 0 && len(all) == l.page.limit {
			break
		}
		all = append(all, h.id)
	}
	return all
}

// sendListed sends the hosts of a page, in the order of known if that is given. It returns how many there were and the ID
// of the first one that the page has no room for, 0 if there is none.
func (c *call) sendListed(b *body, x *xmlBuilder, l *hostPages, known []int64) (listed int, next int64, err error) {
	var h host
	var set numbers
	var size, last int64
	advance := func() bool {
		if listed < len(known) {
			return c.s.content.host(&h, known[listed], c.at) && l.keeps(&h)
		}
		return l.page.next(c.s.content, &h, last+1, l.keeps, c.at)
	}
	for advance() {
		if l.page.limit > 0 && listed >= l.page.limit || c.s.options.PageBytes > 0 && size >= c.s.options.PageBytes {
			next = h.id
			break
		}
		last = max(last, h.id)
		if listed++; l.idsOnly {
			set = set.with(h.id)
			continue
		}
		if listed == 1 {
			x.open("HOST_LIST")
		}
		before := len(x.buf)
		l.write(x, &h)
		size += int64(len(x.buf) - before)
		if err := b.send(x); err != nil {
			return listed, 0, err
		}
	}
	switch {
	case l.idsOnly:
		x.idSet(set)
	case listed > 0:
		x.close("HOST_LIST")
	}
	return listed, next, nil
}

// appendWarning writes what leads to the page that begins with an ID, or a message on the last one if that is the fault.
func (c *call) appendWarning(x *xmlBuilder, listed int, next int64) {
	switch {
	case next != 0:
		x.open("WARNING")
		x.int("CODE", codeTruncated)
		x.text("TEXT", strconv.Itoa(listed)+" record limit exceeded. Use URL to get next batch of results.")
		if !c.mishap.answer[TruncatedWithoutURL] {
			x.cdata("URL", c.nextPage("id_min", next))
		}
		x.close("WARNING")
	case c.mishap.answer[WarningWithoutURL]:
		x.open("WARNING")
		x.int("CODE", codeMessage)
		x.text("TEXT", "This version of the API will end. Move to the next one & be safe.")
		x.close("WARNING")
	}
}

// nextPage is the URL of the page that begins with an ID.
func (c *call) nextPage(parameter string, id int64) string {
	base := c.base()
	if c.mishap.answer[ForeignURL] {
		base = "https://" + ForeignHost
	}
	next := url.Values{}
	for name, values := range c.form {
		next[name] = values
	}
	next.Del("action")
	next.Set(parameter, strconv.FormatInt(id, 10))
	return base + c.r.URL.Path + "?action=list&" + next.Encode()
}

// idSet writes IDs and ranges of them.
func (x *xmlBuilder) idSet(ids numbers) {
	if len(ids) == 0 {
		return
	}
	x.open("ID_SET")
	for _, r := range ids {
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
