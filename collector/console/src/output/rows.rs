//! One data source's way into an output: it gathers rows and hands them over in chunks.

use std::sync::{Arc, atomic::Ordering};

use ig_model::Loss;
use ig_operators::SinkLedger;

use super::{Chunk, Shared};
use crate::terminal::Terminal;

/// Rows are handed over once they take this many bytes.
const CHUNK: usize = 64 << 10;

/// What its losses are counted under.
const LEDGER_NAME: &str = "console";

/// A buffer for the rows of one data source.
#[derive(Debug)]
pub struct RowBuffer {
    shared: Arc<Shared>,
    id: u64,
    heading: Vec<u8>,
    buffer: Vec<u8>,
    rows: u64,
    ledger: Arc<SinkLedger>,
}

impl RowBuffer {
    pub(super) fn new(shared: Arc<Shared>, id: u64) -> Self {
        let ledger = SinkLedger::new(LEDGER_NAME);
        Self { shared, id, heading: Vec::new(), buffer: Vec::new(), rows: 0, ledger }
    }

    /// What became of the records of this data source.
    pub fn ledger(&self) -> &Arc<SinkLedger> {
        &self.ledger
    }

    /// Sets what is printed in front of a chunk unless this buffer was printed last.
    pub fn heading(&mut self, heading: &[u8]) {
        self.heading.clear();
        self.heading.extend_from_slice(heading);
    }

    /// Where the next row is rendered. Append only.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Says that a row is complete; returns false if its chunk was full and had to be dropped.
    pub fn end_row(&mut self) -> bool {
        self.rows += 1;
        self.buffer.len() < CHUNK || self.flush()
    }

    /// Counts rows that must stay together with those after them.
    pub fn count_rows(&mut self, rows: u64) {
        self.rows += rows;
    }

    /// Bytes that the whole output may hold.
    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    /// Whether the rows that must stay together are already as many as the whole output may hold.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= self.shared.limit
    }

    /// Counts a row for which there was no room.
    pub fn drop_row(&self) {
        self.shared.dropped_rows.fetch_add(1, Ordering::Relaxed);
        self.ledger.lose(Loss::Output, 1);
    }

    /// Hands over what is there; returns false if it had to be dropped, or nobody is there to take it.
    pub fn flush(&mut self) -> bool {
        let rows = std::mem::take(&mut self.rows);
        let chunk = Chunk { bytes: std::mem::take(&mut self.buffer), rows, ledger: Arc::clone(&self.ledger) };
        let (taken, empty) = self.shared.push(self.id, &self.heading, chunk);
        self.buffer = empty;
        taken
    }

    /// The screen behind the output.
    pub fn terminal(&self) -> &Terminal {
        &self.shared.terminal
    }
}
