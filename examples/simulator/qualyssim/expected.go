// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"iter"
	"maps"
	"net/url"
	"time"
)

// Host is what a client should have delivered of a host of the host list. Times that never were are zero.
type Host struct {
	ID         int64     `json:"host_id"`
	AssetID    int64     `json:"asset_id"`
	Name       string    `json:"name,omitempty"`
	IP         string    `json:"ip"`
	AgentID    string    `json:"agent_id,omitempty"`
	Scanned    time.Time `json:"scanned,omitzero"`
	Processed  time.Time `json:"processed,omitzero"`
	Detections int       `json:"detections"`
	// ReplacedBy is the host that took over the agent of one that is gone, 0 if none did.
	ReplacedBy int64 `json:"replaced_by,omitempty"`
}

// Hosts lists every host there is now, with and without detections, ascending. The moment is that of the call.
func (s *Server) Hosts() iter.Seq[Host] {
	return s.hostsFor(&hostListQuery{page: hostPage{idMax: everyHost}, processedAfter: -1, scannedSince: -1}, s.moment())
}

// HostsFor lists the hosts that a request for the host list with these parameters covers now, over all its pages; the error
// is that of parameters that the API refuses.
func (s *Server) HostsFor(form url.Values) (iter.Seq[Host], error) {
	form = maps.Clone(form)
	if form == nil {
		form = url.Values{}
	}
	form["action"] = []string{"list"}
	q, err := parseHostListQuery(form, 5)
	if err != nil {
		return nil, err
	}
	return s.hostsFor(q, s.moment()), nil
}

func (s *Server) hostsFor(q *hostListQuery, m moment) iter.Seq[Host] {
	return func(yield func(Host) bool) {
		var h host
		for found := q.page.next(s.content, &h, 0, q.keeps, m); found; found = q.page.next(s.content, &h, h.id+1, q.keeps, m) {
			if !yield(s.expected(&h)) {
				return
			}
		}
	}
}

func (s *subscription) expected(h *host) Host {
	e := Host{ID: h.id, AssetID: h.assetID, Scanned: utc(h.scanned), Processed: utc(h.processed), Detections: len(h.detections)}
	if h.script != nil {
		e.Name, e.IP = h.script.Name, h.script.address()
		return e
	}
	t := s.traits(h.index)
	e.Name, e.IP, e.AgentID = t.fqdn(), t.ip, t.agent
	return e
}

// RemovedHosts lists the generated hosts that were there once and are gone, ascending, as they were last.
func (s *Server) RemovedHosts() iter.Seq[Host] {
	m := s.moment()
	return func(yield func(Host) bool) {
		var h host
		for index := range s.places(m) {
			last, gone := s.gone(index, m)
			if !gone {
				continue
			}
			s.load(&h, index, last)
			e := s.expected(&h)
			e.ReplacedBy = s.replacedBy(index)
			if !yield(e) {
				return
			}
		}
	}
}

func (s *subscription) replacedBy(index int) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for other, merged := range s.merged {
		if merged == index {
			return s.hostID(other)
		}
	}
	return 0
}

// RemovedDetections lists the generated detections that vanished from lists without a status that says so, in the order of
// the API, as they were last: Removed says whether their host is gone, they are ignored, their QID is disabled, or they
// were removed. Those that were ignored or disabled from the start are not among them.
func (s *Server) RemovedDetections() iter.Seq[Detection] {
	m := s.moment()
	return func(yield func(Detection) bool) {
		var h host
		for index := range s.places(m) {
			last, gone := s.gone(index, m)
			s.load(&h, index, last)
			for i := range h.detections {
				d := h.detections[i]
				why := s.removal(&d)
				if gone && why == "" && !d.ignored && !d.disabled {
					why = "host"
				}
				if why == "" {
					continue
				}
				e := d.expected(&h)
				e.Removed = why
				if !yield(e) {
					return
				}
			}
			for _, e := range s.withoutState(&h) {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// removal says why a detection that is there is in no list.
func (s *subscription) removal(d *detection) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.ignored[d.uniqueVulnID]:
		return "ignored"
	case s.disabled[d.qid.number]:
		return "disabled"
	}
	return ""
}

// withoutState lists the detections of a host that a test took away.
func (s *subscription) withoutState(h *host) []Detection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Detection
	first := firstUniqueVulnID + int64(h.index)*int64(s.options.MaxDetections)
	for id := first; id < first+int64(s.options.MaxDetections); id++ {
		if touched, ok := s.touchedDetections[id]; ok && touched.status == "" {
			all = append(all, Detection{HostID: h.id, UniqueVulnID: id, Removed: "removed"})
		}
	}
	return all
}

// expected is what a client should have delivered of the detection.
func (d *detection) expected(h *host) Detection {
	return Detection{
		HostID: h.id, UniqueVulnID: d.uniqueVulnID, QID: d.qid.number, Type: d.qid.vulnType,
		Severity: d.qid.severity, Port: d.port, Status: d.status, Ignored: d.ignored, Disabled: d.disabled,
		FirstFound: utc(d.firstFound), LastFound: utc(d.lastFound), LastUpdate: utc(d.lastUpdate),
	}
}
