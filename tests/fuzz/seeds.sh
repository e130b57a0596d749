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

# Symbol files: a program, one stripped to its link to debug information, debug information that runs in circles.
mkdir -p "$corpus/symbol_file"
cat > "$work/demo.c" <<'C'
static inline __attribute__((always_inline)) int twice(int x) { return x + x; }
int work(int x) { return twice(x) * 3; }
C
clang-19 -g -O1 -ffile-prefix-map="$work=." -fdebug-compilation-dir=. -c "$work/demo.c" -o "$corpus/symbol_file/demo.o"
clang-19 -gdwarf-4 -gz=zlib -O1 -ffile-prefix-map="$work=." -fdebug-compilation-dir=. \
    -shared -nostdlib -fPIC -Wl,--build-id=sha1 "$work/demo.c" -o "$corpus/symbol_file/packed.so"
llvm-objcopy-19 --strip-all --add-gnu-debuglink="$corpus/symbol_file/demo.o" "$corpus/symbol_file/packed.so" "$corpus/symbol_file/stripped.so"
clang-19 -c "$PWD/../../collector/symbols/tests/cycles.s" -o "$corpus/symbol_file/cycles.o"
