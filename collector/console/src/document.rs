//! Records as documents: JSON in a line, JSON for people, YAML.
//!
//! # Shape
//! A document nests as the fields do: `proc.comm` is the member `comm` of the object `proc`. Keys stand in order of
//! name at every level. Hidden fields are in it, because whoever reads documents picks what it wants; fields that
//! are annotated `json.skip=true`, or that a formatter replaced, are not. Bytes are lower-case hexadecimal.
//!
//! A data source of single records gives one document for each; one that is read as a whole gives one JSON array
//! per fetch, and one YAML document per record.
//!
//! # Source
//! Inspektor Gadget's JSON formatter. Two of its faults are left out: a number that is no number is `null` (it
//! prints nothing there, which is no JSON), and arrays of bools are arrays.

mod json;
mod string;
mod tree;
mod yaml;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ig_datasource::SourceKind;
use ig_operators::{Batch, Column, Columns, Sink, SinkLedger};

use crate::{fields::Kept, output::RowBuffer};
use json::Json;
pub(crate) use string::json_string;
use yaml::Yaml;

/// What a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// JSON in one line.
    Json,
    /// JSON with line breaks.
    JsonPretty,
    /// YAML.
    Yaml,
}

/// One value of a document, with the text that leads up to it.
#[derive(Debug)]
struct Step {
    lead: Box<[u8]>,
    column: Column,
    /// Levels above the value.
    depth: usize,
}

#[derive(Debug)]
enum Writer {
    Json(Json),
    Yaml(Yaml),
}

/// Prints records as documents.
#[derive(Debug)]
pub(crate) struct DocumentSink {
    rows: RowBuffer,
    writer: Writer,
    /// Whether the records of a fetch form one array.
    array: bool,
    /// Records of the array that is open.
    open: Option<u64>,
}

impl DocumentSink {
    pub(crate) fn new(
        syntax: Syntax,
        kind: SourceKind,
        columns: &Columns,
        kept: &Kept,
        label: Option<&str>,
        rows: RowBuffer,
    ) -> Self {
        let nodes = tree::build(columns, kept);
        let array = kind == SourceKind::Array && syntax != Syntax::Yaml;
        let writer = if syntax == Syntax::Yaml {
            Writer::Yaml(Yaml::plan(nodes, label))
        } else {
            let layout = json::Layout {
                pretty: syntax == Syntax::JsonPretty,
                depth: usize::from(array),
                screen: rows.terminal().is_terminal(),
            };
            Writer::Json(Json::plan(nodes, label, layout))
        };
        Self { rows, writer, array, open: None }
    }

    fn element(&mut self, record: &[u8]) {
        let Writer::Json(json) = &mut self.writer else { return };
        if self.rows.is_full() {
            self.rows.drop_row();
            return;
        }
        let open = self.open.get_or_insert(0);
        let buffer = self.rows.buffer();
        buffer.extend_from_slice(json.before_element(*open));
        *open += 1;
        json.write(record, buffer);
        self.rows.count_rows(1);
    }

    fn record(&mut self, record: &[u8]) {
        if self.array {
            self.element(record);
            return;
        }
        match &mut self.writer {
            Writer::Json(json) => {
                let buffer = self.rows.buffer();
                json.write(record, buffer);
                buffer.push(b'\n');
            }
            Writer::Yaml(yaml) => yaml.write(record, self.rows.buffer()),
        }
        self.rows.end_row();
    }

    fn close(&mut self) {
        if let (Writer::Json(json), Some(elements)) = (&self.writer, self.open.take()) {
            self.rows.buffer().extend_from_slice(json.after_elements(elements));
            self.rows.flush();
        }
    }
}

impl Sink for DocumentSink {
    fn take(&mut self, batch: &Batch) {
        if batch.begins() && self.array {
            self.open = Some(0);
        }
        batch.iter().for_each(|record| self.record(record));
        if batch.ends() {
            self.close();
        }
    }

    fn flush(&mut self) {
        if self.open.is_none() {
            self.rows.flush();
        }
    }

    fn finish(&mut self) {
        self.close();
        self.rows.flush();
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        self.rows.ledger()
    }
}
