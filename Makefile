# The front door. `make` alone lists the commands.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export CARGO_TERM_COLOR ?= never
# What scripts/setup could not find on the machine and brought along.
export PATH := $(CURDIR)/.cache/bin:$(PATH)
RINGWAY := target/release/ringway
ARGS ?=
SEEDS ?= 2000
FROM ?= 0
TARGET ?= all
SECONDS ?= 60
PASSES ?= 3
FLAME := $(or $(SCENARIO),fanout-1000)

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: setup-run ## build and start a chat on http://127.0.0.1:7300/ (ARGS="--shards 4" to change)
	cargo build --release --locked --bin ringway
	$(RINGWAY) serve --dev $(ARGS)

run-nest: setup-nest ## a NestJS application behind the daemon: open the address that it prints (ARGS="--shards 4" are the daemon's)
	cargo build --release --locked --bin ringway
	cd packages/realtime-sdk && npm run --silent build
	cd packages/examples/nest-chat && npm run --silent build
	scripts/run-nest $(RINGWAY) $(ARGS)

test: setup-test check unit mutants it sdk upstream bench-smoke load autobahn ## all tests
	@scripts/summary

check: deny ## format, clippy, the fuzzer's lock file, what deny says, and instruction counts
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --locked --test load -- -D warnings
	cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/run/Cargo.toml >/dev/null
	scripts/instructions

deny: setup-check ## licences, bans, sources, and advisories where they can be fetched
	scripts/deny

unit: ## Rust tests: unit, vectors, properties, simulator slices, fuzz corpora, start-up
	cargo test --workspace --locked --no-fail-fast 2>&1 | scripts/keep $@

it: setup-test ## the real binary with npm's socket.io-client, tus-js-client and headless Chromium
	cargo build --release --locked --bin ringway
	cd tests/it && node --test --test-concurrency=1 --test-reporter=spec *.test.mjs 2>&1 | ../../scripts/keep $@

sdk: setup-test ## the npm package realtime-sdk: built, and tested with the real socket.io over a link whose other end is scripted
	cd packages/realtime-sdk && npm run --silent build && npm test 2>&1 | ../../scripts/keep $@

upstream: setup-test ## unchanged Socket.IO and NestJS applications behind the real daemon: behaviour, crashes, several workers, lies (UPSTREAM="worker cluster" UPSTREAM_CRASHES=100 UPSTREAM_CUTS=100)
	cargo build --release --locked --bin ringway
	cd packages/realtime-sdk && npm run --silent build
	cd packages/examples/nest-chat && npm run --silent build
	cd tests/upstream && $(if $(UPSTREAM_CRASHES),UPSTREAM_CRASHES=$(UPSTREAM_CRASHES)) $(if $(UPSTREAM_CUTS),UPSTREAM_CUTS=$(UPSTREAM_CUTS)) node --test --test-concurrency=1 --test-timeout=$(if $(UPSTREAM_CRASHES)$(UPSTREAM_CUTS),1800000,600000) --test-reporter=spec $(patsubst %,%.test.mjs,$(or $(UPSTREAM),*)) 2>&1 | ../../scripts/keep $@

sim: ## whole shards over the pretended kernel (SEEDS=100000 FROM=0, or one SEED=7; TRACE=1 prints what clients see)
	$(if $(TRACE),SIM_TRACE=1) $(if $(SEED),SIM_SEED=$(SEED)) SIM_FROM=$(FROM) SIM_SEEDS=$(SEEDS) cargo test --release --locked --test sim every_promise -- --nocapture

mutants: ## every second of some forty planted bugs, each of which the simulator must find within 2,000 seeds (ONLY=name, ONLY=--all)
	scripts/mutants $(ONLY) 2>&1 | scripts/keep $@

soak: ## the long runs: 200,000 seeds of the simulator, all planted bugs, and workers killed and links cut a hundred times
	$(MAKE) sim SEEDS=200000 FROM=$$(date +%s)
	$(MAKE) mutants ONLY=--all
	$(MAKE) upstream UPSTREAM_CRASHES=100 UPSTREAM_CUTS=100 UPSTREAM="worker cluster recovery"

load: ## 1,000 members that stop reading, 10,000 silent ones, bytes per idle connection, churn (IDLE=19000 CYCLES=200000)
	$(if $(IDLE),LOAD_IDLE=$(IDLE)) $(if $(CYCLES),LOAD_CYCLES=$(CYCLES)) cargo test --release --locked --test load -- --test-threads=1 --nocapture 2>&1 | scripts/keep $@

bench: setup-bench ## Ringway beside its peers, one table (SCENARIO=echo-64,rooms SERVER=ringway,floor PASSES=5 ARGS=--here)
	cargo build --release --locked --bin ringway
	cargo build --release --locked -p ringway-bench
	bench/peers/build >/dev/null
	bench/peers/check.mjs >/dev/null
	cd packages/realtime-sdk && npm run --silent build
	mkdir -p bench/results
	target/release/ringway-bench run --passes $(PASSES) $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(SERVER),--server $(SERVER)) $(ARGS) \
	  --out bench/results/$$(date +%F)-$$(git describe --always --dirty --exclude='*').json

million: ## a million idle connections on this machine, and a message to all of them; seven minutes (ARGS="--connections 100000 --shards 6")
	cargo build --release --locked --bin ringway
	cargo build --release --locked -p ringway-bench
	mkdir -p bench/results
	target/release/ringway-bench million $(ARGS) --out bench/results/$$(date +%F)-$$(git describe --always --dirty --exclude='*')-million.json

bench-runtimes: ## the loop of Ringway beside tokio, monoio, glommio and compio, as bare echoes (PASSES=5)
	$(MAKE) bench SCENARIO=runtimes-64,runtimes-1000,runtimes-idle

bench-compare: ## where two results of make bench differ by more than the noise of both (A=before.json B=after.json)
	@cargo run --release --quiet --locked -p ringway-bench -- compare $(A) $(B)

bench-smoke: setup-test ## every scenario of the bench for a moment, against Ringway, the floor and applications of Node: does it work, not how fast
	cargo build --release --locked --bin ringway
	cd packages/realtime-sdk && npm run --silent build
	cargo build --locked --workspace --bin ringway-bench
	cd bench/peers && env -u CARGO_TARGET_DIR cargo build --release --locked -p peer-floor -p runtime-own
	target/debug/ringway-bench smoke 2>&1 | scripts/keep $@

instructions: setup-check ## instructions of the hot functions beside their baselines; 3 % more fail (UPDATE=1 takes new baselines, ONLY=unmask-64)
	@scripts/instructions $(if $(UPDATE),--update) $(ONLY)

micro: ## wall time of the hot functions, on this machine, now (ONLY=flush)
	cargo bench --locked -p ringway-micro --bench wall -- --quiet $(ONLY)

flame: setup-flame ## where the time goes in one shard under load: bench/results/flame-SCENARIO.svg (SCENARIO=fanout-1000 ARGS=--here)
	RUSTFLAGS="-C force-frame-pointers=yes" cargo build --release --locked --bin ringway --target-dir target/flame
	cargo build --release --locked -p ringway-bench
	mkdir -p bench/results
	target/release/ringway-bench flame $(FLAME) --binary target/flame/release/ringway --out bench/results/flame-$(FLAME).svg $(ARGS)

fuzz: setup-fuzz ## the coverage-guided fuzzer on one parser, or on all in turn (TARGET=ws SECONDS=60)
	scripts/fuzz $(TARGET) $(SECONDS)

autobahn: setup-test ## Autobahn's cases, groups 1 to 10
	cargo build --release --locked --bin ringway
	scripts/compat kosoku 2>&1 | scripts/keep $@

compat: setup-compat autobahn ## Autobahn's cases, groups 12 and 13 (permessage-deflate) too where a CPython 2.7 is installed
	scripts/compat wstest

test-count: ## how many tests of each kind there are
	@scripts/test-count

setup-run:
	@scripts/setup run

setup-check:
	@scripts/setup check

setup-test:
	@scripts/setup test

setup-nest:
	@scripts/setup nest

setup-compat:
	@scripts/setup compat

setup-fuzz:
	@scripts/setup fuzz

setup-bench:
	@scripts/setup bench

setup-flame:
	@scripts/setup flame

.PHONY: help run run-nest test check deny unit sim mutants soak it load bench bench-runtimes bench-compare bench-smoke million instructions micro flame fuzz autobahn compat test-count setup-run setup-check setup-test setup-nest setup-compat setup-fuzz setup-bench setup-flame
