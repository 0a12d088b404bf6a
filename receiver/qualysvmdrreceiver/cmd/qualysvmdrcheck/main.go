// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Command qualysvmdrcheck says whether login, permission and module are there for each dataset, and what the account sees, before
// a collector is started:
//
//	qualysvmdrcheck --config collector.yaml
//	qualysvmdrcheck --platform EU1 --datasets vulnerabilities,knowledge_base
//
// With --config it reads the configuration of a collector, with environment variables in it, and checks every receiver
// qualysvmdr; it can be given more than once, as for the collector. Without, QUALYS_USERNAME and QUALYS_PASSWORD are taken
// from the environment, or, for a Qualys API client, QUALYS_CLIENT_ID and QUALYS_CLIENT_SECRET. One request is sent for each
// dataset, and up to three more that count hosts and assets; no rejected login is repeated, and the exit status is 1 if anything
// is missing. Authenticators (auth:) run in a collector only: a dataset that needs one counts as missing.
//
// Behind the datasets stands what one compares with Qualys's console on the first day: the limits and how much of them is left,
// how many hosts and assets the account sees, how old the scans of the first hosts are, and the account's role where the
// activity log tells it. None of it changes the exit status.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/preflight"
)

// errMissing is the outcome that something is missing, which has been printed.
var errMissing = errors.New("something is missing")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		if !errors.Is(err, errMissing) && !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "qualysvmdrcheck:", err)
		}
		os.Exit(1)
	}
}

type options struct {
	configs                             []string
	platform, server, gateway, datasets string
	clientType                          string
	timeout                             time.Duration
}

func parse(args []string, out io.Writer) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("qualysvmdrcheck", flag.ContinueOnError)
	set.SetOutput(out)
	set.Func("config", "`file` with the configuration of a collector; several are merged", func(file string) error {
		o.configs = append(o.configs, file)
		return nil
	})
	set.StringVar(&o.platform, "platform", "", "Qualys platform such as US2, without --config")
	set.StringVar(&o.server, "server", "", "`URL` of the API server, instead of the platform's")
	set.StringVar(&o.gateway, "gateway", "", "`URL` of the API gateway, instead of the platform's")
	set.StringVar(&o.datasets, "datasets", "vulnerabilities,knowledge_base,hosts,asset_inventory,activity_log", "`names` of the datasets to check, without --config")
	set.StringVar(&o.clientType, "client-type", "user", "whose the API client in QUALYS_CLIENT_ID is: that of a `user or subscription`, without --config")
	set.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long each check may take")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case set.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case len(o.configs) > 0 && (o.platform != "" || o.server != "" || o.gateway != ""):
		return nil, errors.New("--config has the endpoints: --platform, --server and --gateway are for use without it")
	}
	return o, nil
}

// run checks, and prints a line for each dataset, and what the account sees.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	receivers, err := o.receivers(ctx)
	if err != nil {
		return err
	}
	complete := true
	refusals := preflight.Refusals{}
	for _, r := range receivers {
		report, err := preflight.Run(ctx, r.config, o.timeout, refusals)
		for _, f := range report.Findings {
			complete = complete && f.Err == nil
			fmt.Fprintf(out, "%s %s\n", r.name, f)
		}
		if len(report.Facts) > 0 {
			fmt.Fprintf(out, "%s, as Qualys tells this account:\n", r.name)
			err = errors.Join(err, preflight.WriteFacts(out, report.Facts))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	if !complete {
		return errMissing
	}
	return nil
}

// named is the configuration of one receiver.
type named struct {
	name   string
	config *qualysvmdrreceiver.Config
}

// receivers reads what is to be checked.
func (o *options) receivers(ctx context.Context) ([]named, error) {
	if len(o.configs) == 0 {
		config, err := o.receiver()
		return []named{{"qualysvmdr", config}}, err
	}
	collector, err := resolve(ctx, o.configs)
	if err != nil {
		return nil, err
	}
	ids, found, err := preflight.Receivers(collector)
	if err != nil {
		return nil, err
	}
	var receivers []named
	for _, id := range ids {
		receivers = append(receivers, named{id.String(), found[id]})
	}
	return receivers, nil
}

// receiver makes a configuration of the flags and the environment.
func (o *options) receiver() (*qualysvmdrreceiver.Config, error) {
	settings := map[string]any{
		"platform": o.platform,
		"server":   map[string]any{"endpoint": o.server},
		"gateway":  map[string]any{"endpoint": o.gateway},
		"username": os.Getenv("QUALYS_USERNAME"),
		"password": os.Getenv("QUALYS_PASSWORD"),
	}
	if id := os.Getenv("QUALYS_CLIENT_ID"); id != "" {
		settings["client_id"], settings["client_secret"], settings["client_type"] = id, os.Getenv("QUALYS_CLIENT_SECRET"), o.clientType
	}
	for dataset := range strings.SplitSeq(o.datasets, ",") {
		settings[strings.TrimSpace(dataset)] = nil
	}
	return preflight.Configuration(confmap.NewFromStringMap(settings))
}

// resolve reads files as the collector does.
func resolve(ctx context.Context, files []string) (_ *confmap.Conf, err error) {
	uris := make([]string, len(files))
	for i, file := range files {
		uris[i] = "file:" + file
	}
	resolver, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs:              uris,
		ProviderFactories: []confmap.ProviderFactory{envprovider.NewFactory(), fileprovider.NewFactory(), yamlprovider.NewFactory()},
		DefaultScheme:     "env",
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resolver.Shutdown(ctx)) }()
	return resolver.Resolve(ctx)
}
