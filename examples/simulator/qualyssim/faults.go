// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// API names one of the served APIs in faults and in the request log.
type API string

// The APIs. NoAPI is what none of them serves.
const (
	Detections    API = "detections"
	HostList      API = "host_list"
	KnowledgeBase API = "knowledge_base"
	ActivityLog   API = "activity_log"
	Assets        API = "assets"
	Auth          API = "auth"
	NoAPI         API = ""
)

// Fault is one way in which an answer goes wrong.
type Fault string

// Faults that replace the answer. On the gateway those with a code are JSON instead of XML, and limits are 429.
const (
	BadLogin               Fault = "bad_login"               // 401, 2000
	LoginPage              Fault = "login_page"              // 401, HTML
	Forbidden              Fault = "forbidden"               // 403, a code nobody knows
	AccountExpired         Fault = "account_expired"         // 200, 2001
	AccountInactive        Fault = "account_inactive"        // 409, 2002
	RegistrationIncomplete Fault = "registration_incomplete" // 409, 2003
	SecondFactor           Fault = "second_factor"           // 409, 2011
	PasswordChange         Fault = "password_change"         // 409, 2012
	InvalidParameter       Fault = "invalid_parameter"       // 400, 1905
	Busy                   Fault = "busy"                    // 409, 1960
	RateLimited            Fault = "rate_limited"            // 409, 1965, SECONDS_TO_WAIT
	TooManyRequests        Fault = "too_many_requests"       // 429, Retry-After if Wait is set
	ServerError            Fault = "server_error"            // 500, 999
	BadGateway             Fault = "bad_gateway"             // 502, HTML
	Maintenance            Fault = "maintenance"             // 503, HTML; with Status 200 a page that looks like success
	MaintenanceReturn      Fault = "maintenance_return"      // 503, 1999
	TokenExpired           Fault = "token_expired"           // 401, JSON
	Failed                 Fault = "failed"                  // 200, JSON with responseCode FAILED
	Redirect               Fault = "redirect"                // 302 to another host
	GatewayTimeout         Fault = "gateway_timeout"         // 504, HTML
	OriginTimeout          Fault = "origin_timeout"          // 524, HTML
	RequestTimeout         Fault = "request_timeout"         // 408, HTML
	LimitText              Fault = "limit_text"              // 409 (429 on the gateway), a text without a code; Wait as WaitHeader says
	LimitEmpty             Fault = "limit_empty"             // the same without a body
	NoToken                Fault = "no_token"                // 200, JSON without a token
	Empty                  Fault = "empty"                   // 200 without a body
	Garbage                Fault = "garbage"                 // 200, bytes that mean nothing
)

// Faults of an answer that is otherwise right.
const (
	Cut               Fault = "cut"                 // the connection breaks in the middle of the answer
	CutCleanly        Fault = "cut_cleanly"         // the answer ends early, as a proxy may end it: HTTP sees no error
	Stall             Fault = "stall"               // nothing more comes after CutAfter bytes
	ControlCharacters Fault = "control_characters"  // in RESULTS and the activity log, including NUL
	InvalidUTF8       Fault = "invalid_utf8"        // in RESULTS, DIAGNOSIS, the activity log and in strings of assets
	UnknownElements   Fault = "unknown_elements"    // elements, keys and columns that nobody has heard of
	ForeignURL        Fault = "foreign_url"         // WARNING/URL names another host
	WarningWithoutURL Fault = "warning_without_url" // a last page with a message

	TruncatedWithoutURL Fault = "truncated_without_url" // code 1980 of a page that is not the last one, without its URL
	LeadingComment      Fault = "leading_comment"       // a comment and white space before the XML declaration
	Latin1              Fault = "iso_8859_1"            // XML in ISO-8859-1; what that lacks becomes a question mark
	Latin9              Fault = "iso_8859_15"           // XML in ISO-8859-15
	Windows1252         Fault = "windows_1252"          // XML in windows-1252
	Descending          Fault = "descending_hosts"      // the hosts of a page stand in the reverse order
	UpperCaseStatus     Fault = "upper_case_status"     // FIXED
	LowerCaseStatus     Fault = "lower_case_status"     // fixed
	OffsetTimes         Fault = "offset_times"          // +0000 in place of Z
	ZonelessTimes       Fault = "zoneless_times"        // nothing in place of Z
	WrongClock          Fault = "wrong_clock"           // DATETIME and Date as ClockSkew and Datetime say

	HasMoreMissing    Fault = "has_more_missing"     // assets: no hasMore
	HasMoreString     Fault = "has_more_string"      // assets: "hasMore":"1"
	HasMoreFloat      Fault = "has_more_float"       // assets: "hasMore":1.0
	HasMoreBool       Fault = "has_more_bool"        // assets: "hasMore":true
	EmptyPageWithMore Fault = "empty_page_with_more" // assets: none, hasMore 1 and no lastSeenAssetId
	TokenJSON         Fault = "token_json"           // the token stands in JSON, with 200
)

// Unrenderable says how the server fails over a host or an entry that it cannot render.
type Unrenderable string

// The ways to fail. UnrenderableError, a 500 with HTML, is the default.
const (
	UnrenderableError Unrenderable = "error"
	UnrenderableCut   Unrenderable = "cut"   // the connection breaks before the first byte
	UnrenderableStall Unrenderable = "stall" // nothing ever comes
)

// ForeignHost is the host that Redirect and ForeignURL point to. It does not exist.
const ForeignHost = "elsewhere.invalid"

// Faults are what goes wrong with answers. They never concern the control endpoints; Auth is hit only when named.
type Faults struct {
	// Rates is the probability of each fault for each call.
	Rates map[Fault]float64 `json:"rates,omitempty"`
	// APIs limits Rates to these; without them they concern every API but Auth.
	APIs []API `json:"apis,omitempty"`
	// Next are faults of the next calls: each call takes one of the first that is meant for it.
	Next []NextFault `json:"next,omitempty"`
	// Status replaces the HTTP status of faults from Rates that replace the answer.
	Status int `json:"status,omitempty"`
	// Wait is the number of seconds that limits from Rates tell to wait.
	Wait int `json:"wait,omitempty"`
	// CutAfter is the number of bytes before Cut, CutCleanly and Stall; a random share of the answer if it is 0.
	CutAfter int64 `json:"cut_after,omitempty"`
	// BrokenHosts are IDs of hosts whose XML is malformed in every answer, though as many elements end as begin.
	BrokenHosts []int64 `json:"broken_hosts,omitempty"`
	// RuinedHosts are IDs of hosts whose XML is so malformed that nobody can tell where they end.
	RuinedHosts []int64 `json:"ruined_hosts,omitempty"`
	// UnrenderableHosts and UnrenderableQIDs spoil each page that one of them is on; a list of IDs alone is not concerned.
	UnrenderableHosts []int64 `json:"unrenderable_hosts,omitempty"`
	UnrenderableQIDs  []int64 `json:"unrenderable_qids,omitempty"`
	// Unrenderable is how.
	Unrenderable Unrenderable `json:"unrenderable,omitempty"`
	// RefuseParameters are names of parameters (on the gateway also fields of filters) that are refused with 400, one by one.
	RefuseParameters []string `json:"refuse_parameters,omitempty"`
	// RefuseCode is the code of these refusals, 1901 by default.
	RefuseCode int `json:"refuse_code,omitempty"`
	// WaitHeader is the header that tells the wait of LimitText and LimitEmpty, X-RateLimit-ToWait-Sec by default; "none"
	// for none.
	WaitHeader string `json:"wait_header,omitempty"`
	// Headers replace headers of answers; an empty value removes one.
	Headers map[string]string `json:"headers,omitempty"`
	// ClockSkew is how far DATETIME and Date are ahead of the clock with WrongClock, or behind it if negative.
	ClockSkew Duration `json:"clock_skew,omitempty"`
	// Datetime, if it is set, is DATETIME (and Date) with WrongClock.
	Datetime string `json:"datetime,omitempty"`
	// RejectClientTokens refuses assets to the tokens of Qualys API clients.
	RejectClientTokens bool `json:"reject_client_tokens,omitempty"`

	// Delay passes before the first byte of an answer.
	Delay Duration `json:"delay,omitempty"`
	// KeepAlive passes after the start of an XML answer, with a comment every KeepAliveEvery (a second by default).
	KeepAlive      Duration `json:"keep_alive,omitempty"`
	KeepAliveEvery Duration `json:"keep_alive_every,omitempty"`
	// BytesPerSecond makes answers trickle.
	BytesPerSecond int `json:"bytes_per_second,omitempty"`
}

// NextFault is a fault of the next Count calls (at least one) of an API, or of any API but Auth if API is empty.
type NextFault struct {
	Fault    Fault `json:"fault"`
	API      API   `json:"api,omitempty"`
	Count    int   `json:"count,omitempty"`
	Status   int   `json:"status,omitempty"`    // replaces the fault's HTTP status
	Wait     int   `json:"wait,omitempty"`      // seconds
	CutAfter int64 `json:"cut_after,omitempty"` // bytes

	// As in Faults, for this fault.
	WaitHeader string   `json:"wait_header,omitempty"`
	ClockSkew  Duration `json:"clock_skew,omitempty"`
	Datetime   string   `json:"datetime,omitempty"`
}

// Duration is a time.Duration that JSON holds as text, "1m30s".
type Duration time.Duration

// MarshalText writes the duration as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

var (
	answerFaults = []Fault{
		Cut, CutCleanly, Stall, ControlCharacters, InvalidUTF8, UnknownElements, ForeignURL, WarningWithoutURL,
		TruncatedWithoutURL, LeadingComment, Latin1, Latin9, Windows1252, Descending, UpperCaseStatus, LowerCaseStatus,
		OffsetTimes, ZonelessTimes, WrongClock, HasMoreMissing, HasMoreString, HasMoreFloat, HasMoreBool, EmptyPageWithMore, TokenJSON,
	}
	allAPIs = []API{Detections, HostList, KnowledgeBase, ActivityLog, Assets, Auth}
)

// Validate says which name is unknown or which number makes no sense.
func (f *Faults) Validate() error {
	known := func(fault Fault) error {
		if _, replaces := replies[fault]; !replaces && !slices.Contains(answerFaults, fault) {
			return fmt.Errorf("unknown fault %q", fault)
		}
		return nil
	}
	for fault, rate := range f.Rates {
		if err := known(fault); err != nil {
			return err
		}
		if rate < 0 || rate > 1 {
			return fmt.Errorf("rate of %q is not between 0 and 1: %v", fault, rate)
		}
	}
	for _, next := range f.Next {
		if err := known(next.Fault); err != nil {
			return err
		}
		if next.API != NoAPI && !slices.Contains(allAPIs, next.API) {
			return fmt.Errorf("unknown API %q", next.API)
		}
	}
	if !slices.Contains([]Unrenderable{"", UnrenderableError, UnrenderableCut, UnrenderableStall}, f.Unrenderable) {
		return fmt.Errorf("unknown way to fail %q", f.Unrenderable)
	}
	for _, api := range f.APIs {
		if !slices.Contains(allAPIs, api) {
			return fmt.Errorf("unknown API %q", api)
		}
	}
	return nil
}

// faultSource hands each call what goes wrong with it.
type faultSource struct {
	mu     sync.Mutex
	faults Faults
	dice   dice
}

func (s *faultSource) set(f Faults) {
	f.Rates, f.Next = maps.Clone(f.Rates), slices.Clone(f.Next)
	f.BrokenHosts, f.RuinedHosts = slices.Clone(f.BrokenHosts), slices.Clone(f.RuinedHosts)
	f.UnrenderableHosts, f.UnrenderableQIDs = slices.Clone(f.UnrenderableHosts), slices.Clone(f.UnrenderableQIDs)
	f.RefuseParameters, f.Headers = slices.Clone(f.RefuseParameters), maps.Clone(f.Headers)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

func (s *faultSource) current() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.faults
	f.Rates, f.Next = maps.Clone(f.Rates), slices.Clone(f.Next)
	return f
}

// mishap is what goes wrong with one call.
type mishap struct {
	reply    Fault // replaces the answer; empty if the answer is given
	answer   map[Fault]bool
	status   int
	wait     int
	cutAfter int64
	dice     dice
	faults   Faults

	waitHeader string
	skew       Duration // of the clock
	datetime   string
}

// draw decides the fate of one call.
func (s *faultSource) draw(api API) mishap {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := mishap{
		answer: map[Fault]bool{}, status: s.faults.Status, wait: s.faults.Wait, cutAfter: s.faults.CutAfter,
		dice: dice(s.dice.next()), faults: s.faults, waitHeader: s.faults.WaitHeader,
	}
	concerned := api != Auth
	if len(s.faults.APIs) > 0 {
		concerned = slices.Contains(s.faults.APIs, api)
	}
	if concerned {
		m.roll(&s.dice, s.faults.Rates)
		if m.answer[WrongClock] {
			m.skew, m.datetime = s.faults.ClockSkew, s.faults.Datetime
		}
	} else {
		m.faults = Faults{}
	}
	for i := range s.faults.Next {
		next := &s.faults.Next[i]
		if next.API != api && (next.API != NoAPI || api == Auth) {
			continue
		}
		// What a test asked for by name comes before what the dice say.
		m.reply = ""
		switch replaces := m.add(next.Fault); {
		case replaces:
			m.status, m.wait, m.waitHeader = next.Status, next.Wait, next.WaitHeader
		case next.Fault == WrongClock:
			m.skew, m.datetime = next.ClockSkew, next.Datetime
		case next.CutAfter > 0:
			m.cutAfter = next.CutAfter
		}
		if next.Count--; next.Count <= 0 {
			s.faults.Next = slices.Delete(slices.Clone(s.faults.Next), i, i+1)
		}
		break
	}
	return m
}

// roll throws the dice for each fault, in an order that does not depend on the map's.
func (m *mishap) roll(d *dice, rates map[Fault]float64) {
	for _, fault := range slices.Sorted(maps.Keys(rates)) {
		if d.fraction() < rates[fault] {
			m.add(fault)
		}
	}
}

// add notes a fault, and says whether it replaces the answer.
func (m *mishap) add(fault Fault) (replaces bool) {
	if _, replaces = replies[fault]; replaces {
		m.reply = fault
	} else {
		m.answer[fault] = true
	}
	return replaces
}

// malformed is what spoils the XML of a host.
func (m *mishap) malformed(hostID int64) string {
	switch {
	case slices.Contains(m.faults.RuinedHosts, hostID):
		return "<DETECTION><PORT>44<3</PORT><STATUS>Active</QID><![CDATA[ </DETECTION>"
	case slices.Contains(m.faults.BrokenHosts, hostID):
		return "<DETECTION><QID>38000</PORT><STATUS>A & B &nope; \x00</STATUS></DETECTION>"
	}
	return ""
}

// names lists what went wrong, for the request log.
func (m *mishap) names() []Fault {
	var names []Fault
	if m.reply != "" {
		names = append(names, m.reply)
	}
	for _, fault := range answerFaults {
		if m.answer[fault] {
			names = append(names, fault)
		}
	}
	return names
}
