# Everything a developer or a gate does, by name. `make help` lists it.
# Needs cargo (rustup), node with npm, python3, gcc and make. Browser tests need Chromium: installed by apt when root.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

SERVICES := error-tracker log-viewer metrics-collector browser-relay
RUST_HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
RELEASE_DIR := target/$(RUST_HOST)/release
UI := crates/node_modules/.installed
JS := sdks/javascript/node_modules/.installed
E2E := sdks/e2e/node_modules/.installed

export CARGO_TERM_COLOR ?= auto
# Binaries are looked for here; with a directory from the environment older ones would be found.
export CARGO_TARGET_DIR := $(CURDIR)/target

.PHONY: help run stop demo test soak lint check-tools e2e bench ui release budgets proxies docs deny fmt image test-rust test-ui test-js test-python clean

help: ## This list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

run: check-tools release ## Build and start the four services here, with data under ./data; Ctrl-C stops them
	@exec python3 .dev/run.py

stop: ## Stop what `make run` started
	@python3 .dev/run.py stop

demo: check-tools python-sdk $(JS) ## Send a minute of believable traffic through both SDKs to what `make run` started
	@cd sdks/javascript && npm run --silent build
	@.dev/demo/demo.sh

.PHONY: python-sdk
python-sdk:
	@sh sdks/python/scripts/_venv

test: check-tools lint test-rust test-ui test-js test-python release budgets e2e ## Everything that must be green; installs what it needs
	@echo "make test: all green"

check-tools:
	@for tool in cargo node npm python3 gcc; do \
	  command -v $$tool >/dev/null || { echo "make: $$tool is missing: install it first (see docs/getting-started.md)" >&2; exit 1; }; \
	done
	@node -e 'if (+process.versions.node.split(".")[0] < 20) { console.error("make: node " + process.versions.node + " is too old: 20 or later is needed"); process.exit(1) }'
	@python3 -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "make: python " + sys.version.split()[0] + " is too old: 3.10 or later is needed")'

lint: ui ## Formatting and lints of the Rust code
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@python3 -m compileall -q .dev

fmt: ## Format the Rust code
	cargo fmt --all

test-rust: ui ## Tests of the five crates
	cargo test --workspace --locked

ui: $(UI) ## Build the pages that the services embed
	cd crates && npm run --silent build

test-ui: ui
	cd crates && npm run --silent check

test-js: $(JS) ## Tests of the JavaScript SDK, its browser tests included
	cd sdks/javascript && npm test
	.dev/with-chromium.sh npm --prefix sdks/javascript run --silent e2e

test-python: ## Tests of the Python SDK, and of `make run`
	sdks/python/scripts/check
	sdks/python/scripts/test
	python3 .dev/test_run.py

$(UI): crates/package.json crates/package-lock.json
	cd crates && npm ci --no-audit --no-fund && touch node_modules/.installed

$(JS): sdks/javascript/package.json sdks/javascript/package-lock.json
	cd sdks/javascript && npm ci --no-audit --no-fund && touch node_modules/.installed

$(E2E): sdks/e2e/package.json sdks/e2e/package-lock.json
	cd sdks/e2e && npm ci --no-audit --no-fund && touch node_modules/.installed

# Static glibc: the binary needs nothing from the system it runs on. The explicit target keeps the flag away from
# build scripts and procedural macros.
release: ui ## Static release binaries in target/release/
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target $(RUST_HOST) $(SERVICES:%=-p %)
	@mkdir -p target/release
	@for service in $(SERVICES); do install -m 755 $(RELEASE_DIR)/$$service target/release/; done
	@ls -l $(SERVICES:%=target/release/%) | awk '{printf "%-40s %.1f MB\n", $$9, $$5 / 1e6}'

budgets: ## Hold the release binaries to their budgets: static, size, memory, time to start
	python3 .dev/budgets.py
	BIN_DIR=target/release python3 .dev/configuration.py --check

e2e: ui python-sdk $(E2E) $(JS) ## The whole path with real processes and a real browser, on the binaries in target/release
	cd sdks/javascript && npm run --silent build
	.dev/with-chromium.sh npm --prefix sdks/e2e test
	BIN_DIR=$(CURDIR)/target/release sdks/e2e/suite alerts
	BIN_DIR=$(CURDIR)/target/release sdks/e2e/suite exporters
	BIN_DIR=$(CURDIR)/target/release sdks/e2e/suite once
	BIN_DIR=$(CURDIR)/target/release .dev/with-chromium.sh npm --prefix crates run --silent e2e

bench: release ## Throughput, latency, memory and disk, beside yardsticks of the same run; ARGS="--full" for all of it
	cargo run --release --locked -p bench -- $(ARGS)

SOAK_SECONDS ?= 1800
SOAK_RATE ?= 800
soak: ui ## Half an hour of late points, restarts and kills for the metrics collector; SOAK_SECONDS=N SOAK_RATE=points/s
	SOAK_SECONDS=$(SOAK_SECONDS) SOAK_RATE=$(SOAK_RATE) cargo test -p metrics-collector --locked --test api soak -- --nocapture

proxies: ## Run the documentation's examples of nginx and Caddy, those that are installed, in front of a relay
	cargo build --locked -p error-tracker -p metrics-collector -p browser-relay
	python3 .dev/proxies.py

docs: ## Generate docs/configuration.md from the code's declarations
	cargo build --locked $(SERVICES:%=-p %)
	python3 .dev/configuration.py

image: release ## Docker images from the binaries built here, then a smoke test of the Compose stack (needs Docker)
	docker/build-local.sh
	docker/smoke.sh

FUZZ := crates/browser-relay/fuzz
SECONDS ?= 60

fuzz: ## Throw broken stacks, source maps, uploads and events at the relay's parsers, SECONDS=60 each (installs nightly Rust and cargo-fuzz)
	@rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
	@cargo fuzz --version >/dev/null 2>&1 || cargo +nightly install cargo-fuzz --locked
	cd $(FUZZ) && for target in $$(cargo +nightly fuzz list); do \
	  mkdir -p corpus/$$target; \
	  cargo +nightly fuzz run $$target corpus/$$target seeds/$$target -- -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1; \
	done

deny: ## Licences, bans, sources and advisories of all crates (needs cargo-deny: cargo install cargo-deny --locked; github.com for the last)
	cargo deny check bans licenses sources
	cargo deny check advisories

clean:
	cargo clean
	rm -rf crates/node_modules crates/*/ui/dist sdks/*/node_modules sdks/javascript/dist sdks/python/.venv sdks/e2e/*/.venv
