# The front door. `make` alone lists the commands.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export CARGO_TERM_COLOR ?= never
RINGWAY := target/release/ringway
SEEDS ?= 2000
TARGET ?= ws
SECONDS_MAX ?= 60
ARGS ?=

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: setup-run ## build and start a chat on http://127.0.0.1:7300/ (ARGS="--shards 4" to change)
	cargo build --release --locked --bin ringway
	$(RINGWAY) serve --dev $(ARGS)

test: setup-test check unit it compat ## all tests
	@scripts/summary

check: ## format, clippy, licences and advisories, tidy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	scripts/deny

unit: ## Rust tests: unit, vectors, properties, simulator slices, fuzz corpora, start-up
	cargo test --workspace --locked --no-fail-fast

it: setup-test ## the real binary with npm's socket.io-client and headless Chromium
	cargo build --release --locked --bin ringway
	cd tests/it && node --test --test-concurrency=1 --test-reporter=spec *.test.mjs

compat: setup-test ## Autobahn's cases, groups 1 to 10
	cargo build --release --locked --bin ringway
	scripts/compat

sim: ## the simulator (SEEDS=100000 for many, SEED=0x… for one)
	RINGWAY_SIM_SEEDS=$(SEEDS) RINGWAY_SIM_SEED=$(SEED) cargo test --release --locked -p ringway-sim --test loop -- --nocapture

fuzz: ## fuzz one parser (TARGET=ws SECONDS_MAX=60); `ls tests/fuzz/run/fuzz_targets` names them
	scripts/fuzz $(TARGET) $(SECONDS_MAX)

test-count: ## how many tests of each kind there are
	@scripts/test-count

setup-run:
	@scripts/setup run

setup-test:
	@scripts/setup test

.PHONY: help run test check unit it compat sim fuzz test-count setup-run setup-test
