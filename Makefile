# The front door. `make` alone lists the commands.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export CARGO_TERM_COLOR ?= never
RINGWAY := target/release/ringway
ARGS ?=
SEEDS ?= 2000
FROM ?= 0
TARGET ?= all
SECONDS ?= 60

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: setup-run ## build and start a chat on http://127.0.0.1:7300/ (ARGS="--shards 4" to change)
	cargo build --release --locked --bin ringway
	$(RINGWAY) serve --dev $(ARGS)

test: setup-test check unit mutants it compat ## all tests
	@scripts/summary

check: ## format and clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

deny: ## licences, bans, sources, and advisories where they can be fetched
	scripts/deny

unit: ## Rust tests: unit, vectors, properties, simulator slices, fuzz corpora, start-up
	cargo test --workspace --locked --no-fail-fast

it: setup-test ## the real binary with npm's socket.io-client and headless Chromium
	cargo build --release --locked --bin ringway
	cd tests/it && node --test --test-concurrency=1 --test-reporter=spec *.test.mjs

sim: ## whole shards over the pretended kernel (SEEDS=100000 FROM=0, or one SEED=7; TRACE=1 prints what clients see)
	$(if $(TRACE),SIM_TRACE=1) $(if $(SEED),SIM_SEED=$(SEED)) SIM_FROM=$(FROM) SIM_SEEDS=$(SEEDS) cargo test --release --locked --test sim every_promise -- --nocapture

mutants: ## twelve and more planted bugs, each of which the simulator must find within 2,000 seeds (ONLY=name)
	scripts/mutants $(ONLY)

soak: ## the long runs: 200,000 seeds of the simulator
	$(MAKE) sim SEEDS=200000 FROM=$$(date +%s)

fuzz: setup-fuzz ## the coverage-guided fuzzer on one parser, or on all in turn (TARGET=ws SECONDS=60)
	scripts/fuzz $(TARGET) $(SECONDS)

compat: setup-test ## Autobahn's cases, groups 1 to 10
	cargo build --release --locked --bin ringway
	scripts/compat

test-count: ## how many tests of each kind there are
	@scripts/test-count

setup-run:
	@scripts/setup run

setup-test:
	@scripts/setup test

setup-fuzz:
	@scripts/setup fuzz

.PHONY: help run test check deny unit sim mutants soak it fuzz compat test-count setup-run setup-test setup-fuzz
