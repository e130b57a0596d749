//! Small tables for the tests of the crates that write and read series.

use std::sync::Arc;

use ig_model::InstrumentKind;

use crate::{
    Clock, FamilyName, InstrumentSpec, LabelKind, Labeler, ManualClock, Naming, Registry, RegistryLimits,
    Table, TableSpec,
};

/// Wall time at which the tests' clock starts.
pub const START: u64 = 1_700_000_000_000_000_000;

/// A registry named by [`Suffixed`], on a clock that stands still.
pub fn registry(series_total: usize) -> (Registry, Arc<ManualClock>) {
    registry_named(series_total, Arc::new(Suffixed))
}

/// A registry on a clock that stands still.
pub fn registry_named(series_total: usize, naming: Arc<dyn Naming>) -> (Registry, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    (Registry::with_clock(RegistryLimits { series_total }, naming, shared), clock)
}

/// Naming rules in small: counters end in `_total`, histograms have several samples, `ig_` is reserved.
#[derive(Clone, Copy, Debug)]
pub struct Suffixed;

impl Naming for Suffixed {
    fn label(&self, name: &str, _: bool) -> String {
        name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    }

    fn family(&self, name: &str, _: &str, kind: InstrumentKind) -> FamilyName {
        let full = match kind {
            InstrumentKind::Counter => format!("{name}_total"),
            InstrumentKind::Gauge | InstrumentKind::Histogram => name.to_owned(),
        };
        FamilyName { full, unit: None }
    }

    fn samples(&self, family: &str, kind: InstrumentKind) -> Vec<String> {
        let suffixes: &[&str] = match kind {
            InstrumentKind::Counter | InstrumentKind::Gauge => &[""],
            InstrumentKind::Histogram => &["", "_bucket", "_sum", "_count"],
        };
        suffixes.iter().map(|suffix| format!("{family}{suffix}")).collect()
    }

    fn reserved(&self, family: &str) -> Option<String> {
        family.starts_with("ig_").then(|| "names that begin with `ig_` are taken".to_owned())
    }
}

/// A table with the labels `proc.comm` and `id`, keyed by four bytes, in a scope named like its gadget.
pub fn spec(gadget: &str, instruments: Vec<InstrumentSpec>, limit: usize) -> TableSpec {
    let mut spec = TableSpec { limit, ..TableSpec::new(gadget, &["proc.comm", "id"], 4, instruments) };
    if let Some(id) = spec.labels.last_mut() {
        id.kind = LabelKind::Int;
    }
    spec
}

fn instrument(name: &str, kind: InstrumentKind) -> InstrumentSpec {
    InstrumentSpec { description: format!("What {name} counts"), ..InstrumentSpec::new(name, kind) }
}

/// A counter of integers.
pub fn counter(name: &str) -> InstrumentSpec {
    instrument(name, InstrumentKind::Counter)
}

/// A gauge of integers.
pub fn gauge(name: &str) -> InstrumentSpec {
    instrument(name, InstrumentKind::Gauge)
}

/// A histogram of integers.
pub fn histogram(name: &str, bounds: &[f64]) -> InstrumentSpec {
    InstrumentSpec { bounds: bounds.into(), ..instrument(name, InstrumentKind::Histogram) }
}

/// The key of a number.
pub fn key(n: u32) -> [u8; 4] {
    n.to_le_bytes()
}

/// The number of a key.
pub fn number(key: &[u8]) -> u32 {
    key.try_into().map_or(u32::MAX, u32::from_le_bytes)
}

/// Renders the number in a key, modulo something.
struct Numbered(u32);

impl Labeler for Numbered {
    fn render(&self, key: &[u8], index: usize, out: &mut String) {
        if index == 0 {
            out.push_str("comm-");
        }
        out.push_str(&(number(key) % self.0).to_string());
    }
}

/// A labeler that tells all keys apart.
pub fn labeler() -> Box<dyn Labeler> {
    folding(u32::MAX)
}

/// A labeler that knows only so many texts.
pub fn folding(texts: u32) -> Box<dyn Labeler> {
    Box::new(Numbered(texts))
}

/// The text that [`labeler`] gives a key.
pub fn text(n: u32) -> Vec<u8> {
    format!("proc_comm=\"comm-{n}\",id=\"{n}\",").into_bytes()
}

/// A row as [`listing`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRow {
    /// Its label text.
    pub text: Vec<u8>,
    /// All its cells.
    pub cells: Vec<u64>,
    /// When it began.
    pub start: u64,
    /// It is the overflow row.
    pub overflow: bool,
    /// Its gauges are out of date.
    pub hides_gauges: bool,
}

/// Every row of a table, by position, the overflow row first if it is in use.
pub fn listing(table: &Table) -> Vec<ListedRow> {
    let reader = table.read();
    (0..reader.positions())
        .filter_map(|position| reader.row(position))
        .map(|row| ListedRow {
            text: row.text.to_vec(),
            cells: table.layout().iter().flat_map(|instrument| row.cells(instrument)).copied().collect(),
            start: row.start,
            overflow: row.overflow,
            hides_gauges: row.hides_gauges,
        })
        .collect()
}

/// The sum of one cell over all rows.
pub fn sum_of(table: &Table, cell: usize) -> u64 {
    listing(table).iter().filter_map(|row| row.cells.get(cell)).sum()
}

/// Has an exporter read the whole table and deliver it.
pub fn export(table: &Table, exporter: &str) {
    let mut reader = table.read();
    let horizon = reader.begin_walk();
    reader.end_walk(exporter, horizon);
}
