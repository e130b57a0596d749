#!/usr/bin/env bash
# Time and memory of loading the repository's gadgets, our loader beside libbpf in one run. Needs root.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
folder=$target/load-bench
mkdir -p "$folder"
[ "$(id -u)" = 0 ] || { echo "error: loading eBPF programs takes root" >&2; exit 1; }
bpftool btf dump file /sys/kernel/btf/vmlinux format c > "$folder/vmlinux.h"
rm -f "$folder"/*.o
for source in gadgets/*/program.bpf.c; do
    gadget=$(basename "$(dirname "$source")")
    clang-19 -g -O2 -Wall -target bpf -D__TARGET_ARCH_x86 -I"$folder" -Igadgets/include \
        -I"/usr/include/$(uname -m)-linux-gnu" -c "$source" -o "$folder/$gadget.o"
done
cargo build --locked --quiet --release -p ig-loader --example load_bench
exec "$target/release/examples/load_bench" "$folder"/*.o
