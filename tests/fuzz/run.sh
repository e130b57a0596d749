#!/usr/bin/env bash
# Fuzzes with libFuzzer, guided by coverage, for a bounded time.
#   tests/fuzz/run.sh [SECONDS [TARGET…]]      SECONDS for each target (60); all targets without names
# What is found grows in target/fuzz/corpus; inputs that break something are left in target/fuzz/found and replayed by
# `cargo test -p ig-fuzz` once they are moved to tests/fuzz/corpus/TARGET. Exit status 1 if something broke.
#
# The pinned toolchain can do it: coverage is asked of LLVM's pass directly. There are no sanitizers with it, which
# look for what safe Rust has not; panics, overflows, hangs (5 s) and memory beyond 1 GiB are caught.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
[ $# = 0 ] || shift
out=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for folder in tests/fuzz/corpus/*/; do targets+=("$(basename "$folder")"); done
fi

flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
flags+=" -Cdebug-assertions=on -Coverflow-checks=on -Ccodegen-units=1"
# A target folder of its own: other flags would make all the rest build anew. The explicit host keeps the flags away
# from build scripts.
RUSTFLAGS=$flags CARGO_TARGET_DIR=$out/build cargo build --quiet --locked --release -p ig-fuzz --features libfuzzer \
    --bin ig-fuzz --target "$host" --config profile.release.lto=false --config profile.release.strip=false \
    --config 'profile.release.debug="line-tables-only"'
fuzzer=$out/build/$host/release/ig-fuzz
mkdir -p "$out/found" "$out/log"

run() {
    mkdir -p "$out/corpus/$1"
    # 64 KiB inputs: several times the largest seed.
    FUZZ_TARGET=$1 "$fuzzer" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$out/found/$1-" "$out/corpus/$1" "tests/fuzz/corpus/$1" > "$out/log/$1" 2>&1
}
status=0
# As many at a time as there are processors.
for ((first = 0; first < ${#targets[@]}; first += $(nproc))); do
    running=()
    batch=("${targets[@]:first:$(nproc)}")
    for target in "${batch[@]}"; do run "$target" & running+=($!); done
    for index in "${!batch[@]}"; do
        target=${batch[index]}
        if wait "${running[index]}"; then
            printf '%-14s ok      %s\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *\([0-9]*\)$/\1 runs/p' "$out/log/$target"), $(grep -o 'cov: [0-9]*' "$out/log/$target" | tail -1)"
        else
            printf '%-14s BROKEN  see %s and %s\n' "$target" "$out/log/$target" "$out/found/$target-*"
            status=1
        fi
    done
done
exit $status
