#!/usr/bin/env bash
# One image reference, two registries: the Rust crate oci-spec and Go's distribution/reference split names differently.
#
# Guess: both follow the grammar of the distribution project, so a tool in Rust and one in Go pull the same image for the same text.
# Seen: an upper-case first component is a host to Go (`Registry/app` is the host `Registry`) and part of a repository on docker.io to the
# crate, which thus asks another registry, for a name that the specification does not even allow. An IPv6 host in brackets is a
# host to Go and an error to the crate. A tool that hands names on to another one hands on what it has parsed, not what was written.
# Versions: oci-spec =0.10.0 (what oci-client 0.18 uses), github.com/distribution/reference v0.6.0.
# Output seen:
#   app: rust docker.io library/app, go docker.io library/app
#   host.example/app: rust host.example app, go host.example app
#   Registry/app: rust docker.io Registry/app, go Registry app
#   [2001:db8::1]:5000/app: rust error, go [2001:db8::1]:5000 app
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
export GOPATH="$work/go" GOCACHE="$work/cache" GOFLAGS=-mod=mod
names=(app host.example/app Registry/app '[2001:db8::1]:5000/app')
mkdir -p rust/src go-side
cat > rust/Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"
[dependencies]
oci-spec = { version = "=0.10.0", default-features = false, features = ["distribution"] }
TOML
cat > rust/src/main.rs <<'RUST'
use oci_spec::distribution::Reference;

fn main() {
    for name in std::env::args().skip(1) {
        match name.parse::<Reference>() {
            Ok(reference) => println!("{} {}", reference.registry(), reference.repository()),
            Err(_) => println!("error"),
        }
    }
}
RUST
cat > go-side/go.mod <<'MOD'
module finding

go 1.20

require github.com/distribution/reference v0.6.0
MOD
cat > go-side/main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/distribution/reference"
)

func main() {
	for _, name := range os.Args[1:] {
		parsed, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			fmt.Println("error")
			continue
		}
		fmt.Println(reference.Domain(parsed), reference.Path(parsed))
	}
}
GO
(cd rust && cargo run --quiet -- "${names[@]}") > by-rust
(cd go-side && go mod tidy >/dev/null 2>&1 && go run . "${names[@]}") > by-go
paste -d'|' <(printf '%s\n' "${names[@]}") by-rust by-go | sed 's/\([^|]*\)|\([^|]*\)|\(.*\)/\1: rust \2, go \3/' | tee seen
diff seen - <<'WANTED'
app: rust docker.io library/app, go docker.io library/app
host.example/app: rust host.example app, go host.example app
Registry/app: rust docker.io Registry/app, go Registry app
[2001:db8::1]:5000/app: rust error, go [2001:db8::1]:5000 app
WANTED
echo "still so"
