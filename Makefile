# `make demo` and `make test` work on a fresh machine; both begin with the part of `make setup` that they need, which is quick when all
# is there.
SHELL := /bin/bash
TOOLS := $(or $(AVICUNA_CACHE),$(HOME)/.cache/avicuna)/tools
MODEL := assets/models/avicuna-natural
SMALL := assets/models/avicuna-small

PAGE := server/page

# rustup goes by names: where its default is the pinned version under another one, such as `stable`, it need not fetch it again.
PINNED := $(shell sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
ifeq ($(shell cd / && rustc --version 2>/dev/null | cut -d ' ' -f 2),$(PINNED))
export RUSTUP_TOOLCHAIN ?= $(shell cd / && rustup show active-toolchain 2>/dev/null | cut -d ' ' -f 1)
endif

.PHONY: help setup build model demo test lint page page-test deny chaos fuzz fuzz-media coverage schemas bench growth release package-test

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: ## system packages, ONNX Runtime, Kafka, footage and what lints need into ~/.cache/avicuna
	@scripts/setup.sh test lint

# One command for both: built apart, they would want dependencies with other features, and compile them twice.
build: ## the program and the demo's camera, optimised: target/release/avicuna
	@scripts/setup.sh
	cargo build --release --locked --bin avicuna --example serve_rtsp

model: build ## what the default model needs, into ~/.cache/avicuna/models
	target/release/avicuna models pull $(MODEL)

demo: model ## a scene as a live RTSP stream, watched; the events as a consumer reads them from the broker
	@scripts/demo.sh

# Built by the same command that runs them: built apart, the program would want dependencies with other features.
test: ## every test, with a real Kafka broker
	@scripts/setup.sh test
	cargo test --workspace --locked --no-run
	target/debug/avicuna models pull $(MODEL)
	target/debug/avicuna models pull $(SMALL)
	target/debug/avicuna dataset pull
	target/debug/avicuna eval captions --fetch
	cargo test --workspace --locked

# Examples are among the documented: with them dependencies have the features that clippy has checked them with, and need no second check.
# Pages of public modules name the private ones that they are made of.
lint: deny ## formatting, clippy, the types of the GPU build, documentation, dependencies, scripts, alert rules; warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --no-default-features --bin avicuna --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --workspace --no-deps --locked --lib --bins --examples
	shellcheck .ci/run scripts/*.sh
	$(TOOLS)/ruff check
	scripts/check_cuda.sh
	scripts/check_alerts.sh

deny: ## licences, sources and duplicates of the dependencies
	@scripts/setup.sh lint
	$(TOOLS)/bin/cargo-deny --locked --workspace check bans licenses sources

chaos: ## half an hour of three daemons and three brokers that die, are paused and come back
	FLEET_ROUNDS=8 cargo test --workspace --locked --test run_fleet -- --nocapture three_daemons

FUZZ_SECONDS ?= 600

fuzz: ## ten minutes (or FUZZ_SECONDS) of damaged input for each reader of what comes from outside
	@scripts/setup.sh
	scripts/fuzz.sh $(FUZZ_SECONDS)

fuzz-media: ## 3,600 damaged films, streams and playlists, each through a process of its own; some 20 minutes
	FUZZ_MEDIA=600 cargo test --workspace --locked --test hostile_media -- --nocapture

# Needs `cargo install cargo-llvm-cov` and `rustup component add llvm-tools`; compiles everything once more, so not in CI.
coverage: ## which lines the tests reach: target/llvm-cov/html/index.html
	@scripts/setup.sh test
	cargo llvm-cov --workspace --locked --html

page: ## the page for people, from its sources into server/page/dist
	npm --prefix $(PAGE) ci
	npm --prefix $(PAGE) run build

page-test: ## the page in Chromium, before a real daemon
	@scripts/setup.sh page test
	scripts/check_page.sh
	cargo build --workspace --locked --bin avicuna
	scripts/test_page.sh

schemas: ## writes config/schemas from the record types
	UPDATE_SCHEMAS=1 cargo test --workspace --locked --lib schema

bench: build ## every benchmark in turns with its peer, as one table
	@scripts/setup.sh test
	cargo build --release --workspace --locked --examples
	target/release/avicuna models pull $(SMALL)
	scripts/bench.py $(BENCH)

growth: build ## how what the daemon costs grows with streams, hops, windows, questions, messages and events: half an hour
	@scripts/setup.sh test
	target/release/avicuna models pull $(MODEL)
	scripts/growth.py $(GROWTH)

release: model ## what users install, with checksums, licences and a bill of materials: target/package
	@scripts/setup.sh package
	scripts/package.sh release

package-test: model ## the packages, the image and the chart, each as users have it; as root
	@scripts/setup.sh lint package
	scripts/test_deb.sh
	scripts/test_container.sh
	scripts/check_helm.sh
