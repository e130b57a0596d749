#!/usr/bin/env bash
# What CI runs, and what has to pass before a change goes in; at most 40 minutes from nothing on two processors.
# What takes longer is in tests/long.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
# shellcheck source=tests/steps.sh
. tests/steps.sh

# Runs a test binary as `cargo test` does.
run() { # NAME FOLDER BINARY ARGUMENT…
    printf '\n     Running %s\n' "$1" >&2
    (cd "$2" && CARGO_MANIFEST_DIR=$2 "$3" "${@:4}")
}

step "formatting"
cargo fmt --all --check
step "lints"
cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
step "build of ig and of all tests"
binaries=$(tests/build.sh)
step "unit, property, golden and integration tests"
while IFS=$'\t' read -r name folder binary; do
    [ "$name" = tests/e2e ] || run "$name" "$folder" "$binary" < /dev/null
done <<< "$binaries"
step "examples of the documentation"
cargo test --workspace --locked --doc
step "end-to-end tests"
if [ "$(id -u)" != 0 ]; then
    echo "error: the end-to-end tests load eBPF programs and need root; everything before them passed" >&2
    exit 1
fi
# One at a time: they load all gadgets on one kernel.
IFS=$'\t' read -r name folder binary < <(grep -P '^tests/e2e\t' <<< "$binaries")
run "$name" "$folder" "$binary" --test-threads=1
if [ -z "${SKIP_KERNELS:-}" ]; then
    step "Debian's kernels 6.1 and 6.12 in VMs"
    tests/kernels/run.sh --matrix 6.1 6.12
else
    skip "Debian's kernels 6.1 and 6.12 in VMs" "SKIP_KERNELS is set"
fi
pass
