// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// errHelp is a request for the usage, which has been printed.
var errHelp = flag.ErrHelp

type flags struct {
	listen  string
	options qualyssim.Options
}

// parseFlags reads the command line; the usage goes to out when it is asked for.
func parseFlags(args []string, out io.Writer) (*flags, error) {
	f := new(flags)
	o := &f.options
	o.MinDetections, o.MaxDetections = 50, 300
	set := flag.NewFlagSet("simulator", flag.ContinueOnError)
	// The caller tells what is wrong: the usage of all flags would hide it.
	set.SetOutput(io.Discard)

	set.StringVar(&f.listen, "listen", "127.0.0.1:8081", "`address` to listen on; port 0 takes a free one")
	set.StringVar(&o.Username, "username", qualyssim.DefaultUsername, "the account's login")
	set.StringVar(&o.Password, "password", qualyssim.DefaultPassword, "the account's password")
	set.StringVar(&o.ClientID, "client-id", qualyssim.DefaultClientID, "ID of a Qualys API client")
	set.StringVar(&o.ClientSecret, "client-secret", qualyssim.DefaultClientSecret, "its secret")
	set.StringVar(&o.PublicURL, "public-url", "", "base `URL` in answers, instead of the one that was called")

	set.Uint64Var(&o.Seed, "seed", 1, "selects the content")
	count(set, &o.Hosts, "hosts", 100, "number of hosts")
	size(set, &o.TotalBytes, "total-bytes", "as many hosts as weigh so much in one page, instead of --hosts: `size` as 20MB or 1GB")
	set.Func("detections", "detections of a host, `min-max` (default 50-300)", func(s string) error {
		return parseRange(s, &o.MinDetections, &o.MaxDetections)
	})
	set.IntVar(&o.QIDs, "qids", 1500, "number of QIDs that hosts draw from")
	size(set, &o.ResultsSize, "results-size", "mean `size` of RESULTS (default 1200)")
	set.BoolVar(&o.Pretty, "pretty", false, "indent XML and JSON as Qualys does")
	set.BoolVar(&o.OmitUniqueVulnIDs, "omit-unique-vuln-ids", false, "leave UNIQUE_VULN_ID out")
	set.IntVar(&o.PageCap, "page-cap", 0, "largest number of hosts on a page, whatever truncation_limit says")
	set.IntVar(&o.KnowledgeBasePageCap, "kb-page-cap", 0, "largest number of entries in an answer of the KnowledgeBase")
	size(set, &o.PageBytes, "page-bytes", "a page ends after the host that takes it past so many bytes, `size` as 20MB")
	count(set, &o.Assets, "assets", 100, "number of assets")
	size(set, &o.AssetSize, "asset-size", "mean `size` of an asset, as 100kB (default 10kB)")
	set.IntVar(&o.AssetCap, "asset-cap", 0, "a search of assets ends after so many, saying that there are no more")
	set.BoolVar(&o.EmptyLastAssetPage, "empty-last-asset-page", false, "a last page whose asset is null follows the assets")
	count(set, &o.Activities, "activities", 50, "number of rows of the activity log at the start")
	set.BoolVar(&o.NoGzip, "no-gzip", false, "never compress")

	set.Func("start", "when the simulation begins, `RFC 3339` (default now)", func(s string) (err error) {
		o.Start, err = time.Parse(time.RFC3339, s)
		return err
	})
	set.DurationVar(&o.ChangeEvery, "change-every", 0, "interval at which content changes")
	set.Float64Var(&o.ChangeShare, "change-share", 0.01, "share of the content that changes in each interval")
	set.Float64Var(&o.HostTurnover, "host-turnover", 0, "share of hosts that vanish, and of new ones, in each interval")
	set.DurationVar(&o.ProcessingDelay, "processing-delay", 0, "time after which a change becomes visible")

	set.Func("service-level", "limits of a `level`: express, standard, enterprise or premium; flags of limits that follow change it", func(s string) error {
		if !qualyssim.ServiceLevel(s).Apply(o) {
			return errors.New("not express, standard, enterprise or premium")
		}
		return nil
	})
	set.IntVar(&o.RateLimit, "rate-limit", 0, "calls of each API of /api/ in a window")
	set.DurationVar(&o.RateWindow, "rate-window", time.Hour, "the window of --rate-limit")
	set.IntVar(&o.Concurrency, "concurrency", 0, "calls of each API of /api/ at once")
	set.DurationVar(&o.Linger, "linger", 0, "how long a call whose client went away still counts as running")
	set.Func("rate-headers", "`spelling` of the limits' headers: hyphenated, joined or none (default hyphenated)", func(s string) error {
		o.RateHeaders = qualyssim.RateHeaders(s)
		switch o.RateHeaders {
		case qualyssim.HeadersHyphenated, qualyssim.HeadersJoined, qualyssim.HeadersNone:
			return nil
		}
		return errors.New("not hyphenated, joined or none")
	})
	set.IntVar(&o.TokenUses, "token-uses", 0, "calls that a bearer token is good for")
	set.DurationVar(&o.TokenLifetime, "token-lifetime", 4*time.Hour, "how long a bearer token is valid")
	set.BoolVar(&o.NoHostListPermission, "no-host-list-permission", false, "refuse the host list")
	set.BoolVar(&o.NoKnowledgeBasePermission, "no-kb-permission", false, "refuse the KnowledgeBase")
	set.DurationVar(&o.KnowledgeBaseDelay, "kb-delay", 0, "time that the KnowledgeBase takes for each QID")

	faultFlags(set, &o.Faults)
	if err := set.Parse(args); err != nil {
		if errors.Is(err, errHelp) {
			set.SetOutput(out)
			set.Usage()
		}
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	return f, o.Faults.Validate()
}

func faultFlags(set *flag.FlagSet, f *qualyssim.Faults) {
	rate := func(name string, fault qualyssim.Fault, what string) {
		set.Func(name, "`probability` of "+what, func(s string) error {
			rate, err := strconv.ParseFloat(s, 64)
			if f.Rates == nil {
				f.Rates = map[qualyssim.Fault]float64{}
			}
			f.Rates[fault] = rate
			return err
		})
	}
	rate("cut-rate", qualyssim.Cut, "an answer whose connection breaks")
	rate("error-rate", qualyssim.ServerError, "an answer 500")
	rate("busy-rate", qualyssim.Busy, "an answer 409 with code 1960")
	rate("rate-limited-rate", qualyssim.RateLimited, "an answer 409 with code 1965")
	size(set, &f.CutAfter, "cut-after", "`size` of what comes before a cut, as 100kB; a random share of the answer by default")
	set.DurationVar((*time.Duration)(&f.Delay), "call-delay", 0, "time before the first byte of each answer")
	size(set, &f.BytesPerSecond, "bytes-per-second", "speed of each answer, `size` as 2MB (default full speed)")
	set.Func("faults", "faults as the `JSON` of POST /simulator/faults; the flags of faults that follow change it", func(s string) error {
		decoder := json.NewDecoder(strings.NewReader(s))
		decoder.DisallowUnknownFields()
		return decoder.Decode(f)
	})
}

// count defines a flag for a number of things, where 0 means none.
func count(set *flag.FlagSet, n *int, name string, byDefault int, usage string) {
	*n = byDefault
	set.Func(name, fmt.Sprintf("%s (default %d)", usage, byDefault), func(s string) error {
		parsed, err := strconv.Atoi(s)
		if err == nil && parsed < 0 {
			err = errors.New("is negative")
		}
		if *n = parsed; parsed == 0 {
			*n = -1
		}
		return err
	})
}

// size defines a flag for a number of bytes.
func size[N int | int64](set *flag.FlagSet, n *N, name, usage string) {
	set.Func(name, usage, func(s string) error {
		size, err := parseSize(s)
		*n = N(size)
		return err
	})
}

// parseSize reads a number of bytes with an optional unit of kB, MB or GB.
func parseSize(s string) (int64, error) {
	unit := int64(1)
	for suffix, factor := range map[string]int64{"kB": 1e3, "MB": 1e6, "GB": 1e9} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = number, factor
			break
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || n <= 0 {
		return 0, errors.New("not a size such as 1500, 100kB, 20MB or 1GB")
	}
	return int64(n * float64(unit)), nil
}

// parseRange reads "min-max", or one number for both.
func parseRange(s string, low, high *int) error {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		to = from
	}
	a, errA := strconv.Atoi(from)
	b, errB := strconv.Atoi(to)
	if errA != nil || errB != nil || a < 0 || b < a || b < 1 {
		return errors.New("not a range such as 50-300")
	}
	if *low, *high = a, b; a == 0 {
		*low = -1 // none
	}
	return nil
}
