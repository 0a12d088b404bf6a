// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

// Hosts builds the records of the hosts of the host list.
type Hosts struct {
	builder
	tape    tape
	at      places // in the tape
	root    *element
	machine machine
}

// NewHosts returns a builder of hosts' records.
func NewHosts(settings Settings) *Hosts {
	n := newInterner(elementRoles)
	return &Hosts{
		builder: newBuilder(settings),
		tape:    newTape(n),
		root:    &element{text: "HOST", key: n.key("Host"), host: true, root: true, body: true},
	}
}

// Begin says when what follows was collected, by the server's clock, and in which collection. Keep is called for every host
// that has been read whole, as by [Detections.Begin].
func (h *Hosts) Begin(collected time.Time, collection string, keep func(*Item) bool) {
	h.begin(collected, collection, keep)
}

// Host reads the HOST element that x stands at, through its end, and makes a record and a summary of it. Errors of x are
// returned wrapped; ErrTooLarge says that the host is more than a record may hold. Nothing is kept of a host with an error.
func (h *Hosts) Host(x *xmlstream.Reader) error {
	repaired := x.Repaired()
	t := &h.tape
	t.reset(maxRecord)
	at := t.push(t.interner.empty, object)
	t.pushText(t.interner.logType, hostLogs.logType)
	h.item = Item{}
	if err := t.root(x, at, h.root); err != nil {
		h.item.Unit = brokenHost(t.nodes)
		return fmt.Errorf("host: %w", err)
	}
	h.at.find(t.nodes, 1, len(t.nodes))
	h.identify()
	if !h.wanted() {
		h.done()
		return nil
	}
	h.addHostname()
	h.write(t.nodes, t.text)
	if !h.fits() {
		h.finish()
	}
	h.done()
	h.machine.know(&h.arena, t.nodes, &h.at, t.text, h.item.Unit)
	h.describe(h.resource(), &h.machine)
	lr := h.record(&hostLogs, h.item.Content, 1)
	if id, ok := intOf(t.nodes, h.at[roleAssetID]); ok {
		lr.Attributes().PutInt(attrAssetID, id)
	}
	h.body(lr, t.nodes, t.text)
	if t.truncated > 0 {
		nameTruncated(lr, truncatedPaths(nil, t.nodes[1:], nil))
	}
	h.current.Summaries = append(h.current.Summaries, h.summary())
	h.current.Truncated += t.truncated
	h.current.Repaired += x.Repaired() - repaired
	return nil
}

// ID is that of the host that was read last, also of one that broke; 0: it is not known.
func (h *Hosts) ID() uint64 { return h.item.Unit }

// brokenHost looks for the ID of a host of which not all could be read.
func brokenHost(nodes []node) uint64 {
	for i := 1; i < len(nodes); i++ {
		if nodes[i].key.role == roleID {
			id, _ := intOf(nodes, int32(i))
			return uint64(max(id, 0))
		}
	}
	return 0
}

// identify fills in the item.
func (h *Hosts) identify() {
	nodes, text := h.tape.nodes, h.tape.text
	content, size := h.hasher.content(nodes, text)
	h.item = Item{Key: content, Content: content, Bytes: int32(size), Scanned: scannedAt(nodes, &h.at, text)}
	if id, ok := intOf(nodes, h.at[roleID]); ok && id > 0 {
		h.item.Unit, h.item.Key = uint64(id), uint64(id)
	}
}

// addHostname adds the name of the host behind its address, unless the host has an element that is called so.
func (h *Hosts) addHostname() {
	t := &h.tape
	if h.at[roleHostname] != 0 {
		return
	}
	hostname := hostnameOf(t.interner, t.nodes, t.text, &h.at)
	h.item.Bytes += int32(len(hostname.key.text)) + int32(hostname.len)
	behind := len(t.nodes)
	if ip := h.at[roleIP]; ip != 0 {
		behind = int(ip + t.nodes[ip].size)
	}
	t.nodes = insert(t.nodes, behind, hostname)
	h.at.find(t.nodes, 1, len(t.nodes))
}

func (h *Hosts) done() {
	h.current.UnitsDone++
	if h.item.Unit != 0 {
		h.current.UnitDone = h.item.Unit
	}
}

// summary is what is to be known of the host when it is gone.
func (h *Hosts) summary() HostSummary {
	nodes, text := h.tape.nodes, h.tape.text
	assetID, _ := intOf(nodes, h.at[roleAssetID])
	return HostSummary{
		ID:             h.item.Unit,
		AssetID:        uint64(max(assetID, 0)),
		IP:             h.summarized(textOf(nodes, h.at[roleIP], text)),
		IPv6:           h.summarized(textOf(nodes, h.at[roleIPv6], text)),
		Hostname:       h.summarized(textOf(nodes, h.at[roleHostname], text)),
		TrackingMethod: h.summarized(textOf(nodes, h.at[roleTrackingMethod], text)),
		QGHostID:       h.summarized(textOf(nodes, h.at[roleQGHostID], text)),
		CloudID:        h.summarized(cloudID(nodes, &h.at, text)),
	}
}

func (h *Hosts) summarized(text []byte) string {
	return h.arena.keep(text[:lastRune(text, maxSummarized)])
}

// Take returns the oldest Chunk, which goes over to the caller.
func (h *Hosts) Take() Chunk { return h.take() }
