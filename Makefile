# All tools are Go programs that tools/go.mod pins; Go itself builds and caches them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
.DEFAULT_GOAL := help

TOOL := go tool -modfile=$(CURDIR)/tools/go.mod
COLLECTOR := bin/otelcol-qualysvmdr
SOURCES := $(shell find receiver -name '*.go' -not -name '*_test.go') go.mod go.sum builder-config.yaml tools/go.mod

VERSION ?= $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null || echo v0.0.0-dev))
DURATION ?=
CONFIG ?= examples/otlp.yaml
FUZZTIME ?= 20s
BENCH ?= .
PKG ?= ./...

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: $(COLLECTOR) ## the collector with this receiver, bin/otelcol-qualysvmdr (VERSION=1.2.3)

$(COLLECTOR): $(SOURCES)
	env dist.version='$(VERSION)' $(TOOL) builder --skip-strict-versioning=false --config builder-config.yaml
	mkdir -p bin
	mv build/otelcol-qualysvmdr $@

.PHONY: run
run: build ## the collector with examples/demo.yaml against the simulator, until Ctrl-C or for DURATION=30s
	go build -o bin/simulator ./examples/simulator
	.ci/run-demo '$(DURATION)'

.PHONY: check
check: ## whether login, permission and module of each dataset are there, one request each (CONFIG=collector.yaml)
	go run ./receiver/qualysvmdrreceiver/cmd/qualysvmdrcheck --config '$(CONFIG)'

.PHONY: test
test: ## all tests but those of the built collector
	go test $(TESTFLAGS) ./...

.PHONY: e2e
e2e: build ## tests of the built collector: with the simulator, and a real OTLP receiver as the backend
	go test -tags e2e -count=1 -timeout 20m ./receiver/qualysvmdrreceiver/internal/e2e/...

.PHONY: cover
cover: ## all tests with the race detector; 80 % of the hand-written code must be covered
	$(MAKE) test TESTFLAGS='-race -coverpkg=./... -coverprofile=cover.out'
	.ci/coverage cover.out 80

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME=20s
	.ci/fuzz '$(FUZZTIME)'

.PHONY: bench
bench: build ## every figure of docs/performance.md, as a table
	go build -o bin/simulator ./examples/simulator
	mkdir -p build
	go test -c -o build/benchmark.test ./receiver/qualysvmdrreceiver/internal/benchmark
	build/benchmark.test -table

.PHONY: stages
stages: ## the benchmarks of every stage, for benchstat (BENCH=regexp PKG=./...)
	go test -run='^$$' -bench='$(BENCH)' -benchmem $(PKG)

.PHONY: profile
profile: ## where one package's benchmarks spend their time (BENCH=regexp PKG=./path)
	mkdir -p build
	go test -run='^$$' -bench='$(BENCH)' -cpuprofile=build/cpu.out -o build/profile.test $(PKG)
	go tool pprof -top -nodecount=40 build/profile.test build/cpu.out

.PHONY: lint
lint: ## golangci-lint, with gofumpt and the arrows between the packages
	$(TOOL) golangci-lint run
	go mod tidy -diff
	@# Tests sleep in a bubble with its own clock only.
	! git grep --untracked -l 'time\.Sleep(' -- '*_test.go' | xargs -r grep -L '"testing/synctest"' | grep .

.PHONY: format
format: ## gofumpt and the order of imports
	$(TOOL) golangci-lint fmt

.PHONY: generate
generate: ## the code that comes from metadata.yaml
	go generate ./...

.PHONY: generated
generated: ## that `make generate` changes nothing
	.ci/generated

.PHONY: rules
rules: ## the alert rules: checked, and tested that each alert fires when it should (promtool)
	.ci/rules

.PHONY: monitoring
monitoring: build ## the alert rules and the dashboard in a real Prometheus that scrapes the built collector
	PROMETHEUS=$$(.ci/prometheus) go test -tags 'e2e prometheus' -count=1 -timeout 10m -run 'Alert|Dashboard' ./receiver/qualysvmdrreceiver/internal/e2e/...

.PHONY: newcomer
newcomer: ## a collector of one's own, by the steps of the README, in an empty folder
	.ci/newcomer

.PHONY: ci
ci: generated lint rules cover fuzz build e2e monitoring newcomer ## everything that must hold before a change lands

.PHONY: clean
clean: ## removes what was built
	rm -rf bin build *.out
