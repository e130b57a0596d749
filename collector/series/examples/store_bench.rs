//! Instructions that the store takes for an event, counted by callgrind: they do not depend on what else runs.
//!
//! ```text
//! cargo build --release -p ig-series --example store_bench
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/store_bench prefetch 100000
//! ```
//! The cost of one event is the difference between two runs divided by the difference of their events. Stages: `row`
//! (key, find, add), `prefetch` (the same, sixteen at a time), `histogram` (sixteen at a time, with an observation),
//! `create` (a new series each).

#![expect(clippy::indexing_slicing, clippy::print_stderr, reason = "a benchmark makes its own input")]

use std::process::ExitCode;
use std::sync::Arc;

use ig_model::InstrumentKind;
use ig_series::{InstrumentSpec, Labeler, Registry, RegistryLimits, Table, TableSpec, Verbatim, hash};

const SETS: u64 = 10_000;

/// A key of three labels: a command of 16 bytes, a user and an operation of 4 bytes each.
type Key = [u8; 24];

fn key(n: u64) -> Key {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&(n / 16).to_le_bytes());
    key[16..20].copy_from_slice(&[1, (n / 8 % 2) as u8, 0, 0]);
    key[20] = (n % 8) as u8;
    key
}

/// Renders a key as numbers.
struct Numbers;

impl Labeler for Numbers {
    fn render(&self, key: &[u8], index: usize, out: &mut String) {
        let from = [0, 16, 20][index];
        for byte in &key[from..from + 4] {
            out.push_str(&byte.to_string());
        }
    }
}

fn table(registry: &Registry) -> Option<Table> {
    let counter = InstrumentSpec::new("events", InstrumentKind::Counter);
    let bounds: Arc<[f64]> = (0..26).map(|i| 2f64.powi(i)).collect();
    let histogram = InstrumentSpec { bounds, ..InstrumentSpec::new("latency", InstrumentKind::Histogram) };
    let spec = TableSpec::new("bench", &["comm", "uid", "op"], 24, vec![counter, histogram]);
    registry.register(spec, Box::new(Numbers)).ok().map(|registration| registration.table)
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (stage, events) = (args.next(), args.next().and_then(|events| events.parse().ok()));
    let registry = Registry::new(RegistryLimits { series_total: usize::MAX }, Arc::new(Verbatim));
    let (Some(stage), Some(events), Some(table)) = (stage, events, table(&registry)) else {
        eprintln!("usage: store_bench row|prefetch|histogram|create EVENTS");
        return ExitCode::from(2);
    };
    for n in 0..SETS {
        table.write().row(&key(n));
    }
    let keys: Vec<Key> = (0..SETS).map(|n| key(n * 7919 % SETS)).collect();
    match stage.as_str() {
        "row" => row(&table, &keys, events),
        "create" => create(&table, events),
        _ => prefetch(&table, &keys, events, stage == "histogram"),
    }
    ExitCode::SUCCESS
}

fn row(table: &Table, keys: &[Key], events: usize) {
    for batch in keys.chunks(1000).cycle().take(events / 1000) {
        let mut writer = table.write();
        for key in batch {
            let row = writer.row(key);
            writer.add_int(row, 0, 1);
        }
    }
}

fn prefetch(table: &Table, keys: &[Key], events: usize, observe: bool) {
    let mut hashes = [0; 16];
    for batch in keys.chunks(1000).cycle().take(events / 1000) {
        let mut writer = table.write();
        for group in batch.chunks(16) {
            for (known, key) in hashes.iter_mut().zip(group) {
                *known = hash(key);
                writer.prefetch(*known);
            }
            for (known, key) in hashes.iter().zip(group) {
                let row = writer.row_hashed(key, *known);
                if observe {
                    writer.observe_int(row, 1, i64::from(key[0]));
                } else {
                    writer.add_int(row, 0, 1);
                }
            }
        }
    }
}

fn create(table: &Table, events: usize) {
    for n in 0..events as u64 {
        table.write().row(&key(SETS + n));
    }
}
