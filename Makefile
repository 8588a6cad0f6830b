# The front door. `make` alone lists the commands.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export CARGO_TERM_COLOR ?= never
RINGWAY := target/release/ringway
ARGS ?=

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: setup-run ## build and start a chat on http://127.0.0.1:7300/ (ARGS="--shards 4" to change)
	cargo build --release --locked --bin ringway
	$(RINGWAY) serve --dev $(ARGS)

test: setup-test check unit it compat ## all tests
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

compat: setup-test ## Autobahn's cases, groups 1 to 10
	cargo build --release --locked --bin ringway
	scripts/compat

test-count: ## how many tests of each kind there are
	@scripts/test-count

setup-run:
	@scripts/setup run

setup-test:
	@scripts/setup test

.PHONY: help run test check deny unit it compat test-count setup-run setup-test
