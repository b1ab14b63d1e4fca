# `make demo` and `make test` work on a fresh machine; both begin with `make setup`, which is quick when all is there.
SHELL := /bin/bash
MODEL := assets/models/avicuna-natural
SMALL := assets/models/avicuna-small

PAGE := server/page

.PHONY: help setup build model demo test lint page page-test schemas bench deny

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: ## system packages, ONNX Runtime, Kafka and footage into ~/.cache/avicuna
	@scripts/setup.sh

# One command for both: built apart, they would want dependencies with other features, and compile them twice.
build: setup ## the program and the demo's camera, optimised: target/release/avicuna
	cargo build --release --locked --bin avicuna --example serve_rtsp

model: build ## what the default model needs, into ~/.cache/avicuna/models
	target/release/avicuna models pull $(MODEL)

demo: model ## a scene as a live RTSP stream, watched; the events as a consumer reads them from the broker
	@scripts/demo.sh

# Built by the same command that runs them: built apart, the program would want dependencies with other features.
test: setup ## every test, with a real Kafka broker
	cargo test --workspace --locked --no-run
	target/debug/avicuna models pull $(MODEL)
	target/debug/avicuna models pull $(SMALL)
	target/debug/avicuna dataset pull
	target/debug/avicuna eval captions --fetch
	cargo test --workspace --locked

lint: setup ## formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --no-default-features --bin avicuna --locked -- -D warnings

page: ## the page for people, from its sources into server/page/dist
	npm --prefix $(PAGE) ci --no-fund --no-audit
	npm --prefix $(PAGE) run build

page-test: setup ## the page in Chromium, before a real daemon; builds the program if it is not there
	scripts/check_page.sh
	scripts/test_page.sh

schemas: ## writes config/schemas from the record types
	UPDATE_SCHEMAS=1 cargo test --locked -p avicuna-pipeline schema

bench: setup ## the benchmarks of the pipeline, beside their peers
	cargo bench --locked -p avicuna-pipeline

deny: ## licences, sources and duplicates of the dependencies
	cargo deny --locked check bans licenses sources
