// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Detection is what a client should have delivered of a detection. Times that never were are zero.
type Detection struct {
	HostID       int64     `json:"host_id"`
	UniqueVulnID int64     `json:"unique_vuln_id"`
	QID          int64     `json:"qid"`
	Type         VulnType  `json:"type"`
	Severity     int64     `json:"severity"`
	Port         int64     `json:"port,omitempty"`
	Status       Status    `json:"status"`
	Ignored      bool      `json:"ignored,omitempty"`
	Disabled     bool      `json:"disabled,omitempty"`
	Removed      string    `json:"removed,omitempty"` // why it vanished, of RemovedDetections
	FirstFound   time.Time `json:"first_found"`
	LastFound    time.Time `json:"last_found"`
	LastUpdate   time.Time `json:"last_update,omitzero"`
}

// Entry is a QID that detections may have, and its entry in the KnowledgeBase if there is one.
type Entry struct {
	QID      int64     `json:"qid"`
	Exists   bool      `json:"exists"`
	Disabled bool      `json:"disabled,omitempty"`
	Revision int64     `json:"revision"`
	Modified time.Time `json:"modified"`
}

// Asset is what a client should have delivered of an asset. HostID is 0 where the asset is no host.
type Asset struct {
	ID       int64     `json:"asset_id"`
	HostID   int64     `json:"host_id,omitempty"`
	Name     string    `json:"name"`
	Revision int64     `json:"revision"`
	Modified time.Time `json:"modified"`
}

// Detections lists every detection there is now, in all states and of all types, in the order of the API, but for those
// that are ignored or disabled. The moment is that of the call.
func (s *Server) Detections() iter.Seq[Detection] {
	q := &detectionQuery{
		page: hostPage{idMax: everyHost}, updatedSince: -1, processedAfter: -1, hostProcessed: -1, hostScanned: -1,
		statuses: []string{string(StatusNew), string(StatusActive), string(StatusFixed), string(StatusReopened)},
		types:    []VulnType{Confirmed, Potential, Info},
	}
	return s.detectionsFor(q, s.moment())
}

// DetectionsFor lists the detections that a request with these parameters covers now, over all its pages; the error is
// that of parameters that the API refuses.
func (s *Server) DetectionsFor(form url.Values) (iter.Seq[Detection], error) {
	form = maps.Clone(form)
	if form == nil {
		form = url.Values{}
	}
	form["action"] = []string{"list"}
	m := s.moment()
	q, err := parseDetectionQuery(form, 5, m)
	if err != nil {
		return nil, err
	}
	return s.detectionsFor(q, m), nil
}

func (s *Server) detectionsFor(q *detectionQuery, m moment) iter.Seq[Detection] {
	return func(yield func(Detection) bool) {
		var h host
		for found := q.page.next(s.content, &h, 0, q.keeps, m); found; found = q.page.next(s.content, &h, h.id+1, q.keeps, m) {
			for i := range h.detections {
				if !yield(h.detections[i].expected(&h)) {
					return
				}
			}
		}
	}
}

func utc(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}

// Results is the text of a detection's RESULTS, without what faults put into it.
func (s *Server) Results(uniqueVulnID int64) (string, error) {
	h, i, ok := s.find(uniqueVulnID, s.moment())
	if !ok {
		return "", fmt.Errorf("no detection %d", uniqueVulnID)
	}
	return s.results(h.index, h.detections[i].number), nil
}

// QIDs lists the QIDs that detections may have, with and without entries, ascending.
func (s *Server) QIDs() iter.Seq[Entry] {
	m := s.moment()
	return func(yield func(Entry) bool) {
		for e, found := s.content.entry(0, m); found; e, found = s.content.entry(e.qid.number+1, m) {
			if !yield(Entry{QID: e.qid.number, Exists: e.qid.hasEntry, Disabled: e.disabled, Revision: e.number, Modified: utc(e.changed)}) {
				return
			}
		}
	}
}

// Assets lists every asset there is now, ascending.
func (s *Server) Assets() iter.Seq[Asset] {
	m := s.moment()
	return func(yield func(Asset) bool) {
		for a, found := s.content.asset(0, m); found; a, found = s.content.asset(a.id+1, m) {
			if !yield(Asset{ID: a.id, HostID: a.hostID, Name: a.name, Revision: a.number, Modified: utc(a.changed)}) {
				return
			}
		}
	}
}

// Activities lists the user activity log as it is now, in the order of the API: the newest row first.
func (s *Server) Activities() iter.Seq[Activity] {
	m := s.moment()
	return func(yield func(Activity) bool) {
		for a, found := s.content.activity(math.MaxInt64, m); found; a, found = s.content.activity(a.id-1, m) {
			if !yield(Activity{
				ID: a.id, Date: utc(a.at), Action: a.action, Module: a.module, Details: a.details,
				UserName: a.user, UserRole: a.role, UserIP: a.ip,
			}) {
				return
			}
		}
	}
}

// errScripted is content that is not the server's to change.
var errScripted = errors.New("the content is that of a script: change it there")

// TouchDetection moves a detection to a status now, and takes it out of the course that the seed gives. An empty status
// removes it.
func (s *Server) TouchDetection(uniqueVulnID int64, status Status) error {
	if s.options.Script != nil {
		return errScripted
	}
	known := []Status{"", StatusNew, StatusActive, StatusFixed, StatusReopened}
	if !slices.Contains(known, status) {
		return fmt.Errorf("unknown status %q", status)
	}
	m := s.moment()
	h, i, ok := s.find(uniqueVulnID, m)
	var before state
	switch {
	case ok:
		before = h.detections[i].state
	case !s.owns(uniqueVulnID, m):
		return fmt.Errorf("no detection %d", uniqueVulnID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touchedDetections[uniqueVulnID] = before.become(status, m.now)
	return nil
}

// ChangeEntry changes the entry of a QID now, and takes it out of the course that the seed gives.
func (s *Server) ChangeEntry(number int64) error {
	if s.options.Script != nil {
		return errScripted
	}
	index, ok := s.qidIndex(number)
	if !ok || !s.qids[index].hasEntry {
		return fmt.Errorf("no entry for QID %d", number)
	}
	m := s.moment()
	before := s.entryRevision(index, m)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touchedEntries[index] = revision{number: before.number + 1, changed: m.now}
	delete(s.lost, index)
	return nil
}

// ChangeAsset changes an asset now, and takes it out of the course that the seed gives.
func (s *Server) ChangeAsset(id int64) error {
	if s.options.Script != nil {
		return errScripted
	}
	index := s.assetAfter(id - 1)
	if index >= s.options.Assets || s.assetID(index) != id {
		return fmt.Errorf("no asset %d", id)
	}
	m := s.moment()
	before := s.assetRevision(index, m)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touchedAssets[index] = revision{number: before.number + 1, changed: m.now}
	return nil
}

// Summary is one line about what is served.
func (s *Server) Summary() string {
	o := &s.options
	if o.Script != nil {
		return "content of a script"
	}
	parts := []string{
		fmt.Sprintf("%d hosts with %d to %d detections of %d QIDs", o.Hosts, o.MinDetections, o.MaxDetections, len(s.qids)),
		fmt.Sprintf("%d assets of about %d bytes", o.Assets, o.AssetSize),
		fmt.Sprintf("%d rows of the activity log", o.Activities),
	}
	if o.ChangeEvery > 0 {
		parts = append(parts, fmt.Sprintf("%g %% of it changing every %s", 100*o.ChangeShare, o.ChangeEvery))
	}
	return strings.Join(parts, ", ")
}
