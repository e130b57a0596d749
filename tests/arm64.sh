#!/usr/bin/env bash
# arm64 on a machine of another kind: all of the workspace is compiled for it, and the unit tests of the crates that ask
# the kernel for nothing special run in an emulator of its instructions. What loads programs needs a machine.
#   tests/arm64.sh tools     installs what is missing (Debian's packages, root)
#   tests/arm64.sh run
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
case ${1:-} in
    tools)
        command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64-static >/dev/null || {
            apt-get -o DPkg::Lock::Timeout=600 update -qq
            DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends \
                gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static >&2
        }
        rustup target list --installed | grep -qx "$target" || rustup target add "$target"
        ;;
    run)
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
        export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
        cargo build --locked --target "$target" -p ig
        cargo test --locked --target "$target" --lib -p ig-model -p ig-config -p ig-datasource -p ig-console
        ;;
    *) echo "usage: tests/arm64.sh tools|run" >&2; exit 2 ;;
esac
