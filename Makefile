# One line per verb. What they need is installed first, if it is missing and we may: see scripts/deps.

.PHONY: help dev build test test-clients conformance lint bench bench-micro bench-changes bench-private bench-db-broadcast fuzz deps clean

# A Node.js that scripts/deps had to install goes first.
export PATH := $(abspath $(or $(CARGO_TARGET_DIR),target)/node/node_modules/.bin):$(PATH)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

dev: build ## a private PostgreSQL and a gateway on it, with keys to paste into a frontend
	cargo run --quiet --release --bin roost -- dev

build: ## the release binary, target/release/roost
	@scripts/deps build
	cargo build --release --bin roost

test: deps ## everything: unit, vectors, virtual clock, real PostgreSQL, real clients
	cargo test --workspace
	$(MAKE) test-clients

test-clients: deps tests/clients/node_modules/.package-lock.json ## only the real client libraries
	cargo build --bin roost
	npm test --prefix tests/clients

tests/clients/node_modules/.package-lock.json: tests/clients/package-lock.json
	npm ci --no-audit --no-fund --prefix tests/clients

conformance: deps ## every recorded conversation against the gateway, with a count by area
	cargo build --bin roost
	cargo test --quiet -p tests --test live -- --nocapture transcripts::

lint: ## format and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: ## every goal with what was measured, beside a bare loop; exit 3 if one is short; ARGS="--quick", ARGS=--help
	@scripts/deps build
	cargo build --release --bin roost --bin loadgen
	cargo run --quiet --release --bin loadgen -- bench $(ARGS)

bench-micro: ## what single steps cost, time and allocations: frames, messages, fan-out, filters; ARGS=NAME for some of them
	@scripts/deps build
	cargo bench --quiet $(addprefix -p ,websocket phoenix-wire presence changes hub auth) --bench '*' -- $(ARGS)

bench-changes: deps ## how fast changes of the database arrive and what they cost, with the goals; ARGS="--quick", ARGS=--help
	cargo build --release --bin roost --bin loadgen
	cargo run --quiet --release --bin loadgen -- bench-changes $(ARGS)

bench-private: deps ## how many users per second are let into private channels, with the goals; ARGS="--quick", ARGS=--help
	cargo build --release --bin roost --bin loadgen
	cargo run --quiet --release --bin loadgen -- bench-private $(ARGS)

bench-db-broadcast: deps ## how fast messages that SQL sends arrive, and how many, with the goals; ARGS="--quick", ARGS=--help
	cargo build --release --bin roost --bin loadgen
	cargo run --quiet --release --bin loadgen -- bench-db-broadcast $(ARGS)

fuzz: ## every fuzz target over its seeded mutations, on the stable compiler
	cargo test --workspace --test 'fuzz_entry_points'

deps: ## install what is missing
	@scripts/deps

clean: ## remove what was built
	cargo clean
	rm -rf tests/clients/node_modules
