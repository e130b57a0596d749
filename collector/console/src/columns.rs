//! Rows as a table.
//!
//! A data source of single records streams: a header, then a line for each record as it comes. One that is read as a
//! whole prints a table per fetch.
//!
//! On a terminal the columns share its width, which is asked for again with every batch. Numbers are never cut: a table
//! that is read as a whole is measured before it is printed, and a stream is laid out anew, under a new header, when a
//! number finds no room. Elsewhere nothing is cut or padded: the values of a line are whole, with a tab between two.
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
use cell::{Cell, Painter, titles};

/// Rows between two headers on a terminal that is lower than this, or of unknown height.
const SHORTEST_PAGE: usize = 20;

/// Prints records as a table.
#[derive(Debug)]
pub(crate) struct TableSink {
    rows: RowBuffer,
    cells: Vec<Cell>,
    painter: Painter,
    /// Cells in a line, as known when the columns were laid out; `None` where it may have any length.
    width: Option<usize>,
    /// Width of each column; `None` for those that are left out because the terminal is too narrow for all.
    widths: Vec<Option<usize>>,
    header: String,
    label: Option<String>,
    array: bool,
    clear: bool,
    /// Rows that still fit under the last header.
    room: usize,
    /// Rows of this batch that did not fit the screen.
    cut: u64,
    /// Rows that are measured before they are printed.
    held: Batch,
    /// Whether what each column shows is known by now.
    known: bool,
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
        let titles = titles(&shown);
        let cells = shown.into_iter().zip(titles).map(|(column, title)| Cell::plan(column, title, columns));
        let mut cells = cells.collect::<Result<Vec<_>, _>>()?;
        if fields.is_some() {
            // Whoever names columns has chosen among them.
            cells.iter_mut().for_each(Cell::forget_priority);
        }
        let terminal = rows.terminal();
        let clear =
            terminal.has_cursor() && label.is_none() && source.is_annotated("cli.clear-screen-before");
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
            held: Batch::default(),
            known: source.kind == SourceKind::Array,
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
        let colour = self.rows.terminal().has_colour();
        let (bold, plain) = if colour { (BOLD, PLAIN) } else { ("", "") };
        let mut line = String::new();
        if let Some(total) = self.width {
            let known = self.known && self.cells.iter().any(Cell::is_used);
            let spaces: Vec<_> = self.cells.iter().map(|cell| cell.space(known)).collect();
            let laid_out = layout::line(&spaces, total);
            self.widths = laid_out.widths;
            for (cell, width) in self.cells.iter().zip(&self.widths) {
                if let Some(width) = width {
                    self.painter.put(&mut line, cell, &cell.title, *width, Ellipsis::End);
                }
            }
            if laid_out.is_cut && total > layout::MARK {
                line.push_str(" …");
            }
            line.truncate(line.trim_end().len());
        } else {
            line = self.cells.iter().map(|cell| cell.title.as_str()).collect::<Vec<_>>().join("\t");
        }
        self.header.clear();
        self.header.push_str(bold);
        self.header.push_str(&line);
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
        if !self.array {
            let size = self.rows.terminal().size();
            self.room = size.map_or(usize::MAX, |size| size.rows.saturating_sub(1).max(SHORTEST_PAGE));
        }
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
        self.cut = 0;
        if self.width.is_none() {
            self.print_header();
        }
        if self.clear {
            self.room = self.page();
        }
    }

    /// Rows of a table that is drawn over the last one.
    fn page(&self) -> usize {
        self.rows.terminal().size().map_or(usize::MAX, |size| size.rows.saturating_sub(3).max(1))
    }

    fn record(&mut self, record: &[u8]) {
        match self.width {
            Some(_) if self.array => self.hold(record),
            Some(total) => {
                let page_ends = self.room == 0;
                // A page has shown what each column is good for.
                self.known |= page_ends;
                if self.painter.measure(&mut self.cells, &self.widths, total, record) | page_ends {
                    let before = std::mem::take(&mut self.widths);
                    self.lay_out();
                    if page_ends || self.widths != before {
                        self.print_header();
                    }
                }
                self.room = self.room.saturating_sub(1);
                self.print(record);
                self.rows.end_row();
            }
            None if self.array && self.rows.is_full() => self.rows.drop_row(),
            None => {
                self.print(record);
                if self.array {
                    self.rows.count_rows(1);
                } else {
                    self.rows.end_row();
                }
            }
        }
    }

    /// Keeps a record until its table is whole.
    fn hold(&mut self, record: &[u8]) {
        if self.clear && self.held.len() >= self.room {
            self.cut += 1;
        } else if self.held.size() >= self.rows.limit() {
            self.rows.drop_row();
        } else {
            self.held.push(record);
        }
    }

    fn print(&mut self, record: &[u8]) {
        let line = match self.width {
            Some(_) => self.painter.row(&self.cells, &self.widths, record),
            None => self.painter.tabbed(&self.cells, record),
        };
        let buffer = self.rows.buffer();
        buffer.extend_from_slice(line.as_bytes());
        buffer.push(b'\n');
    }

    fn end(&mut self) {
        if !self.array {
            return;
        }
        if let Some(total) = self.width {
            let held = std::mem::take(&mut self.held);
            for record in held.iter() {
                self.painter.measure(&mut self.cells, &self.widths, total, record);
            }
            self.lay_out();
            if self.clear {
                self.rows.buffer().extend_from_slice(CLEAR.as_bytes());
            }
            self.print_header();
            for record in held.iter() {
                self.print(record);
            }
            self.rows.count_rows(held.len() as u64);
            self.held = held;
            self.held.clear();
        }
        if self.cut > 0 {
            let more = format!("… {} more\n", self.cut);
            self.rows.buffer().extend_from_slice(more.as_bytes());
        }
        self.rows.flush();
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
