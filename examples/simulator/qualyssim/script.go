// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Script is content that a test says: nothing is generated, and nothing changes by itself. Everything else (filters,
// paging, errors, limits, faults, the request log) is as with generated content. Its zero value is an empty
// subscription. It is safe for concurrent use, also while calls are served; what it is given it copies.
//
// Times are kept in whole seconds, as the API tells them.
type Script struct {
	mu sync.RWMutex // guards everything below
	// What is stored is never changed, only replaced: an answer may go on with it.
	hosts   ordered[*ScriptedHost]
	qids    ordered[*ScriptedEntry]
	assets  ordered[*ScriptedAsset]
	rows    ordered[activity]
	lastRow int64
}

// ScriptedHost is a host of a Script. Where Elements or a detection's XML say something, it stands in the answer as it is.
type ScriptedHost struct {
	// AssetID is told where show_asset_id asks for it; the host's ID if it is 0.
	AssetID int64
	// IP and Name are its address and DNS name, 192.0.2.1 and none by default.
	IP, Name string
	// Scanned and Processed are what filters of hosts compare; by default the latest of the detections' Found and
	// Processed times.
	Scanned, Processed time.Time
	// Elements is XML that stands before the list of detections.
	Elements string
	// Detections are listed in this order.
	Detections []ScriptedDetection
}

// ScriptedDetection is a detection of a ScriptedHost.
type ScriptedDetection struct {
	ID       int64    // UNIQUE_VULN_ID; left out of answers if it is 0
	QID      int64    //
	Type     VulnType // Confirmed by default
	Severity int64    // 3 by default
	Port     int64    // with the protocol tcp; left out if it is 0
	Status   Status   // StatusActive by default
	// Updated is LAST_UPDATE_DATETIME, left out if it is zero. Found is the last detection, Updated by default; First the
	// first one, Found by default; Fixed is left out if it is zero; Processed is the later of Updated and Found by default.
	Updated, Found, First, Fixed, Processed time.Time
	// Results is the text of RESULTS.
	Results string
	// Ignored and Disabled detections are only in lists that ask for them.
	Ignored, Disabled bool
	// Elements is XML that stands at the end of the detection.
	Elements string
	// Raw, if it is set, stands in place of the detection's XML: "<DETECTION><QID>1</BROKEN>" is one that cannot be read.
	Raw string
}

// ScriptedEntry is an entry of the KnowledgeBase of a Script.
type ScriptedEntry struct {
	Modified time.Time
	Title    string // "Entry" with its QID by default
	Elements string // XML that stands at the end of the entry
	Disabled bool   // IS_DISABLED
}

// ScriptedAsset is an asset of a Script.
type ScriptedAsset struct {
	// Modified is what filters compare, and lastModifiedDate unless Told is set.
	Modified, Told time.Time
	Name           string // "asset-" with its ID by default
	HostID         int64  // null if it is 0
	// Members are further members of the JSON object: `"agent":null,"riskScore":7`.
	Members string
}

// SetHost adds a host, or replaces the one of that ID.
func (s *Script) SetHost(id int64, h ScriptedHost) {
	h.Detections = slices.Clone(h.Detections)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts.set(id, &h)
}

// Host returns a copy of a host, to change and to set again.
func (s *Script) Host(id int64) (h ScriptedHost, found bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	known, found := s.hosts.values[id]
	if !found {
		return h, false
	}
	h = *known
	h.Detections = slices.Clone(h.Detections)
	return h, true
}

// RemoveHost removes a host with its detections, as a purge does.
func (s *Script) RemoveHost(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts.remove(id)
}

// SetDetection adds a detection to a host, or replaces that of its ID (without one that of its QID and port). The host is
// made if there is none.
func (s *Script) SetDetection(host int64, d ScriptedDetection) {
	s.editDetections(host, func(all []ScriptedDetection) []ScriptedDetection {
		i := slices.IndexFunc(all, func(known ScriptedDetection) bool {
			return known.ID == d.ID && (d.ID != 0 || known.QID == d.QID && known.Port == d.Port)
		})
		if i < 0 {
			return append(all, d)
		}
		all[i] = d
		return all
	})
}

// RemoveDetection removes the detection of an ID from a host.
func (s *Script) RemoveDetection(host, id int64) {
	s.editDetections(host, func(all []ScriptedDetection) []ScriptedDetection {
		return slices.DeleteFunc(all, func(d ScriptedDetection) bool { return d.ID == id })
	})
}

func (s *Script) editDetections(host int64, edit func([]ScriptedDetection) []ScriptedDetection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed ScriptedHost
	if known, ok := s.hosts.values[host]; ok {
		changed = *known
	}
	changed.Detections = edit(slices.Clone(changed.Detections))
	s.hosts.set(host, &changed)
}

// SetEntry adds the entry of a QID, or replaces it.
func (s *Script) SetEntry(qid int64, e ScriptedEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.qids.set(qid, &e)
}

// RemoveEntry removes the entry of a QID.
func (s *Script) RemoveEntry(qid int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.qids.remove(qid)
}

// SetAsset adds an asset, or replaces the one of that ID.
func (s *Script) SetAsset(id int64, a ScriptedAsset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assets.set(id, &a)
}

// RemoveAsset removes an asset.
func (s *Script) RemoveAsset(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assets.remove(id)
}

// AddActivity adds rows to the activity log, the oldest first. A row without an ID gets the one after the latest, the
// first being 1. Lists end at the first row, going back by ID, that is not after since_datetime.
func (s *Script) AddActivity(rows ...Activity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rows {
		if r.ID == 0 {
			r.ID = s.lastRow + 1
		}
		s.lastRow = max(s.lastRow, r.ID)
		s.rows.set(r.ID, activity{
			id: r.ID, at: r.Date.Unix(), action: r.Action, module: r.Module, details: r.Details,
			user: r.UserName, role: r.UserRole, ip: r.UserIP,
		})
	}
}

func (s *Script) host(h *host, from int64, _ moment) bool {
	s.mu.RLock()
	id, scripted, found := s.hosts.from(from)
	s.mu.RUnlock()
	if !found {
		return false
	}
	*h = host{id: id, assetID: scripted.AssetID, script: scripted, detections: h.detections[:0]}
	if h.assetID == 0 {
		h.assetID = id
	}
	for i := range scripted.Detections {
		d := scripted.Detections[i].detection(i)
		h.scanned = max(h.scanned, d.lastTest)
		h.processed = max(h.processed, d.processed)
		h.detections = append(h.detections, d)
	}
	if !scripted.Scanned.IsZero() {
		h.scanned = scripted.Scanned.Unix()
	}
	if !scripted.Processed.IsZero() {
		h.processed = scripted.Processed.Unix()
	}
	return true
}

// detection is what the script says, with its defaults.
func (d *ScriptedDetection) detection(number int) detection {
	made := detection{
		number: number, uniqueVulnID: d.ID, port: d.Port, ignored: d.Ignored, disabled: d.Disabled, script: d,
		qid: &qid{number: d.QID, vulnType: d.Type, severity: d.Severity},
		state: state{
			status: d.Status, timesFound: 1,
			lastUpdate: unixOf(d.Updated), lastFound: unixOf(d.Found), firstFound: unixOf(d.First),
			lastFixed: unixOf(d.Fixed), processed: unixOf(d.Processed),
		},
	}
	if made.qid.vulnType == "" {
		made.qid.vulnType = Confirmed
	}
	if made.qid.severity == 0 {
		made.qid.severity = 3
	}
	if made.status == "" {
		made.status = StatusActive
	}
	if made.lastFound == 0 {
		made.lastFound = made.lastUpdate
	}
	if made.firstFound == 0 {
		made.firstFound = made.lastFound
	}
	made.lastTest = max(made.lastFound, made.lastUpdate)
	if made.processed == 0 {
		made.processed = made.lastTest
	}
	return made
}

func (s *Script) entry(from int64, _ moment) (entry, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	number, scripted, found := s.qids.from(from)
	if !found {
		return entry{}, false
	}
	return entry{
		qid: &qid{number: number, vulnType: Confirmed, severity: 3, hasEntry: true}, script: scripted, disabled: scripted.Disabled,
		revision: revision{changed: unixOf(scripted.Modified)},
	}, true
}

func (s *Script) asset(from int64, _ moment) (asset, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	id, scripted, found := s.assets.from(from)
	if !found {
		return asset{}, false
	}
	a := asset{id: id, hostID: scripted.HostID, name: scripted.Name, revision: revision{changed: unixOf(scripted.Modified)}, script: scripted}
	if a.name == "" {
		a.name = "asset-" + strconv.FormatInt(id, 10)
	}
	return a, true
}

func (s *Script) activity(upTo int64, _ moment) (activity, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.rows.upTo(upTo)
}

func (s *Script) size(from int64, _ moment) (hosts int, bytes int64) {
	const hostBytes = 800
	s.mu.RLock()
	defer s.mu.RUnlock()
	first, _ := slices.BinarySearch(s.hosts.ids, from)
	return len(s.hosts.ids) - first, hostBytes
}

func (s *Script) entries() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.qids.ids)
}

// unixOf is a time in Unix seconds, 0 for none.
func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// ordered is a map that knows the order of its keys.
type ordered[V any] struct {
	ids    []int64
	values map[int64]V
}

func (o *ordered[V]) set(id int64, value V) {
	if o.values == nil {
		o.values = map[int64]V{}
	}
	if i, found := slices.BinarySearch(o.ids, id); !found {
		o.ids = slices.Insert(o.ids, i, id)
	}
	o.values[id] = value
}

func (o *ordered[V]) remove(id int64) {
	if i, found := slices.BinarySearch(o.ids, id); found {
		o.ids = slices.Delete(o.ids, i, i+1)
		delete(o.values, id)
	}
}

// from returns the first value whose key is not below id.
func (o *ordered[V]) from(id int64) (first int64, value V, found bool) {
	i, _ := slices.BinarySearch(o.ids, id)
	if i == len(o.ids) {
		return 0, value, false
	}
	return o.ids[i], o.values[o.ids[i]], true
}

// upTo returns the last value whose key is not above id.
func (o *ordered[V]) upTo(id int64) (value V, found bool) {
	i := len(o.ids)
	if id < math.MaxInt64 {
		i, _ = slices.BinarySearch(o.ids, id+1)
	}
	if i == 0 {
		return value, false
	}
	return o.values[o.ids[i-1]], true
}
