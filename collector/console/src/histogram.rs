//! Distributions drawn as bars: what a gadget that counts into slots looks like to a person.
//!
//! The records of each fetch are what came since the last one, so they are added up here, per set of labels, and the
//! whole picture is printed after each fetch: over the last one on a terminal, after it elsewhere.
//!
//! # Source
//! Rows, bars and the order of things are those of the reference's print mode. Ours to add: the labels of each
//! distribution, which it leaves out; the values of counters and gauges; what lies above the last boundary; and on
//! a terminal that is too low, the empty rows at the end are left out.

mod draw;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use ig_datasource::{DataSource, Number, SourceKind};
use ig_model::InstrumentKind;
use ig_operators::{
    Batch, Columns, MeasurePlan, Sink, SinkLedger, ValueScratch,
    measure::{Instrument, MeasureLabel, Value},
};

use crate::{
    error::ConsoleError,
    output::RowBuffer,
    terminal::CLEAR,
    text::{number, quote},
};
use draw::{Bucket, chart, unit};

/// Sets of labels that are kept apart; records with further ones are added up as one.
const MOST_SETS: usize = 1000;
/// Bytes of a label's text that are looked at.
const LONGEST_LABEL: usize = 256;
/// What stands for the labels of the others.
const OTHERS: &str = "{others}";

/// Draws the metrics of a data source.
#[derive(Debug)]
pub(crate) struct HistogramSink {
    rows: RowBuffer,
    labels: Vec<MeasureLabel>,
    instruments: Vec<Instrument>,
    /// What is known of each set of labels, by their text.
    sets: BTreeMap<String, Vec<Sum>>,
    redraw: bool,
    array: bool,
    changed: bool,
    scratch: ValueScratch,
}

/// What an instrument holds.
#[derive(Clone, Debug)]
enum Sum {
    Number(f64),
    /// Counts per bucket, and one for what is above the last boundary.
    Buckets(Vec<u64>),
}

impl HistogramSink {
    pub(crate) fn new(
        source: &DataSource,
        columns: &Columns,
        label: Option<&str>,
        mut rows: RowBuffer,
    ) -> Result<Self, ConsoleError> {
        let fault = |field: String, reason: String| ConsoleError::Field { mode: "histogram", field, reason };
        // The plan is the one for metrics that leave the process; drawing wants it whether or not they do.
        let mut wanted = source.clone();
        wanted.annotations.insert("metrics.collect".to_owned(), "true".to_owned());
        let annotations =
            |name: &str| columns.find(name).map(|column| column.annotations.clone()).unwrap_or_default();
        let plan = MeasurePlan::from_annotations(&wanted, columns, annotations)
            .map_err(|error| fault(error.metric, error.reason))?
            .ok_or_else(|| {
                fault(
                    source.name.clone(),
                    "has no field that is a counter, a gauge or a histogram".to_owned(),
                )
            })?;
        if let Some(label) = label {
            let mut heading = String::from("-- ");
            quote(label.as_bytes(), &mut heading);
            heading.push('\n');
            rows.heading(heading.as_bytes());
        }
        Ok(Self {
            redraw: rows.terminal().has_cursor() && label.is_none(),
            rows,
            labels: plan.labels,
            instruments: plan.instruments,
            sets: BTreeMap::new(),
            array: source.kind == SourceKind::Array,
            changed: false,
            scratch: ValueScratch::default(),
        })
    }

    /// `{op="read",disk="vda"}`, or nothing without labels.
    fn key(&mut self, record: &[u8]) -> String {
        let mut key = String::new();
        for label in &self.labels {
            key.push(if key.is_empty() { '{' } else { ',' });
            quote(label.name.as_bytes(), &mut key);
            key.push_str("=\"");
            match label.column.value(record, &mut self.scratch) {
                ig_operators::Value::Text(text) => {
                    quote(text.get(..LONGEST_LABEL).unwrap_or(text), &mut key);
                }
                value => number::plain(&value, &mut key),
            }
            key.push('"');
        }
        if !key.is_empty() {
            key.push('}');
        }
        key
    }

    fn draw(&mut self) {
        let mut page = self.page(false);
        let size = self.rows.terminal().size();
        let lines = page.lines().count();
        if size.is_some_and(|size| lines >= size.rows) {
            page = self.page(true);
        }
        let buffer = self.rows.buffer();
        if self.redraw {
            buffer.extend_from_slice(CLEAR.as_bytes());
        }
        buffer.extend_from_slice(page.as_bytes());
        self.rows.count_rows(1);
        self.rows.flush();
        self.changed = false;
    }

    fn page(&self, short: bool) -> String {
        let mut page = String::new();
        for (index, instrument) in self.instruments.iter().enumerate() {
            let mut name = String::new();
            let spec = &instrument.spec;
            quote(spec.name.as_bytes(), &mut name);
            if self.sets.is_empty() {
                page.push_str(&name);
                page.push('\n');
            }
            for (labels, sums) in &self.sets {
                page.push_str(&name);
                page.push_str(labels);
                match sums.get(index) {
                    Some(Sum::Buckets(counts)) => {
                        page.push('\n');
                        let mut unit_text = String::new();
                        quote(unit(&spec.unit, spec.scale).as_bytes(), &mut unit_text);
                        chart(&unit_text, &buckets(counts, &spec.bounds), short, &mut page);
                        page.push('\n');
                    }
                    Some(Sum::Number(value)) => {
                        page.push(' ');
                        number::es6(*value * spec.scale, &mut page);
                        page.push('\n');
                    }
                    None => page.push('\n'),
                }
            }
        }
        page
    }

    fn begin(&mut self) {
        // What counts the records of one fetch starts anew with each.
        for (index, instrument) in self.instruments.iter().enumerate() {
            if instrument.value == Value::CountOfFetch {
                for sum in self.sets.values_mut().filter_map(|sums| sums.get_mut(index)) {
                    *sum = Sum::of(instrument);
                }
            }
        }
    }

    fn record(&mut self, record: &[u8]) {
        let mut key = self.key(record);
        if self.sets.len() >= MOST_SETS && !self.sets.contains_key(&key) {
            OTHERS.clone_into(&mut key);
        }
        let fresh = || self.instruments.iter().map(Sum::of).collect();
        let sums = self.sets.entry(key).or_insert_with(fresh);
        for (instrument, sum) in self.instruments.iter().zip(sums) {
            sum.add(instrument, record);
        }
        self.changed = true;
    }
}

impl Sink for HistogramSink {
    fn take(&mut self, batch: &Batch) {
        if batch.begins() {
            self.begin();
        }
        batch.iter().for_each(|record| self.record(record));
        if batch.ends() && self.array {
            self.draw();
        }
    }

    fn flush(&mut self) {
        if self.changed && !self.array {
            self.draw();
        }
    }

    fn finish(&mut self) {
        if self.changed {
            self.draw();
        }
        self.rows.flush();
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        self.rows.ledger()
    }
}

impl Sum {
    fn of(instrument: &Instrument) -> Self {
        match instrument.spec.kind {
            InstrumentKind::Histogram => Self::Buckets(vec![0; instrument.spec.bounds.len() + 1]),
            InstrumentKind::Counter | InstrumentKind::Gauge => Self::Number(0.0),
        }
    }

    fn add(&mut self, instrument: &Instrument, record: &[u8]) {
        match (self, &instrument.value) {
            (Self::Buckets(counts), Value::Slots(range, element)) => {
                let slots = record.get(range.clone()).unwrap_or_default();
                for (count, slot) in counts.iter_mut().zip(slots.chunks_exact((*element).max(1))) {
                    *count = count.saturating_add(slot_count(slot));
                }
            }
            (Self::Buckets(counts), value) => {
                let Some(observed) = number_of(value, record) else { return };
                let bucket = instrument.spec.bounds.partition_point(|bound| *bound < observed);
                if let Some(count) = counts.get_mut(bucket) {
                    *count = count.saturating_add(1);
                }
            }
            (Self::Number(sum), value) => {
                let Some(seen) = number_of(value, record) else { return };
                let latest = instrument.spec.kind == InstrumentKind::Gauge && *value != Value::CountOfFetch;
                *sum = if latest { seen } else { *sum + seen };
            }
        }
    }
}

fn slot_count(slot: &[u8]) -> u64 {
    match (slot.try_into().map(u32::from_ne_bytes), slot.try_into().map(u64::from_ne_bytes)) {
        (Ok(count), _) => count.into(),
        (_, Ok(count)) => count,
        _ => 0,
    }
}

fn number_of(value: &Value, record: &[u8]) -> Option<f64> {
    match value {
        Value::Count | Value::CountOfFetch => Some(1.0),
        Value::Number(range, form) => form.read(record.get(range.clone())?).map(Number::as_f64),
        Value::Slots(..) => None,
    }
}

/// The buckets of one distribution, each from the boundary before to its own.
fn buckets(counts: &[u64], bounds: &[f64]) -> Vec<Bucket> {
    let starts = std::iter::once(0.0).chain(bounds.iter().copied());
    let ends = bounds.iter().copied().map(Some).chain([None]);
    let all = starts.zip(ends).zip(counts).map(|((start, end), count)| Bucket { start, end, count: *count });
    all.filter(|bucket| bucket.end.is_some() || bucket.count > 0).collect()
}
