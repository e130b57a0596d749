//! Small tables for the tests of this crate.

use std::sync::Arc;

use super::super::*;
use crate::clock::ManualClock;

/// Wall time at which the tests' clock starts.
pub(crate) const START: u64 = 1_700_000_000_000_000_000;

pub(crate) fn registry(series_total: usize) -> (Registry, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    let shared = Arc::<ManualClock>::clone(&clock);
    (Registry::with_clock(RegistryLimits { series_total }, shared), clock)
}

/// A table with the labels `proc.comm` and `id`, keyed by four bytes, in a scope named like its gadget.
pub(crate) fn spec(gadget: &str, instruments: Vec<InstrumentSpec>, limit: usize) -> TableSpec {
    let label = |name: &str, kind| LabelSpec { name: name.to_owned(), kind };
    TableSpec {
        gadget: gadget.to_owned(),
        scope: gadget.to_owned(),
        labels: vec![label("proc.comm", LabelKind::Str), label("id", LabelKind::Int)],
        key_len: 4,
        instruments,
        limit,
        stale_after: None,
        exporters: ExporterFilter::All,
        snapshot: false,
    }
}

fn instrument(name: &str, kind: InstrumentKind) -> InstrumentSpec {
    InstrumentSpec {
        name: name.to_owned(),
        description: format!("What {name} counts"),
        unit: String::new(),
        kind,
    }
}

pub(crate) fn counter(name: &str) -> InstrumentSpec {
    instrument(name, InstrumentKind::Counter { value: NumberKind::Int, scale: 1.0 })
}

pub(crate) fn gauge(name: &str) -> InstrumentSpec {
    instrument(name, InstrumentKind::Gauge { value: NumberKind::Int, scale: 1.0 })
}

pub(crate) fn histogram(name: &str, bounds: &[f64]) -> InstrumentSpec {
    let kind = InstrumentKind::Histogram { bounds: bounds.into(), value: NumberKind::Int, scale: 1.0 };
    instrument(name, kind)
}

pub(crate) fn key(n: u32) -> [u8; 4] {
    n.to_le_bytes()
}

/// Renders the number in a key, modulo something.
struct Numbered(u32);

impl Labeler for Numbered {
    fn render(&self, key: &[u8], index: usize, out: &mut String) {
        let n = u32::from_le_bytes(key.try_into().unwrap()) % self.0;
        if index == 0 {
            out.push_str("comm-");
        }
        out.push_str(&n.to_string());
    }
}

/// A labeler that tells all keys apart.
pub(crate) fn labeler() -> Box<dyn Labeler> {
    folding(u32::MAX)
}

/// A labeler that knows only so many texts.
pub(crate) fn folding(texts: u32) -> Box<dyn Labeler> {
    Box::new(Numbered(texts))
}

/// A labeler for keys of any length.
pub(crate) fn hex() -> Box<dyn Labeler> {
    struct Hex;
    impl Labeler for Hex {
        fn render(&self, key: &[u8], _: usize, out: &mut String) {
            out.extend(key.iter().map(|byte| format!("{byte:02x}")));
        }
    }
    Box::new(Hex)
}

/// The text that [`labeler`] gives a key.
pub(crate) fn text(n: u32) -> Vec<u8> {
    format!("proc_comm=\"comm-{n}\",id=\"{n}\",").into_bytes()
}

pub(crate) struct Listed {
    pub(crate) text: Vec<u8>,
    pub(crate) cells: Vec<u64>,
    pub(crate) start: u64,
    pub(crate) overflow: bool,
    pub(crate) hides_gauges: bool,
}

/// Every row of a table, by position, the overflow row first if it is in use.
pub(crate) fn listing(table: &Table) -> Vec<Listed> {
    let store = table.inner.store();
    let first_cell = 1 + store.shape.key_words;
    (0..store.positions())
        .filter_map(|position| store.view(position))
        .map(|row| Listed {
            text: row.text.to_vec(),
            cells: row.record[first_cell..].to_vec(),
            start: row.start,
            overflow: row.overflow,
            hides_gauges: row.hides_gauges,
        })
        .collect()
}

/// The sum of one cell over all rows.
pub(crate) fn sum_of(table: &Table, cell: usize) -> u64 {
    listing(table).iter().map(|row| row.cells[cell]).sum()
}
