//! `measure`: turns records into series.
//!
//! A [`MeasurePlan`] says which columns are labels and which are values. Everything that can be decided once is
//! decided there: the label columns become a list of byte ranges that are copied into a fixed-length key, the
//! values another list. A [`Measure`] then handles records in groups of sixteen: copy keys, hash, prefetch the
//! slots, bump the cells. No text is made for a label set that is already known, nothing is allocated per event.
//!
//! # Source
//! Annotations, roles and slot histograms follow Inspektor Gadget's `otel-metrics` operator.

mod operator;
mod plan;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, ops::Range};

use ig_datasource::Number;
use ig_model::InstrumentKind;
use ig_series::{Labeler, Row, Table, TableWriter};
pub(crate) use operator::MeasureOperator;
pub use operator::SCOPES;
pub use plan::{Instrument, MeasureError, MeasureLabel, MeasurePlan, MetricRequest, Plans, TablePlace};

use crate::column::{Column, NumberForm};

/// Records handled between two visits to the table; their slots are prefetched together.
const GROUP: usize = 16;

/// Where an instrument's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One per record.
    Count,
    /// Records of the latest fetch with this label set.
    CountOfFetch,
    /// A number in the record.
    Number(Range<usize>, NumberForm),
    /// An array of log2 slots with elements of this many bytes.
    Slots(Range<usize>, usize),
}

/// A plan bound to its table, with working memory for one group of records.
#[derive(Debug)]
pub struct Measure {
    table: Table,
    key: CopyList,
    payload: CopyList,
    values: Vec<BoundValue>,
    keys: Vec<u8>,
    payloads: Vec<u8>,
    staged: usize,
    slots: Vec<u64>,
    /// Records per key in the fetch under way, when an instrument wants them.
    fetch: Option<HashMap<Box<[u8]>, u64>>,
    rejected: u64,
}

/// Pieces of a record, copied one behind the other.
#[derive(Clone, Debug, Default)]
struct CopyList {
    pieces: Vec<(Range<usize>, Piece)>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
enum Piece {
    Bytes,
    /// Text: what follows the first NUL is garbage and must not make two keys of one.
    Text,
}

/// A [`Value`] with its place in the staged payload.
#[derive(Clone, Debug)]
enum BoundValue {
    Count { kind: InstrumentKind },
    CountOfFetch,
    Number { at: Range<usize>, form: NumberForm, kind: InstrumentKind },
    Slots { at: Range<usize>, element: usize },
}

impl Measure {
    /// Binds a plan to the table it was registered as.
    pub fn new(plan: &MeasurePlan, table: Table) -> Self {
        let mut key = CopyList::default();
        for label in &plan.labels {
            key.push_column(&label.column);
        }
        let mut payload = CopyList::default();
        let values = plan
            .instruments
            .iter()
            .map(|instrument| match &instrument.value {
                Value::Count => BoundValue::Count { kind: instrument.spec.kind },
                Value::CountOfFetch => BoundValue::CountOfFetch,
                Value::Number(range, form) => BoundValue::Number {
                    at: payload.push(range.clone(), Piece::Bytes),
                    form: *form,
                    kind: instrument.spec.kind,
                },
                Value::Slots(range, element) => {
                    BoundValue::Slots { at: payload.push(range.clone(), Piece::Bytes), element: *element }
                }
            })
            .collect::<Vec<_>>();
        let counts_fetches = values.iter().any(|value| matches!(value, BoundValue::CountOfFetch));
        Self {
            table,
            keys: Vec::with_capacity(key.len * GROUP),
            payloads: Vec::with_capacity(payload.len * GROUP),
            key,
            payload,
            values,
            staged: 0,
            slots: Vec::new(),
            fetch: counts_fetches.then(HashMap::new),
            rejected: 0,
        }
    }

    /// Takes in one record of at least the layout's size.
    pub fn take(&mut self, record: &[u8]) {
        self.key.copy(record, &mut self.keys);
        self.payload.copy(record, &mut self.payloads);
        self.staged += 1;
        if self.staged == GROUP {
            self.flush();
        }
    }

    /// Starts a fetch: gauges that it does not mention will vanish at its end.
    pub fn begin_fetch(&mut self) {
        self.flush();
        // What a fetch that was given up has counted.
        if let Some(counts) = &mut self.fetch {
            counts.clear();
        }
        self.table.write().begin_snapshot();
    }

    /// Ends a fetch.
    pub fn end_fetch(&mut self) {
        self.flush();
        let mut writer = self.table.write();
        if let Some(counts) = &mut self.fetch {
            // Several keys may lead to one row.
            let mut rows: HashMap<Row, u64> = HashMap::with_capacity(counts.len());
            for (key, count) in counts.drain() {
                *rows.entry(writer.row(&key)).or_default() += count;
            }
            for (row, count) in rows {
                for (index, value) in self.values.iter().enumerate() {
                    if matches!(value, BoundValue::CountOfFetch) {
                        writer.set_int(row, index, i64::try_from(count).unwrap_or(i64::MAX));
                    }
                }
            }
        }
        writer.end_snapshot();
    }

    /// Values that could not be counted (a negative increment of a counter) since the last call.
    pub fn take_rejected(&mut self) -> u64 {
        std::mem::take(&mut self.rejected)
    }

    /// Brings staged records into the table.
    pub fn flush(&mut self) {
        if self.staged == 0 {
            return;
        }
        let mut writer = self.table.write();
        let mut hashes = [ig_series::hash(&[]); GROUP];
        if self.key.len > 0 {
            for (hash, key) in hashes.iter_mut().zip(self.keys.chunks_exact(self.key.len)) {
                *hash = ig_series::hash(key);
                writer.prefetch(*hash);
            }
        }
        let empty: &[u8] = &[];
        for (index, hash) in hashes.iter().enumerate().take(self.staged) {
            let key = self.keys.get(index * self.key.len..(index + 1) * self.key.len).unwrap_or(empty);
            let payload =
                self.payloads.get(index * self.payload.len..(index + 1) * self.payload.len).unwrap_or(empty);
            if let Some(counts) = &mut self.fetch {
                match counts.get_mut(key) {
                    Some(count) => *count += 1,
                    None => {
                        counts.insert(key.into(), 1);
                    }
                }
            }
            apply(&mut writer, key, *hash, payload, &self.values, &mut self.slots, &mut self.rejected);
        }
        drop(writer);
        self.keys.clear();
        self.payloads.clear();
        self.staged = 0;
    }
}

fn apply(
    writer: &mut TableWriter<'_>,
    key: &[u8],
    hash: u64,
    payload: &[u8],
    values: &[BoundValue],
    slots: &mut Vec<u64>,
    rejected: &mut u64,
) {
    let row = writer.row_hashed(key, hash);
    for (index, value) in values.iter().enumerate() {
        match value {
            BoundValue::CountOfFetch => {}
            BoundValue::Count { kind } => record(writer, row, index, *kind, Number::Unsigned(1), rejected),
            BoundValue::Number { at, form, kind } => {
                let number = payload.get(at.clone()).and_then(|bytes| form.read(bytes));
                match number {
                    Some(number) => record(writer, row, index, *kind, number, rejected),
                    None => *rejected += 1,
                }
            }
            BoundValue::Slots { at, element } => {
                slots.clear();
                if let Some(bytes) = payload.get(at.clone()) {
                    slots.extend(bytes.chunks_exact(*element).map(slot));
                }
                writer.add_slots(row, index, slots.iter().copied());
            }
        }
    }
}

fn slot(bytes: &[u8]) -> u64 {
    match (<[u8; 4]>::try_from(bytes), <[u8; 8]>::try_from(bytes)) {
        (Ok(bytes), _) => u64::from(u32::from_ne_bytes(bytes)),
        (_, Ok(bytes)) => u64::from_ne_bytes(bytes),
        _ => 0,
    }
}

fn record(
    writer: &mut TableWriter<'_>,
    row: Row,
    index: usize,
    kind: InstrumentKind,
    number: Number,
    rejected: &mut u64,
) {
    match (kind, number) {
        (InstrumentKind::Counter, Number::Unsigned(value)) => writer.add_int(row, index, value),
        (InstrumentKind::Counter, Number::Signed(value)) => match u64::try_from(value) {
            Ok(value) => writer.add_int(row, index, value),
            Err(_) => *rejected += 1,
        },
        (InstrumentKind::Counter, Number::Float(value)) if value >= 0.0 => {
            writer.add_float(row, index, value);
        }
        (InstrumentKind::Counter, Number::Float(_)) => *rejected += 1,
        (InstrumentKind::Gauge, Number::Unsigned(value)) => {
            writer.set_int(row, index, i64::try_from(value).unwrap_or(i64::MAX));
        }
        (InstrumentKind::Gauge, Number::Signed(value)) => writer.set_int(row, index, value),
        (InstrumentKind::Gauge, Number::Float(value)) => writer.set_float(row, index, value),
        (InstrumentKind::Histogram, Number::Unsigned(value)) => {
            writer.observe_int(row, index, i64::try_from(value).unwrap_or(i64::MAX));
        }
        (InstrumentKind::Histogram, Number::Signed(value)) => writer.observe_int(row, index, value),
        (InstrumentKind::Histogram, Number::Float(value)) if value.is_nan() => *rejected += 1,
        (InstrumentKind::Histogram, Number::Float(value)) => writer.observe_float(row, index, value),
    }
}

impl CopyList {
    fn push(&mut self, range: Range<usize>, piece: Piece) -> Range<usize> {
        let at = self.len..self.len + range.len();
        self.len = at.end;
        self.pieces.push((range, piece));
        at
    }

    fn push_column(&mut self, column: &Column) {
        let piece = if column.is_text() { Piece::Text } else { Piece::Bytes };
        for range in &column.inputs {
            self.push(range.clone(), piece);
        }
    }

    /// Copies every piece; what the record does not have is zeros.
    fn copy(&self, record: &[u8], out: &mut Vec<u8>) {
        for (range, piece) in &self.pieces {
            let end = out.len() + range.len();
            if let Some(bytes) = record.get(range.clone()) {
                let bytes = match piece {
                    Piece::Bytes => bytes,
                    Piece::Text => ig_datasource::field::until_nul(bytes),
                };
                out.extend_from_slice(bytes);
            }
            out.resize(end, 0);
        }
    }
}

/// Renders label text from the key that [`CopyList::copy`] made.
#[derive(Debug)]
pub(crate) struct ColumnLabeler {
    columns: Vec<(Column, Range<usize>)>,
}

impl ColumnLabeler {
    pub(crate) fn new(columns: impl Iterator<Item = Column>) -> Self {
        let mut at = 0;
        let columns = columns
            .map(|column| {
                let range = at..at + column.input_len();
                at = range.end;
                (column, range)
            })
            .collect();
        Self { columns }
    }
}

impl Labeler for ColumnLabeler {
    fn fingerprint(&self) -> u64 {
        // Keys mean the same as long as the same columns of the same lengths make them.
        let mut text = String::new();
        for (column, range) in &self.columns {
            text += &format!("{}:{};", column.name, range.len());
        }
        ig_series::hash(text.as_bytes())
    }

    fn render(&self, key: &[u8], index: usize, out: &mut String) {
        if let Some((column, range)) = self.columns.get(index)
            && let Some(input) = key.get(range.clone())
        {
            column.text(input, out);
        }
    }
}
