#!/usr/bin/env bash
# Installs from Debian's packages what a bare Debian 12 machine lacks; does nothing where all is there.
#   tests/tools.sh build   what building ig and gadgets needs
#   tests/tools.sh test    that, and what the tests run against
set -euo pipefail

need_build=(clang-19:clang-19 llvm-strip-19:llvm-19 wasm-ld-19:lld-19 bpftool:bpftool cc:gcc)
need_test=(prometheus:prometheus promtool:prometheus tcpdump:tcpdump openssl:openssl curl:curl ip:iproute2 setpriv:util-linux pkg-config:pkg-config
    xz:xz-utils objcopy:binutils docker-registry:docker-registry htpasswd:apache2-utils skopeo:skopeo strace:strace tmux:tmux)
headers_build=(/usr/include/bpf/bpf_helpers.h:libbpf-dev /usr/include/x86_64-linux-gnu/asm/types.h:linux-libc-dev)
# What libbpf, the loader tests' oracle, is built with.
headers_test=(/usr/include/libelf.h:libelf-dev /usr/include/zlib.h:zlib1g-dev)

missing() {
    local entry
    for entry in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${entry%%:*}" >/dev/null || echo "${entry##*:}"
    done
}
packages=$(missing "${need_build[@]}")
headers=("${headers_build[@]}")
if [ "${1:-build}" = test ]; then
    packages+=" $(missing "${need_test[@]}")"
    headers+=("${headers_test[@]}")
fi
for entry in "${headers[@]}"; do
    [ -e "${entry%%:*}" ] || [ "$(uname -m)" != x86_64 ] || packages+=" ${entry##*:}"
done
packages=$(echo $packages | tr ' ' '\n' | sort -u | tr '\n' ' ')

if [ -n "${packages// /}" ]; then
    echo "installing: $packages" >&2
    [ "$(id -u)" = 0 ] || { echo "error: run as root, or install these packages first: $packages" >&2; exit 1; }
    apt-get -o DPkg::Lock::Timeout=600 update -qq
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends $packages >&2
fi

if ! command -v cargo >/dev/null; then
    echo "error: cargo is not installed; this project builds with Rust 1.95 (see rust-toolchain.toml)" >&2
    exit 1
fi
version=$(cargo --version 2>/dev/null | awk '{print $2}') || true
case ${version:-none} in
    1.95.*) ;;
    none) echo "error: the pinned toolchain (rust-toolchain.toml: 1.95.0) cannot be used; install it with: rustup toolchain install 1.95.0" >&2; exit 1 ;;
    *) echo "error: this project builds with Rust 1.95, found $version; install it with: rustup toolchain install 1.95.0" >&2; exit 1 ;;
esac
