#!/usr/bin/env bash
# Builds once, with one choice of features, all that the tests run: `ig`, `ig-attach` and every test binary.
# Prints a line for each test binary: name, folder of its package, path; separated by tabs.
set -euo pipefail
cd "$(dirname "$0")/.."
messages=$(mktemp)
trap 'rm -f "$messages"' EXIT
cargo build --workspace --locked --bins --tests --message-format=json-render-diagnostics > "$messages"
# A library's own tests have its name; those of the folder tests have that of their file.
sed -n 's/^{"reason":"compiler-artifact".*"manifest_path":"\([^"]*\)\/Cargo.toml".*"name":"\([^"]*\)","src_path".*"test":true},"features".*"executable":"\([^"]*\)".*/\2\t\1\t\3/p' \
    "$messages" | while IFS=$'\t' read -r name folder binary; do
    printf '%s\t%s\t%s\n' "$(basename "$folder")/$name" "$folder" "$binary"
done | sort
