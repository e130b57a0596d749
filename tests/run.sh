#!/usr/bin/env bash
# Runs every check: formatting, lints, unit and property tests, and the end-to-end tests, which need root.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS" >&2; }

step "formatting"
cargo fmt --all --check
step "lints"
cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
step "unit, property and golden tests"
cargo test --workspace --exclude ig-tests --locked --quiet
step "build of ig for the end-to-end tests"
cargo build --locked --quiet -p ig
step "end-to-end tests"
if [ "$(id -u)" = 0 ]; then
    # One at a time: they count what happens on the whole machine.
    cargo test --locked -p ig-tests -- --test-threads=1
else
    echo "error: the end-to-end tests load eBPF programs and need root; everything before them passed" >&2
    exit 1
fi
step "fuzzing, a few seconds for each parser"
tests/fuzz/run.sh 5
if [ -z "${SKIP_KERNELS:-}" ]; then
    step "Debian's kernels 6.1 and 6.12 in VMs"
    tests/kernels/run.sh --matrix 6.1 6.12
else
    echo "SKIPPED: Debian's kernels in VMs, because SKIP_KERNELS is set" >&2
fi
step "all passed"
