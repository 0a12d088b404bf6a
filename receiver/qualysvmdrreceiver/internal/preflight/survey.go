// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

const (
	// firstHosts and firstRows are how many hosts and rows of the activity log a first page has: enough to tell how old scans
	// are and to meet the account's own login, and small.
	firstHosts = 100
	firstRows  = 100
)

// survey gathers what the account sees.
type survey struct {
	client *qualys.Client
	user   string // "": an API client logs in
	// within does a request, which must not take too long.
	within func(ask func(context.Context) error) error

	asked  []qualys.API // those that requests were sent to
	hosts  number
	assets number
	scans  scans
	role   string // as the activity log has it; "": unknown
}

// number is how many of something there are.
type number struct {
	asked bool
	n     uint64
	err   error // why it is not known
}

// scans are the times of the last scans of the hosts of a first page.
type scans struct {
	now   time.Time
	hosts int
	times []time.Time // of the hosts that were scanned
}

// count asks for the numbers of hosts and assets, where the checks of the datasets were good.
func (s *survey) count(cfg *qualysvmdrreceiver.Config, good map[string]bool) {
	switch {
	case good[dataset.Hosts]:
		s.countHosts(cfg.Hosts.Get().APIVersion)
	case good[dataset.Vulnerabilities] && !cfg.Hosts.HasValue():
		version := cfg.Vulnerabilities.Get().APIVersion
		s.asked = append(s.asked, qualys.HostList)
		s.hosts.err = s.within(func(ctx context.Context) error { return s.readHosts(ctx, version) })
		s.countHosts(version)
	}
	if good[dataset.AssetInventory] {
		s.assets.asked = true
		s.assets.err = s.within(func(ctx context.Context) error {
			n, err := s.client.AssetCount(ctx, qualys.AssetQuery{})
			s.assets.n = uint64(max(n, 0))
			return err
		})
	}
}

// countHosts counts the hosts, unless the first page had all of them, or could not be had.
func (s *survey) countHosts(version string) {
	if s.hosts.asked || s.hosts.err != nil {
		s.hosts.asked = true
		return
	}
	s.hosts.asked = true
	s.hosts.err = s.within(func(ctx context.Context) error {
		_, err := s.client.HostIDs(ctx, qualys.HostQuery{Version: version}, func(r qualys.IDRange) error {
			s.hosts.n += r.Last - r.First + 1
			return nil
		})
		return err
	})
}

// readHosts reads the first page of the host list, to its end: a response that is given up counts as running for a while.
func (s *survey) readHosts(ctx context.Context, version string) error {
	page, err := s.client.Hosts(ctx, qualys.HostQuery{Version: version, Details: "All", Limit: firstHosts})
	if err != nil {
		return err
	}
	defer page.Close()
	read := scans{now: page.ServerTime()}
	for {
		xml, err := page.Next()
		if err == io.EOF {
			break
		}
		var last time.Time
		if err == nil {
			last, err = lastScan(xml)
		}
		if err != nil {
			return err
		}
		read.hosts++
		if !last.IsZero() {
			read.times = append(read.times, last)
		}
	}
	if read.now.IsZero() {
		read.now = time.Now()
	}
	s.scans = read
	if _, more := page.Continue(); !more {
		s.hosts = number{asked: true, n: uint64(read.hosts)}
	}
	return nil
}

// lastScan reads a HOST, and returns when it was scanned last for vulnerabilities, zero: never, or it is not said.
func lastScan(xml *xmlstream.Reader) (last time.Time, err error) {
	depth := xml.Depth()
	var name, text string
	for xml.Depth() >= depth {
		kind, err := xml.Next()
		switch {
		case err != nil:
			return last, err
		case kind == xmlstream.StartElement:
			name, text = string(xml.Name()), ""
		case kind == xmlstream.Text && scanTimes[name]:
			text += string(xml.Text())
		case kind == xmlstream.EndElement && scanTimes[name]:
			if at, err := time.Parse(time.RFC3339, strings.TrimSpace(text)); err == nil && at.After(last) {
				last = at
			}
			name = ""
		}
	}
	return last, nil
}

// scanTimes are the elements of a host that say when it was scanned for vulnerabilities (Qualys API documentation).
var scanTimes = map[string]bool{"LAST_VULN_SCAN_DATETIME": true, "LAST_VM_SCANNED_DATE": true}

// readActivity reads the newest rows of the activity log. A login of the account itself tells its role.
func (s *survey) readActivity(ctx context.Context, version string) error {
	page, err := s.client.Activity(ctx, qualys.ActivityQuery{Version: version, Limit: firstRows})
	if err != nil {
		return err
	}
	defer page.Close()
	user, role := slices.Index(page.Columns(), "User Name"), slices.Index(page.Columns(), "User Role")
	for {
		row, err := page.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if s.role == "" && s.user != "" && min(user, role) >= 0 && max(user, role) < len(row) && strings.EqualFold(row[user], s.user) {
			s.role = strings.TrimSpace(row[role])
		}
	}
}
