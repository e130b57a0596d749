#!/usr/bin/env bash
# Makes the binary seeds of the corpus anew from the loader's test programs. Needs clang-19, llvm-19 and bpftool.
# Only for changes of those programs: the committed seeds are what the tests replay.
set -euo pipefail
cd "$(dirname "$0")"
corpus=$PWD/corpus
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bpftool btf dump file /sys/kernel/btf/vmlinux format c > "$work/vmlinux.h"
cd ../../collector/loader/tests/programs
for name in core events maps traced refused missing_hook; do
    # No path of the machine they were made on may stay in them.
    clang-19 -g -O2 -target bpf -D__TARGET_ARCH_x86 -ffile-prefix-map="$PWD=." -ffile-prefix-map="$work=." \
        -fdebug-compilation-dir=. -I "$work" -c "$name.bpf.c" -o "$work/$name.o"
    # Debugging information is not read here; without it seeds are small.
    llvm-strip-19 -g "$work/$name.o" -o "$corpus/object/$name.o"
done
cd ../../../../tests/fuzz
clang-19 -g -O2 -target bpf -ffile-prefix-map="$PWD=." -fdebug-compilation-dir=. -c gadget.bpf.c -o "$work/gadget.o"
llvm-strip-19 -g "$work/gadget.o" -o "$corpus/object/gadget.o"
dump() { llvm-objcopy-19 --dump-section "$1=$3" "$corpus/object/$2.o" "$work/copy.o"; }
dump .BTF core "$corpus/btf/core.btf"
dump .BTF maps "$corpus/btf/maps.btf"
dump .BTF events "$corpus/object_types/events.btf"
dump .BTF core "$corpus/relocation/core.btf"
dump .BTF gadget "$corpus/sources/gadget.btf"
dump .BTF.ext events "$corpus/btf_ext/events.bin"
