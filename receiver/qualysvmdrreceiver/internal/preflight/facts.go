// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// Fact is something that the responses have told.
type Fact struct{ Name, Value string }

// WriteFacts writes a line for each fact, with their values below each other.
func WriteFacts(w io.Writer, facts []Fact) error {
	lines := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range facts {
		fmt.Fprintf(lines, "  %s\t%s\n", f.Name, f.Value)
	}
	return lines.Flush()
}

// sights are what the roles see (Qualys's documentation of the APIs).
var sights = map[string]string{
	"manager":      "sees everything",
	"unit manager": "sees the hosts and the activity of its business unit only",
	"scanner":      "sees the hosts of its account and its own rows of the activity log only",
	"reader":       "sees the hosts of its account and its own rows of the activity log only",
	"auditor":      "has no permission for detections and the KnowledgeBase",
}

const (
	noHosts  = "none: nothing was scanned yet, or the account's role sees no host (Managers see all, Scanners and Readers those of their account)"
	noAssets = `none: nothing is in the inventory yet, or the user lacks "Allow user view access to all objects"`
	noRole   = "not known; only a Manager sees everything: compare these numbers with a Manager's console"
)

// facts are what was gathered.
func (s *survey) facts() []Fact {
	var facts []Fact
	for _, api := range s.asked {
		if text := allowanceText(s.client.Allowance(api)); text != "" {
			facts = append(facts, Fact{"limits of " + string(api), text})
		}
	}
	if s.hosts.asked {
		facts = append(facts, Fact{"hosts", s.hosts.text(noHosts)})
	}
	if s.scans.hosts > 0 {
		facts = append(facts, Fact{"last scans", s.scans.String()})
	}
	if s.assets.asked {
		facts = append(facts, Fact{"assets", s.assets.text(noAssets)})
	}
	if len(facts) > 0 {
		facts = append(facts, Fact{"role", s.roleText()})
	}
	return facts
}

// serviceLevels are those of Qualys's documents (of 2018; its support can change them), by calls, window and calls at once.
var serviceLevels = map[qualys.Allowance]string{
	{Calls: 50, Window: 24 * time.Hour, Concurrent: 1}: "Express",
	{Calls: 300, Window: time.Hour, Concurrent: 2}:     "Standard",
	{Calls: 750, Window: time.Hour, Concurrent: 5}:     "Enterprise",
	{Calls: 2000, Window: time.Hour, Concurrent: 10}:   "Premium",
}

// allowanceText writes the limits of an API, "": Qualys has told none.
func allowanceText(a qualys.Allowance) string {
	var parts []string
	if a.Calls >= 0 {
		parts = append(parts, fmt.Sprintf("%d calls %s", a.Calls, windowText(a.Window)))
	}
	if a.Remaining >= 0 {
		parts = append(parts, fmt.Sprintf("%d remaining", a.Remaining))
	}
	if a.Concurrent > 0 {
		parts = append(parts, fmt.Sprintf("%d at once", a.Concurrent))
	}
	text := strings.Join(parts, ", ")
	a.Remaining = 0
	if level, known := serviceLevels[a]; known {
		text += " (as service level " + level + ")"
	}
	return text
}

func windowText(window time.Duration) string {
	switch window {
	case time.Hour:
		return "an hour"
	case 24 * time.Hour:
		return "a day"
	}
	return "in " + window.String()
}

// text writes the number; none is what it means that there are none.
func (n number) text(none string) string {
	switch {
	case n.err != nil:
		return "not known: " + n.err.Error()
	case n.n == 0:
		return none
	}
	return fmt.Sprint(n.n)
}

// String writes the ages of the scans in days.
func (s scans) String() string {
	which := fmt.Sprintf("of the first %d hosts", s.hosts)
	if s.hosts == 1 {
		which = "of the first host"
	}
	if len(s.times) == 0 {
		return "none " + which
	}
	newest, oldest := slices.MaxFunc(s.times, time.Time.Compare), slices.MinFunc(s.times, time.Time.Compare)
	text := fmt.Sprintf("%d to %d days ago, %s", s.days(newest), s.days(oldest), which)
	if never := s.hosts - len(s.times); never > 0 {
		text += fmt.Sprintf("; %d never", never)
	}
	return text
}

// days is how many whole days ago a time was.
func (s scans) days(at time.Time) int { return int(max(s.now.Sub(at), 0) / (24 * time.Hour)) }

// roleText writes what the account's role sees.
func (s *survey) roleText() string {
	sight, known := sights[strings.ToLower(s.role)]
	switch {
	case s.role == "":
		return noRole
	case !known:
		return fmt.Sprintf("%q; compare these numbers with a Manager's console", s.role)
	}
	return s.role + ": " + sight
}
