#!/usr/bin/env bash
# Crate aya-obj 0.3.0: one program with a section name of libbpf's makes it refuse the whole object.
#
# Guess: section names are libbpf's; names that the library does not know give a program that cannot be attached, and the other
# programs and maps of the object can be used.
# Seen: `Object::parse` fails for the object as a whole at the first name that it does not know: `tc` (it wants `classifier`), any
# name with libbpf's `?` for "only where wanted", a suffix after the type (`socket1`), `ksyscall/NAME`, `usdt`. Objects written for libbpf
# or cilium/ebpf therefore need their sections renamed, or a parser of their own in front of aya's typed maps and links.
# Versions: aya-obj =0.3.0 (of aya 0.14), Debian's clang-19 1:19.1.7-3~deb12u1.
# Output seen:
#   tracepoint/syscalls/sys_enter_openat: taken
#   classifier: taken
#   tc: invalid program section `tc`
#   ?tracepoint/syscalls/sys_enter_openat: invalid program section `?tracepoint/syscalls/sys_enter_openat`
#   socket1: invalid program section `socket1`
#   ksyscall/openat: invalid program section `ksyscall/openat`
#   usdt: invalid program section `usdt`
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
version=1:19.1.7-3~deb12u1
apt-get update -qq
apt-get download -qq "clang-19=$version" "libclang-cpp19=$version" "libllvm19=$version" >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" root; done
clang=$work/root/usr/lib/llvm-19/bin/clang
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"
[dependencies]
aya-obj = "=0.3.0"
TOML
cat > src/main.rs <<'RUST'
fn main() {
    for argument in std::env::args().skip(1) {
        let (file, section) = argument.split_once('=').unwrap();
        match aya_obj::Object::parse(&std::fs::read(file).unwrap()) {
            Ok(_) => println!("{section}: taken"),
            Err(error) => println!("{section}: {error}"),
        }
    }
}
RUST
arguments=()
for section in tracepoint/syscalls/sys_enter_openat classifier tc '?tracepoint/syscalls/sys_enter_openat' socket1 ksyscall/openat usdt; do
    object=$((${#arguments[@]})).o
    printf '__attribute__((section("%s"), used)) int program(void *ctx) { return 0; }\nchar terms[] __attribute__((section("license"), used)) = "GPL";\n' "$section" |
        LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu:$work/root/usr/lib/llvm-19/lib" "$clang" -O2 -target bpf -x c -c - -o "$object"
    arguments+=("$object=$section")
done
cargo run --quiet -- "${arguments[@]}" | tee seen
diff seen - <<'WANTED'
tracepoint/syscalls/sys_enter_openat: taken
classifier: taken
tc: invalid program section `tc`
?tracepoint/syscalls/sys_enter_openat: invalid program section `?tracepoint/syscalls/sys_enter_openat`
socket1: invalid program section `socket1`
ksyscall/openat: invalid program section `ksyscall/openat`
usdt: invalid program section `usdt`
WANTED
echo "still so"
