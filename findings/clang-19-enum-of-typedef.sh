#!/usr/bin/env bash
# clang 19, `-target bpf`: an enum whose fixed base type is a typedef loses half of its values in BTF.
#
# Guess: `enum e : u64` and `enum e : unsigned long long` are the same type to the compiler, so they are the same in BTF: both
# ENUM64, with 64-bit values and the sign of the base.
# Seen: with the typedef, BTF has a 32-bit ENUM of size 8, always unsigned; values are cut to their low 32 bits, -1 becomes
# 4294967295. DWARF and the program's own code are right. A reader of records that names values by BTF shows wrong names or none;
# headers such as vmlinux.h make the typedef the usual spelling. Way out: write the plain type as the base.
# Versions: Debian's clang-19 1:19.1.7-3~deb12u1, bpftool 7.1.0+6.1.192-3 as the reader.
# Output seen:
#   [1] ENUM64 'plain' encoding=SIGNED size=8 vlen=2      'P1' val=-1LL        'P2' val=1234605616436508552LL
#   [3] ENUM 'aliased' encoding=UNSIGNED size=8 vlen=2    'A1' val=4294967295  'A2' val=1432778632
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
version=1:19.1.7-3~deb12u1
apt-get update -qq
apt-get download -qq "clang-19=$version" "libclang-cpp19=$version" "libllvm19=$version" "libclang-common-19-dev=$version" "bpftool=7.1.0+6.1.192-3" >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu:$work/root/usr/lib/llvm-19/lib"

cat > enums.c <<'C'
typedef long long s64;
enum plain : long long { P1 = -1, P2 = 0x1122334455667788LL };
enum aliased : s64 { A1 = -1, A2 = 0x1122334455667788LL };
enum plain p;
enum aliased a;
C
root/usr/lib/llvm-19/bin/clang -g -O2 -target bpf -c enums.c -o enums.o
root/usr/sbin/bpftool btf dump file enums.o | tee dump

grep -q "ENUM64 'plain' encoding=SIGNED size=8" dump
grep -q "'P2' val=1234605616436508552LL" dump
grep -q "ENUM 'aliased' encoding=UNSIGNED size=8" dump
grep -q "'A1' val=4294967295" dump
grep -q "'A2' val=1432778632" dump
echo "still so: the typedef costs the upper half and the sign"
