#!/usr/bin/env bash
# Crate prometheus-client 0.25: a bound list that ends in f64::INFINITY makes two `+Inf` buckets that disagree.
#
# Guess: giving the last bound as infinity is how one says "and the rest" (Prometheus' Go client folds it into its own `+Inf`), or it is
# refused; NaN is refused or ignored.
# Seen: the page has a bucket `le="inf"` beside `le="+Inf"`. To Prometheus both are the number infinity; the crate's own is smaller
# where NaN was observed, because NaN is counted in `_count` and the last bucket only, and makes `_sum` NaN for good. Bounds out of
# order are taken as they are: 2.5 with bounds 3, 1, 2 gives cumulative counts 1, 1, 1, so a value of 2.5 counts as at most 1.
# Way out: sort, drop what is not finite, and keep NaN away before the crate sees them.
# Version: prometheus-client =0.25.0.
# Output seen:
#   h_sum NaN
#   h_bucket{le="1.0"} 1
#   h_bucket{le="inf"} 2
#   h_bucket{le="+Inf"} 3
#   unsorted_bucket{le="3.0"} 1
#   unsorted_bucket{le="1.0"} 1
#   unsorted_bucket{le="2.0"} 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"
[dependencies]
prometheus-client = "=0.25.0"
TOML
cat > src/main.rs <<'RUST'
use prometheus_client::{encoding::text::encode, metrics::histogram::Histogram, registry::Registry};

fn main() {
    let mut registry = Registry::default();
    let histogram = Histogram::new([1.0, f64::INFINITY]);
    for value in [0.5, 2.0, f64::NAN] {
        histogram.observe(value);
    }
    registry.register("h", "A bound of infinity", histogram);
    let unsorted = Histogram::new([3.0, 1.0, 2.0]);
    unsorted.observe(2.5);
    registry.register("unsorted", "Bounds out of order", unsorted);
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    print!("{page}");
}
RUST
cargo run --quiet | tee page
for line in 'h_sum NaN' 'h_bucket{le="inf"} 2' 'h_bucket{le="+Inf"} 3' 'unsorted_bucket{le="1.0"} 1'; do
    grep -qxF "$line" page || { echo "changed: expected the line $line" >&2; exit 1; }
done
echo "still so"
