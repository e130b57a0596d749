#!/usr/bin/env bash
# Fetches other signers of images from later Debians; installs nothing and needs no root.
#   tests/signing/fetch.sh FOLDER      FOLDER/cosign2, FOLDER/cosign3 and FOLDER/notation are programs afterwards
set -euo pipefail
later=$(dirname "$(readlink -f "$0")")/../later.sh
mkdir -p "$1"
folder=$(readlink -f "$1")
# program, package and suite
for wanted in cosign2:cosign/trixie cosign3:cosign/sid notation:notation/sid; do
    name=${wanted%%:*} package=${wanted#*:}
    "$later" "$folder/later/$name" "$package"
    ln -sf "later/$name/root/usr/bin/${package%/*}" "$folder/$name"
done
