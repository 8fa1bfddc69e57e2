# make demo | test are the two that matter; `make` alone lists the rest.
# Variables: AEGIS_STATE_DIR, AEGIS_BIND, AEGIS_APP_PORT, AEGIS_API_PORT, AEGIS_LB_PORT,
# AEGIS_COCKPIT_PORT, AEGIS_DASHBOARD_PORT, AEGIS_KEEP_ENGINE (see docs/configuration.md).

.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(PATH):$(HOME)/.cargo/bin

PREFIX ?= /usr/local
AEGIS_STATE_DIR ?= $(CURDIR)/state
export AEGIS_STATE_DIR

# Our programs run in images that hold nothing else: static, for this machine's own target.
ifndef CARGO_BUILD_TARGET
CARGO_BUILD_TARGET := $(shell PATH="$$PATH:$$HOME/.cargo/bin" rustc -vV 2>/dev/null | sed -n 's/^host: //p')
endif
ifneq ($(CARGO_BUILD_TARGET),)
export CARGO_BUILD_TARGET
STATIC := CARGO_TARGET_$(shell printf '%s' '$(CARGO_BUILD_TARGET)' | tr 'a-z-' 'A-Z_')_RUSTFLAGS
export $(STATIC) ?= -C target-feature=+crt-static
endif
BIN = $(or $(CARGO_TARGET_DIR),target)/$(CARGO_BUILD_TARGET)/release

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## start everything, make the patient sick, watch it being healed
	@compose/demo.sh

.PHONY: up
up: engine images ## start the stack without an incident
	@compose/up.sh

.PHONY: down
down: ## remove the stack and all it made; the state stays
	@compose/down.sh

.PHONY: test
test: engine ## all tests, on real containers and a real nginx
	@compose/images.sh nginx buggy-app cockpit dashboard
	@compose/images.sh nginx-debian
	@compose/monitoring.sh
	cargo build --locked --workspace --all-targets
	@compose/cockpit.sh test
	cargo test --locked --workspace --no-fail-fast

.PHONY: lint
lint: ## formatting, clippy with warnings as errors, dependencies and their checksums, house words, the cockpit's types and rules, the shell scripts
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@.ci/dependencies
	@.ci/integrity
	@.ci/words
	@compose/cockpit.sh lint
	@for script in compose/*.sh compose/nginx/*.sh tests/*.sh tests/llm/*.sh .ci/run .ci/dependencies .ci/integrity .ci/sbom .ci/words; do bash -n $$script || exit; done
	@! command -v shellcheck >/dev/null || shellcheck -x -S warning compose/*.sh compose/nginx/*.sh tests/*.sh tests/llm/*.sh .ci/run .ci/dependencies .ci/integrity .ci/sbom .ci/words

.PHONY: sbom
sbom: ## write what the programs and the cockpit are made of into target/sbom, as CycloneDX (builds a tool first)
	@.ci/sbom

.PHONY: bench
bench: engine images ## measure against the bare engine, and retrieval beside scikit-learn
	cargo run --locked --release -p aegis-tests --bin bench
	@echo
	@tests/bench-retrieval.sh

SRE_BENCH_AGENTS ?= aegisops
SRE_BENCH_PEERS ?= autoheal restart-policy none
SRE_BENCH_SEED ?= 1
.PHONY: sre-bench
sre-bench: engine ## the open benchmark of incident response: AegisOps over all 48 scenarios, others over 16 (SRE_BENCH_AGENTS, SRE_BENCH_PEERS, SRE_BENCH_SEED)
	@compose/images.sh nginx
	cargo build --locked --release --workspace --bins
	@for agent in $(SRE_BENCH_AGENTS); do $(BIN)/sre-bench run --seed $(SRE_BENCH_SEED) --agent $$agent || exit; done
	@for agent in $(SRE_BENCH_PEERS); do $(BIN)/sre-bench run --seed $(SRE_BENCH_SEED) --agent $$agent --half peers || exit; done
	@$(BIN)/sre-bench report

.PHONY: soak
soak: ## half an hour of storms, slow readers, an engine that comes and goes, a disk that fills and a clock that is set (AEGIS_SOAK_MINUTES)
	@# With what sets its clock it is no controller to ship: it goes to a place of its own, and the other one is built after it.
	cargo build --locked --release -p aegis-controller --features fault-points
	install -D $(BIN)/aegis-controller $(BIN)/soak/aegis-controller
	cargo build --locked --release -p aegis-controller
	AEGIS_BENCH_CONTROLLER=$(BIN)/soak/aegis-controller cargo run --locked --release -p aegis-tests --bin soak

.PHONY: storm
storm: engine ## 10,000 alerts in a minute over 50 workloads, with a kill -9 in the middle; prints how long answers took, and what is critical
	@compose/images.sh buggy-app
	@# The times that it prints are those of the program that ships.
	cargo build --locked --release -p aegis-controller
	AEGIS_BENCH_CONTROLLER=$(abspath $(BIN)/aegis-controller) cargo test --locked --workspace --test docker_storm -- --ignored --nocapture

.PHONY: bench-retrieval
bench-retrieval: ## measure retrieval beside scikit-learn's refit of the same corpus
	@tests/bench-retrieval.sh

.PHONY: test-llm
test-llm: engine ## the whole pipeline with a real model on a real llama.cpp (needs Node 20, npm, python3)
	@compose/images.sh nginx buggy-app
	@tests/llm/run.sh

.PHONY: record-traces
record-traces: engine ## record what the quiet week is made of, on an engine of its own (some 6 minutes)
	@compose/images.sh nginx buggy-app
	cargo test --locked --workspace --test docker_traces -- --ignored --exact record --nocapture

.PHONY: sim
sim: ## the simulation over 10,000 seeds (AEGIS_SIM_SEEDS), and 1,000 with loads to scale by (AEGIS_SIM_LOADS)
	AEGIS_SIM_SEEDS=$${AEGIS_SIM_SEEDS:-10000} AEGIS_SIM_LOADS=$${AEGIS_SIM_LOADS:-1000} cargo test --locked --release -p aegis-tests --test simulation

.PHONY: fuzz
fuzz: ## a million mutated bodies of alerts against the readers of all senders (AEGIS_FUZZ_BODIES)
	AEGIS_FUZZ_BODIES=$${AEGIS_FUZZ_BODIES:-1000000} cargo test --locked --release -p aegis-server --lib -- --exact intake::fuzz::i11_no_mutated_body_of_any_sender_panics_a_reader_or_grows_beyond_its_bounds
	AEGIS_FUZZ_BODIES=$${AEGIS_FUZZ_BODIES:-1000000} cargo test --locked --release -p aegis-server --lib -- --exact intake::fuzz::i11_no_mutated_body_is_answered_with_5xx

.PHONY: crds
crds: ## regenerate crds/ from the Rust types
	cargo run --locked --quiet -p aegis-api --bin crdgen -- crds

.PHONY: openapi
openapi: ## regenerate the page's OpenAPI document and its types from the Rust types
	cargo run --locked --quiet -p aegis-api --bin openapigen -- cockpit-web/src/api/openapi.json
	cd cockpit-web && npm run --silent api

.PHONY: fmt
fmt: ## format the code
	cargo fmt --all

.PHONY: install
install: ## put aegisctl into $(DESTDIR)$(PREFIX)/bin (PREFIX=/usr/local)
	@test -x $(BIN)/aegisctl || cargo build --locked --release -p aegisctl
	install -D -m 0755 $(BIN)/aegisctl $(DESTDIR)$(PREFIX)/bin/aegisctl

.PHONY: token
token: ## print the admin token (make -s token prints nothing else)
	@test -r "$(AEGIS_STATE_DIR)/.secrets/admin-token" || { \
		echo "error: there is no token in $(AEGIS_STATE_DIR)/.secrets that you may read; the first make up makes it" >&2; exit 1; }
	@cat "$(AEGIS_STATE_DIR)/.secrets/admin-token"

.PHONY: clean
clean: ## remove what was built: target/ and our images
	cargo clean
	@! docker version >/dev/null 2>&1 || docker images --quiet 'aegisops/*' | sort -u | xargs -r docker rmi --force >/dev/null

.PHONY: engine images
engine:
	@compose/engine.sh

images: engine
	@compose/images.sh
