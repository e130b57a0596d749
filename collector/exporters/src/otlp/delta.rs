//! The values a receiver has accepted, from which the next deltas are counted.
//!
//! A batch carries what its rows held when it was written. Only when it is accepted do those values become the new
//! base; a batch that is dropped changes nothing, and its share is part of the next delta.
//!
//! Where a row has ended and another took its values along, the base goes with them: what was accepted under the old
//! text is not counted again under the new one.

use std::collections::{HashMap, HashSet};

use ig_series::{Instrument, NumberKind, Retired, RowId};

/// Accepted values of every table, by table id.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    tables: HashMap<(u64, usize), Column>,
}

/// Accepted values of one instrument of one table.
#[derive(Debug)]
struct Column {
    /// How the first cell is kept.
    number: NumberKind,
    /// How many cells a row has.
    width: usize,
    rows: Vec<Base>,
    /// `width` for each row.
    cells: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Base {
    born: u64,
    /// When the values were read, wall time; zero if none were accepted.
    at: u64,
}

/// What becomes the base once a batch is accepted.
#[derive(Debug, Default)]
pub(super) struct Commit {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    column: (u64, usize),
    number: NumberKind,
    width: usize,
    rows: Vec<(usize, Base)>,
    cells: Vec<u64>,
}

impl Commit {
    /// Begins the rows of another instrument.
    pub(super) fn begin(&mut self, column: (u64, usize), described: &Instrument) {
        if self.parts.last().is_none_or(|part| part.column != column) {
            let (number, width) = (described.number, described.width());
            self.parts.push(Part { column, number, width, rows: Vec::new(), cells: Vec::new() });
        }
    }

    /// Notes what a row held.
    pub(super) fn note(&mut self, row: RowId, at: u64, cells: &[u64]) {
        if let Some(part) = self.parts.last_mut() {
            part.rows.push((row.position, Base { born: row.born, at }));
            part.cells.extend_from_slice(cells);
        }
    }
}

impl Accepted {
    /// What a row has gained since the last accepted batch, and when that was; `None` if nothing. `start` is when the
    /// row began.
    pub(super) fn since(
        &self,
        column: (u64, usize),
        row: RowId,
        start: u64,
        described: &Instrument,
        cells: &[u64],
    ) -> Option<(Vec<u64>, u64)> {
        let known = self.tables.get(&column).and_then(|column| column.of(row));
        let Some((old, at)) = known else {
            return cells.iter().any(|cell| *cell != 0).then(|| (cells.to_vec(), start));
        };
        if old == cells {
            return None;
        }
        let gained = cells.iter().zip(old).enumerate();
        let gained = gained.map(|(cell, (new, old))| described.number_of(cell).gain(*new, *old));
        Some((gained.collect(), at))
    }

    /// Makes what an accepted batch carried the new base.
    pub(super) fn commit(&mut self, commit: Commit) {
        for part in commit.parts {
            let Part { number, width, .. } = part;
            let new = || Column { number, width, rows: Vec::new(), cells: Vec::new() };
            let column = self.tables.entry(part.column).or_insert_with(new);
            for ((position, base), cells) in part.rows.into_iter().zip(part.cells.chunks(width)) {
                column.set(position, base, cells);
            }
        }
    }

    /// Carries what was accepted of a row that has ended over to the row that took its values.
    pub(super) fn follow(&mut self, ended: &Retired) {
        let Some(successor) = ended.successor else { return };
        for (_, column) in self.tables.iter_mut().filter(|((table, _), _)| *table == ended.table) {
            column.carry(ended.row, successor);
        }
    }

    /// Forgets every table not in `kept`.
    pub(super) fn retain(&mut self, kept: &HashSet<u64>) {
        self.tables.retain(|(table, _), _| kept.contains(table));
    }
}

impl Column {
    /// What was accepted of a row, and when that was read.
    fn of(&self, row: RowId) -> Option<(&[u64], u64)> {
        let base = self.rows.get(row.position).filter(|base| base.at > 0 && base.born == row.born)?;
        let from = row.position * self.width;
        Some((self.cells.get(from..from + self.width)?, base.at))
    }

    fn set(&mut self, position: usize, base: Base, cells: &[u64]) {
        if self.rows.len() <= position {
            self.rows.resize(position + 1, Base::default());
            self.cells.resize((position + 1) * self.width, 0);
        }
        if let Some(slot) = self.rows.get_mut(position) {
            *slot = base;
        }
        let from = position * self.width;
        if let Some(slots) = self.cells.get_mut(from..from + self.width) {
            slots.copy_from_slice(cells);
        }
    }

    fn carry(&mut self, from: RowId, to: RowId) {
        let Some((cells, at)) = self.of(from) else { return };
        let mut cells = cells.to_vec();
        let mut at = at;
        if let Some((known, since)) = self.of(to) {
            at = since;
            for (index, (cell, known)) in cells.iter_mut().zip(known).enumerate() {
                let number = if index == 0 { self.number } else { NumberKind::Int };
                *cell = number.sum(*cell, *known);
            }
        }
        self.set(to.position, Base { born: to.born, at }, &cells);
        if from.position != to.position
            && let Some(base) = self.rows.get_mut(from.position)
        {
            *base = Base::default();
        }
    }
}
