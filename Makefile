# The front door. `make help` lists what is here; CI calls nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo test lint symbols doc deb units egress-proof tls-abuse bench layout conformance schemathesis mqtt-deaths fuzz clean

CARGO := .ci/cargo
FUZZ_SECONDS ?= 600
EXAMPLES ?= 50
# egress-proof: --long for ten minutes of silence; --programs FOLDER for other programs than the debug build's.
EGRESS ?=
# deb: cargo's profile (demo is quick), and the packages' version if not Cargo.toml's.
PROFILE ?= release
VERSION ?=

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

demo: ## the main job end to end: a site, two appliances, a stick, receipts, a change that undoes itself, four refusals, push, pull and MQTT
	@.ci/setup demo
	@$(CARGO) build --quiet --locked --profile demo -p casemate -p casemate-agent
	@tests/demo/run

test: ## every test: Rust, TUF scenarios, python-tuf and securesystemslib as peers, the stand-alone bundle reader
	@.ci/setup test
	$(CARGO) build --locked --workspace --all-targets
	$(CARGO) test --locked --workspace
	tests/conformance/ci
	tests/interop/ci

lint: ## formatting, clippy with the house bans, planted violations of them, crate edges and bans, file sizes, licences
	@.ci/setup lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	.ci/house
	.ci/bans
	$(CARGO) deny --log-level error check bans licenses sources
	shellcheck $$(git grep -lE "^#!/usr/bin/env bash")

symbols: ## the agent's program holds no resolver and loads no code: its symbols, and those of planted programs
	@.ci/setup symbols
	$(CARGO) build --quiet --locked --profile demo -p casemate-agent
	.ci/symbols target/demo/casemate-agent

doc: ## rustdoc, man pages and shell completions under target/
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --locked --workspace --no-deps --document-private-items
	$(CARGO) build --quiet --locked --workspace --bins
	mkdir -p target/man target/completions
	for tool in casemate casemate-agent; do \
	  target/debug/$$tool man target/man; \
	  for shell in bash zsh fish; do target/debug/$$tool completions $$shell > target/completions/$$tool.$$shell; done; \
	done

deb: ## both Debian packages under target/deb: make deb [PROFILE=demo] [VERSION=0.2.0]
	@.ci/setup deb
	$(CARGO) build --quiet --locked --profile $(PROFILE) -p casemate -p casemate-agent
	packaging/deb/build target/$(PROFILE) target/deb $(VERSION)
	lintian --fail-on error,warning target/deb/*.deb

units: ## install, enrol, import, upgrade, downgrade, remove, purge, a real nginx.service as a consumer, and boundaries by bundle, under a booted Debian 12 systemd (root)
	@.ci/setup units
	$(CARGO) build --quiet --locked --profile demo -p casemate -p casemate-agent
	packaging/deb/build target/demo target/units/debs
	packaging/deb/build target/demo target/units/debs 9.9.9
	lintian --fail-on error,warning target/units/debs/*.deb
	packaging/deb/build target/demo target/units/again 9.9.9
	cmp target/units/debs/casemate-agent_9.9.9_*.deb target/units/again/*agent*.deb
	tests/units/boot tests/units/walk target/units/debs 9.9.9
	tests/units/boot tests/units/web target/units/debs 9.9.9
	tests/units/boot tests/units/bound target/units/debs 9.9.9

egress-proof: ## nothing leaves but what the boundary names: all scenarios and 12 planted leakers, an auditor's report (root): make egress-proof [EGRESS=--long]
	@.ci/setup egress
	$(CARGO) build --quiet --locked -p casemate -p casemate-agent
	$(CARGO) build --quiet --locked -p casemate-tests --bin casemate-leaker
	tests/egress/run $(EGRESS)

tls-abuse: ## the listener scanned by testssl.sh while others are served; a laxer server must be told apart
	@.ci/setup tls-abuse
	$(CARGO) build --quiet --locked -p casemate-tests --bin casemate-bench-mtls
	tests/tls-abuse/run

bench: ## figures as ratios within one run (several minutes; builds with link-time optimisation)
	@.ci/setup bench
	$(CARGO) build --locked --release -p casemate -p casemate-agent -p casemate-tests
	tests/bench/run

pull-large: ## 8 GiB over three sticks, then by pull from a real nginx, each time with the agent killed ten times and a bit flipped (root; 9 GiB of disk): make pull-large [PARTS=128]
	@.ci/setup pull
	$(CARGO) build --quiet --locked --profile demo -p casemate-tests --bin casemate-bench-pull --bin agent-under-test
	target/demo/casemate-bench-pull target/demo/agent-under-test $(PARTS)

layout: ## what an idle daemon runs, put together by the release's linker: rewrites agent/layout.ld (root; a release build, half a minute)
	@.ci/setup layout
	$(CARGO) build --quiet --locked --release --config 'profile.release.strip="none"' -p casemate -p casemate-agent
	tests/bench/layout target/release/casemate-agent target/release/casemate agent/layout.ld

conformance: ## the public TUF conformance suite: make conformance SUITE=<checkout of theupdateframework/tuf-conformance>
	@test -n "$(SUITE)" || { echo "say where the suite is: make conformance SUITE=<folder>"; exit 2; }
	@.ci/setup conformance
	$(CARGO) build --quiet --locked -p casemate-tests
	tests/conformance/run "$(SUITE)"

schemathesis: ## a running agent held against its own OpenAPI description by schemathesis: make schemathesis EXAMPLES=200
	@.ci/setup schemathesis
	$(CARGO) build --quiet --locked -p casemate -p casemate-agent
	tests/schemathesis/ci $(EXAMPLES)

mqtt-deaths: ## a real Mosquitto killed a hundred times in the middle of twenty transfers (root)
	@.ci/setup mosquitto
	for run in $$(seq 20); do $(CARGO) test --quiet --locked -p casemate-tests --test scenarios mqtt::mosquitto_killed || exit 1; done

fuzz: ## every fuzz target for FUZZ_SECONDS each (600 unless told)
	@.ci/setup fuzz
	tests/fuzz/run $(FUZZ_SECONDS)

clean: ## what builds and demos left behind
	rm -rf target demo tests/fuzz/target
