#!/usr/bin/env bash
# Crate opentelemetry-proto 0.33.1, feature `with-serde`: OTLP/JSON that it cannot read becomes an empty metric, not an error.
#
# Guess: a document either decodes or fails. An enum by name is refused (OTLP/JSON wants numbers) or taken (protobuf's JSON mapping
# has names); "NaN" is the number, as that mapping spells it; what was encoded decodes to the same.
# Seen: a field of a `oneof` that does not fit makes the whole `oneof` empty, and decoding succeeds: with the temporality by name, the
# sum and all its points are gone; with "NaN", the point is there without a value. Encoding has the same hole: a gauge of NaN is
# written as null and comes back without a value. Who uses it to receive or to compare in tests counts points after decoding.
# Version: opentelemetry-proto =0.33.1 (gen-tonic-messages, metrics, with-serde), serde_json 1.
# Output seen:
#   temporality as a number: a sum of 1 points
#   temporality by name: nothing, and no error
#   value "NaN": a gauge whose point has the value None
#   a gauge of NaN, there and back: a gauge whose point has the value None
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
opentelemetry-proto = { version = "=0.33.1", default-features = false, features = ["gen-tonic-messages", "metrics", "with-serde"] }
serde_json = "=1.0.145"
TOML
cat > src/main.rs <<'RUST'
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value, Gauge, Metric, NumberDataPoint};

fn show(what: &str, text: &str) {
    let metric: Metric = serde_json::from_str(text).unwrap();
    match metric.data {
        Some(Data::Sum(sum)) => println!("{what}: a sum of {} points", sum.data_points.len()),
        Some(Data::Gauge(gauge)) => println!("{what}: a gauge whose point has the value {:?}", gauge.data_points[0].value),
        None => println!("{what}: nothing, and no error"),
        other => println!("{what}: {other:?}"),
    }
}

fn main() {
    let sum = |temporality| format!(r#"{{"name":"m","sum":{{"dataPoints":[{{"asInt":"5"}}],"aggregationTemporality":{temporality}}}}}"#);
    show("temporality as a number", &sum("2"));
    show("temporality by name", &sum(r#""AGGREGATION_TEMPORALITY_CUMULATIVE""#));
    show(r#"value "NaN""#, r#"{"name":"m","gauge":{"dataPoints":[{"asDouble":"NaN"}]}}"#);
    let point = NumberDataPoint { value: Some(Value::AsDouble(f64::NAN)), ..Default::default() };
    let gauge = Metric { data: Some(Data::Gauge(Gauge { data_points: vec![point] })), ..Default::default() };
    show("a gauge of NaN, there and back", &serde_json::to_string(&gauge).unwrap());
}
RUST
cargo run --quiet | tee seen
diff seen - <<'WANTED'
temporality as a number: a sum of 1 points
temporality by name: nothing, and no error
value "NaN": a gauge whose point has the value None
a gauge of NaN, there and back: a gauge whose point has the value None
WANTED
echo "still so"
