// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"time"
)

// The account that is served when Options name none. The password holds what has to be encoded in a form.
const (
	DefaultUsername = "qualys_user"
	DefaultPassword = "pa+ss &w%rd<ö"

	DefaultClientID     = "simulated-client"
	DefaultClientSecret = "s3cret+of &client"
)

// ServiceLevel is what a subscription may do, as Qualys sells it.
type ServiceLevel string

// The service levels of Qualys' documents (of 2018; support can change them).
const (
	Express    ServiceLevel = "express"    // 1 call at once, 50 a day
	Standard   ServiceLevel = "standard"   // 2 at once, 300 an hour
	Enterprise ServiceLevel = "enterprise" // 5 at once, 750 an hour
	Premium    ServiceLevel = "premium"    // 10 at once, 2000 an hour
)

// Apply sets the limits of the level, and reports whether it is known.
func (l ServiceLevel) Apply(o *Options) bool {
	switch l {
	case Express:
		o.Concurrency, o.RateLimit, o.RateWindow = 1, 50, 24*time.Hour
	case Standard:
		o.Concurrency, o.RateLimit, o.RateWindow = 2, 300, time.Hour
	case Enterprise:
		o.Concurrency, o.RateLimit, o.RateWindow = 5, 750, time.Hour
	case Premium:
		o.Concurrency, o.RateLimit, o.RateWindow = 10, 2000, time.Hour
	default:
		return false
	}
	return true
}

// RateHeaders says how the headers of the limits are spelled.
type RateHeaders string

// The spellings of the limit headers that Qualys' documents and answers know.
const (
	HeadersHyphenated RateHeaders = "hyphenated" // X-Concurrency-Limit-Limit, as in recorded answers
	HeadersJoined     RateHeaders = "joined"     // X-ConcurrencyLimit-Limit, as in some documents
	HeadersNone       RateHeaders = "none"       // no header at all
)

// Options describe the simulated subscription. The zero value serves a small one without limits and faults.
type Options struct {
	// Username and Password are the account; both default together.
	Username, Password string
	// ClientID and ClientSecret are a Qualys API client; both default together.
	ClientID, ClientSecret string

	// Script, if there is one, is the content, in place of what Seed and the sizes below generate.
	Script *Script

	// Seed selects the content; the same seed with the same sizes and the same Start gives the same answers.
	Seed uint64
	// Hosts is the number of hosts, 20 by default, none when negative.
	Hosts int
	// TotalBytes, if positive, replaces Hosts: so many hosts that all of them together, as one page with QDS, tags and
	// all states, weigh about so many bytes.
	TotalBytes int64
	// MinDetections and MaxDetections bound the detections of a host in all states; 1 and 20 by default. A negative
	// MinDetections is none: some hosts then have no detections.
	MinDetections, MaxDetections int
	// QIDs is the number of QIDs that hosts draw from, 1500 by default, rounded up to a prime. One in 20 has no entry
	// in the KnowledgeBase.
	QIDs int
	// ResultsSize is the mean size of RESULTS in bytes, 1200 by default.
	ResultsSize int
	// Pretty indents XML and JSON as Qualys does; compact answers otherwise. An indented asset has less software in
	// the same AssetSize.
	Pretty bool
	// OmitUniqueVulnIDs leaves UNIQUE_VULN_ID out of the answers.
	OmitUniqueVulnIDs bool

	// Assets is the number of assets, 20 by default, none when negative. The first Hosts assets are the hosts.
	Assets int
	// AssetSize is the mean size of one asset in bytes, reached by its software list; about 10 kB by default.
	AssetSize int
	// AssetCap ends every search of assets after so many, saying that there are no more; a count tells the truth. No
	// limit by default.
	AssetCap int
	// EmptyLastAssetPage makes the last page with assets say hasMore 1, and be followed by one whose asset is null.
	EmptyLastAssetPage bool

	// Activities is the number of rows of the activity log at the start, 50 by default, none when negative. Each interval
	// of ChangeEvery adds two.
	Activities int

	// Clock is the server's clock, time.Now by default.
	Clock func() time.Time
	// Start is when the simulation begins: what came before is history. It defaults to the clock's time at New.
	Start time.Time
	// ChangeEvery is the interval at which content changes; without it nothing changes by itself.
	ChangeEvery time.Duration
	// ChangeShare is the share of detections, entries and assets that change in each interval, 0.01 by default.
	ChangeShare float64
	// HostTurnover is the share of hosts that vanish, and of new ones that appear, in each interval of ChangeEvery; none
	// by default. New hosts have higher IDs.
	HostTurnover float64
	// ProcessingDelay is how long after its own time a change becomes visible, as with a scan that is still processed.
	ProcessingDelay time.Duration

	// PageCap is the largest number of hosts on a page whatever truncation_limit says; no limit by default.
	PageCap int
	// KnowledgeBasePageCap is the largest number of entries in an answer of the KnowledgeBase; no limit by default.
	KnowledgeBasePageCap int
	// PageBytes ends a page of hosts after the host that takes it past so many bytes; no limit by default.
	PageBytes int64
	// NoGzip never compresses answers.
	NoGzip bool
	// PublicURL is the base of the URLs inside answers, "https://host"; derived from each request by default.
	PublicURL string

	// RateLimit is the number of calls that each API of /api/ allows in RateWindow; not limited by default.
	RateLimit int
	// RateWindow is the window of RateLimit, an hour by default.
	RateWindow time.Duration
	// Concurrency is the number of calls of one API of /api/ that may run at once; not limited by default.
	Concurrency int
	// Linger is how long a call whose client went away, or that was cut, still counts as running.
	Linger time.Duration
	// RateHeaders is the spelling of the limits' headers, HeadersHyphenated by default.
	RateHeaders RateHeaders

	// TokenUses is the number of calls a bearer token is good for; not limited by default.
	TokenUses int
	// TokenLifetime is how long a bearer token is valid, four hours by default.
	TokenLifetime time.Duration

	// NoHostListPermission refuses the host list with 403.
	NoHostListPermission bool
	// NoKnowledgeBasePermission refuses the KnowledgeBase with 403.
	NoKnowledgeBasePermission bool
	// KnowledgeBaseDelay is the time the KnowledgeBase takes for each QID asked for before it answers.
	KnowledgeBaseDelay time.Duration

	// Faults are active from the start.
	Faults Faults
}

func (o Options) withDefaults() Options {
	if o.Username == "" && o.Password == "" {
		o.Username, o.Password = DefaultUsername, DefaultPassword
	}
	if o.Script != nil {
		o.Hosts, o.Assets, o.Activities, o.TotalBytes, o.ChangeEvery = -1, -1, -1, 0, 0
	}
	if o.ClientID == "" && o.ClientSecret == "" {
		o.ClientID, o.ClientSecret = DefaultClientID, DefaultClientSecret
	}
	o.Hosts = countOr(o.Hosts, 20)
	o.Assets = countOr(o.Assets, 20)
	o.Activities = countOr(o.Activities, 50)
	if o.MaxDetections <= 0 {
		o.MaxDetections = max(20, o.MinDetections)
	}
	o.MinDetections = countOr(o.MinDetections, 1)
	o.MinDetections = min(o.MinDetections, o.MaxDetections)
	if o.QIDs <= 0 {
		o.QIDs = 1500
	}
	// A host steps through the QIDs with its own stride: with a prime number of them it meets none twice.
	o.QIDs = primeFrom(max(o.QIDs, o.MaxDetections))
	if o.ResultsSize <= 0 {
		o.ResultsSize = meanResults
	}
	if o.AssetSize <= 0 {
		o.AssetSize = 10_000
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Start.IsZero() {
		o.Start = o.Clock()
	}
	o.Start = o.Start.UTC().Truncate(time.Second)
	if o.HostTurnover < 0 || o.HostTurnover > 1 || o.ChangeEvery <= 0 {
		o.HostTurnover = 0
	}
	if o.ChangeShare <= 0 || o.ChangeShare > 1 {
		o.ChangeShare = 0.01
	}
	if o.RateWindow <= 0 {
		o.RateWindow = time.Hour
	}
	if o.RateHeaders == "" {
		o.RateHeaders = HeadersHyphenated
	}
	if o.TokenLifetime <= 0 {
		o.TokenLifetime = 4 * time.Hour
	}
	return o
}

// countOr is n, where 0 means the default and a negative number none.
func countOr(n, byDefault int) int {
	if n == 0 {
		return byDefault
	}
	return max(n, 0)
}

func primeFrom(n int) int {
	for n = max(n, 2); ; n++ {
		prime := true
		for d := 2; d*d <= n && prime; d++ {
			prime = n%d != 0
		}
		if prime {
			return n
		}
	}
}
