#!/usr/bin/env bash
# Fetches other signers of images from Debian and unpacks them; installs nothing and needs no root.
#   tests/signing/fetch.sh FOLDER      FOLDER/cosign2, FOLDER/cosign3 and FOLDER/notation are programs afterwards
# They are in other suites than the machine's own, so a private view of the same mirror is made; its lists are verified
# with Debian's keyring like the machine's own.
set -euo pipefail
mkdir -p "$1"/{debs,apt/lists/partial,apt/cache/archives/partial}
folder=$(readlink -f "$1")
fail() { echo "error: $*" >&2; exit 1; }

[ ! -x "$folder/notation" ] || exit 0
key=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian|Debian|//p' | sort -u | head -1)
[ -n "$mirror" ] || fail "the machine's package sources name no Debian mirror (run apt-get update)"
for suite in trixie sid; do echo "deb [signed-by=$key] $mirror $suite main"; done > "$folder/apt/sources.list"
view=(-o "Dir::Etc::sourcelist=$folder/apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$folder/apt/lists"
    -o "Dir::Cache=$folder/apt/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
apt-get -q "${view[@]}" update >&2 || fail "the package lists of other Debian suites cannot be had"

# program, package and suite
for wanted in cosign2:cosign/trixie cosign3:cosign/sid notation:notation/sid; do
    name=${wanted%%:*} package=${wanted#*:}
    (cd "$folder/debs" && apt-get -q "${view[@]}" download "$package" >&2) || fail "$package cannot be downloaded"
    dpkg-deb -x "$folder"/debs/*.deb "$folder/unpacked"
    mv "$folder/unpacked/usr/bin/${package%/*}" "$folder/$name"
    rm -rf "$folder"/debs/*.deb "$folder/unpacked"
done
