# What people type. Every target fetches what it needs; `make` alone lists them.
# A CARGO_TARGET_DIR of your own is respected.

TARGET := $(or $(CARGO_TARGET_DIR),target)
# All targets at once, so that demo and test share one build: a narrower selection would resolve other features.
BUILD := cargo build --locked --bins --examples

.DEFAULT_GOAL := help
.PHONY: help tools sdks servers demo test nano nightly fuzz ci fmt clippy doc deny slim examples bench bench-engine bench-peers clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools ## build, start an upstream and the proxy, show what it does, serve until Ctrl-C (DEMO_EXIT=1: end)
	$(BUILD)
	@$(TARGET)/debug/examples/demo

test: tools sdks ## every test, those with the real SDKs among them
	cargo test --locked

nano: ## train models/safeguard-nano again, from nothing: two hours on 2 cores; .venv-nano has PyTorch
	@scripts/venv.sh .venv-nano training/requirements.txt
	scripts/train.sh .venv-nano/bin/python
	.venv-nano/bin/python training/export.py
	.venv-nano/bin/python training/score.py --golden

nightly: tools sdks ## the tests that compare readers, re-chunk streams and mutate seeds, at full size: about an hour
	PORTCULLIS_NIGHTLY=1 cargo test --locked --test json_readers --test event_readers --test recorded_streams \
	    --test seeds -- --nocapture

fuzz: ## each fuzz target for FUZZ_SECONDS (600) on one core; needs Rust's nightly and cargo-fuzz
	@scripts/fuzz.sh

bench: tools ## print the figures: throughput, latency, streams, memory, reading and editing JSON, remote engines
	cargo bench --locked --bench proxy --bench wire --bench remote

bench-engine: tools ## print the figures of the model's engine, on random weights of SHAPE (20b: 15 GB of memory)
	cargo build --release --locked --bin portcullis
	$(TARGET)/release/portcullis bench engine --shape $(or $(SHAPE),20b) --random

bench-peers: tools ## the engine beside llama.cpp and transformers: half an hour, 35 GB of disk, a quiet machine
	benches/peers/setup.sh
	cargo build --release --locked --bin portcullis
	$(or $(PEERS_DIR),target/peers)/venv/bin/python benches/peers/compare.py --shape $(or $(SHAPE),20b)

ci: fmt clippy test doc slim examples deny ## all that must be green before a merge

fmt: ## formatting, checked
	cargo fmt --check || { echo "error: run cargo fmt" >&2; exit 1; }

clippy: tools ## lints; a warning is an error
	cargo clippy --locked --all-targets -- -D warnings

doc: tools ## documentation; a warning is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

slim: tools ## the build without libtorch, for deployments that use no model of their own
	cargo clippy --locked --no-default-features --lib --bins -- -D warnings

examples: tools ## every deployment in examples/, checked by the program itself
	$(BUILD)
	@set -e; for file in portcullis.toml $(wildcard examples/*.toml); do \
	    echo "portcullis check --config $$file"; \
	    OPENAI_API_KEY=$${OPENAI_API_KEY:-none} $(TARGET)/debug/portcullis check --config $$file > /dev/null; \
	done

deny: tools ## licences, sources and advisories of the dependencies
	@scripts/deny.sh

tools: ## fetch what a build needs: libtorch and cmake, into .deps
	@scripts/tools.sh

sdks: ## fetch what the tests drive the proxy with: Python packages into .venv, .venv-census and .venv-llama-cpp, Node, Chromium
	@scripts/venv.sh .venv tests/sdk/requirements.txt
	@scripts/venv.sh .venv-census tests/census/requirements.txt
	@scripts/venv.sh .venv-llama-cpp tests/servers/llama-cpp.txt
	@scripts/node.sh
	@scripts/browser.sh

servers: sdks ## fetch what is too large for each `make test` (PyTorch, gigabytes), and run the tests with real servers of the model
	@scripts/venv.sh .venv-transformers tests/servers/transformers.txt
	cargo test --locked --test servers

clean: ## remove what was built; what was fetched stays
	cargo clean
