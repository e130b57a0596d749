//! Rows as a table.
//!
//! A data source of single records streams: a header, then a line for each record as it comes. One that is read as a
//! whole prints a table per fetch. On a terminal the columns share its width, which is asked for again with every
//! batch; elsewhere they are as wide as their annotations say, so that scripts find them in the same place each day.
//!
//! Whatever a record holds, a row is one line of printable characters and never wider than the terminal.

mod cell;
mod layout;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ig_datasource::{DataSource, SourceKind};
use ig_operators::{Batch, Columns, Sink, SinkLedger};

use crate::{
    error::ConsoleError,
    fields,
    output::RowBuffer,
    terminal::{BOLD, CLEAR, PLAIN},
    text::{Ellipsis, fit, quote},
};
use cell::{Cell, Painter};

/// Rows between two headers on a terminal that is lower than this, or of unknown height.
const SHORTEST_PAGE: usize = 20;

/// Prints records as a table.
#[derive(Debug)]
pub(crate) struct TableSink {
    rows: RowBuffer,
    cells: Vec<Cell>,
    painter: Painter,
    /// Cells in a line, as known when the columns were laid out.
    width: Option<usize>,
    /// Width of each column shown; fewer than `cells` if the terminal is too narrow for all.
    widths: Vec<usize>,
    header: String,
    label: Option<String>,
    array: bool,
    clear: bool,
    /// Rows that still fit under the last header.
    room: usize,
    /// Rows of this batch that did not fit the screen.
    cut: u64,
}

impl TableSink {
    pub(crate) fn new(
        source: &DataSource,
        columns: &Columns,
        fields: Option<&str>,
        label: Option<&str>,
        rows: RowBuffer,
    ) -> Result<Self, ConsoleError> {
        let shown = fields::shown(columns, fields)?;
        let cells = shown.into_iter().map(|column| Cell::plan(column, columns)).collect::<Result<_, _>>()?;
        let terminal = rows.terminal();
        let clear =
            terminal.is_terminal() && label.is_none() && source.is_annotated("cli.clear-screen-before");
        let mut sink = Self {
            painter: Painter::new(terminal.has_colour()),
            rows,
            cells,
            width: None,
            widths: Vec::new(),
            header: String::new(),
            label: label.map(str::to_owned),
            array: source.kind == SourceKind::Array,
            clear,
            room: usize::MAX,
            cut: 0,
        };
        sink.lay_out();
        if !sink.array && sink.label.is_none() {
            sink.print_header();
            sink.rows.flush();
        }
        Ok(sink)
    }

    /// Gives each column its width and prepares the header.
    fn lay_out(&mut self) {
        self.width = self.rows.terminal().columns();
        self.widths = layout::widths(self.cells.iter().map(|cell| cell.space), self.width);
        let colour = self.rows.terminal().has_colour();
        let (bold, plain) = if colour { (BOLD, PLAIN) } else { ("", "") };
        let mut line = String::new();
        for (cell, width) in self.cells.iter().zip(&self.widths) {
            self.painter.put(&mut line, cell, &cell.title, *width, Ellipsis::End);
        }
        if self.widths.len() < self.cells.len() && self.width.is_some_and(|width| width > layout::MARK) {
            line.push_str(" …");
        }
        self.header.clear();
        self.header.push_str(bold);
        self.header.push_str(line.trim_end());
        self.header.push_str(plain);
        self.header.push('\n');
        if let Some(label) = &self.label {
            let (mut quoted, mut title) = (String::new(), String::new());
            quote(label.as_bytes(), &mut quoted);
            let room = self.width.unwrap_or(usize::MAX).saturating_sub(3);
            fit(&quoted, room, Ellipsis::End, &mut title);
            self.header.insert_str(0, &format!("{bold}-- {title}{plain}\n"));
            // A table begins with its title anyway; a stream needs one where another source was printed in between.
            if !self.array {
                self.rows.heading(self.header.as_bytes());
            }
        }
    }

    fn print_header(&mut self) {
        self.rows.buffer().extend_from_slice(self.header.as_bytes());
        let size = self.rows.terminal().size();
        self.room = match size {
            Some(size) if self.clear => size.rows.saturating_sub(3).max(1),
            Some(size) if !self.array => size.rows.saturating_sub(1).max(SHORTEST_PAGE),
            _ => usize::MAX,
        };
    }

    /// Follows a terminal that was resized; true if it was.
    fn follow_terminal(&mut self) -> bool {
        let resized = self.rows.terminal().columns() != self.width;
        if resized {
            self.lay_out();
        }
        resized
    }

    fn begin(&mut self) {
        let resized = self.follow_terminal();
        if !self.array {
            if resized && self.label.is_none() {
                self.print_header();
            }
            return;
        }
        if self.clear {
            self.rows.buffer().extend_from_slice(CLEAR.as_bytes());
        }
        self.print_header();
        self.cut = 0;
    }

    fn record(&mut self, record: &[u8]) {
        if self.room == 0 {
            if self.clear {
                self.cut += 1;
                return;
            }
            self.print_header();
        }
        if self.array && self.rows.is_full() {
            self.rows.drop_row();
            return;
        }
        self.room -= 1;
        let line = self.painter.row(&self.cells, &self.widths, record);
        let buffer = self.rows.buffer();
        buffer.extend_from_slice(line.as_bytes());
        buffer.push(b'\n');
        if self.array {
            self.rows.count_rows(1);
        } else {
            self.rows.end_row();
        }
    }

    fn end(&mut self) {
        if self.array {
            if self.cut > 0 {
                let more = format!("… {} more\n", self.cut);
                self.rows.buffer().extend_from_slice(more.as_bytes());
            }
            self.rows.flush();
        }
    }
}

impl Sink for TableSink {
    fn take(&mut self, batch: &Batch) {
        if batch.begins() {
            self.begin();
        }
        batch.iter().for_each(|record| self.record(record));
        if batch.ends() {
            self.end();
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
