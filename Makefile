# dcpos: everything a developer does has a target here. `make help` is the toolbox.
SHELL := /bin/bash
.DEFAULT_GOAL := help
GO ?= go
LINT := bin/golangci-lint
ARGS ?=
SEED ?=

.PHONY: help setup build demo check test e2e fmt lint bench golden fuzz cross

help: ## this list
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## install what a bare Debian 12 with Go lacks (as root, or by sudo after saying what)
	@tools/setup.sh

build: setup ## build the four programs into bin/
	@mkdir -p bin
	$(GO) build -o bin/ ./cmd/...

demo: build ## a day at a shop: `make demo`, or `make demo ARGS="--once --dir DIR"`
	@bin/poslab demo $(ARGS)

# Three packages at once: tests wait (for servers, disks, other processes) as much as they work.
check: lint ## fast, no root: format, lint, unit tests
	$(GO) test -race -vet=off -p 3 $$($(GO) list ./... | grep -v /e2e/)

test: setup ## everything that CI runs: check, then e2e/ one package at a time
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory e2e

e2e: setup ## whole programs: kills, power cuts, browser, demo, a kernel with USB devices
	@mkdir -p bin/race
	$(GO) build -race -o bin/race/ ./cmd/...
	DCPOS_BIN=$(CURDIR)/bin/race $(GO) test -vet=off -count=1 -timeout 20m -p 1 ./e2e/...

$(LINT): tools/go.mod tools/go.sum
	@mkdir -p bin
	$(GO) build -modfile=tools/go.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

fmt: $(LINT) ## format every file
	$(LINT) fmt ./...

# The linter wants packages compiled: with -race they are those that the tests need.
lint: $(LINT) ## lint, format included
	GOFLAGS=-race $(LINT) run ./...

bench: ## every benchmark, for docs/PERFORMANCE.md
	$(GO) test -run '^$$' -bench . -benchmem ./...

golden: ## rewrite golden files after looking at the difference
	$(GO) test ./drivers/escpos ./drivers/receipt/draw -update

fuzz: ## every fuzz target for FUZZTIME (default 20s)
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $${FUZZTIME:-20s} $$p || exit 1; \
	  done; done

cross: ## build the agent for arm64 (needs Debian's cross compiler and arm64 libraries)
	CGO_ENABLED=1 GOOS=linux GOARCH=arm64 CC=aarch64-linux-gnu-gcc \
	  PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig $(GO) build -o bin/arm64/posagent ./cmd/posagent
