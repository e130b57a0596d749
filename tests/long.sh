#!/usr/bin/env bash
# What takes too long for every change: by hand, or every night. tests/run.sh is what CI runs.
#   FUZZ_SECONDS   for each parser of hostile bytes (60)
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
# shellcheck source=tests/steps.sh
. tests/steps.sh
[ "$(id -u)" = 0 ] || { echo "error: most of these steps load eBPF programs and need root" >&2; exit 1; }

step "build of ig and of all tests"
binaries=$(tests/build.sh)
step "long tests: churn, and other tools of registries"
# Those that bear the mark `long` as the reason why they are ignored elsewhere.
for name in tests/e2e image/registry; do
    IFS=$'\t' read -r _ folder binary < <(grep -P "^$name\t" <<< "$binaries")
    printf '\n     Running %s\n' "$name" >&2
    (cd "$folder" && CARGO_MANIFEST_DIR=$folder "$binary" --ignored --test-threads=1 long_ < /dev/null)
done
step "Debian's kernels 5.10, 6.1, 6.12, 6.18 and the newest in VMs"
tests/kernels/run.sh --matrix --table collector/docs/kernels.md
step "signatures, against cosign, notation and openssl"
tests/signing/run.sh "${CARGO_TARGET_DIR:-target}/debug/ig"
step "fuzzing, ${FUZZ_SECONDS:-60} s for each parser"
tests/fuzz/run.sh "${FUZZ_SECONDS:-60}"
if tests/arm64.sh tools; then
    step "arm64: everything compiled, the tests that ask no kernel emulated"
    tests/arm64.sh run
else
    skip "arm64" "no cross compiler, emulator or Rust target can be had, see above"
fi
pass
