// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Continuation says where the rest of a truncated list begins.
type Continuation struct {
	// ID is what the next request begins with: its Min (hosts, QIDs), Max (activity log) or LastSeen (assets).
	ID uint64
	// Extra are the parameters of the WARNING/URL that nobody asked for, to be sent with the next request. nil: none. What the
	// receiver decides itself, and anything like credentials, is never among them.
	Extra map[string]string
}

// truncated is the code of a WARNING that says that a list is not complete (Qualys API documentation).
const truncated = "1980"

// truncates reports whether the warning says that the list goes on.
func (w warning) truncates() bool { return w.url != "" || w.code == truncated }

// paging is what of a request decides where the rest of its list begins.
type paging struct {
	sent  url.Values        // the parameters of the request
	extra map[string]string // those of them that an earlier response named
	omit  map[string]bool   // what is not to be sent at all
	min   uint64            // the request's id_min; the rest must begin behind it
}

var errNoNext = errors.New("response is truncated, and it is not known which item its rest begins with")

// next returns where a list goes on that ended with a warning, nil: it is complete. last is the ID of the last item read, 0:
// unknown. Of the address in the warning only the parameters are used, never the host.
func (p paging) next(w warning, last uint64) (*Continuation, error) {
	if !w.truncates() {
		return nil, nil
	}
	named := queryOf(w.url)
	id, err := strconv.ParseUint(named.Get("id_min"), 10, 63)
	if err != nil {
		if last == 0 {
			return nil, errNoNext
		}
		id = last + 1
	}
	if id <= p.min {
		return nil, fmt.Errorf("next page does not advance: it begins with %d, this one did with %d", id, p.min)
	}
	return &Continuation{ID: id, Extra: p.extras(w, named)}, nil
}

// extras returns the parameters that the address in a warning adds to those of the request. Without an address those added
// before stay.
func (p paging) extras(w warning, named url.Values) map[string]string {
	if w.url == "" {
		return p.extra
	}
	var extra map[string]string
	for name := range named {
		_, before := p.extra[name]
		if ours(name) || p.omit[name] || p.sent.Has(name) && !before {
			continue
		}
		if extra == nil {
			extra = map[string]string{}
		}
		extra[name] = named.Get(name)
	}
	return extra
}

// queryOf returns the parameters of an address, as far as they can be read.
func queryOf(address string) url.Values {
	_, query, _ := strings.Cut(address, "?")
	query, _, _ = strings.Cut(query, "#")
	// In CDATA an ampersand must not be escaped; where it is nevertheless, it separates all the same.
	values, _ := url.ParseQuery(strings.ReplaceAll(query, "&amp;", "&"))
	return values
}

// ours reports whether a parameter is never taken from a response: what the receiver decides, and anything like credentials.
func ours(name string) bool {
	switch name = strings.ToLower(name); name {
	case "action", "truncation_limit", "output_format", "echo_request", "id_min", "id_max", "ids", "details":
		return true
	}
	for _, word := range []string{"user", "pass", "token", "secret", "session", "auth", "login"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
