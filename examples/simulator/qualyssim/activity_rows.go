// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"strconv"
	"time"
)

// activity is a row of the user activity log. Its time is in Unix seconds.
type activity struct {
	id                                      int64
	at                                      int64
	action, module, details, user, role, ip string
}

const (
	firstActivityID = 40_000_000
	// activityGap is the seconds between two rows of before the start, on average.
	activityGap = 300
	// activitiesPerTick is how many rows each interval of change adds.
	activitiesPerTick = 2
)

var (
	activityKinds = [][3]string{ // action, module, details
		{"login", "auth", "user_logged in"},
		{"logout", "auth", "user_logged out"},
		{"request", "auth", `API: /api/5.0/fo/asset/host/vm/detection/?action=list`},
		{"launch", "scan", `Scan "Monthly, all sites" launched`},
		{"edit", "option", "Option profile changed:\nports: standard, light\r\nperformance: normal"},
		{"create", "asset_group", "Gruppe „Büro Köln“ angelegt; 12 IPs"},
		{"delete", "report", "report/1234567, \"Executive\""},
	}
	activityRoles = []string{"Manager", "Unit Manager", "Scanner", "Reader"}
)

// activityCount is how many rows there are at m.
func (s *subscription) activityCount(m moment) int {
	return s.options.Activities + activitiesPerTick*int(m.tick)
}

// activityAt makes the row of that index, the oldest being the first. Some rows are what the one before is: the same thing
// happened again within a second.
func (s *subscription) activityAt(index int) activity {
	a := activity{id: firstActivityID + int64(index)}
	seed := s.options.Seed
	for index > 0 && s.repeats(index) {
		index--
	}
	d := newDice(seed, purposeActivity, uint64(index), 0)
	if old := s.options.Activities - index; old > 0 {
		a.at = s.start.Unix() - int64(old*activityGap) + int64(d.below(activityGap))
	} else {
		a.at = s.unix(int64(1 - old/activitiesPerTick))
	}
	kind := pick(&d, activityKinds)
	a.action, a.module, a.details = kind[0], kind[1], kind[2]
	user := d.below(len(activityRoles))
	a.user, a.role, a.ip = "user_"+strconv.Itoa(user), activityRoles[user], "192.0.2."+strconv.Itoa(1+d.below(250))
	return a
}

func (s *subscription) repeats(index int) bool {
	d := newDice(s.options.Seed, purposeActivity, uint64(index), 1)
	if since := index - s.options.Activities; since >= 0 {
		return since%activitiesPerTick > 0 && d.oneIn(2)
	}
	return d.oneIn(12)
}

// activities lists the rows of a page, the newest first, and the ID of the first row of the next page, 0 if there is none.
func activities(src content, q *activityQuery, m moment) (page []activity, next int64) {
	for a, found := src.activity(q.idMax, m); found && a.at > q.since; a, found = src.activity(a.id-1, m) {
		if !q.takes(&a) {
			continue
		}
		if q.limit > 0 && len(page) == q.limit {
			return page, a.id
		}
		page = append(page, a)
	}
	return page, 0
}

// Activity is what a client should have delivered of a row of the user activity log. Rows can be equal in all but their ID,
// which no answer tells.
type Activity struct {
	ID       int64     `json:"id"`
	Date     time.Time `json:"date"`
	Action   string    `json:"action"`
	Module   string    `json:"module"`
	Details  string    `json:"details"`
	UserName string    `json:"user_name"`
	UserRole string    `json:"user_role"`
	UserIP   string    `json:"user_ip"`
}
