# Thin: every target is a few commands; what takes thought lives in tests/ and in the crates.
SHELL := /bin/bash
CARGO ?= cargo
GADGETS := $(sort $(notdir $(patsubst %/gadget.yaml,%,$(wildcard gadgets/*/gadget.yaml))))
CONFIG ?= config/examples/quickstart.yaml

.PHONY: run build gadgets test test-long test-repeat test-kernels test-signing fuzz lint bench bench-load clean help
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build gadgets ## Build everything and run config/examples/quickstart.yaml (CONFIG=FILE for another)
	target/release/ig run -f $(CONFIG)

build: .tools-build ## Build target/release/ig
	$(CARGO) build --release --locked -p ig

gadgets: build ## Build the repository's gadgets into the local image store
	@for gadget in $(GADGETS); do target/release/ig image build gadgets/$$gadget -t $$gadget || exit 1; done

test: .tools-test ## Install what the tests need and run what CI runs, 40 minutes at most
	tests/run.sh

test-long: .tools-test ## Run what takes longer: five kernels, churn, other signers, fuzzing, arm64
	tests/long.sh

test-repeat: .tools-test ## Run all tests again and again, half of the times on a busy machine (RUNS=20)
	tests/repeat.sh $(or $(RUNS),20)

test-kernels: .tools-test ## Load and attach everything on Debian's kernels in VMs; KERNELS="6.1 6.12" for some
	tests/kernels/run.sh --matrix $(if $(KERNELS),$(KERNELS),--table collector/docs/kernels.md)

test-signing: .tools-test build ## Sign and verify images against cosign, notation and openssl around a real registry
	tests/signing/run.sh target/release/ig

fuzz: .tools-build ## Fuzz every parser of hostile bytes, SECONDS=60 each
	tests/fuzz/run.sh $(or $(SECONDS),60)

lint: .tools-build ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

bench: build ## Run the benchmark, 4 minutes (BENCH="--quick --json FILE" and more: tests/bench/README.md)
	tests/bench/run.sh $(BENCH)

bench-load: .tools-test ## Time and memory of loading the gadgets, beside libbpf
	tests/bench/load.sh

clean: ## Remove build output
	$(CARGO) clean

.PHONY: .tools-build .tools-test
.tools-build:
	@tests/tools.sh build
.tools-test:
	@tests/tools.sh test
