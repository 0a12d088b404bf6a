// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"sync"
)

// subscription is the content: what exists at a moment, whoever asks for it over which API.
type subscription struct {
	options Options
	timeline
	corpus *corpus
	qids   []qid

	mu sync.RWMutex
	// What tests changed; it stands above the course that the seed gives.
	touchedDetections map[int64]state
	touchedEntries    map[int]revision
	touchedAssets     map[int]revision
	purged            map[int]moment // by host
	merged            map[int]int    // hosts whose agent another one took over, by that one
	ignored           map[int64]bool // by detection
	disabled          map[int64]bool // by QID
	lost              map[int]bool   // entries
}

func newSubscription(o Options) *subscription {
	s := &subscription{
		options:           o,
		timeline:          timeline{start: o.Start, every: o.ChangeEvery, delay: o.ProcessingDelay, share: o.ChangeShare},
		touchedDetections: map[int64]state{},
		touchedEntries:    map[int]revision{},
		touchedAssets:     map[int]revision{},
		purged:            map[int]moment{},
		merged:            map[int]int{},
		ignored:           map[int64]bool{},
		disabled:          map[int64]bool{},
		lost:              map[int]bool{},
	}
	if o.Script != nil {
		return s
	}
	s.corpus, s.qids = newCorpus(o.Seed), newQIDs(o.Seed, o.QIDs)
	if o.TotalBytes > 0 {
		s.options.Hosts = s.hostsFor(o.TotalBytes)
	}
	return s
}

// VulnType is the type of a detection as the API spells it.
type VulnType string

// The types of a detection. Info is left out of lists unless show_igs asks for it.
const (
	Confirmed VulnType = "Confirmed"
	Potential VulnType = "Potential"
	Info      VulnType = "Info"
)

// qid is what is fixed about one QID of the pool.
type qid struct {
	number   int64
	severity int64
	vulnType VulnType
	hasEntry bool
	disabled bool
}

const (
	firstQID  = 38_000
	qidStride = 17
)

func newQIDs(seed uint64, n int) []qid {
	qids := make([]qid, n)
	for i := range qids {
		d := newDice(seed, purposeQID, uint64(i), 0)
		qids[i] = qid{
			number:   firstQID + int64(i*qidStride+d.below(qidStride)),
			severity: int64(d.between(1, 5)),
			vulnType: pick(&d, []VulnType{Confirmed, Confirmed, Confirmed, Confirmed, Confirmed, Confirmed, Confirmed, Potential, Potential, Info}),
			hasEntry: !d.oneIn(20),
			disabled: d.oneIn(50),
		}
	}
	return qids
}

// qidIndex finds a QID in the pool.
func (s *subscription) qidIndex(number int64) (int, bool) {
	i := int((number - firstQID) / qidStride)
	return i, number >= firstQID && i < len(s.qids) && s.qids[i].number == number
}

// host is a host with its detections at a moment.
type host struct {
	index      int // of the generated hosts
	id         int64
	assetID    int64
	detections []detection
	// scanned and processed are the latest of its detections, before any filter, in Unix seconds.
	scanned, processed int64

	script *ScriptedHost // nil if the host is generated
}

// detection is a detection of a host at a moment.
type detection struct {
	number       int // of the host's detections
	uniqueVulnID int64
	qid          *qid
	port         int64 // 0 if there is none
	// ignored and disabled detections are left out of lists that do not ask for them.
	ignored, disabled bool
	state

	script *ScriptedDetection // nil if the detection is generated
}

const (
	firstHostID       = 6_500_000
	hostIDStride      = 11
	firstUniqueVulnID = 1_000_000_000
)

func (s *subscription) hostID(index int) int64 {
	d := newDice(s.options.Seed, purposeHost, uint64(index), 1)
	return firstHostID + int64(index*hostIDStride+d.below(hostIDStride))
}

// hostFrom is the index of the first host whose ID is not below id; it may be past the last host that there has been.
func (s *subscription) hostFrom(id int64) int {
	if id <= firstHostID {
		return 0
	}
	index := int((id - firstHostID) / hostIDStride)
	if s.hostID(index) < id {
		index++
	}
	return index
}

// load makes h the host of that index at m, in the memory that h already has.
func (s *subscription) load(h *host, index int, m moment) {
	seed := s.options.Seed
	d := newDice(seed, purposeHost, uint64(index), 0)
	count := d.between(s.options.MinDetections, s.options.MaxDetections)
	first, stride := d.below(len(s.qids)), 1+d.below(len(s.qids)-1)

	*h = host{index: index, id: s.hostID(index), assetID: s.assetID(index), detections: h.detections[:0]}
	born := s.born(index)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for number := range count {
		found := detection{
			number:       number,
			uniqueVulnID: firstUniqueVulnID + int64(index)*int64(s.options.MaxDetections) + int64(number),
			qid:          &s.qids[(first+number*stride)%len(s.qids)],
		}
		d := newDice(seed, purposeDetection, uint64(index), uint64(number))
		if d.oneIn(2) {
			found.port = pick(&d, ports)
		}
		found.ignored, found.disabled = s.isIgnored(index, &found), s.isDisabled(found.qid)
		touched, ok := s.touchedDetections[found.uniqueVulnID]
		if ok {
			found.state = touched
		} else {
			found.state = s.detectionState(d, m, born)
		}
		if found.status == "" {
			continue
		}
		h.scanned = max(h.scanned, found.lastTest)
		h.processed = max(h.processed, found.processed)
		h.detections = append(h.detections, found)
	}
	if len(h.detections) == 0 { // it was scanned all the same
		h.scanned = s.unix(born) - int64(d.between(60, 30*day))
		h.processed = h.scanned
	}
}

// isIgnored says whether a detection is ignored. The caller holds mu.
func (s *subscription) isIgnored(index int, d *detection) bool {
	if ignored, ok := s.ignored[d.uniqueVulnID]; ok {
		return ignored
	}
	flags := newDice(s.options.Seed, purposeDetectionFlags, uint64(index), uint64(d.number))
	return flags.oneIn(50)
}

// isDisabled says whether a QID is disabled. The caller holds mu.
func (s *subscription) isDisabled(q *qid) bool {
	if disabled, ok := s.disabled[q.number]; ok {
		return disabled
	}
	return q.disabled
}

var ports = []int64{22, 80, 135, 443, 445, 1433, 3306, 3389, 5432, 8080, 8443, 9200}

// owns says whether there is, was or will be a detection of that ID.
func (s *subscription) owns(uniqueVulnID int64, m moment) bool {
	index, number := s.locate(uniqueVulnID)
	d := newDice(s.options.Seed, purposeHost, uint64(index), 0)
	if index < 0 || index >= s.places(m) {
		return false
	}
	_, gone := s.gone(index, m)
	return !gone && number < d.between(s.options.MinDetections, s.options.MaxDetections)
}

// locate is the place that an ID of a detection stands for, index -1 for none.
func (s *subscription) locate(uniqueVulnID int64) (index, number int) {
	offset := uniqueVulnID - firstUniqueVulnID
	if offset < 0 {
		return -1, 0
	}
	size := int64(s.options.MaxDetections)
	return int(offset / size), int(offset % size)
}

// find loads the host of a detection and says where in the host it is.
func (s *subscription) find(uniqueVulnID int64, m moment) (h host, position int, ok bool) {
	if !s.owns(uniqueVulnID, m) {
		return host{}, 0, false
	}
	index, _ := s.locate(uniqueVulnID)
	s.load(&h, index, m)
	for i := range h.detections {
		if h.detections[i].uniqueVulnID == uniqueVulnID {
			return h, i, true
		}
	}
	return h, 0, false
}

// results is the text of a detection's RESULTS.
func (s *subscription) results(hostIndex, number int) string {
	t := s.resultsText(hostIndex, number)
	return string(s.corpus.appendTo(nil, &s.corpus.raw, &t.dice, t.size))
}

// resultsText is how the RESULTS of a detection are drawn.
type resultsText struct {
	dice  dice
	size  int
	cdata bool
}

func (s *subscription) resultsText(hostIndex, number int) resultsText {
	d := newDice(s.options.Seed, purposeDetectionText, uint64(hostIndex), uint64(number))
	size := resultsSize(&d, s.options.ResultsSize)
	return resultsText{cdata: !d.oneIn(20), size: size, dice: d}
}
