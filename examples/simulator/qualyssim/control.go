// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"
)

// handleControl adds what steers the server from another process. It asks for no login and is not logged.
func (s *Server) handleControl() {
	s.mux.HandleFunc("GET /simulator", s.getSummary)
	s.mux.HandleFunc("GET /simulator/requests", s.getRequests)
	s.mux.HandleFunc("DELETE /simulator/requests", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearRequests()
		w.WriteHeader(http.StatusNoContent)
	})
	s.mux.HandleFunc("GET /simulator/expected", s.getExpected)
	s.mux.HandleFunc("GET /simulator/faults", func(w http.ResponseWriter, _ *http.Request) { sendJSON(w, s.Faults()) })
	s.mux.HandleFunc("POST /simulator/faults", receive(s.SetFaults))
	s.mux.HandleFunc("POST /simulator/change", receive(s.change))
	s.mux.HandleFunc("POST /simulator/clock", receive(s.moveClock))
	s.mux.HandleFunc("POST /simulator/credentials", receive(func(c Credentials) error {
		s.Rotate(c)
		return nil
	}))
	s.mux.HandleFunc("DELETE /simulator/tokens", func(w http.ResponseWriter, _ *http.Request) {
		s.RevokeTokens()
		w.WriteHeader(http.StatusNoContent)
	})
}

// receive reads a JSON document strictly and passes it to take; its error is a 400.
func receive[T any](take func(T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var document T
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, longestBody))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&document); err != nil {
			http.Error(w, "not understood: "+err.Error(), http.StatusBadRequest)
			return
		}
		if err := take(document); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func sendJSON(w http.ResponseWriter, document any) {
	w.Header().Set("Content-Type", "application/json")
	// A client that went away needs no answer.
	_ = json.NewEncoder(w).Encode(document)
}

func (s *Server) getSummary(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, map[string]any{"serves": s.Summary(), "seed": s.options.Seed, "start": s.options.Start, "now": s.Now()})
}

func (s *Server) getRequests(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jsonl")
	encoder := json.NewEncoder(w)
	for _, request := range s.Requests() {
		if encoder.Encode(request) != nil {
			return
		}
	}
}

// change is one thing that changes now.
type change struct {
	Detection  int64   `json:"detection"`
	Status     *Status `json:"status"`
	Ignored    *bool   `json:"ignored"`
	Entry      int64   `json:"entry"`
	LoseEntry  int64   `json:"lose_entry"`
	DisableQID int64   `json:"disable_qid"`
	EnableQID  int64   `json:"enable_qid"`
	Asset      int64   `json:"asset"`
	PurgeHost  int64   `json:"purge_host"`
	MergeHost  int64   `json:"merge_host"`
	Into       int64   `json:"into"`
}

func (s *Server) change(c change) error {
	switch {
	case c.Detection != 0 && c.Status != nil:
		return s.TouchDetection(c.Detection, *c.Status)
	case c.Entry != 0:
		return s.ChangeEntry(c.Entry)
	case c.Detection != 0 && c.Ignored != nil:
		return s.IgnoreDetection(c.Detection, *c.Ignored)
	case c.LoseEntry != 0:
		return s.RemoveEntry(c.LoseEntry)
	case c.DisableQID != 0:
		return s.DisableQID(c.DisableQID, true)
	case c.EnableQID != 0:
		return s.DisableQID(c.EnableQID, false)
	case c.Asset != 0:
		return s.ChangeAsset(c.Asset)
	case c.PurgeHost != 0:
		return s.PurgeHost(c.PurgeHost)
	case c.MergeHost != 0:
		return s.MergeHost(c.MergeHost, c.Into)
	}
	return errors.New("name a detection with a status or ignored, an entry, a QID, an asset or a host")
}

type clockMove struct {
	Advance Duration `json:"advance"`
}

func (s *Server) moveClock(m clockMove) error {
	if m.Advance < 0 {
		return fmt.Errorf("the clock does not go back: %s", time.Duration(m.Advance))
	}
	s.Advance(time.Duration(m.Advance))
	return nil
}

// getExpected lists what a client should deliver: ?kind=detections or hosts (both with the parameters of the API), entries,
// assets, activities, and what is gone.
func (s *Server) getExpected(w http.ResponseWriter, r *http.Request) {
	form := r.URL.Query()
	kind := form.Get("kind")
	form.Del("kind")
	switch kind {
	case "detections":
		all := s.Detections()
		if len(form) > 0 {
			var err error
			if all, err = s.DetectionsFor(form); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		sendLines(w, all)
	case "hosts":
		hosts, err := s.HostsFor(form)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		sendLines(w, hosts)
	case "removed_hosts":
		sendLines(w, s.RemovedHosts())
	case "removed_detections":
		sendLines(w, s.RemovedDetections())
	case "entries":
		sendLines(w, s.QIDs())
	case "assets":
		sendLines(w, s.Assets())
	case "activities":
		sendLines(w, s.Activities())
	default:
		http.Error(w, "kind is detections, removed_detections, hosts, removed_hosts, entries, assets or activities", http.StatusBadRequest)
	}
}

func sendLines[T any](w http.ResponseWriter, items iter.Seq[T]) {
	w.Header().Set("Content-Type", "application/jsonl")
	encoder := json.NewEncoder(w)
	for item := range items {
		if encoder.Encode(item) != nil {
			return
		}
	}
}
