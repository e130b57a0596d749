#!/usr/bin/env bash
# Builds the benchmark and runs it on target/release/ig (or IG_BINARY). `--help` lists the options.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "error: the benchmark loads eBPF programs and needs root" >&2; exit 1; }
target=${CARGO_TARGET_DIR:-$PWD/target}
export IG_BINARY=${IG_BINARY:-$target/release/ig}
if [ "$IG_BINARY" = "$target/release/ig" ]; then
    cargo build --release --locked --quiet -p ig
fi
arguments=()
for argument in "$@"; do
    # cargo runs the benchmark in tests/, so a path needs to say from where.
    if [ "${previous:-}" = --json ] && [ "${argument#/}" = "$argument" ]; then
        argument=$PWD/$argument
    fi
    previous=$argument
    arguments+=("$argument")
done
exec cargo bench --locked --quiet -p ig-tests --bench ig-bench -- ${arguments[@]+"${arguments[@]}"}
