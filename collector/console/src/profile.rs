//! Stacks and how often they were seen, added up over the run and written when it ends.
//!
//! # Source
//! The annotations are those of the reference's profile exporter: `profiles.stack-fields` and
//! `profiles.value-field` on the data source, `profiles.sample-attribute` on fields. A stack field holds names of
//! frames, innermost first, each followed by `; `; the first stack field is the innermost.

mod pprof;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use ig_datasource::DataSource;
use ig_model::UnixNs;
use ig_operators::{Batch, Column, Columns, Sink, SinkLedger, Value, ValueKind, ValueScratch};

use crate::{error::ConsoleError, output::RowBuffer, text::number};

/// Different stacks that are kept apart.
const MOST_STACKS: usize = 100_000;
/// Bytes of text they may take.
const MOST_BYTES: usize = 64 << 20;
/// What stands for the stacks beyond that.
const OTHERS: &str = "[other stacks]";
/// What stands for a sample without any frame.
const NO_STACK: &str = "[no stack]";
/// Separates frames and attributes in a key; no text in a key holds a control character.
const PART: char = '\x1f';

/// Adds up stacks and writes them at the end.
#[derive(Debug)]
pub(crate) struct ProfileSink {
    rows: RowBuffer,
    form: Form,
    stacks: Vec<Column>,
    attributes: Vec<Column>,
    value: Column,
    /// Values by attributes and frames.
    totals: HashMap<Box<str>, u64>,
    bytes: usize,
    others: u64,
    /// Records in the totals.
    records: u64,
    key: String,
    scratch: ValueScratch,
}

/// One stack with its total.
#[derive(Debug)]
struct Sample<'a> {
    attributes: Vec<&'a str>,
    /// From the innermost; never empty.
    frames: Vec<&'a str>,
    value: u64,
}

#[derive(Debug)]
enum Form {
    Folded,
    Pprof { kind: String, unit: String, name: String, began: UnixNs },
}

impl ProfileSink {
    /// A line per stack, `frame;frame;frame value`, outermost first; attributes that are not empty stand before.
    pub(crate) fn folded(
        source: &DataSource,
        columns: &Columns,
        rows: RowBuffer,
    ) -> Result<Self, ConsoleError> {
        Self::plan("folded", Form::Folded, source, columns, rows)
    }

    /// A compressed `profile.proto`; attributes are labels of the samples.
    pub(crate) fn pprof(
        source: &DataSource,
        columns: &Columns,
        rows: RowBuffer,
    ) -> Result<Self, ConsoleError> {
        let word = |key: &str, usual: &str| {
            source.annotations.get(key).map_or_else(|| usual.to_owned(), Clone::clone)
        };
        let form = Form::Pprof {
            kind: word("profiles.type", "samples"),
            unit: word("profiles.unit", "count"),
            name: word("profiles.name", &source.name),
            began: UnixNs::now(),
        };
        Self::plan("pprof", form, source, columns, rows)
    }

    fn plan(
        mode: &'static str,
        form: Form,
        source: &DataSource,
        columns: &Columns,
        rows: RowBuffer,
    ) -> Result<Self, ConsoleError> {
        let annotation = |annotation: &'static str| {
            source.annotations.get(annotation).ok_or_else(|| ConsoleError::MissingAnnotation {
                mode,
                annotation,
                source_name: source.name.clone(),
            })
        };
        let field = |annotation: &'static str, name: &str| {
            columns.find(name).cloned().ok_or_else(|| ConsoleError::Annotation {
                place: format!("data source `{}`", source.name),
                annotation,
                value: name.to_owned(),
                expected: format!("a field that exists; {}", columns.unknown(name)),
            })
        };
        let mut stacks = Vec::new();
        for name in annotation("profiles.stack-fields")?.split(',').map(str::trim) {
            let column = field("profiles.stack-fields", name)?;
            if column.value_kind() != ValueKind::Text {
                let reason = "is no text, so it cannot hold the frames of a stack".to_owned();
                return Err(ConsoleError::Field { mode, field: column.name, reason });
            }
            stacks.push(column);
        }
        let value = field("profiles.value-field", annotation("profiles.value-field")?.trim())?;
        if !matches!(value.value_kind(), ValueKind::Unsigned | ValueKind::Signed) {
            let reason = "is no integer, so it cannot count samples".to_owned();
            return Err(ConsoleError::Field { mode, field: value.name, reason });
        }
        let is_attribute = |column: &&Column| column.annotation("profiles.sample-attribute") == Some("true");
        let mut attributes: Vec<Column> = columns.iter().filter(is_attribute).cloned().collect();
        attributes.sort_by_key(|column| column.order);
        Ok(Self {
            rows,
            form,
            stacks,
            attributes,
            value,
            totals: HashMap::new(),
            bytes: 0,
            others: 0,
            records: 0,
            key: String::new(),
            scratch: ValueScratch::default(),
        })
    }

    /// Attributes, an empty part, frames from the innermost; each with a separator behind it.
    fn read_key(&mut self, record: &[u8]) {
        self.key.clear();
        for column in &self.attributes {
            match column.value(record, &mut self.scratch) {
                Value::Text(text) => clean(text, &mut self.key),
                value => number::plain(&value, &mut self.key),
            }
            self.key.push(PART);
        }
        for column in &self.stacks {
            let Value::Text(text) = column.value(record, &mut self.scratch) else { continue };
            for frame in text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
                if !frame.is_empty() {
                    clean(frame, &mut self.key);
                    self.key.push(PART);
                }
            }
        }
    }

    /// All samples in a fixed order: attributes, frames from the innermost, value.
    fn samples(&self) -> Vec<Sample<'_>> {
        let mut samples: Vec<_> = self.totals.iter().map(|(key, total)| (key.as_ref(), *total)).collect();
        samples.sort_unstable();
        let count = self.attributes.len();
        let mut list: Vec<Sample<'_>> = samples
            .into_iter()
            .map(|(key, total)| {
                let mut parts = key.split_terminator(PART);
                let attributes: Vec<&str> = parts.by_ref().take(count).collect();
                let mut frames: Vec<&str> = parts.collect();
                if frames.is_empty() {
                    frames.push(NO_STACK);
                }
                Sample { attributes, frames, value: total }
            })
            .collect();
        if self.others > 0 {
            list.push(Sample { attributes: vec![""; count], frames: vec![OTHERS], value: self.others });
        }
        list
    }

    fn write(&mut self) {
        let mut out = Vec::new();
        let samples = self.samples();
        match &self.form {
            Form::Folded => fold(&samples, &mut out),
            Form::Pprof { kind, unit, name, began } => {
                let mut profile = pprof::Builder::new(kind, unit, name, *began);
                let names: Vec<&str> = self.attributes.iter().map(|column| column.name.as_str()).collect();
                for sample in &samples {
                    profile.sample(&names, sample);
                }
                profile.finish(&mut out);
            }
        }
        self.rows.buffer().append(&mut out);
        self.rows.count_rows(std::mem::take(&mut self.records));
        self.rows.flush();
    }

    fn record(&mut self, record: &[u8]) {
        self.records += 1;
        self.read_key(record);
        let value = match self.value.value(record, &mut self.scratch) {
            Value::Unsigned(value) => value,
            Value::Signed(value) => u64::try_from(value).unwrap_or(0),
            _ => 0,
        };
        if let Some(total) = self.totals.get_mut(self.key.as_str()) {
            *total = total.saturating_add(value);
        } else if self.totals.len() >= MOST_STACKS || self.bytes + self.key.len() > MOST_BYTES {
            self.others = self.others.saturating_add(value);
        } else {
            self.bytes += self.key.len();
            self.totals.insert(self.key.as_str().into(), value);
        }
    }
}

impl Sink for ProfileSink {
    fn take(&mut self, batch: &Batch) {
        batch.iter().for_each(|record| self.record(record));
    }

    fn finish(&mut self) {
        self.write();
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        self.rows.ledger()
    }
}

fn fold(samples: &[Sample<'_>], out: &mut Vec<u8>) {
    for Sample { attributes, frames, value } in samples {
        let outer = attributes.iter().filter(|text| !text.is_empty());
        for (index, part) in outer.chain(frames.iter().rev()).enumerate() {
            if index > 0 {
                out.push(b';');
            }
            out.extend_from_slice(part.as_bytes());
        }
        out.push(b' ');
        out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes());
        out.push(b'\n');
    }
}

/// Appends text without what separates frames, lines or parts.
fn clean(text: &[u8], out: &mut String) {
    let text = String::from_utf8_lossy(text);
    out.extend(text.chars().map(|c| match c {
        ';' => ':',
        c if c.is_control() => '?',
        c => c,
    }));
}
