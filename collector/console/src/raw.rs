//! Values back to back, as they are: for gadgets that make the whole text themselves.
//!
//! Text goes out without escapes, so a pipe gets what the gadget wrote. On a terminal everything but line ends and
//! tabs is made harmless.

use std::sync::Arc;

use ig_operators::{Batch, Column, Columns, Sink, SinkLedger, Value, ValueKind, ValueScratch};

use crate::{
    output::RowBuffer,
    text::{number, quote},
};

/// Prints values without names or separators.
#[derive(Debug)]
pub(crate) struct RawSink {
    rows: RowBuffer,
    columns: Vec<Column>,
    screen: bool,
    scratch: ValueScratch,
    text: String,
}

impl RawSink {
    pub(crate) fn new(columns: &Columns, rows: RowBuffer) -> Self {
        let shown = |column: &&Column| column.referenced && column.value_kind() != ValueKind::Members;
        Self {
            screen: rows.terminal().is_terminal(),
            rows,
            columns: columns.iter().filter(shown).cloned().collect(),
            scratch: ValueScratch::default(),
            text: String::new(),
        }
    }

    fn record(&mut self, record: &[u8]) {
        for column in &self.columns {
            self.text.clear();
            match column.value(record, &mut self.scratch) {
                Value::Text(bytes) | Value::Bytes(bytes) if self.screen => harmless(bytes, &mut self.text),
                Value::Text(bytes) | Value::Bytes(bytes) => self.rows.buffer().extend_from_slice(bytes),
                value => number::plain(&value, &mut self.text),
            }
            self.rows.buffer().extend_from_slice(self.text.as_bytes());
        }
        self.rows.end_row();
    }
}

impl Sink for RawSink {
    fn take(&mut self, batch: &Batch) {
        batch.iter().for_each(|record| self.record(record));
        if batch.ends() {
            self.rows.flush();
        }
    }

    fn flush(&mut self) {
        self.rows.flush();
    }

    fn finish(&mut self) {
        self.rows.flush();
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        self.rows.ledger()
    }
}

/// Appends text with its line ends, tabs, quotes and backslashes, and all else that is not printable spelled out.
fn harmless(bytes: &[u8], out: &mut String) {
    for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\t' | b'"' | b'\\')) {
        match piece.split_last() {
            Some((last @ (b'\n' | b'\t' | b'"' | b'\\'), text)) => {
                quote(text, out);
                out.push(char::from(*last));
            }
            _ => quote(piece, out),
        }
    }
}
