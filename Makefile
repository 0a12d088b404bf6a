# All tools are Go programs that tools/go.mod pins; Go itself builds and caches them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
.DEFAULT_GOAL := help

TOOL := go tool -modfile=$(CURDIR)/tools/go.mod
PACKAGE_TOOL := go tool -modfile=$(CURDIR)/tools/package/go.mod
COLLECTOR := bin/otelcol-qualysvmdr
KUBERNETES_COLLECTOR := bin/otelcol-qualysvmdr-kubernetes
CHECK := bin/qualysvmdrcheck
SOURCES := $(shell find receiver -name '*.go' -not -name '*_test.go') go.mod go.sum builder-config.yaml builder-config-kubernetes.yaml tools/go.mod

# version.go is where the version stands. What is not built from its tag is a version before it.
RELEASE := $(shell sed -n 's/^const version = "\(.*\)"/\1/p' receiver/qualysvmdrreceiver/version.go)
FIPS ?=
VERSION ?= $(RELEASE)$(shell git describe --tags --exact-match --match 'v$(RELEASE)' >/dev/null 2>&1 || echo -dev)$(if $(FIPS),+fips)
DURATION ?=
CONFIG ?= examples/otlp.yaml
FUZZTIME ?= 20s
BENCH ?= .
PKG ?= ./...

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: $(COLLECTOR) ## the collector with this receiver, bin/otelcol-qualysvmdr (VERSION=1.2.3 FIPS=1)

# Go's own cryptographic module, in the version that was validated first, and on by default in what is built with it.
ifneq ($(FIPS),)
$(COLLECTOR) $(KUBERNETES_COLLECTOR) $(CHECK) test: export GOFIPS140 := v1.0.0
test: TESTFLAGS += -exec 'env GODEBUG=fips140=only'
endif

# Changes when what is built has another version or other cryptography than what was built last.
.PHONY: force
build/variant: force
	@mkdir -p build
	@echo '$(VERSION) $(FIPS)' | cmp -s - $@ || echo '$(VERSION) $(FIPS)' >$@

$(COLLECTOR): $(SOURCES) build/variant
	env dist.version='$(VERSION)' $(TOOL) builder --skip-strict-versioning=false --config builder-config.yaml
	mkdir -p bin
	mv build/otelcol-qualysvmdr $@

.PHONY: build-kubernetes
build-kubernetes: $(KUBERNETES_COLLECTOR) ## the same with leader election, bin/otelcol-qualysvmdr-kubernetes (VERSION=1.2.3 FIPS=1)

$(KUBERNETES_COLLECTOR): $(SOURCES) build/variant
	env dist.version='$(VERSION)' $(TOOL) builder --skip-strict-versioning=false --config builder-config-kubernetes.yaml
	mkdir -p bin
	mv build/kubernetes/otelcol-qualysvmdr-kubernetes $@

$(CHECK): $(SOURCES) build/variant
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o $@ ./receiver/qualysvmdrreceiver/cmd/qualysvmdrcheck

.PHONY: package
package: build $(CHECK) ## .deb, .rpm and .tar.gz of the collector, in build/package (VERSION=1.2.3)
	.ci/package '$(VERSION)'

.PHONY: package-test
package-test: package ## that the packages install, run, upgrade and go, in an empty root (needs root)
	.ci/package-test

.PHONY: run
run: build ## the collector with examples/demo.yaml against the simulator, until Ctrl-C or for DURATION=30s
	go build -o bin/simulator ./examples/simulator
	.ci/run-demo '$(DURATION)'

.PHONY: check
check: ## whether login, permission and module of each dataset are there, and what the account sees (CONFIG=collector.yaml)
	go run ./receiver/qualysvmdrreceiver/cmd/qualysvmdrcheck --config '$(CONFIG)'

.PHONY: test
test: ## all tests but those of the built collector (FIPS=1: without any cryptography that is not approved)
	go test $(TESTFLAGS) ./...

.PHONY: e2e
e2e: build ## tests of the built collector: with the simulator, and a real OTLP receiver as the backend
	go test -tags e2e -count=1 -timeout 20m ./receiver/qualysvmdrreceiver/internal/e2e/...

.PHONY: soak
soak: build ## hours of the built collector with changes, faults and restarts, its memory and files watched (DURATION=2h)
	SOAK='$(or $(DURATION),2h)' go test -tags 'e2e soak' -count=1 -timeout 0 -v -run TestHours ./receiver/qualysvmdrreceiver/internal/e2e/

.PHONY: kubernetes
kubernetes: build-kubernetes ## tests of leader election and of the manifests, in a module of their own
	cd receiver/qualysvmdrreceiver/internal/kubernetes && go vet -tags e2e ./... && go mod tidy -diff && go test -tags e2e -count=1 -timeout 20m ./...

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
lint: ## golangci-lint, with gofumpt and the arrows between the packages; actionlint
	$(TOOL) golangci-lint run
	$(PACKAGE_TOOL) actionlint -shellcheck= .github/workflows/*.yaml
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
ci: generated lint rules cover fuzz build e2e monitoring package-test newcomer ## everything that must hold before a change lands

.PHONY: clean
clean: ## removes what was built
	rm -rf bin build *.out
