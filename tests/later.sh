#!/usr/bin/env bash
# Unpacks programs of a later Debian than this one into a folder; installs nothing and needs no root.
#   tests/later.sh FOLDER PACKAGE[/SUITE]…        for example: tests/later.sh target/later oras cosign/trixie
# What is there already stays. The lists are verified with Debian's keyring like the machine's own.
set -euo pipefail
mkdir -p "$1"
folder=$(readlink -f "$1"); shift

fail() { echo "error: $*" >&2; exit 1; }
# Two tests that start at once must not unpack over each other.
exec 9> "$folder/lock"
flock 9

missing=()
for package in "$@"; do [ -e "$folder/${package//\//-}.complete" ] || missing+=("$package"); done
[ ${#missing[@]} -gt 0 ] || exit 0

apt=$folder/apt key=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$folder/debs"
mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian|Debian|//p' | sort -u | head -1)
[ -n "$mirror" ] || fail "the machine's package sources name no Debian mirror (run apt-get update)"
for suite in trixie forky sid; do echo "deb [signed-by=$key] $mirror $suite main"; done > "$apt/sources.list"
view=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$apt/lists"
    -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
apt-get -q "${view[@]}" update >&2 || fail "the package lists of other Debian suites cannot be had"
for package in "${missing[@]}"; do
    (cd "$folder/debs" && apt-get -q "${view[@]}" download "$package" >&2) || fail "package $package cannot be downloaded"
    for deb in "$folder"/debs/*.deb; do dpkg-deb -x "$deb" "$folder/root"; done
    rm -f "$folder"/debs/*.deb
    touch "$folder/${package//\//-}.complete"
done
